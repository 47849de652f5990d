"""Stop words: the function words of a language, which say nothing of what a text is about.

The packaged lists are the text files beside this module, one word a line; a further file
``<language>.txt`` there is a further language.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from importlib.resources import files
from typing import Any
from unicodedata import normalize

from llmrec.errors import ParameterError, nearest

__all__ = ["load_stop_words"]


def load_stop_words(*languages: str, extra: Iterable[str] = (), keep: Iterable[str] = ()) -> frozenset[str]:
    """Return the packaged stop words of some languages, with changes of your own.

    A tokenizer takes the result as its ``stop_words``. For the packaged lists as they are, or with words
    added, the short forms ``stop_words="en"`` and ``stop_words=["en", "zh", "movie"]`` do the same; this
    function is for looking at a list, and for taking words out of it. What a transformer reads needs no
    stop words removed: they are for encoders that count words.

    Parameters
    ----------
    *languages : {"en", "zh"}
        Whose words; none gives those of ``extra`` alone.
    extra : iterable of str
        Words to add, such as the ones that every text of a catalogue holds.
    keep : iterable of str
        Words that are no stop words here, such as ``"not"`` for opinions; it wins over ``extra``.

    Returns
    -------
    frozenset of str
        In lower case and Unicode form NFKC, as tokenizers compare them.

    Raises
    ------
    ParameterError
        If a language has no packaged list, or ``extra`` or ``keep`` is not a collection of strings.

    Examples
    --------
    >>> "not" in load_stop_words("en", "zh"), "的" in load_stop_words("en", "zh")
    (True, True)
    >>> changed = load_stop_words("en", extra=["movie"], keep=["not"])
    >>> "not" in changed, "movie" in changed
    (False, True)
    >>> load_stop_words("eng")
    Traceback (most recent call last):
        ...
    llmrec.errors.ParameterError: no stop words are packaged for language 'eng'; available: 'en', 'zh'...
    """
    packaged = (_packaged(_checked_language(language)) for language in languages)
    return frozenset().union(*packaged, _folded_words("extra", extra)) - _folded_words("keep", keep)


def folded(word: str) -> str:
    """Return a word in the form in which words are compared: NFKC, lower case."""
    return normalize("NFKC", word).lower()


def resolved_stop_words(stop_words: str | Collection[str] | None) -> frozenset[str]:
    """Return the words that a tokenizer's ``stop_words`` parameter stands for, folded.

    Raises
    ------
    ParameterError
        If it is neither None, a packaged language, nor a collection of strings.
    """
    if stop_words is None:
        return frozenset()
    if isinstance(stop_words, str):
        try:
            return load_stop_words(stop_words)
        except ParameterError as error:
            raise ParameterError(f"{error} For words of your own, pass a list.") from None
    available = _available()
    words = _folded_words("stop_words", stop_words)
    # Also when the words came as a set, which a saved model gives back as a list.
    return frozenset().union(words.difference(available), *map(_packaged, words.intersection(available)))


def _folded_words(name: str, words: Any) -> frozenset[str]:
    if isinstance(words, (str, bytes)) or not isinstance(words, Iterable):
        raise ParameterError(f"{name} must be a collection of strings, got {words!r}.")
    listed = list(words)
    for word in listed:
        if not isinstance(word, str):
            raise ParameterError(f"{name} must hold strings only, found {type(word).__name__} ({word!r}).")
    return frozenset(map(folded, listed))


def _checked_language(language: Any) -> str:
    available = _available()
    if not isinstance(language, str) or language not in available:
        listed = ", ".join(map(repr, available))
        raise ParameterError(
            f"no stop words are packaged for language {language!r}; available: {listed}."
            f"{nearest(language, available)}"
        )
    return language


@cache
def _available() -> tuple[str, ...]:
    names = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".txt") for name in names if name.endswith(".txt")))


@cache
def _packaged(language: str) -> frozenset[str]:
    lines = files(__name__).joinpath(f"{language}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(folded(line) for line in lines if line and not line.startswith("#"))
