"""Letters, marks and Han pairs of the default tokenizer."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec.tokenizers import WordTokenizer
from tests.tokenizers import BRIEF

HAN_LETTERS = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop: 3.14!", ["don", "t", "stop", "3", "14"]),
        ("snake_case foo-bar", ["snake", "case", "foo", "bar"]),
        ("我", ["我"]),
        ("我爱", ["我爱"]),
        ("我爱电影", ["我爱", "爱电", "电影"]),
        ("我爱,电影", ["我爱", "电影"]),
        ("看3D电影abc", ["看", "3d", "电影", "abc"]),
        ("Привет, мир", ["привет", "мир"]),
        ("हिन्दी फ़िल्म", ["हिन्दी", "फ़िल्म"]),
        ("日本のアニメ", ["日本", "のアニメ"]),
        ("영화 보기", ["영화", "보기"]),
        ("ﾄﾖﾀ", ["トヨタ"]),
        ("𠮷野家", ["𠮷野", "野家"]),
        ("人々", ["人々"]),
        ("ISTANBUL İstanbul", ["istanbul", "i̇stanbul"]),
        ("1️⃣ ❤️", ["1"]),
    ],
)
def test_known_texts(text, words):
    assert WordTokenizer().tokenize(text) == [unicodedata.normalize("NFKC", word) for word in words]


def test_stop_words_apply_to_pairs():
    assert WordTokenizer(stop_words="zh").tokenize("我们看电影") == ["们看", "看电", "电影"]


@BRIEF
@given(st.text(HAN_LETTERS, min_size=2))
def test_pairs_of_a_han_run_overlap_and_cover_it(run):
    pairs = WordTokenizer().tokenize(run)
    assert pairs == [first + second for first, second in pairwise(run)]


@BRIEF
@given(st.text())
def test_words_come_in_the_order_of_the_text(text):
    normal = unicodedata.normalize("NFKC", text)
    start = 0
    for word in WordTokenizer(lowercase=False).tokenize(text):
        start = normal.index(word, start)  # raises if the word is not there
        start += 1


@BRIEF
@given(st.lists(st.from_regex(r"[a-z0-9]+", fullmatch=True)))
def test_words_between_blanks_come_back(words):
    assert WordTokenizer().tokenize(" ".join(words)) == words
