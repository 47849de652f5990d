"""Checks that components share: each returns the checked value, or an error says what is allowed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrec.errors import DataError, NotFittedError, ParameterError, nearest

if TYPE_CHECKING:
    from llmrec.base import FloatArray, Matrix

__all__ = [
    "as_list",
    "check_choice",
    "check_fitted",
    "check_integer",
    "check_matrix",
    "check_number",
    "check_texts",
    "is_hashable",
]


def is_hashable(value: object) -> bool:
    """Whether ``value`` can be an id; a tuple that holds a list cannot.

    Examples
    --------
    >>> is_hashable((1, 2)), is_hashable((1, [2]))
    (True, False)
    """
    try:
        hash(value)
    except TypeError:
        return False
    return True


def as_list(values: Iterable[Any], name: str) -> list[Any]:
    """Return a list, array, series or other collection as a list of plain values.

    Raises
    ------
    ParameterError
        If it is one value, a text or a frame.

    Examples
    --------
    >>> as_list(np.array([3, 4]), "candidates")
    [3, 4]
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ParameterError(f"{name} must be a list of items, got one: {values!r}; wrap it in a list.")
    if hasattr(values, "columns"):
        raise ParameterError(f"{name} must be a list or one column, got a {type(values).__name__}.")
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(values, method):
            listed = getattr(values, method)()
            return listed if isinstance(listed, list) else [listed]
    return list(values)


def check_integer(name: str, value: Any, minimum: int) -> int:
    """Return ``value`` as an int of at least ``minimum``.

    Examples
    --------
    >>> check_integer("k", 0, minimum=1)
    Traceback (most recent call last):
        ...
    llmrec.errors.ParameterError: k must be a whole number of at least 1, got 0.
    """
    # The usual case first: each request asks several times.
    if type(value) is int and value >= minimum:
        return value
    is_whole = not isinstance(value, bool) and isinstance(value, numbers.Integral)
    if not is_whole or value < minimum:
        raise ParameterError(f"{name} must be a whole number of at least {minimum}, got {value!r}.")
    return int(value)


def check_number(
    name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf, *, above: bool = False
) -> float:
    """Return ``value`` as a finite float within bounds; ``above`` excludes the lower bound itself."""
    is_number = not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)
    if not is_number or not minimum <= value <= maximum or (above and value == minimum):
        if maximum < math.inf:
            allowed = f" from {minimum:g} to {maximum:g}"
        elif minimum > -math.inf:
            allowed = f" above {minimum:g}" if above else f" of at least {minimum:g}"
        else:
            allowed = ""
        raise ParameterError(f"{name} must be a finite number{allowed}, got {value!r}.")
    return float(value)


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ParameterError(f"{name} must be one of {listed}; got {value!r}.{nearest(value, choices)}")
    return value


def check_fitted(component: object, attribute: str, verb: str = "fit") -> None:
    """Raise :class:`NotFittedError` unless ``component`` has the learned ``attribute``."""
    if not hasattr(component, attribute):
        raise not_fitted(component, verb)


def not_fitted(component: object, verb: str = "fit") -> NotFittedError:
    """Return the error that says to call a method first."""
    return NotFittedError(f"this {type(component).__name__} has seen no data yet; call {verb} first.")


def check_matrix(matrix: Any, name: str, dim: int | None = None) -> Matrix:
    """Return a matrix of row vectors as float32: a C-contiguous array, or a ``csr_array`` if it came sparse.

    Raises
    ------
    DataError
        If it is not two-dimensional, has another width than ``dim``, or holds NaN or infinity.
    """
    checked: Any
    if not isinstance(matrix, np.ndarray) and _is_sparse(matrix):
        checked = _csr(matrix)
        values = checked.data
    else:
        try:
            checked = np.asarray(matrix, dtype=np.float32, order="C")
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} must be a matrix of numbers: {error}.") from error
        values = checked
    if checked.ndim != 2:
        raise DataError(f"{name} must have two dimensions (rows, dim), got shape {checked.shape}.")
    if dim is not None and checked.shape[1] != dim:
        raise DataError(f"{name} must have {dim} columns, got {checked.shape[1]}.")
    # Where the sum of squares is finite, all are; where it is not, it may have overflown.
    if not math.isfinite(np.vdot(values, values)) and not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinite values.")
    return checked


def _is_sparse(matrix: Any) -> bool:
    from scipy import sparse

    return bool(sparse.issparse(matrix))


def _csr(matrix: Any) -> Any:
    """Return a ``csr_array`` of float32; the same one, if it is that already."""
    from scipy import sparse

    if type(matrix) is sparse.csr_array and matrix.dtype == np.float32:
        return matrix
    return sparse.csr_array(matrix, dtype=np.float32)


def check_dense(matrix: Any, name: str, dim: int | None = None) -> FloatArray:
    """Return a dense float32 matrix; a sparse one is refused, not converted."""
    from scipy import sparse

    if sparse.issparse(matrix):
        raise DataError(f"{name} must be dense here, got a sparse matrix.")
    return np.asarray(check_matrix(matrix, name, dim))


def check_texts(texts: Any) -> list[str]:
    """Return ``texts`` as a list of str; one bare string, or a text that is no str, is an error."""
    if isinstance(texts, str):
        raise DataError("texts must be a list of strings, got one string; wrap it in a list.")
    listed = list(texts)
    for position, text in enumerate(listed):
        if not isinstance(text, str):
            raise DataError(f"texts must be strings; text {position} is {type(text).__name__} ({text!r}).")
    return listed


def as_rows(rows: Sequence[int] | np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return row numbers as an int32 array."""
    return np.asarray(rows, dtype=np.int32).reshape(-1)
