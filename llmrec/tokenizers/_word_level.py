"""What tokenizers that give words have in common: Unicode form, case, stop words, and what they remember."""

from __future__ import annotations

import importlib
import re
import sys
import threading
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from llmrec.base import Tokenizer
from llmrec.errors import DataError, MissingExtraError, ParameterError
from llmrec.tokenizers.stop_words import resolved_stop_words

T = TypeVar("T")

HAN = "\u3005\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""The Han characters, as the inside of a regular expression's character class."""

HAS_LETTER = re.compile(r"[^\W_]")
"""Finds a letter or a digit of any script: what a word has and punctuation has not."""


class RememberingTokenizer(Tokenizer):
    """A tokenizer that makes something costly of its parameters once, on first use.

    What is made is neither a parameter nor learned: copies, clones and pickles go without it and make it
    anew. It is made once even if many threads ask at the same time.
    """

    def _remembered(self, parameter: str, make: Callable[[], T]) -> T:
        """Return ``make()``, made anew only after ``parameter`` was set to another object."""
        # dict.setdefault is atomic, so all threads get the same memo.
        memo: _Memo = self.__dict__.setdefault("_memo", _Memo())
        return memo.get(parameter, getattr(self, parameter), make)  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_memo"}


class WordLevelTokenizer(RememberingTokenizer):
    """A tokenizer that gives words: a subclass cuts, this class does the rest.

    Text is brought to Unicode form NFKC first, so that full-width, half-width and decomposed letters
    count as the letters that they show.
    """

    stop_words: str | Collection[str] | None
    lowercase: bool

    def tokenize(self, text: str) -> list[str]:
        """Return the words of ``text`` in their order; a text without words gives an empty list.

        Raises
        ------
        DataError
            If ``text`` is not a str.
        ParameterError
            If a parameter has a value that is not allowed.
        """
        words = self._cut(unicodedata.normalize("NFKC", checked_text(text)))
        if checked_flag("lowercase", self.lowercase):
            words = [word.lower() for word in words]
        stop_words = self._remembered("stop_words", lambda: resolved_stop_words(self.stop_words))
        if not stop_words:
            return list(words)
        return [word for word in words if word.lower() not in stop_words]

    @abstractmethod
    def _cut(self, text: str) -> Iterable[str]:
        """Return the words of a text that is in NFKC; none is empty or all punctuation."""


class _Memo:
    # Entries are compared by identity: cheap at each call, and set_params always brings another object.
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, tuple[object, Any]] = {}

    def get(self, name: str, key: object, make: Callable[[], Any]) -> Any:
        entry = self._entries.get(name)
        if entry is None or entry[0] is not key:
            with self._lock:
                entry = self._entries.get(name)
                if entry is None or entry[0] is not key:
                    entry = self._entries[name] = (key, make())
        return entry[1]


def checked_text(text: Any) -> str:
    """Return ``text`` if it is a str."""
    if not isinstance(text, str):
        raise DataError(f"a tokenizer reads one str at a time, got {type(text).__name__} ({text!r:.80}).")
    return text


def checked_flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def imported(module: str, user: object, extra: str) -> Any:
    """Import an optional dependency for ``user``, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{type(user).__name__} needs {package}; install it with: pip install 'llmrec[{extra}]'"
        ) from error


@lru_cache(maxsize=1)
def marks() -> str:
    r"""Return the combining marks of all scripts, as the inside of a regular expression's character class.

    Python's ``\w`` knows letters only, but in many scripts of India and South-East Asia, and in vowelled
    Arabic and Hebrew, a word goes on across its marks. Marks for symbols and variant forms are left out.
    """
    last = min(0x1FFFF, sys.maxunicode)
    found = [code for code in range(0x300, last) if unicodedata.category(chr(code)) in {"Mn", "Mc"}]
    letters = [code for code in found if not (0x20D0 <= code <= 0x20FF or 0xFE00 <= code <= 0xFE0F)]
    runs = [
        [code for _, code in run] for _, run in groupby(enumerate(letters), lambda pair: pair[1] - pair[0])
    ]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)
