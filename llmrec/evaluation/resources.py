"""What a model costs: the memory that it holds, and that its training took."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PeakMemory", "model_bytes"]

_STATM = Path("/proc/self/statm")
_SECONDS_BETWEEN_LOOKS = 0.005
_NOT_STATE = (type, ModuleType, FunctionType, MethodType)


def model_bytes(model: Any) -> int:
    """Return the bytes of everything that can be reached from a model, each object counted once.

    Examples
    --------
    >>> 8_000 <= model_bytes({"vectors": np.zeros(1000)}) < 9_000
    True
    """
    met: set[int] = set()
    waiting, total = [model], 0
    while waiting:
        one = waiting.pop()
        while isinstance(one, np.ndarray) and isinstance(one.base, np.ndarray):
            one = one.base
        if id(one) in met or isinstance(one, _NOT_STATE):
            continue
        met.add(id(one))
        size = getattr(one, "nbytes", None)
        if isinstance(size, int):
            total += size
            continue
        total += sys.getsizeof(one, 0)
        waiting.extend(_parts(one))
    return total


def _parts(one: Any) -> list[Any]:
    if isinstance(one, dict):
        return [*one, *one.values()]
    if isinstance(one, list | tuple | set | frozenset):
        return list(one)
    slots = [name for kind in type(one).__mro__ for name in _listed(vars(kind).get("__slots__", ()))]
    parts = [getattr(one, name) for name in slots if name != "__dict__" and hasattr(one, name)]
    return [*parts, vars(one)] if hasattr(one, "__dict__") else parts


def _listed(slots: Any) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


class PeakMemory:
    """How far the memory of this process rises while a block runs.

    It looks every 5 milliseconds, and only where the system says (Linux); elsewhere it is NaN. What was
    freed before the block and is used again by it does not show.

    Attributes
    ----------
    megabytes : float
    """

    def __init__(self) -> None:
        self.megabytes = float("nan")

    def __enter__(self) -> Self:
        if _STATM.exists():
            self._start = self._highest = _resident_bytes()
            self._done = threading.Event()
            self._watch = threading.Thread(target=self._look, daemon=True)
            self._watch.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if hasattr(self, "_watch"):
            self._done.set()
            self._watch.join()
            self._highest = max(self._highest, _resident_bytes())
            self.megabytes = (self._highest - self._start) / 1e6

    def _look(self) -> None:
        while not self._done.wait(_SECONDS_BETWEEN_LOOKS):
            self._highest = max(self._highest, _resident_bytes())


def _resident_bytes() -> int:
    import resource

    return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
