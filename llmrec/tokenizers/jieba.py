"""Chinese words, with jieba."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

from llmrec.errors import ParameterError
from llmrec.tokenizers._word_level import HAN, HAS_LETTER, WordLevelTokenizer, checked_flag, imported

__all__ = ["JiebaTokenizer"]


class JiebaTokenizer(WordLevelTokenizer):
    """Cut Chinese into words with jieba: a dictionary, and a hidden Markov model for what is not in it.

    Choose it for Chinese text that is counted or looked up by words (TF-IDF, word vectors). Words rather
    than pairs of characters make a smaller vocabulary than :class:`WordTokenizer`, and the stop words work;
    for text with a good share of other languages see :class:`ScriptTokenizer`. Needs the extra ``jieba``.

    Text that a transformer reads goes in raw, without any tokenizer of this kind.

    Parameters
    ----------
    user_dictionary : path, or collection of str, optional
        Words that jieba should not cut: names of people, titles, brands. A path is a UTF-8 file in jieba's
        own format, a word a line, its frequency and tag after it if wanted; a collection holds words alone.
        Case matters.
    hmm : bool, default True
        Whether to guess words that are in no dictionary. Without, they come out as single characters, and
        cutting is some 10 % faster.
    stop_words : str or collection of str, optional
        Words to drop: a packaged language (``"en"``, ``"zh"``), or a collection whose members are packaged
        languages, words, or both. Case does not matter.
    lowercase : bool, default True
        Whether words are given in lower case.

    Notes
    -----
    The first use reads jieba's dictionary, half a second and some 60 MB; tokenizers without a user
    dictionary share it, each one with a user dictionary has a copy. jieba's own global segmenter, its log
    level and its cache file are left alone. Copies, clones and pickles hold the parameters only.

    Punctuation, blanks and emoji are dropped. Text is brought to Unicode form NFKC first. Words with letters
    that are neither Han nor ASCII (*café*, Cyrillic, kana), which jieba would cut into single letters, stay
    whole. Give a new collection rather than changing the one given: ``user_dictionary`` and ``stop_words``
    are read once, on first use.

    Examples
    --------
    >>> JiebaTokenizer().tokenize("我喜欢看科幻电影。")
    ['我', '喜欢', '看', '科幻电影']
    >>> JiebaTokenizer(stop_words="zh", user_dictionary=["流浪地球"]).tokenize("《流浪地球》是中国的电影")
    ['流浪地球', '中国', '电影']
    """

    def __init__(
        self,
        *,
        user_dictionary: str | os.PathLike[str] | Collection[str] | None = None,
        hmm: bool = True,
        stop_words: str | Collection[str] | None = None,
        lowercase: bool = True,
    ):
        self.user_dictionary = user_dictionary
        self.hmm = hmm
        self.stop_words = stop_words
        self.lowercase = lowercase

    def tokenize(self, text: str) -> list[str]:
        """Return the words of ``text`` in their order; a text without words gives an empty list.

        Raises
        ------
        DataError
            If ``text`` is not a str.
        ParameterError
            If a parameter has a value that is not allowed, or the user dictionary cannot be read or holds
            what jieba could never find.
        MissingExtraError
            If jieba is not installed.
        """
        return super().tokenize(text)

    def _cut(self, text: str) -> Iterator[str]:
        segmenter = self._remembered("user_dictionary", self._segmenter)
        hmm = checked_flag("hmm", self.hmm)
        for piece, is_foreign in _pieces(text):
            if is_foreign:
                yield piece
            else:
                yield from filter(HAS_LETTER.search, segmenter.cut(piece, HMM=hmm))

    def _segmenter(self) -> Any:
        with _JIEBA_LOCK:
            with warnings.catch_warnings():
                # jieba 0.42 has escapes and an import that newer Pythons warn of.
                warnings.simplefilter("ignore")
                jieba = imported("jieba", self, "jieba")
            plain = _plain_segmenter(jieba)
        if self.user_dictionary is None:
            return plain
        segmenter = _segmenter_of(jieba, dict(plain.FREQ), plain.total)
        for word, frequency in _entries(self.user_dictionary, jieba.re_han_default):
            segmenter.add_word(word, frequency)
        return segmenter


_JIEBA_LOCK = threading.Lock()
_FOREIGN_LETTERS = re.compile(rf"[^\W_{HAN}]+")


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Cut out the words with letters that are neither Han nor ASCII; the flag is True for these."""
    start = 0
    for word in _FOREIGN_LETTERS.finditer(text):
        if not word[0].isascii():
            yield text[start : word.start()], False
            yield word[0], True
            start = word.end()
    yield text[start:], False


@lru_cache(maxsize=1)
def _plain_segmenter(jieba: Any) -> Any:
    # Tokenizer.initialize would log to stderr and write a cache file that all users of a machine share.
    return _segmenter_of(jieba, *jieba.Tokenizer().gen_pfdict(jieba.Tokenizer().get_dict_file()))


def _segmenter_of(jieba: Any, frequencies: dict[str, int], total: int) -> Any:
    segmenter = jieba.Tokenizer()
    segmenter.FREQ, segmenter.total, segmenter.initialized = frequencies, total, True
    return segmenter


def _entries(user_dictionary: Any, allowed: re.Pattern[str]) -> Iterator[tuple[str, int | None]]:
    """Yield the words of a user dictionary, each with its frequency or None."""
    entries: Iterable[tuple[str, Any, int | None]]
    if isinstance(user_dictionary, (str, os.PathLike)):
        entries = _file_entries(Path(user_dictionary))
    elif isinstance(user_dictionary, Iterable) and not isinstance(user_dictionary, bytes):
        # jieba's guess of a frequency depends on the words before, so a set gets an order.
        unordered = isinstance(user_dictionary, (set, frozenset))
        words = sorted(user_dictionary, key=str) if unordered else user_dictionary
        entries = (("user_dictionary", word, None) for word in words)
    else:
        raise ParameterError(f"user_dictionary must be a path or a list of words, got {user_dictionary!r}.")
    for place, word, frequency in entries:
        if not isinstance(word, str):
            raise ParameterError(f"{place} must hold strings only, found {type(word).__name__} ({word!r}).")
        normal = normalize("NFKC", word)
        if not allowed.fullmatch(normal):
            raise ParameterError(
                f"{place}: jieba never finds {word!r}; a word may hold Han characters, ASCII letters, digits "
                "and + # & . _ % - only."
            )
        yield normal, frequency


def _file_entries(path: Path) -> Iterator[tuple[str, str, int | None]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"user_dictionary {str(path)!r} cannot be read ({error}); give the path of a UTF-8 file, or a "
            "list of words."
        ) from error
    for number, line in enumerate(lines, start=1):
        word, *details = line.split() or [""]
        if not word:
            continue
        place = f"user_dictionary, line {number} of {path}"
        if not details or not details[0].isdecimal():
            yield place, word, None
        elif int(details[0]) > 0:
            yield place, word, int(details[0])
        else:
            # jieba would take 0 as an order to cut the word, and keep it for all segmenters of the process.
            raise ParameterError(f"{place}: the frequency of {word!r} must be at least 1, got 0.")
