"""What is demanded of any matrix of vectors: form, type, finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from llmrec.testing.check import broken, require
from llmrec.vectors import JoinedVectors

__all__ = ["require_matrix", "require_rows"]


def require_matrix(matrix: Any, shape: tuple[int, int | None], what: str) -> None:
    """Go on if a matrix is float32, finite, of that shape (None: any width), dense or a ``csr_array``."""
    if isinstance(matrix, JoinedVectors):
        require_matrix(matrix.dense, (shape[0], None), f"{what}, its dense part,")
        require_matrix(matrix.sparse, (shape[0], None), f"{what}, its sparse part,")
    elif sparse.issparse(matrix):
        is_csr = isinstance(matrix, sparse.csr_array)
        require(is_csr, f"{what} gave a {type(matrix).__name__}, not a csr_array")
        _require_numbers(matrix.data, what)
    elif isinstance(matrix, np.ndarray):
        require(matrix.ndim == 2, f"{what} gave an array of shape {matrix.shape}")
        _require_numbers(matrix, what)
        require(matrix.flags.c_contiguous, f"{what} gave an array that is not C-contiguous")
    else:
        broken(f"{what} gave a {type(matrix).__name__}, not an array")
    wanted = (shape[0], matrix.shape[1] if shape[1] is None else shape[1])
    require(tuple(matrix.shape) == wanted, f"{what} gave shape {tuple(matrix.shape)}, not {wanted}")


def _require_numbers(values: Any, what: str) -> None:
    require(values.dtype == np.float32, f"{what} gave {values.dtype}, not float32")
    require(np.isfinite(values).all(), f"{what} gave NaN or infinite values")


def require_rows(rows: Any, n_rows: int, what: str) -> None:
    """Go on if row numbers are int32, sorted, unique, and below ``n_rows``."""
    if not isinstance(rows, np.ndarray):
        broken(f"{what} returned a {type(rows).__name__}, not an array of rows")
    require(rows.ndim == 1, f"{what} returned rows of shape {rows.shape}")
    require(rows.dtype == np.int32, f"{what} returned rows of {rows.dtype}, not int32")
    require(
        not len(rows) or (rows.min() >= 0 and rows.max() < n_rows), f"{what} returned {rows} of {n_rows} rows"
    )
    require((np.diff(rows) > 0).all(), f"{what} returned {rows}, not sorted and unique")
