"""Progress bars: shown on anything that takes over two seconds, in a terminal or in a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeVar

__all__ = ["progress_bar", "show_progress"]

T = TypeVar("T")

_DELAY_SECONDS = 2.0
_shown = os.environ.get("LLMREC_PROGRESS", "1") != "0"


def show_progress(shown: bool) -> None:
    """Turn all progress bars of the library on or off, for this process.

    The environment variable ``LLMREC_PROGRESS=0`` does the same before the import.

    Examples
    --------
    >>> import llmrec
    >>> llmrec.show_progress(False)
    >>> llmrec.show_progress(True)
    """
    global _shown
    _shown = shown


def progress_bar(
    iterable: Iterable[T] | None = None,
    *,
    description: str,
    total: int | None = None,
    enabled: bool = True,
) -> Any:
    """Wrap ``iterable`` in a bar that appears after two seconds, if it is still running then.

    Returns the tqdm bar: iterate over it, or call its ``update`` and ``set_postfix_str``.
    """
    from tqdm.auto import tqdm

    return tqdm(
        iterable,
        desc=description,
        total=total,
        delay=_DELAY_SECONDS,
        leave=False,
        disable=not (_shown and enabled),
    )
