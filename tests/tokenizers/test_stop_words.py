"""The packaged stop words and how they are changed."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from importlib.resources import files

import pytest

from llmrec.errors import ParameterError
from llmrec.tokenizers import load_stop_words


@pytest.mark.parametrize(("language", "low", "high"), [("en", 150, 200), ("zh", 150, 250)])
def test_a_packaged_list_is_compact_clean_and_without_repeats(language, low, high):
    text = files("llmrec.tokenizers.stop_words").joinpath(f"{language}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert low <= len(lines) <= high
    assert len(set(lines)) == len(lines)
    assert all(line and line == unicodedata.normalize("NFKC", line.strip()).lower() for line in lines)
    assert load_stop_words(language) == set(lines)


def test_known_function_words_are_in_and_content_words_are_not():
    assert {"the", "of", "not", "you", "n't", "s"} <= load_stop_words("en")
    assert {"的", "我们", "但是", "不"} <= load_stop_words("zh")
    assert not {"love", "movie", "good", "new"} & load_stop_words("en")
    assert not {"电影", "爱", "好", "新"} & load_stop_words("zh")
    assert all(word.isascii() for word in load_stop_words("en"))
    assert not any(word.isascii() for word in load_stop_words("zh"))


def test_languages_join_and_none_is_empty():
    assert load_stop_words("en", "zh") == load_stop_words("en") | load_stop_words("zh")
    assert load_stop_words() == frozenset()


def test_extra_adds_and_keep_takes_out_whatever_the_case():
    changed = load_stop_words("en", extra=["Movie", "ＦＩＬＭ"], keep=["Not", "film"])
    assert changed == (load_stop_words("en") | {"movie"}) - {"not"}


def test_generators_will_do():
    assert load_stop_words(extra=(word for word in "ab"), keep=iter(["b"])) == {"a"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("eng",), {}), "language 'eng'; available: 'en', 'zh'. Did you mean 'en'"),
        ((("fr",), {}), "language 'fr'; available: 'en', 'zh'"),
        (((["en", "zh"],), {}), r"language \['en', 'zh'\]"),
        ((("en",), {"extra": "movie"}), "extra must be a collection of strings, got 'movie'"),
        ((("en",), {"keep": [1]}), "keep must hold strings only, found int"),
        ((("en",), {"keep": None}), "keep must be a collection of strings, got None"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    languages, changes = arguments
    with pytest.raises(ParameterError, match=message):
        load_stop_words(*languages, **changes)


def test_importing_the_tokenizers_imports_no_heavy_package():
    heavy = ["torch", "transformers", "jieba", "nltk"]
    code = f"import sys, llmrec.tokenizers; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
