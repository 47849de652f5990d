"""One number of threads for our kernels and for BLAS, and one way to share work among them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from llmrec.errors import ParameterError

__all__ = ["map_threads", "n_threads", "one_blas_thread", "thread_limit"]

T = TypeVar("T")
R = TypeVar("R")

_limit: ContextVar[int | None] = ContextVar("llmrec_threads", default=None)
_guard = threading.Lock()
_held: list[int] = []
_before: list[dict[str, Any]] = []


def n_threads() -> int:
    """Return how many threads a fit may use here: the limit in force, or all cores of this process."""
    limit = _limit.get()
    if limit is not None:
        return limit
    available = getattr(os, "process_cpu_count", os.cpu_count)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else int(available() or 1)


@contextmanager
def thread_limit(n_jobs: int | None) -> Iterator[None]:
    """Hold kernels and BLAS to ``n_jobs`` threads inside a ``with`` block.

    Parameters
    ----------
    n_jobs : int or None
        At least 1, or -1 for all cores; None leaves what is in force.

    Raises
    ------
    ParameterError
        If ``n_jobs`` is none of these.

    Examples
    --------
    >>> with thread_limit(1):
    ...     n_threads()
    1
    """
    if n_jobs is None:
        yield
        return
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or (n_jobs < 1 and n_jobs != -1):
        raise ParameterError(f"n_jobs must be a whole number of at least 1, -1 or None; got {n_jobs!r}.")
    outer = _limit.set(None)
    held = n_threads() if n_jobs == -1 else n_jobs
    _limit.set(held)
    try:
        with _blas_held_to(held):
            yield
    finally:
        _limit.reset(outer)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread: around work that threads share, or whose products are too small to split."""
    with _blas_held_to(1):
        yield


def map_threads(function: Callable[[T], R], parts: Iterable[T]) -> list[R]:
    """Call ``function`` on each part, on as many threads as are allowed; return results in order.

    Worth it where ``function`` lets go of the interpreter's lock, as kernels and large NumPy products do. The
    parts must not depend on the number of threads if results are to be the same for any.

    Examples
    --------
    >>> map_threads(abs, [-1, 2])
    [1, 2]
    """
    parts = list(parts)
    workers = min(n_threads(), len(parts))
    if workers <= 1:
        return [function(part) for part in parts]
    with one_blas_thread(), ThreadPoolExecutor(workers, initializer=_limit.set, initargs=(1,)) as pool:
        return list(pool.map(function, parts))


@contextmanager
def _blas_held_to(limit: int) -> Iterator[None]:
    """Hold BLAS to the least of the limits asked for; the last to leave restores what was there.

    BLAS has one setting for the process: were each caller to put back what it found, two that overlap
    could leave the limit behind.
    """
    global _before
    with _guard:
        if not _held:
            _before = _blas().info()
        _held.append(limit)
        _blas().limit(limits=min(_held), user_api="blas")
    try:
        yield
    finally:
        with _guard:
            _held.remove(limit)
            limits = min(_held) if _held else {one["prefix"]: one["num_threads"] for one in _before}
            _blas().limit(limits=limits, user_api=None if isinstance(limits, dict) else "blas")


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    # To look for the libraries takes a millisecond or more; numpy's and scipy's are loaded after this.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()
