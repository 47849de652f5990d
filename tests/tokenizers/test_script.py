"""Which part of a mixed text goes to which tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec.base import Tokenizer
from llmrec.errors import ComponentError
from llmrec.tokenizers import JiebaTokenizer, NLTKTokenizer, ScriptTokenizer, WordTokenizer
from tests.tokenizers import BRIEF


class Whole(Tokenizer):
    """Gives the text it gets as one word, with its own sign before it."""

    def __init__(self, *, sign="?"):
        self.sign = sign

    def tokenize(self, text):
        return [self.sign + text]


@pytest.fixture
def shown():
    return ScriptTokenizer(latin=Whole(sign="L:"), chinese=Whole(sign="C:"))


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", []),
        ("abc", ["L:abc"]),
        ("中文", ["C:中文"]),
        ("我喜欢 Star Wars 电影!", ["C:我喜欢 ", "L:Star Wars ", "C:电影!"]),
        ("2019年，3部", ["C:2019年，3部"]),
        ("《4K》电影", ["L:《4K》", "C:电影"]),
        ("iPhone 15手机", ["L:iPhone 15", "C:手机"]),
        ("😀电影😀abc", ["C:😀电影😀", "L:abc"]),
        ("12345 😀!", ["L:12345 😀!"]),
        ("日本のアニメ", ["C:日本", "L:のアニメ"]),
        ("한국 영화", ["L:한국 영화"]),
        ("ＡＢＣ电影", ["L:ＡＢＣ", "C:电影"]),
        ("人々〇", ["C:人々〇"]),
        ("𠮷a", ["C:𠮷", "L:a"]),
        ("cafe\u0301电影", ["L:cafe\u0301", "C:电影"]),
    ],
)
def test_runs(shown, text, runs):
    assert shown.tokenize(text) == runs


@BRIEF
@given(st.text(st.characters() | st.sampled_from("我爱电影ab1，. ")))
def test_the_runs_of_any_text_add_up_to_it(text):
    shown = ScriptTokenizer(latin=Whole(sign=""), chinese=Whole(sign=""))
    assert "".join(shown.tokenize(text)) == text


@BRIEF
@given(st.text(st.characters(max_codepoint=0x24F)))
def test_latin_text_is_cut_as_the_latin_tokenizer_cuts_it(text):
    latin = NLTKTokenizer(stop_words="en")
    assert ScriptTokenizer(latin=latin).tokenize(text) == latin.tokenize(text)


@BRIEF
@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5) | st.sampled_from("，。！ 1")))
def test_chinese_text_is_cut_as_the_chinese_tokenizer_cuts_it(text):
    chinese = WordTokenizer()
    shown = ScriptTokenizer(latin=WordTokenizer(), chinese=chinese)
    assert shown.tokenize(text) == chinese.tokenize(text)


def test_the_defaults_are_nltk_and_jieba():
    text = "我喜欢科幻电影 but don't like 恐怖片"
    expected = [
        *JiebaTokenizer().tokenize("我喜欢科幻电影"),
        *NLTKTokenizer().tokenize("but don't like"),
        *JiebaTokenizer().tokenize("恐怖片"),
    ]
    assert ScriptTokenizer().tokenize(text) == expected
    assert "n't" in expected
    assert "科幻电影" in expected


def test_options_of_the_two_can_be_set_through_it():
    tokenizer = ScriptTokenizer(latin=NLTKTokenizer(), chinese=JiebaTokenizer())
    assert tokenizer.tokenize("the 的 end") == ["the", "的", "end"]
    tokenizer.set_params(latin__stop_words="en", chinese__stop_words="zh")
    assert tokenizer.tokenize("the 的 end") == ["end"]


@pytest.mark.parametrize("name", ["latin", "chinese"])
@pytest.mark.parametrize("bad", ["jieba", str.split, NLTKTokenizer], ids=repr)
def test_what_is_no_tokenizer_is_refused(name, bad):
    with pytest.raises(ComponentError, match=f"{name} must be a Tokenizer such as"):
        ScriptTokenizer(**{name: bad}).tokenize("a text 电影")
