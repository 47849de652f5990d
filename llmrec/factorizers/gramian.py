"""The Gramian of many vectors, kept right while single ones change."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray
from llmrec.threads import map_threads
from llmrec.vectors import grown

if TYPE_CHECKING:
    from llmrec.kernels.fold_in import FoldIn

__all__ = ["Gramian", "gram"]

DoubleArray = npt.NDArray[np.float64]

_LANES = 16
_ROWS = 4096


def gram(vectors: FloatArray) -> DoubleArray:
    """Return :math:`Y^T Y` in float64, without a copy of all vectors.

    Examples
    --------
    >>> gram(np.array([[1, 2], [0, 1]], dtype=np.float32)).tolist()
    [[1.0, 2.0], [2.0, 5.0]]
    """
    dim = vectors.shape[1]

    def part(start: int) -> DoubleArray:
        doubles = vectors[start : start + _ROWS].astype(np.float64)
        return np.asarray(doubles.T @ doubles)

    return sum(map_threads(part, range(0, len(vectors), _ROWS)), np.zeros((dim, dim)))


class Gramian:
    r""":math:`Y^T Y` in an eigenbasis of it, which changes of single vectors leave where it was.

    What folds in a history needs this matrix, whose making costs O(n dim²): once for a model, not once a
    request; and it needs the vectors in the basis, where the matrix is diagonal. A vector that changes from
    :math:`y` to :math:`z` adds :math:`z z^T - y y^T`, O(dim²). The eigenvectors stay as they were found;
    what the changes add to the diagonal of eigenvalues is :attr:`drift`. After as many changes as there are
    vectors the basis fits them no longer, and :attr:`is_worn` says so.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        The array itself is remembered, to tell whether another has taken its place.
    dim : int, optional
        Use only the first ``dim`` columns.

    Attributes
    ----------
    eigenvalues : ndarray of shape (dim,)
    basis : ndarray of shape (dim, dim)
        Eigenvectors, in columns.
    drift : ndarray of shape (dim, dim)
        In the basis.
    moments : ndarray of shape (dim,)
        Mean square of each coordinate in the basis, each vector weighing as its own square: long vectors are
        those of frequent items, of which histories are made.
    table : ndarray of float32, shape (3 * width + 2 + n, width)
        All that the kernel of fold-in reads, in one array, for each that it is handed costs time: the basis,
        its transpose, the drift, the eigenvalues, the moments, and the vectors in the basis; ``width`` is
        ``dim`` in whole blocks of 16.
    n_changes : int
        How many vectors have changed.
    fold_in : callable
        The kernel for one row of this width.

    Examples
    --------
    >>> vectors = np.array([[1, 2], [0, 1]], dtype=np.float32)
    >>> gramian = Gramian(vectors)
    >>> gramian.replace(np.array([0]), vectors[:1], np.zeros((1, 2), dtype=np.float32))
    >>> gramian.matrix().round(6).tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, vectors: FloatArray, dim: int | None = None):
        self.dim = vectors.shape[1] if dim is None else dim
        self._vectors = vectors
        self._most_changes = max(len(vectors), self.dim)
        self.n_changes = 0
        used = vectors[:, : self.dim]
        values, self.basis = np.linalg.eigh(gram(used))
        self.eigenvalues: DoubleArray = np.maximum(values, 0)
        self.drift: DoubleArray = np.zeros((self.dim, self.dim))
        width = -(-self.dim // _LANES) * _LANES
        self._n_before = 3 * width + 2
        self.table: FloatArray = np.zeros((self._n_before + len(vectors), width), dtype=np.float32)
        _turn(used, self.basis, self.turned)
        self.moments: DoubleArray = _moments(self.turned)[: self.dim]
        self.table[: self.dim, : self.dim] = self.basis
        self.table[width : width + self.dim, : self.dim] = self.basis.T
        self.table[3 * width, : self.dim] = self.eigenvalues
        self.table[3 * width + 1, : self.dim] = self.moments

    @property
    def turned(self) -> FloatArray:
        """The vectors in the basis, ``(n, width)``, zeros past ``dim``."""
        return self.table[self._n_before :]

    def matrix(self) -> DoubleArray:
        """Return :math:`Y^T Y` as it is now."""
        return np.asarray(self.basis @ (np.diag(self.eigenvalues) + self.drift) @ self.basis.T)

    def spectrum(self, weight: float) -> tuple[DoubleArray, DoubleArray]:
        """Return the eigenvalues and eigenvectors of ``weight`` times the matrix as it is now."""
        if not self.n_changes:
            return weight * self.eigenvalues, self.basis
        values, basis = np.linalg.eigh(weight * self.matrix())
        return values, basis

    @cached_property
    def fold_in(self) -> Any:
        """The kernel, :func:`llmrec.kernels.fold_in.fold_in`; its code is loaded when it is asked for."""
        return self.kernels().row

    def kernels(self) -> FoldIn:
        """Return the kernels of fold-in for vectors of this width."""
        from llmrec.kernels.fold_in import fold_in_of

        return fold_in_of(self.table.shape[1] // _LANES)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled code is not for another process, which may run another version of Python.
        return {name: value for name, value in self.__dict__.items() if name != "fold_in"}

    def describes(self, vectors: FloatArray) -> bool:
        """Say whether this is the Gramian of that very array, and not worn."""
        return self._vectors is vectors and self.n_changes <= self._most_changes

    @property
    def is_worn(self) -> bool:
        """Whether there were so many changes that a new one is due."""
        return self.n_changes > self._most_changes

    def replace(self, rows: npt.NDArray[np.integer[Any]], before: FloatArray, after: FloatArray) -> None:
        """Take note that vectors, ``(n, >= dim)``, of distinct rows were ``before`` and are ``after``."""
        from llmrec.kernels.gramian import drift

        drift(rows, before, after, self.basis, self.drift, self.table)
        self.n_changes += len(before)

    def follow(self, vectors: FloatArray) -> None:
        """Take note that the vectors moved to another array, with rows of zeros added."""
        self._vectors = vectors
        self._most_changes = max(len(vectors), self.dim)
        self.table = grown(self.table, self._n_before + len(vectors))


def _turn(vectors: FloatArray, basis: DoubleArray, turned: FloatArray) -> None:
    """Write the vectors in the basis."""

    def part(start: int) -> None:
        rows = slice(start, start + _ROWS)
        turned[rows, : len(basis)] = vectors[rows].astype(np.float64) @ basis

    map_threads(part, range(0, len(vectors), _ROWS))


def _moments(turned: FloatArray) -> DoubleArray:
    def part(start: int) -> DoubleArray:
        squares = turned[start : start + _ROWS] ** 2
        return np.asarray(squares.sum(axis=1, dtype=np.float64) @ squares, dtype=np.float64)

    total = sum(map_threads(part, range(0, len(turned), _ROWS)), np.zeros(turned.shape[1]))
    return total / max(float(np.vdot(turned, turned)), 1e-30)
