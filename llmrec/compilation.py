"""Compile what a service will need before its first request."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from typing import Any

from llmrec.validation import check_integer

__all__ = ["warmup"]

# Vectors fill whole lanes of so many floats.
_STEP = 16


def warmup(factors: int | Sequence[int] = 64) -> None:
    """Compile all kernels, or load them from where they are kept, so that no request waits for that.

    The first call on a machine takes seconds, later ones a fraction of a second. Call it when a
    service starts, before traffic; in a notebook there is no need.

    Parameters
    ----------
    factors : int or sequence of int, default 64
        The ``factors`` of the ALS models in use: their kernels are compiled for one width, in steps of 16.

    Raises
    ------
    ParameterError
        If a number of factors is not a whole number of at least 1.

    Examples
    --------
    >>> import llmrec
    >>> llmrec.warmup()
    """
    several = isinstance(factors, Sequence) and not isinstance(factors, str)
    given: list[Any] = list(factors) if several else [factors]  # type: ignore[arg-type]
    widths = {-(-check_integer("factors", one, minimum=1) // _STEP) * _STEP for one in given}
    package = importlib.import_module("llmrec.kernels")
    for module in pkgutil.iter_modules(package.__path__, "llmrec.kernels."):
        warm = getattr(importlib.import_module(module.name), "warm", None)
        if warm is None:
            continue
        if "dim" in inspect.signature(warm).parameters:
            for width in sorted(widths):
                warm(width)
        else:
            warm()
