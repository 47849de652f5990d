"""Tags: texts that are lists, each entry of which counts as one word."""

from __future__ import annotations

import re
from collections.abc import Collection

from llmrec.errors import ParameterError
from llmrec.tokenizers._word_level import HAS_LETTER, WordLevelTokenizer

__all__ = ["TagTokenizer"]


class TagTokenizer(WordLevelTokenizer):
    """Cut a text at its separators alone, so that a tag of several words stays one.

    Choose it where texts are lists of tags, genres or authors: ``small world; networks`` then has nothing in
    common with ``world history``. On papers described by users' tags that found a seventh more than single
    words did. Sentences it takes for tags, so it is no tokenizer for them.

    Parameters
    ----------
    separators : str, default ";|"
        Characters that end a tag. Add a comma where no tag holds one.
    stop_words : str or collection of str, optional
        Tags to drop, as in :class:`WordTokenizer`: a tag goes if it is a stop word as a whole.
    lowercase : bool, default True
        Whether tags are given in lower case.

    Notes
    -----
    Blanks around a tag do not count, and those within it count as one space. What has neither a letter nor a
    digit is no tag.

    Examples
    --------
    >>> TagTokenizer().tokenize("Small World; networks;; scale free")
    ['small world', 'networks', 'scale free']
    >>> TagTokenizer(separators=",").tokenize("Sci-Fi, 科幻")
    ['sci-fi', '科幻']
    """

    def __init__(
        self,
        *,
        separators: str = ";|",
        stop_words: str | Collection[str] | None = None,
        lowercase: bool = True,
    ):
        self.separators = separators
        self.stop_words = stop_words
        self.lowercase = lowercase

    def _cut(self, text: str) -> list[str]:
        if not isinstance(self.separators, str) or not self.separators:
            raise ParameterError(
                f"separators must be a str of one character or more, got {self.separators!r}."
            )
        parts = re.split(f"[{re.escape(self.separators)}]", text)
        return [" ".join(part.split()) for part in parts if HAS_LETTER.search(part)]
