"""Half a sweep of alternating least squares: a few steps of conjugate gradients for each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.gradients import add_products, advance, begin
from llmrec.kernels.jit import kernel
from llmrec.kernels.lanes import LANES, gather_errors, gather_products

__all__ = ["descend", "halved", "warm"]

# Entries whose vectors a row keeps beside it: half a MiB at 64 factors, which the second cache holds.
_PANEL = 2048
_SMALLEST = np.float32(1e-30)


@kernel
def _prepared(
    values: Any,
    moments: Any,
    mass: Any,
    ridge: Any,
    x: Any,
    centre: Any,
    diagonal: Any,
    inverse: Any,
    residual: Any,
) -> Any:
    """Fill in the diagonal, its preconditioner and what it adds to the residual; return its loss."""
    loss = np.float32(0)
    for k in range(len(x)):
        away = x[k] - centre[k]
        diagonal[k] = values[k] + ridge
        inverse[k] = np.float32(1) / (diagonal[k] + mass * moments[k])
        residual[k] = -diagonal[k] * away
        loss += diagonal[k] * away * away
    return loss


@kernel
def descend(
    blocks: Any,
    indptr: Any,
    columns: Any,
    weights: Any,
    targets: Any,
    target_step: Any,
    table: Any,
    values: Any,
    moments: Any,
    mass: Any,
    ridge: Any,
    centres: Any,
    first_row: Any,
    solution: Any,
    n_steps: Any,
    enough: Any,
) -> Any:
    r"""Move each row of ``solution`` towards the minimum of its own loss; return the sum of the losses.

    Row ``r`` has the loss

    .. math:: \sum_c w_{rc} (t_{rc} - x \cdot y_c)^2 + \sum_k (v_k + \rho_r) (x_k - c_k)^2

    Its steps are those of conjugate gradients, preconditioned by the diagonal :math:`v_k + \rho_r + m_r s_k`,
    where :math:`m_r` is the mass of the row's weights and :math:`s_k` the mean square of coordinate ``k``.

    Parameters
    ----------
    blocks : tuple of dim / 16 integers
        Says the width of the vectors when the kernel is compiled.
    indptr, columns, weights
        The rows, as in a ``csr_array``: int64, int32, float32.
    targets : ndarray of float32
        One an entry with ``target_step`` 1; with 0 the first four stand for all.
    table : ndarray of float32 or uint16, shape (n_columns, dim)
        ``y``; as uint16 the upper halves of float32, see :func:`halved`.
    values, moments : ndarray of float32, shape (dim,)
        ``v`` and ``s``.
    mass, ridge : ndarray of float32, shape (n_rows,)
    centres : ndarray of float32, shape (n, dim) or (0, dim)
        ``c`` of the rows to be solved; 0 if there are none.
    first_row : int
        Which row ``solution[0]`` is.
    solution : ndarray of float32, shape (n, dim)
        Where to start from; changed in place.
    n_steps : int
    enough : float32
        Stop earlier once the preconditioned square of the residual fell to this share of what it was.
    """
    dim = LANES * len(blocks)
    panel = np.empty((_PANEL, dim), np.float32)
    diagonal, inverse = np.empty(dim, np.float32), np.empty(dim, np.float32)
    residual, direction = np.empty(dim, np.float32), np.empty(dim, np.float32)
    image, nowhere = np.empty(dim, np.float32), np.zeros(dim, np.float32)
    scales = np.empty(LANES, np.float32)
    has_centres = len(centres) > 0
    total = 0.0
    for number in range(len(solution)):
        row = first_row + number
        start, stop = indptr[row], indptr[row + 1]
        x = solution[number]
        centre = centres[number] if has_centres else nowhere
        if start == stop:
            for k in range(dim):
                x[k] = centre[k]
            continue
        loss = _prepared(values, moments, mass[row], ridge[row], x, centre, diagonal, inverse, residual)
        fits, own = stop - start <= _PANEL, weights[start:stop]
        loss += gather_errors(
            blocks, table, columns, weights, targets, target_step, start, stop, x, residual, panel, fits
        )
        energy = begin(inverse, residual, direction)
        least = max(enough * energy, _SMALLEST)
        for _ in range(n_steps):
            if energy <= least:
                break
            for k in range(dim):
                image[k] = diagonal[k] * direction[k]
            if fits:
                add_products(blocks, panel, own, stop - start, direction, scales, image)
            else:
                gather_products(blocks, table, columns, weights, start, stop, direction, image)
            energy, fall = advance(inverse, image, energy, x, residual, direction)
            loss -= fall
        total += loss
    return total


@kernel
def halved(vectors: Any, halves: Any) -> Any:
    """Write the upper halves of float32, rounded to the nearest: half the bytes, three digits (bfloat16)."""
    bits = vectors.view(np.uint32)
    for row in range(len(bits)):
        for k in range(bits.shape[1]):
            halves[row, k] = (bits[row, k] + np.uint32(0x8000)) >> np.uint32(16)


def warm(dim: int = 64) -> None:
    """Compile for vectors of ``dim`` floats, a multiple of 16."""
    vectors = np.ones((2, dim), dtype=np.float32)
    halves = np.empty((2, dim), dtype=np.uint16)
    halved(vectors, halves)
    row, ones, no_centres = vectors[0], np.ones(4, dtype=np.float32), vectors[:0]
    for table in (vectors, halves):
        descend(
            (0,) * (dim // LANES),
            np.array([0, 1], dtype=np.int64),
            np.zeros(1, dtype=np.int32),
            ones[:1],
            ones,
            0,
            table,
            row,
            row,
            ones[:1],
            ones[:1],
            no_centres,
            0,
            vectors[:1].copy(),
            1,
            np.float32(0),
        )
