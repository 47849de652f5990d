"""Compile what a service will need before its first request."""

from __future__ import annotations

import importlib
import pkgutil

__all__ = ["warmup"]


def warmup() -> None:
    """Compile all kernels, or load them from where they are kept, so that no request waits for that.

    The first call on a machine takes seconds, later ones a fraction of a second. Call it when a
    service starts, before traffic; in a notebook there is no need.

    Examples
    --------
    >>> import llmrec
    >>> llmrec.warmup()
    """
    package = importlib.import_module("llmrec.kernels")
    for module in pkgutil.iter_modules(package.__path__, "llmrec.kernels."):
        warm = getattr(importlib.import_module(module.name), "warm", None)
        if warm is not None:
            warm()
