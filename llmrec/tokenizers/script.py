"""Mixed text: each run of Han characters to one tokenizer, everything else to another."""

from __future__ import annotations

import re
from typing import Any

from llmrec.base import Tokenizer
from llmrec.errors import ComponentError
from llmrec.tokenizers._word_level import HAN, checked_text
from llmrec.tokenizers.jieba import JiebaTokenizer
from llmrec.tokenizers.nltk import NLTKTokenizer

__all__ = ["ScriptTokenizer"]


class ScriptTokenizer(Tokenizer):
    """Give each part of a text to the tokenizer for its script, Han or other; the order is kept.

    Choose it for catalogues whose texts mix Chinese with English, or hold both. It costs no more than the
    two tokenizers do on their parts. Where all texts are of one language, that language's tokenizer alone
    is simpler; with neither NLTK nor jieba installed, :class:`WordTokenizer` reads mixed text too.

    Text that a transformer reads goes in raw, without any tokenizer of this kind.

    Parameters
    ----------
    latin : Tokenizer, optional
        Reads all that is not Han: Latin, Cyrillic, full-width letters, kana and hangul too.
        ``NLTKTokenizer()`` if not given.
    chinese : Tokenizer, optional
        Reads Han. ``JiebaTokenizer()`` if not given.

    Notes
    -----
    What belongs to no script (digits, punctuation, blanks, emoji) goes with the letters before it, or, at
    the beginning, with the letters after it; in a text without any letter, to ``latin``. Words that mix the
    scripts (T恤) are cut apart, and so are Japanese words of kanji and kana.

    Examples
    --------
    >>> ScriptTokenizer().tokenize("我喜欢 Cameron's 科幻电影 Avatar 2!")
    ['我', '喜欢', 'cameron', 's', '科幻电影', 'avatar', '2']

    Stop words and other options are those of the two:

    >>> english, chinese = NLTKTokenizer(stop_words="en"), JiebaTokenizer(stop_words="zh")
    >>> ScriptTokenizer(latin=english, chinese=chinese).tokenize("我喜欢 the 科幻电影")
    ['喜欢', '科幻电影']
    """

    def __init__(self, *, latin: Tokenizer | None = None, chinese: Tokenizer | None = None):
        self.latin = latin
        self.chinese = chinese

    def tokenize(self, text: str) -> list[str]:
        """Return the words of ``text`` in their order, as the two tokenizers give them.

        Raises
        ------
        DataError
            If ``text`` is not a str.
        ComponentError
            If ``latin`` or ``chinese`` is not a Tokenizer.
        LLMRecError
            What the two tokenizers raise, such as MissingExtraError.
        """
        latin = _checked_tokenizer("latin", self.latin) or NLTKTokenizer()
        chinese = _checked_tokenizer("chinese", self.chinese) or JiebaTokenizer()
        words: list[str] = []
        for run in _RUN.finditer(checked_text(text)):
            tokenizer = chinese if run["han"] else latin
            words += tokenizer.tokenize(run[0])
        return words


_NO_LETTER = r"\W\d_"
# A run of Han may begin with what has no letter only where the text begins: elsewhere the run before has it.
_RUN = re.compile(rf"(?P<han>(?:\A[{_NO_LETTER}]+)?[{HAN}][{_NO_LETTER}{HAN}]*)|[^{HAN}]+")


def _checked_tokenizer(name: str, tokenizer: Any) -> Tokenizer | None:
    if tokenizer is None or isinstance(tokenizer, Tokenizer):
        return tokenizer
    raise ComponentError(
        f"{name} must be a Tokenizer such as NLTKTokenizer(), got {type(tokenizer).__name__} "
        f"({tokenizer!r:.80})."
    )
