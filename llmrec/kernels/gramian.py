"""What changes of single vectors add to the Gramian of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["drift", "warm"]


@kernel
def drift(rows: Any, before: Any, after: Any, basis: Any, total: Any, table: Any) -> None:
    """Add the outer products of vectors ``after`` less those ``before``, in the basis, to ``total``.

    Parameters
    ----------
    rows : ndarray of int32, shape (n,)
    before, after : ndarray of float32, shape (n, >= dim)
    basis, total : ndarray of float64, shape (dim, dim)
    table : ndarray of float32, shape (3 * width + 2 + n_vectors, width)
        Of :class:`~llmrec.factorizers.gramian.Gramian`: it receives the total, and the vectors ``after``.
    """
    dim, width = len(basis), table.shape[1]
    first, turned = 2 * width, table[3 * width + 2 :]
    vector = np.empty(dim, np.float64)
    for vectors, sign in ((before, -1.0), (after, 1.0)):
        for i in range(len(rows)):
            vector[:] = 0
            for c in range(dim):
                value = np.float64(vectors[i, c])
                for k in range(dim):
                    vector[k] += value * basis[c, k]
            for j in range(dim):
                turned[rows[i], j] = vector[j]
                scaled = sign * vector[j]
                for k in range(dim):
                    total[j, k] += scaled * vector[k]
    for j in range(dim):
        for k in range(dim):
            table[first + j, k] = total[j, k]


def warm() -> None:
    """Compile for the arrays that a Gramian has."""
    row, square = np.ones((1, 1), dtype=np.float32), np.ones((1, 1))
    drift(np.zeros(1, dtype=np.int32), row, row, square, square.copy(), np.ones((51, 16), np.float32))
