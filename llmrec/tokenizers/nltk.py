"""English words in the manner of the Penn Treebank, with NLTK and none of its data."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from llmrec.tokenizers._word_level import HAS_LETTER, WordLevelTokenizer, imported, marks
from llmrec.validation import check_choice

__all__ = ["NLTKTokenizer"]


class NLTKTokenizer(WordLevelTokenizer):
    """Cut English into words with NLTK, and stem them if asked to.

    Choose it for English where stems help (few or short texts, so that *recommend*, *recommended* and
    *recommending* should be one word), or where numbers and hyphenated words should stay whole. Elsewhere
    :class:`WordTokenizer` does about as well and much faster. Needs the extra ``nltk``; no NLTK data is read
    and nothing is downloaded.

    Text that a transformer reads goes in raw, without any tokenizer of this kind.

    Parameters
    ----------
    stem : {None, "porter", "snowball"}, default None
        Cut words down to an English stem, in lower case. Snowball is Porter's own later version, and the
        better choice for new work. Takes about as long again as cutting.
    stop_words : str or collection of str, optional
        Words to drop, before stemming: a packaged language (``"en"``, ``"zh"``), or a collection whose
        members are packaged languages, words, or both. Case does not matter.
    lowercase : bool, default True
        Whether words are given in lower case.

    Notes
    -----
    Words come from ``NLTKWordTokenizer``: ``don't`` is ``do``, ``n't``; ``3.88`` and ``state-of-the-art``
    stay whole. Beside that, words joined by a slash or bar are cut apart, quotes, dashes and full stops at
    their ends are taken off, and what has neither letter nor digit (punctuation, emoji) is dropped. Text is
    brought to Unicode form NFKC first. A run of Chinese is one word here; see :class:`ScriptTokenizer`.
    Give a new collection rather than changing the one given: ``stop_words`` is read once, on first use.

    Examples
    --------
    >>> NLTKTokenizer().tokenize("Cameron's film didn't cost $3.88.")
    ['cameron', 's', 'film', 'did', "n't", 'cost', '3.88']
    >>> NLTKTokenizer(stem="snowball", stop_words="en").tokenize("They recommended the recommendations.")
    ['recommend', 'recommend']
    """

    def __init__(
        self,
        *,
        stem: str | None = None,
        stop_words: str | Collection[str] | None = None,
        lowercase: bool = True,
    ):
        self.stem = stem
        self.stop_words = stop_words
        self.lowercase = lowercase

    def tokenize(self, text: str) -> list[str]:
        """Return the words of ``text``, or their stems; a text without words gives an empty list.

        Raises
        ------
        DataError
            If ``text`` is not a str.
        ParameterError
            If a parameter has a value that is not allowed.
        MissingExtraError
            If NLTK is not installed.
        """
        words = super().tokenize(text)
        if self.stem is None:
            return words
        stemmer = self._remembered("stem", self._stemmer)
        return [stem for word in words if (stem := stemmer.stem(word))]

    def _cut(self, text: str) -> Iterator[str]:
        tokenizer = imported("nltk.tokenize.destructive", self, "nltk").NLTKWordTokenizer()
        plain = _symbols().sub(" ", text.translate(_PLAIN_QUOTES))
        # The tokenizer expects one sentence: with a full stop after it, "can't" would stay whole.
        for token in tokenizer.tokenize(_FULL_STOP.sub(" ", plain)):
            word = token.strip(_AT_WORD_ENDS)
            if HAS_LETTER.search(word):
                yield word

    def _stemmer(self) -> Any:
        stemmers = imported("nltk.stem", self, "nltk")
        if check_choice("stem", self.stem, ("porter", "snowball")) == "porter":
            return stemmers.PorterStemmer()
        return stemmers.SnowballStemmer("english")


_AT_WORD_ENDS = "\"'`.-_"
_PLAIN_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})
_FULL_STOP = re.compile(r"\.(?=[\s\"')\]}]|\Z)")


@lru_cache(maxsize=1)
def _symbols() -> re.Pattern[str]:
    # Emoji, control characters, dashes and foreign punctuation would stick to the words beside them.
    return re.compile(rf"[^\w\s{marks()}!-~]|[/|\\*~^=<>]")
