"""Whether two answers agree up to rounding, and whether a value is still what it was, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from scipy import sparse

from llmrec.base import Component
from llmrec.vectors import JoinedVectors

__all__ = ["dense", "difference", "first_change", "frozen"]


def dense(matrix: Any) -> Any:
    """Return a matrix of any form as an array."""
    return matrix.toarray() if sparse.issparse(matrix) or isinstance(matrix, JoinedVectors) else matrix


def difference(left: Any, right: Any, tolerance: float, path: str = "") -> str | None:
    """Say where two values first differ by more than ``tolerance`` of the larger one; None if nowhere.

    Examples
    --------
    >>> difference({"rows": [1, 2]}, {"rows": [1, 3]}, 1e-5)
    "['rows'][1] is 2 and 3"
    >>> difference(np.ones(2), np.ones(2) + 1e-9, 1e-5)
    """
    left, right = dense(left), dense(right)
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return _array_difference(left, right, tolerance, path)
    if isinstance(left, (Mapping, list, tuple)) and isinstance(right, type(left)):
        mine, theirs = _entries(left), _entries(right)
        if list(mine) != list(theirs):
            return f"{path or 'it'} has the entries {list(mine)} and {list(theirs)}"
        found = (difference(mine[key], theirs[key], tolerance, f"{path}[{key!r}]") for key in mine)
        return next((one for one in found if one is not None), None)
    same = bool(left == right)
    return None if same else f"{path or 'it'} is {left!r:.80} and {right!r:.80}"


def _entries(value: Any) -> dict[Any, Any]:
    return dict(value) if isinstance(value, Mapping) else dict(enumerate(value))


def _array_difference(left: Any, right: Any, tolerance: float, path: str) -> str | None:
    if left.shape != right.shape:
        return f"{path or 'it'} has shape {left.shape} and {right.shape}"
    if left.dtype.kind != "f" or right.dtype.kind != "f":
        differs = left != right
    else:
        finite = np.concatenate([left[np.isfinite(left)], right[np.isfinite(right)]])
        allowed = tolerance * max(1.0, float(np.abs(finite).max(initial=0)))
        differs = ~np.isclose(left, right, rtol=0, atol=allowed, equal_nan=True)
    if not differs.any():
        return None
    where = tuple(int(one) for one in np.argwhere(differs)[0])
    return f"{path}{list(where)} is {left[where]} and {right[where]}"


def frozen(value: Any) -> Any:
    """Return what a value holds, copied, as nested dicts and lists of bytes and texts."""
    return _frozen(value, frozenset())


def first_change(before: Any, after: Any, path: str = "") -> str | None:
    """Say where two frozen values first differ; None if nowhere.

    Examples
    --------
    >>> first_change(frozen({"a": np.zeros(2)}), frozen({"a": np.ones(2)}))
    "['a']"
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in before or key not in after:
                return f"{path}[{key}]"
            found = first_change(before[key], after[key], f"{path}[{key}]")
            if found is not None:
                return found
        return None
    return None if before == after else path or "it"


def _frozen(value: Any, within: frozenset[int]) -> Any:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return (value.dtype.str, value.shape, value.tobytes())
    if id(value) in within:
        return "itself"
    within |= {id(value)}
    if isinstance(value, Mapping):
        return {repr(key): _frozen(one, within) for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return {str(position): _frozen(one, within) for position, one in enumerate(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    parts = _parts(value)
    if parts is None:
        return f"{type(value).__name__} {value!r}"
    return {name: _frozen(one, within) for name, one in parts.items()}


def _parts(value: Any) -> dict[str, Any] | None:
    """Return what an object is made of; None for a plain value."""
    if sparse.issparse(value):
        names = ("data", "indices", "indptr", "shape")
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    if isinstance(value, Component):
        return {**value.get_params(deep=False), **value.get_state()}
    if callable(value):
        return None
    if hasattr(value, "get_state"):
        return dict(value.get_state())
    if is_dataclass(value) and not isinstance(value, type):
        # What it keeps beside its fields is derived from them, or was read late.
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if hasattr(value, "__dict__"):
        return dict(vars(value))
    return None
