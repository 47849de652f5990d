"""Least-squares rows by conjugate gradients: half a sweep in a few steps, a fold-in to its end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray
from llmrec.errors import DataError
from llmrec.factorizers.gramian import Gramian, gram
from llmrec.factorizers.least_squares import solve_rows
from llmrec.threads import map_threads

__all__ = ["Ridge", "SparseRows", "descend_rows", "fold_in_rows"]

DoubleArray = npt.NDArray[np.float64]

_LANES = 16
_ENTRIES = 200_000
_ROWS = 4096
# To the limit of float32: what is left of a row's residual, squared.
_CONVERGED = 1e-14
_LEAST_MASS = 1e-6
_empty = np.empty
_FLOAT = np.dtype(np.float32)
_ONES = np.ones(4, dtype=np.float32)
_MOST_STEPS = 100
# The entries of a row that is solved within a fraction of a millisecond.
_BRIEF = 4096


@dataclass(frozen=True)
class SparseRows:
    """Rows of weights, and of targets for them, with the sums that each half of a sweep needs.

    Attributes
    ----------
    weights : csr_array of shape (n_rows, n_columns)
        float32, above 0.
    targets : ndarray of shape (nnz,), or None
        float32; 1 if None.
    mass : ndarray of shape (n_rows,)
        Sum of each row's weights.
    column_mass : ndarray of shape (n_columns,)
    """

    weights: Any
    targets: FloatArray | None
    mass: DoubleArray
    column_mass: DoubleArray

    @classmethod
    def of(cls, weights: Any, targets: FloatArray | None) -> SparseRows:
        """Sum up rows and columns."""
        mass, column_mass = (np.asarray(weights.sum(axis=axis), dtype=np.float64).ravel() for axis in (1, 0))
        return cls(weights, targets, mass, column_mass)

    def transposed(self) -> SparseRows:
        """Return the columns as rows."""
        across = self.weights.T.tocsr()
        if self.targets is None:
            return SparseRows(across, None, self.column_mass, self.mass)
        carried = self.weights.copy()
        carried.data = self.targets
        return SparseRows(across, carried.T.tocsr().data, self.column_mass, self.mass)


def descend_rows(
    rows: SparseRows,
    vectors: FloatArray,
    unobserved_weight: float,
    ridge: DoubleArray,
    start: FloatArray,
    prior: FloatArray | None = None,
    *,
    n_steps: int | None = 3,
) -> float:
    r"""Move each row of ``start`` towards what :func:`~llmrec.factorizers.least_squares.solve_rows` gives.

    Parameters
    ----------
    rows : SparseRows
    vectors : ndarray of shape (n_columns, dim)
    unobserved_weight : float
        :math:`a_0`; the background is :math:`B = a_0 Y^T Y`.
    ridge : ndarray of shape (n_rows,)
        Above 0.
    start : ndarray of shape (n_rows, dim)
        Changed in place.
    prior : ndarray of shape (n_rows, dim), optional
    n_steps : int or None, default 3
        None goes on until a row no longer moves in float32.

    Returns
    -------
    float
        The loss of all rows where they are now.

    Notes
    -----
    Rows are solved in the eigenbasis of :math:`Y^T Y`. There the background and any row's ridge are
    diagonal, so that a step costs no product with a ``dim`` by ``dim`` matrix, and a diagonal preconditioner
    comes near the row's whole matrix: the entries of a row add about their mass times the mean square of
    each coordinate. With ``n_steps`` given the vectors are read as bfloat16, which halves what
    has to come from memory; the arithmetic is in float32.
    """
    from llmrec.kernels import als as kernels

    dim = vectors.shape[1]
    width = -(-dim // _LANES) * _LANES
    eigenvalues, basis = np.linalg.eigh(gram(vectors))
    turned = np.zeros((dim, width), dtype=np.float32)
    turned[:, :dim] = basis
    table, moments = _turned_table(vectors, turned, rows.column_mass, halve=n_steps is not None)
    values = np.zeros(width, dtype=np.float32)
    values[:dim] = unobserved_weight * np.maximum(eigenvalues, 0)
    weights, targets = rows.weights, rows.targets
    shared = (
        (0,) * (width // _LANES),
        weights.indptr.astype(np.int64, copy=False),
        weights.indices.astype(np.int32, copy=False),
        weights.data,
        _ONES if targets is None else targets,
        0 if targets is None else 1,
        table,
        values,
        moments,
        rows.mass.astype(np.float32),
        ridge.astype(np.float32),
    )
    steps, enough = (_MOST_STEPS, _CONVERGED) if n_steps is None else (n_steps, 0.0)

    def move(part: slice) -> float:
        solution = start[part] @ turned
        centres = solution[:0] if prior is None else prior[part] @ turned
        loss = kernels.descend(*shared, centres, part.start, solution, steps, np.float32(enough))
        np.matmul(solution, turned.T, out=start[part])
        return float(loss)

    return sum(map_threads(move, _parts(shared[1])))


class Ridge(NamedTuple):
    r"""The regularization of a row by its mass: :math:`\lambda (w_r + a_0 n)^\nu`."""

    strength: float
    unobserved_weight: float
    exponent: float

    def of(self, mass: DoubleArray, n_columns: int) -> DoubleArray:
        """Return the ridge of each row."""
        total = np.maximum(mass + self.unobserved_weight * n_columns, _LEAST_MASS)
        return np.asarray(self.strength * total**self.exponent)


def fold_in_rows(
    rows: Any,
    targets: FloatArray | None,
    vectors: FloatArray,
    gramian: Gramian,
    ridge: Ridge,
    prior: FloatArray | None = None,
) -> FloatArray:
    """Return what :func:`~llmrec.factorizers.least_squares.solve_rows` gives, in microseconds a row.

    Parameters
    ----------
    rows : Histories, or with targets csr_array
        A row each; of a matrix only the pattern counts, and its entries weigh 1.
    targets : ndarray of shape (nnz,), optional
        1, if not given.
    vectors : ndarray of shape (n_columns, >= dim)
        The first ``gramian.dim`` columns are used.
    gramian : Gramian
        Of these vectors.
    ridge : Ridge
    prior : ndarray of shape (n_rows, dim), optional

    Raises
    ------
    DataError
        If a row has a column that there is no vector for.
    """
    if targets is None:
        indptr, columns, values, are_targets = rows.indptr, rows.columns, rows.weights, 0
    else:
        indptr, columns = rows.indptr.astype(np.int64), rows.indices.astype(np.int32, copy=False)
        values, are_targets = targets, 1
    n_rows = len(indptr) - 1
    solution = _empty((n_rows, gramian.dim), _FLOAT)
    if prior is not None:
        solution[:] = prior
    strength, unobserved, exponent = ridge
    is_centred = 0 if prior is None else 1
    if n_rows == 1 and len(columns) <= _BRIEF:
        # Written out, for to put arguments together takes a tenth of a short row's time.
        left = gramian.fold_in(
            solution, columns, values, are_targets, gramian.table, gramian.n_changes, strength, unobserved,
            exponent, is_centred,
        )  # fmt: skip
    else:
        how = (
            columns, values, are_targets, gramian.table, gramian.n_changes, strength, unobserved, exponent,
            is_centred,
        )  # fmt: skip
        left = _many(gramian.kernels().rows, indptr, solution, how)
    if left:
        if left < 0:
            raise DataError(
                f"columns go from {columns.min()} to {columns.max()}, and there are {len(vectors)} vectors."
            )
        hard = np.flatnonzero(np.isnan(solution[:, 0]))
        weights = np.ones_like(values) if are_targets else values
        entries = (indptr, columns, weights, targets)
        solution[hard] = _solved_exactly(hard, entries, vectors, gramian, ridge, prior)
    return solution


def _many(fold_in: Any, indptr: npt.NDArray[np.int64], solution: FloatArray, how: tuple[Any, ...]) -> int:
    """Fold in many rows, on the threads that are allowed; return what the kernel returns."""

    def solve(part: slice) -> int:
        return int(fold_in(indptr[part.start : part.stop + 1], solution[part], *how))

    left = map_threads(solve, _parts(indptr))
    return min(left) if min(left, default=0) < 0 else sum(left)


def _turned_table(
    vectors: FloatArray, turned: FloatArray, mass: DoubleArray, *, halve: bool
) -> tuple[npt.NDArray[Any], FloatArray]:
    """Return the vectors in the basis, and the mean square of each coordinate, by the columns' mass."""
    from llmrec.kernels import als as kernels

    table = np.empty((len(vectors), turned.shape[1]), dtype=np.uint16 if halve else np.float32)

    def fill(part: slice) -> DoubleArray:
        rows = vectors[part] @ turned
        if halve:
            kernels.halved(rows, table[part])
        else:
            table[part] = rows
        return np.asarray(mass[part].astype(np.float32) @ (rows * rows), dtype=np.float64)

    squares = map_threads(fill, _slices(len(vectors)))
    total = np.sum(squares, axis=0) / max(float(mass.sum()), 1e-12)
    return table, np.asarray(total, dtype=np.float32).reshape(turned.shape[1])


def _solved_exactly(
    some: npt.NDArray[np.int64],
    rows: tuple[Any, Any, Any, Any],
    vectors: FloatArray,
    gramian: Gramian,
    ridge: Ridge,
    prior: FloatArray | None,
) -> FloatArray:
    """Solve those rows whose matrix is too near to a singular one for float32."""
    indptr, columns, weights, targets = rows
    entries = np.concatenate([np.arange(indptr[row], indptr[row + 1]) for row in some])
    ends = np.cumsum([0, *(indptr[some + 1] - indptr[some])])
    matrix = sparse.csr_array((weights[entries], columns[entries], ends), shape=(len(some), len(vectors)))
    mass = np.asarray(matrix.sum(axis=1), dtype=np.float64)
    return solve_rows(
        matrix,
        None if targets is None else targets[entries],
        vectors[:, : gramian.dim],
        gramian.spectrum(ridge.unobserved_weight),
        ridge.of(mass, len(vectors)),
        None if prior is None else prior[some],
    )


def _parts(indptr: npt.NDArray[np.int64]) -> list[slice]:
    """Cut the rows where about equally much work lies between: it is the entries that take time."""
    cost = indptr + 64 * np.arange(len(indptr))
    n_parts = max(1, int(cost[-1]) // _ENTRIES)
    cuts = np.unique(np.searchsorted(cost, np.linspace(0, cost[-1], n_parts + 1)))
    cuts[-1] = len(indptr) - 1
    return [slice(int(one), int(other)) for one, other in pairwise(cuts)]


def _slices(n_rows: int) -> list[slice]:
    return [slice(start, min(start + _ROWS, n_rows)) for start in range(0, n_rows, _ROWS)]
