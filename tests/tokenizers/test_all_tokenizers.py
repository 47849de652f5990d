"""What every tokenizer promises, whatever it cuts into."""

from __future__ import annotations

import copy
import pickle
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from llmrec.errors import DataError, LLMRecError, MissingExtraError, ParameterError
from llmrec.tokenizers import (
    GPT2Tokenizer,
    JiebaTokenizer,
    NLTKTokenizer,
    ScriptTokenizer,
    WordTokenizer,
    load_stop_words,
)
from tests.tokenizers import BRIEF

MIXED = "The 流浪地球 II (2023)! It's 科幻电影; café 😀 don't"
WORD_LEVEL = [
    WordTokenizer(),
    WordTokenizer(lowercase=False, stop_words=["en", "zh"]),
    NLTKTokenizer(),
    NLTKTokenizer(stem="porter"),
    NLTKTokenizer(stem="snowball", stop_words="en"),
    JiebaTokenizer(),
    JiebaTokenizer(hmm=False, stop_words="zh", user_dictionary=["流浪地球"]),
    ScriptTokenizer(),
]
WITH_STOP_WORDS = [WordTokenizer, NLTKTokenizer, JiebaTokenizer]

ROUGH_TEXTS = {
    "empty": "",
    "blank": " \t\r\n\u3000\u200b",
    "control characters": "\x00\x01a\x7f\x9fb\x00",
    "lone surrogates": "a\ud800b\udfff \ud83d\ude00",
    "emoji": "👩‍👩‍👧 1️⃣ ❤️ great😀movie",
    "mixed": MIXED,
    "right to left": "مرحبا‏ world \u202eabc",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "long word": "a" * 100_000,
    "long Chinese": "我爱看电影" * 20_000,
    "long blank": " " * 100_000,
    "long quotes": "'\"" * 50_000,
    "long accents": "e\u0301a" * 33_000,
    "long alternation": "a我" * 2_000,
}


@pytest.fixture(params=[*WORD_LEVEL, GPT2Tokenizer], ids=lambda tokenizer: repr(tokenizer)[:60])
def tokenizer(request):
    if request.param is GPT2Tokenizer:
        return GPT2Tokenizer(str(request.getfixturevalue("gpt2_folder")))
    return clone(request.param)


@pytest.mark.parametrize("text", ROUGH_TEXTS.values(), ids=ROUGH_TEXTS)
def test_rough_text_gives_words_the_same_each_time(tokenizer, text):
    words = tokenizer.tokenize(text)
    assert all(type(word) is str and word for word in words)
    assert tokenizer.tokenize(text) == words


@pytest.mark.parametrize("bad", [None, 3, b"bytes", ["a", "b"], float("nan")], ids=repr)
def test_what_is_no_text_is_refused(tokenizer, bad):
    with pytest.raises(DataError, match=f"one str at a time, got {type(bad).__name__}"):
        tokenizer.tokenize(bad)


def test_a_copy_of_any_kind_cuts_alike_and_carries_parameters_only(tokenizer):
    words = tokenizer.tokenize(MIXED)
    pickled = pickle.dumps(tokenizer)
    assert len(pickled) < 2_000
    for other in (pickle.loads(pickled), copy.deepcopy(tokenizer), copy.copy(tokenizer), clone(tokenizer)):
        assert repr(other) == repr(tokenizer)
        assert other.tokenize(MIXED) == words


def test_use_changes_neither_parameters_nor_state(tokenizer):
    before = copy.deepcopy(tokenizer.get_params(deep=False))
    tokenizer.tokenize(MIXED)
    after = tokenizer.get_params(deep=False)
    assert repr(after) == repr(before)
    assert tokenizer.get_state() == {}


def test_threads_get_what_one_caller_gets(tokenizer):
    texts = [f"{MIXED} {number} 电影院{number}" for number in range(40)]
    expected = [tokenizer.tokenize(text) for text in texts]
    shared, answers = clone(tokenizer), {}
    start = threading.Barrier(4)

    def work(name):
        start.wait()  # all threads meet a tokenizer that has not been used
        answers[name] = [shared.tokenize(text) for text in texts]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[name] for name in range(4)] == [expected] * 4


def is_han(letter):
    """Say whether a character stands in a block of Han; some are newer than Python's table of letters."""
    blocks = [("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U000323af")]
    return any(first <= letter <= last for first, last in blocks)


@pytest.mark.parametrize("tokenizer", WORD_LEVEL, ids=repr)
def test_any_text_gives_words_with_a_letter_or_digit(tokenizer):
    @BRIEF
    @given(st.text())
    def check(text):
        words = tokenizer.tokenize(text)
        assert words == tokenizer.tokenize(text)
        assert all(word == word.strip() for word in words)
        assert all(any(letter.isalnum() or is_han(letter) for letter in word) for word in words)

    check()


def test_a_character_of_a_block_of_han_that_has_no_meaning_yet_is_a_word():
    assert WordTokenizer().tokenize("\ufada") == ["\ufada"]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", WITH_STOP_WORDS)
def test_no_word_is_a_stop_word(kind, lowercase):
    tokenizer = kind(stop_words=["en", "zh"], lowercase=lowercase)
    stop_words = load_stop_words("en", "zh")
    samples = st.lists(st.sampled_from(sorted(stop_words)) | st.text(max_size=5))

    @BRIEF
    @given(samples, st.sampled_from([str.lower, str.upper, str.title]))
    def check(parts, cased):
        words = tokenizer.tokenize(cased(" ".join(parts)))
        assert not {word.lower() for word in words} & stop_words

    check()


@pytest.mark.parametrize("kind", WITH_STOP_WORDS)
class TestWordLevelParameters:
    def test_case_is_kept_if_asked(self, kind):
        assert kind().tokenize("Star Wars") == ["star", "wars"]
        assert kind(lowercase=False).tokenize("Star Wars") == ["Star", "Wars"]

    def test_stop_words_go_whatever_their_case_and_width(self, kind):
        assert kind(stop_words=["THE", "ｗａｒｓ"], lowercase=False).tokenize("The Star Wars") == ["Star"]

    def test_languages_and_words_may_be_mixed(self, kind):
        assert kind(stop_words=["en", "Movie"]).tokenize("this is the best movie") == ["best"]

    @pytest.mark.parametrize("words", [["star"], ("star",), {"star"}, frozenset(["star"])], ids=repr)
    def test_any_collection_of_words_will_do_and_stays_as_given(self, kind, words):
        tokenizer = kind(stop_words=words)
        assert tokenizer.tokenize("star wars") == ["wars"]
        assert tokenizer.get_params()["stop_words"] is words

    def test_new_stop_words_take_effect(self, kind):
        tokenizer = kind(stop_words=["star"])
        assert tokenizer.tokenize("star wars") == ["wars"]
        assert tokenizer.set_params(stop_words=["wars"]).tokenize("star wars") == ["star"]
        tokenizer.stop_words = None
        assert tokenizer.tokenize("star wars") == ["star", "wars"]

    def test_full_width_and_decomposed_letters_count_as_plain_ones(self, kind):
        assert kind().tokenize("ＡＢＣ１２３") == kind().tokenize("ABC123")
        assert kind().tokenize("Amélie") == kind().tokenize("Ame\u0301lie") == ["amélie"]

    def test_emoji_and_control_characters_do_not_stick_to_words(self, kind):
        assert kind().tokenize("great😀movie\x00night") == ["great", "movie", "night"]

    def test_bad_parameters_are_named_when_used(self, kind):
        tokenizers = {
            "lowercase must be True or False, got 'no'": kind(lowercase="no"),
            "no stop words .* 'english'; available: 'en', 'zh'.* pass a list": kind(stop_words="english"),
            "stop_words must be a collection of strings, got 3": kind(stop_words=3),
            "stop_words must hold strings only, found int": kind(stop_words=["a", 3]),
        }
        for message, tokenizer in tokenizers.items():
            with pytest.raises(ParameterError, match=message):
                tokenizer.tokenize("a text")

    def test_numpy_booleans_will_do(self, kind):
        assert kind(lowercase=np.bool_(True)).tokenize("Star") == ["star"]


@pytest.mark.parametrize(
    ("tokenizer", "package", "extra"),
    [
        (JiebaTokenizer(), "jieba", "jieba"),
        (NLTKTokenizer(), "nltk", "nltk"),
        (GPT2Tokenizer(), "transformers", "transformers"),
    ],
    ids=lambda value: str(value),
)
def test_a_missing_package_is_told_with_its_extra(tokenizer, package, extra, monkeypatch):
    loaded = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
    for name in [package, *loaded]:
        monkeypatch.setitem(sys.modules, name, None)
    message = rf"{type(tokenizer).__name__} needs {package}; install it with: pip install 'llmrec\[{extra}\]'"
    with pytest.raises(MissingExtraError, match=message) as raised:
        clone(tokenizer).tokenize("a text")
    assert isinstance(raised.value, ImportError)
    assert isinstance(raised.value, LLMRecError)
