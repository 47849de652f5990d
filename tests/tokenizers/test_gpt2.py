"""Subwords: readable, complete, and honest about a model that cannot be had."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec.errors import ModelUnavailableError, ParameterError
from llmrec.tokenizers import GPT2Tokenizer
from llmrec.tokenizers.gpt2 import _readable
from tests.tokenizers import BRIEF


@pytest.fixture(scope="module")
def gpt2(gpt2_folder):
    return GPT2Tokenizer(gpt2_folder)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello world", ["Hello", " world"]),
        ("我喜欢电影", ["我", "喜", "欢", "电", "影"]),
        ("naïve 😀", ["na", "ïve", " 😀"]),
        ("a\n\nb", ["a", "\n", "\n", "b"]),
        ("a <|endoftext|>b", ["a", " ", "<|endoftext|>", "b"]),
        ("", []),
    ],
)
def test_known_texts(gpt2, text, tokens):
    found = gpt2.tokenize(text)
    assert found == tokens
    assert "".join(found) == text


def test_tokens_of_whole_characters_are_those_of_the_library(gpt2, gpt2_folder):
    from transformers import GPT2TokenizerFast

    theirs = GPT2TokenizerFast.from_pretrained(str(gpt2_folder))
    assert len(theirs) == 50_257
    assert theirs.convert_tokens_to_ids(theirs.tokenize("Hello world")) == [15496, 995]
    text = "Subword tokenization, unbelievably: 12345!"
    assert gpt2.tokenize(text) == [
        theirs.convert_tokens_to_string([token]) for token in theirs.tokenize(text)
    ]


@BRIEF
@given(text=st.text())
def test_the_tokens_of_any_text_add_up_to_it(gpt2, text):
    tokens = gpt2.tokenize(text)
    assert "".join(tokens) == text
    assert all(tokens)


def test_lone_surrogates_are_replaced_and_pairs_are_joined(gpt2):
    assert "".join(gpt2.tokenize("a\ud800b")) == "a�b"
    assert "".join(gpt2.tokenize("\ud83d\ude00")) == "😀"


def test_a_vocabulary_that_lacks_bytes_does_not_swallow_the_rest():
    # "我" without its last byte, then "a b"
    assert list(_readable(["æ", "Ī", "a", "Ġb"], frozenset())) == ["�a", " b", ""]


def test_other_kinds_of_tokenizer_keep_their_own_form_and_cut_nothing_off(wordpiece_folder):
    tokens = GPT2Tokenizer(str(wordpiece_folder)).tokenize("Playing chess playing")
    assert tokens == ["play", "##ing", "chess", "play", "##ing"]


def test_a_changed_model_takes_effect(gpt2_folder, wordpiece_folder):
    tokenizer = GPT2Tokenizer(gpt2_folder)
    assert tokenizer.tokenize("chess playing")[-1] == " playing"
    assert tokenizer.set_params(model=wordpiece_folder).tokenize("chess playing")[-1] == "##ing"


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", None])
def test_a_model_that_cannot_be_had_is_told_at_once_with_the_alternatives(variable, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "1")
    tokenizer = GPT2Tokenizer("llmrec-tests/no-such-model", local_files_only=variable is None)
    start = time.monotonic()
    with pytest.raises(ModelUnavailableError) as raised:
        tokenizer.tokenize("a text")
    assert time.monotonic() - start < 20  # importing transformers included; a network time-out takes longer
    for words in (
        "llmrec-tests/no-such-model",
        "vocab.json",
        "merges.txt",
        "NLTKTokenizer",
        "JiebaTokenizer",
    ):
        assert words in str(raised.value)


def test_the_hub_is_asked_after_the_cache_unless_offline(monkeypatch):
    import transformers

    asked = []

    def from_pretrained(name, local_files_only):
        asked.append(local_files_only)
        raise OSError("no answer\nand more")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelUnavailableError, match="could not be loaded: no answer Give"):
        GPT2Tokenizer("some/model").tokenize("a text")
    assert asked == [True, False]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailableError):
        GPT2Tokenizer("some/model").tokenize("a text")
    assert asked == [True, False, True]


@pytest.mark.parametrize("kind", ["gpt2", "bert", "qwen2"])
def test_a_folder_with_a_model_but_no_vocabulary_is_refused(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ModelUnavailableError, match="there are no vocabulary files"):
        GPT2Tokenizer(tmp_path).tokenize("a text")


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"vocab.json": "{bad", "merges.txt": "#version: 0.2\n"},
        {"vocab.json": '{"h": 0}', "merges.txt": "#version: 0.2\nh i\n"},
        {"tokenizer.json": '{"a": 1}'},
        {"config.json": "{bad"},
    ],
    ids=str,
)
def test_a_damaged_folder_is_named_with_the_reason(tmp_path, contents):
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelUnavailableError, match=r"could not be loaded: .+ Give a name") as raised:
        GPT2Tokenizer(tmp_path).tokenize("a text")
    assert str(tmp_path) in str(raised.value)
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("model", [None, 3, ""], ids=repr)
def test_what_is_no_model_name_is_refused(model):
    with pytest.raises(ParameterError, match="model must be a name or the path of a folder"):
        GPT2Tokenizer(model).tokenize("a text")
