"""What changes of single vectors add to the Gramian of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["drift", "warm"]


@kernel
def drift(before: Any, after: Any, basis: Any, total: Any, space: Any) -> None:
    """Add the outer products of vectors ``after`` less those ``before``, in the basis, to ``total``.

    Parameters
    ----------
    before, after : ndarray of float32, shape (n, >= dim)
    basis, total : ndarray of float64, shape (dim, dim)
    space : ndarray of float32, shape (3 * width + 2, width)
        Of :class:`~llmrec.factorizers.gramian.Gramian`: receives a copy of the total.
    """
    dim, first = len(basis), 2 * space.shape[1]
    turned = np.empty(dim, np.float64)
    for vectors, sign in ((before, -1.0), (after, 1.0)):
        for row in range(len(vectors)):
            turned[:] = 0
            for c in range(dim):
                value = np.float64(vectors[row, c])
                for k in range(dim):
                    turned[k] += value * basis[c, k]
            for j in range(dim):
                scaled = sign * turned[j]
                for k in range(dim):
                    total[j, k] += scaled * turned[k]
    for j in range(dim):
        for k in range(dim):
            space[first + j, k] = total[j, k]


def warm() -> None:
    """Compile for the arrays that a Gramian has."""
    row, square = np.ones((1, 1), dtype=np.float32), np.ones((1, 1))
    drift(row, row, square, square.copy(), np.empty((50, 16), dtype=np.float32))
