"""How a loop becomes a kernel: compiled once, kept on disk, run beside other threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import extending

__all__ = ["intrinsic", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered, which is what lets them run in vector lanes; nan and infinity keep their meaning.
_REORDERED = {"contract", "reassoc", "nsz"}


def kernel(function: F) -> F:
    """Compile a loop over arrays on its first call, for the types it is called with.

    The code is kept on disk beside the module, or in the user's cache where that is not writable. It holds no
    lock of the interpreter, starts no threads of its own, and does not check indices.

    Examples
    --------
    >>> import numpy as np
    >>> @kernel
    ... def total(values):
    ...     result = 0.0
    ...     for value in values:
    ...         result += value
    ...     return result
    >>> total(np.ones(3))
    3.0
    """
    return cast(F, numba.njit(cache=_has_file(function), nogil=True, fastmath=_REORDERED)(function))


def _has_file(function: Callable[..., Any]) -> bool:
    """Say whether the code can be kept: not that of a prompt or of an example in a docstring."""
    return not function.__code__.co_filename.startswith("<")


def intrinsic(function: Callable[..., Any]) -> Any:
    """Let a function write LLVM code for the kernels that call it: for what loops cannot say."""
    return extending.intrinsic(function)
