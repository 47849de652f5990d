"""How a loop becomes a kernel: compiled once, kept on disk, run beside other threads."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import numba
from numba import extending

from llmrec.errors import LLMRecWarning

__all__ = ["brief_kernel", "inlined_kernel", "intrinsic", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered, which is what lets them run in vector lanes; nan and infinity keep their meaning.
_REORDERED = {"contract", "reassoc", "nsz"}


def kernel(function: F) -> F:
    """Compile a loop over arrays on its first call, for the types it is called with.

    The code is kept on disk beside the module, or in the user's cache where that is not writable. It holds no
    lock of the interpreter, starts no threads of its own, and does not check indices. Where nothing can be
    written, a warning says so, and each process compiles anew.

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
    return _compiled(function, nogil=True)


def brief_kernel(function: F) -> F:
    """Compile a loop that takes microseconds, and keep the interpreter's lock in it.

    A thread that gives the lock up beside a busy one waits for milliseconds to get it back.

    Examples
    --------
    >>> @brief_kernel
    ... def doubled(value):
    ...     return 2 * value
    >>> doubled(2.0)
    4.0
    """
    return _compiled(function, nogil=False)


def inlined_kernel(function: F) -> F:
    """Compile a piece of a loop into the kernels that call it.

    A call counts the owners of each array it hands over, up and down again, which takes longer than a piece
    that does little.

    Examples
    --------
    >>> @inlined_kernel
    ... def doubled(value):
    ...     return 2 * value
    >>> doubled(2.0)
    4.0
    """
    return _compiled(function, nogil=True, inline="always")


def _compiled(function: F, *, nogil: bool, inline: str = "never") -> F:
    compiled = numba.njit(nogil=nogil, fastmath=_REORDERED, inline=inline)(function)
    # With NUMBA_DISABLE_JIT, it is the function itself.
    if _has_file(function) and hasattr(compiled, "enable_caching"):
        try:
            compiled.enable_caching()
        except RuntimeError:
            _warn_of_no_cache()
    return cast(F, compiled)


@lru_cache(maxsize=1)
def _warn_of_no_cache() -> None:
    """Say once that each process compiles anew: on a machine without a folder to write to."""
    warnings.warn(
        "compiled kernels cannot be kept: neither the package's folder nor the user's cache can be written "
        "to, so each process compiles them anew; set NUMBA_CACHE_DIR to a folder that can.",
        LLMRecWarning,
        stacklevel=4,
    )


def _has_file(function: Callable[..., Any]) -> bool:
    """Say whether the code can be kept: not that of a prompt or of an example in a docstring."""
    return not function.__code__.co_filename.startswith("<")


def intrinsic(function: Callable[..., Any]) -> Any:
    """Let a function write LLVM code for the kernels that call it: for what loops cannot say."""
    return extending.intrinsic(function)
