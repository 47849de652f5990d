"""Axes to draw on, where matplotlib is installed."""

from __future__ import annotations

from typing import Any

from llmrec.errors import MissingExtraError

__all__ = ["axes_or_new"]


def axes_or_new(axes: Any = None) -> Any:
    """Return the caller's matplotlib axes, or those of a new figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtraError(
            "plots need matplotlib; install it with: pip install 'llmrec[plots]'"
        ) from error
    return pyplot.subplots(layout="constrained")[1] if axes is None else axes
