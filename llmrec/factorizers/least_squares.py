"""Many small regularised least-squares problems at once: one half of an alternating sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray
from llmrec.threads import one_blas_thread

__all__ = ["solution_parts", "solve_rows", "squared_loss"]

DoubleArray = npt.NDArray[np.float64]

# What fits in a processor's cache takes about a quarter less time; results are the same.
_CHUNK_BYTES = 4 * 2**20


def solve_rows(
    weights: Any,
    targets: npt.NDArray[np.floating[Any]] | None,
    vectors: FloatArray,
    spectrum: tuple[DoubleArray, DoubleArray] | None,
    ridge: DoubleArray,
    prior: FloatArray | None = None,
) -> FloatArray:
    r"""Solve for each row its own least-squares problem over the columns that it has entries for.

    Row ``r`` gets the ``x`` that minimises

    .. math:: \sum_{c \in r} w_{rc} (t_{rc} - x \cdot y_c)^2 + x^T B x + \lambda_r |x|^2

    Parameters
    ----------
    weights : csr_array of shape (n_rows, n_columns)
        The ``w``, above 0.
    targets : ndarray of shape (nnz,), optional
        The ``t``, in the order of ``weights.data``; 1 if not given.
    vectors : ndarray of shape (n_columns, dim)
        The ``y``.
    spectrum : tuple of two ndarrays, of shape (dim,) and (dim, dim), optional
        The eigenvalues and eigenvectors of ``B``, symmetric and positive semidefinite, the same for all rows.
    ridge : ndarray of shape (n_rows,)
        The ``λ``, above 0.
    prior : ndarray of shape (n_rows, dim), optional
        What is drawn towards in place of 0: the last two terms are then those of ``x`` less its prior, and
        a row without entries gets its prior.

    Notes
    -----
    In the eigenbasis of ``B`` the matrix ``B + λI`` is diagonal, so a row with fewer entries than factors
    is a system of the size of its entries (push-through identity), a row with more one of the size of the
    factors. Rows of like length are solved together, in float64.
    """
    dim = vectors.shape[1]
    values, basis = (np.zeros(dim), np.eye(dim)) if spectrum is None else spectrum
    indices, vectors = _used(weights.indices, vectors)
    rotated = vectors.astype(np.float64) @ basis
    roots = np.sqrt(weights.data, dtype=np.float64)
    wanted = roots if targets is None else roots * targets
    centres = np.zeros((weights.shape[0], dim)) if prior is None else prior.astype(np.float64) @ basis
    solution = centres.copy()
    with one_blas_thread():
        for rows in _chunks(np.diff(weights.indptr), dim):
            entries, held = _padded_entries(weights.indptr, rows)
            design = rotated[indices[entries]] * np.where(held, roots[entries], 0)[..., None]
            right = np.where(held, wanted[entries], 0)[..., None] - design @ centres[rows][..., None]
            diagonal = np.maximum(values, 0) + ridge[rows, None]
            solution[rows] += _solve_chunk(design, right, diagonal)
    return np.ascontiguousarray(solution @ basis.T, dtype=np.float32)


def solution_parts(
    weights: Any,
    targets: npt.NDArray[np.floating[Any]] | None,
    vectors: FloatArray,
    background: DoubleArray | None,
    ridge: DoubleArray,
) -> FloatArray:
    r"""Split the solutions of :func:`solve_rows` by entries: ``(nnz, dim)``, in the order of ``weights``.

    A solution :math:`A_r^{-1} \sum_c w_{rc} t_{rc} y_c` is a sum over the entries, given the matrix
    :math:`A_r` that they make together (Hu, Koren & Volinsky, ICDM 2008, for the use of it as a reason).
    """
    dim = vectors.shape[1]
    doubles = vectors.astype(np.float64)
    wanted = weights.data.astype(np.float64) * (1.0 if targets is None else targets)
    parts = np.zeros((weights.nnz, dim))
    for row in range(weights.shape[0]):
        own = slice(weights.indptr[row], weights.indptr[row + 1])
        design = doubles[weights.indices[own]]
        system = design.T @ (weights.data[own, None] * design) + ridge[row] * np.eye(dim)
        if background is not None:
            system += background
        parts[own] = np.linalg.solve(system, (wanted[own, None] * design).T).T
    return parts.astype(np.float32)


def _used(
    indices: npt.NDArray[np.integer[Any]], vectors: FloatArray
) -> tuple[npt.NDArray[np.integer[Any]], FloatArray]:
    """Leave out the vectors that no entry points at, where the entries are few."""
    if len(indices) >= len(vectors):
        return indices, vectors
    used, places = np.unique(indices, return_inverse=True)
    return places, vectors[used]


def _solve_chunk(design: DoubleArray, right: DoubleArray, diagonal: DoubleArray) -> DoubleArray:
    """Solve ``(diag + DᵀD) x = Dᵀ r`` for each row, through the smaller of its two forms."""
    length, dim = design.shape[1:]
    across = design.transpose(0, 2, 1)
    if length < dim:
        scaled = across / diagonal[..., None]
        system = design @ scaled
        system[:, np.arange(length), np.arange(length)] += 1
        return np.asarray((scaled @ np.linalg.solve(system, right))[..., 0])
    system = across @ design
    system[:, np.arange(dim), np.arange(dim)] += diagonal
    return np.asarray(np.linalg.solve(system, across @ right)[..., 0])


def _chunks(lengths: npt.NDArray[np.int64], dim: int) -> Iterator[npt.NDArray[np.int64]]:
    """Group the rows that have entries by like length, in groups whose padded design fits in memory."""
    order = np.argsort(lengths, kind="stable")
    start = int(np.searchsorted(lengths[order], 1))
    while start < len(order):
        shortest = int(lengths[order[start]])
        longest = shortest + shortest // 4
        room = max(1, _CHUNK_BYTES // (8 * max(longest, 1) * dim))
        stop = min(start + room, int(np.searchsorted(lengths[order], longest, side="right")))
        yield order[start:stop]
        start = stop


def _padded_entries(
    indptr: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return entry numbers ``(n_rows, longest)`` and which of them are real."""
    starts, lengths = indptr[rows].astype(np.int64), np.diff(indptr)[rows]
    steps = np.arange(int(lengths.max()))
    held = steps < lengths[:, None]
    return np.where(held, starts[:, None] + steps, 0), held


def squared_loss(
    weights: Any,
    targets: npt.NDArray[np.floating[Any]] | None,
    row_vectors: FloatArray,
    column_vectors: FloatArray,
) -> float:
    """Return the weighted sum of squared errors over the entries of ``weights``."""
    total = 0.0
    owners = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    for start in range(0, weights.nnz, 1 << 18):
        part = slice(start, start + (1 << 18))
        scores = np.einsum(
            "ij,ij->i", row_vectors[owners[part]], column_vectors[weights.indices[part]], dtype=np.float64
        )
        wanted = 1.0 if targets is None else targets[part]
        total += float(np.sum(weights.data[part] * (wanted - scores) ** 2))
    return total
