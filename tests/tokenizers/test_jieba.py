"""Chinese cutting, user dictionaries, and leaving jieba's global state alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmrec.errors import ParameterError
from llmrec.tokenizers import JiebaTokenizer

SENTENCE = "吴京主演流浪地球"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我来到北京清华大学", ["我", "来到", "北京", "清华大学"]),
        ("《电影》，好看！", ["电影", "好看"]),
        ("我买了T恤和C++的书", ["我", "买", "了", "t恤", "和", "c++", "的", "书"]),
        ("卡布奇诺 café 很好", ["卡布奇诺", "café", "很", "好"]),
        ("Привет 世界", ["привет", "世界"]),
        ("日本のアニメ", ["日本", "のアニメ"]),
        ("3.14元", ["3.14", "元"]),
        ("，。！ 　", []),
    ],
)
def test_known_texts(text, words):
    assert JiebaTokenizer().tokenize(text) == words


def test_without_hmm_unknown_words_are_single_characters():
    text = "他来到了网易杭研大厦"
    assert "杭研" in JiebaTokenizer().tokenize(text)
    without = JiebaTokenizer(hmm=False).tokenize(text)
    assert "杭研" not in without
    assert {"杭", "研"} <= set(without)


def test_stop_words_are_dropped():
    assert JiebaTokenizer(stop_words="zh").tokenize("我们的电影是在北京拍的") == ["电影", "北京", "拍"]


def test_a_user_dictionary_belongs_to_its_own_tokenizer():
    plain = JiebaTokenizer()
    before = plain.tokenize(SENTENCE)
    ours = JiebaTokenizer(user_dictionary=["流浪地球"])
    assert "流浪地球" in ours.tokenize(SENTENCE)
    assert "流浪地球" not in before
    assert plain.tokenize(SENTENCE) == JiebaTokenizer().tokenize(SENTENCE) == before
    assert "流浪地球" not in JiebaTokenizer(user_dictionary=["主演流浪"]).tokenize(SENTENCE)


def test_a_changed_user_dictionary_takes_effect():
    tokenizer = JiebaTokenizer(user_dictionary=["流浪地球"])
    assert "流浪地球" in tokenizer.tokenize(SENTENCE)
    assert "流浪地球" not in tokenizer.set_params(user_dictionary=None).tokenize(SENTENCE)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_any_collection_of_words_will_do(kind):
    assert "流浪地球" in JiebaTokenizer(user_dictionary=kind(["流浪地球", "吴京主演"])).tokenize(SENTENCE)


@pytest.mark.parametrize("line", ["流浪地球", "流浪地球 100", "流浪地球 100 nz", "流浪地球 nz"])
def test_a_file_may_hold_frequencies_and_tags(tmp_path, line):
    path = tmp_path / "words.txt"
    path.write_text(f"\ufeff吴京\n\n{line}\n", encoding="utf-8")
    for given_path in (path, str(path)):
        assert JiebaTokenizer(user_dictionary=given_path).tokenize(SENTENCE) == ["吴京", "主演", "流浪地球"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"absent\.txt' cannot be read .* or a list of words"):
        JiebaTokenizer(user_dictionary=tmp_path / "absent.txt").tokenize("电影")
    (tmp_path / "gbk.txt").write_bytes("电影".encode("gbk"))
    with pytest.raises(ParameterError, match="UTF-8"):
        JiebaTokenizer(user_dictionary=tmp_path / "gbk.txt").tokenize("电影")


@pytest.mark.parametrize("word", ["哈利·波特", "new york", "", " "])
def test_a_word_that_jieba_can_never_find_is_refused(word):
    with pytest.raises(ParameterError, match="jieba never finds"):
        JiebaTokenizer(user_dictionary=["电影", word]).tokenize("电影")


def test_a_frequency_of_zero_is_refused_with_its_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("电影 3\n流浪地球 0\n", encoding="utf-8")
    with pytest.raises(
        ParameterError, match=r"line 2 .*words\.txt: the frequency of '流浪地球' must be at least 1"
    ):
        JiebaTokenizer(user_dictionary=path).tokenize("电影")


@pytest.mark.parametrize("bad", [3, b"bytes", ["电影", 3]], ids=repr)
def test_what_is_no_dictionary_is_refused(bad):
    with pytest.raises(ParameterError, match="user_dictionary must"):
        JiebaTokenizer(user_dictionary=bad).tokenize("电影")


def test_hmm_must_be_a_flag():
    with pytest.raises(ParameterError, match="hmm must be True or False, got 'yes'"):
        JiebaTokenizer(hmm="yes").tokenize("电影")


def test_jieba_is_quiet_and_its_global_state_and_cache_are_untouched(tmp_path):
    code = (
        "import logging, os, sys\n"
        "from llmrec.tokenizers import JiebaTokenizer\n"
        "print(JiebaTokenizer(user_dictionary=['流浪地球']).tokenize('流浪地球'))\n"
        "import jieba\n"
        "print(jieba.dt.initialized, logging.getLogger('jieba').level == logging.DEBUG)\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error", "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={"TMPDIR": str(tmp_path), "PATH": ""},
    )
    assert done.stdout.splitlines() == ["['流浪地球']", "False True"]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
