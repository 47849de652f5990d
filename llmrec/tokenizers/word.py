"""Words without a dependency: letters and digits of any script, Han characters in pairs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from llmrec.tokenizers._word_level import HAN, WordLevelTokenizer, marks

__all__ = ["WordTokenizer"]


class WordTokenizer(WordLevelTokenizer):
    """Cut a text into runs of letters and digits; a run of Han characters into overlapping pairs.

    The default of encoders that count words: it needs nothing installed, knows no language, and is the
    fastest of all (on English about ten times as fast as :class:`NLTKTokenizer`, on Chinese about
    five times as fast as :class:`JiebaTokenizer`). Most Chinese words have two characters, so pairs find most
    of them, along with pairs that are no words; the vocabulary gets larger than that of a segmenter.

    Text that a transformer reads goes in raw, without any tokenizer of this kind.

    Parameters
    ----------
    stop_words : str or collection of str, optional
        Words to drop: a packaged language (``"en"``, ``"zh"``), or a collection whose members are packaged
        languages, words, or both. Case does not matter. A Chinese stop word is dropped where it is a pair
        of its own, so the Chinese list does less here than for :class:`JiebaTokenizer`.
    lowercase : bool, default True
        Whether words are given in lower case.

    Notes
    -----
    Text is brought to Unicode form NFKC first: full-width letters count as plain ones. An apostrophe ends
    a word (``don't`` is ``don``, ``t``; the packaged English list holds both). Scripts that write no
    spaces, other than Han, come out as one long word a phrase. Give a new collection rather than changing
    the one given: ``stop_words`` is read once, on first use.

    Examples
    --------
    >>> WordTokenizer().tokenize("The Matrix (1999): 黑客帝国!")
    ['the', 'matrix', '1999', '黑客', '客帝', '帝国']
    >>> WordTokenizer(stop_words=["en", "movie"]).tokenize("This is the best Movie.")
    ['best']
    """

    def __init__(self, *, stop_words: str | Collection[str] | None = None, lowercase: bool = True):
        self.stop_words = stop_words
        self.lowercase = lowercase

    def _cut(self, text: str) -> Iterable[str]:
        runs: list[str] = _word_pattern().findall(text)
        # Most texts of a catalogue have no Han character; findall's list is then the answer.
        return _with_pairs(runs) if _HAN_CHARACTER.search(text) else runs


_HAN_CHARACTER = re.compile(f"[{HAN}]")


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    letters = rf"[^\W_{HAN}]"
    return re.compile(rf"[{HAN}]+|{letters}+(?:[{marks()}]+{letters}*)*")


def _with_pairs(runs: list[str]) -> Iterator[str]:
    for run in runs:
        if len(run) > 2 and _HAN_CHARACTER.match(run):
            yield from (run[start : start + 2] for start in range(len(run) - 1))
        else:
            yield run
