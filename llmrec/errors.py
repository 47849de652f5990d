"""Everything the library raises or warns with: one base class, few children.

Every error is an :class:`LLMRecError` and also the builtin that a caller would expect, so
``except ValueError`` and ``except LLMRecError`` both work.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ComponentError",
    "DataError",
    "LLMRecError",
    "LLMRecWarning",
    "MissingColumnError",
    "MissingExtraError",
    "ModelFileError",
    "ModelUnavailableError",
    "NotFittedError",
    "ParameterError",
    "UnknownIdError",
    "UnknownItemError",
    "UnknownNameError",
    "UnknownUserError",
    "UntrustedComponentError",
    "nearest",
]


class LLMRecError(Exception):
    """Base class of everything the library raises."""


class ParameterError(LLMRecError, ValueError):
    """An argument has a value that is not allowed."""


class DataError(LLMRecError, ValueError):
    """The events, the items or a matrix hold something that cannot be learned from."""


class MissingColumnError(DataError, LookupError):
    """A frame lacks a column that is needed."""


class NotFittedError(LLMRecError, ValueError, AttributeError):
    """A component is used before ``fit``."""


class ComponentError(LLMRecError, TypeError):
    """A component does not fit the place it was put in."""


class _LookupLLMRecError(LLMRecError, LookupError):
    # LookupError's child KeyError would print the message as a repr; this one prints it as it is.
    pass


class UnknownIdError(_LookupLLMRecError):
    """An id that the model has never seen."""


class UnknownUserError(UnknownIdError):
    """A user that the model has never seen."""


class UnknownItemError(UnknownIdError):
    """An item that the model has never seen."""


class UnknownNameError(_LookupLLMRecError, ValueError):
    """A name that no component or data set goes by."""


class MissingExtraError(LLMRecError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class ModelUnavailableError(LLMRecError, OSError):
    """A pretrained model can neither be found in a folder nor fetched from a hub."""


class ModelFileError(LLMRecError, ValueError):
    """A model folder is damaged, foreign, or written by a newer version."""


class UntrustedComponentError(ModelFileError):
    """A model folder names a class outside the library that the caller did not allow."""


class LLMRecWarning(UserWarning):
    """Something was ignored or replaced, and the caller may want to know."""


def nearest(name: object, known: Iterable[object]) -> str:
    """Say which known name is nearest to ``name``, as the tail of an error message.

    Examples
    --------
    >>> nearest("cosin", ["cosine", "dot"])
    " Did you mean 'cosine'?"
    >>> nearest("zebra", ["cosine", "dot"])
    ''
    """
    by_text = {str(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(str(name), list(by_text), n=1)
    return f" Did you mean {by_text[close[0]]!r}?" if close else ""
