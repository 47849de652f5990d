"""Fold-in of single histories: conjugate gradients until a vector no longer moves in float32."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from llmrec.kernels.gradients import add_products, advance, begin
from llmrec.kernels.jit import brief_kernel, inlined_kernel, kernel
from llmrec.kernels.lanes import LANES, combined_rows, gather_errors
from llmrec.kernels.vectors import prefetch

__all__ = ["FoldIn", "fold_in", "fold_in_of", "warm"]

_MOST_STEPS = 200
_ENOUGH = np.float32(1e-13)
_SMALLEST = np.float32(1e-30)
_N_VECTORS = 9
_FETCHED = 16

by_blocks: dict[int, FoldIn] = {}
"""What :func:`fold_in_of` has made so far."""


@kernel
def _all_within(columns: Any, n_columns: Any) -> Any:
    within = True
    for place in range(len(columns)):
        within &= (columns[place] >= 0) & (columns[place] < n_columns)
    return within


@kernel
def _turn(blocks: Any, vector: Any, turn: Any, result: Any) -> Any:
    """Set ``result`` to the combination of the rows of ``turn`` that ``vector`` says."""
    for k in range(len(result)):
        result[k] = np.float32(0)
    combined_rows(blocks, turn, vector, len(vector), result)


@inlined_kernel
def _ask(vectors: Any, first: Any, count: Any) -> None:
    """Ask for some rows, so that they are on their way while something else is done."""
    size = 4 * vectors.shape[1]
    for start in range(first * size, (first + count) * size, 64):
        prefetch(np.uintp(vectors.ctypes.data + start))


@kernel
def _mass(weights: Any, n: Any) -> Any:
    mass = np.float32(0)
    for place in range(n):
        mass += weights[place]
    return mass


@kernel
def _centred(blocks: Any, space: Any, given: Any, is_centred: Any, plain: Any, centre: Any) -> Any:
    """Write the centre of a row as it is and in the basis: zeros, if there is none."""
    for k in range(len(centre)):
        plain[k], centre[k] = np.float32(0), np.float32(0)
    if is_centred:
        for k in range(len(given)):
            plain[k] = given[k]
        combined_rows(blocks, space, plain, len(centre), centre)


@kernel
def _prepare(space: Any, has_drifted: Any, background: Any, ridge: Any, mass: Any, work: Any) -> None:
    """Fill in the diagonal of background and ridge, and the preconditioner; start at 0."""
    diagonal, inverse, x, residual = work[0], work[1], work[2], work[3]
    width = len(x)
    eigenvalues, moments = space[3 * width], space[3 * width + 1]
    for k in range(width):
        x[k], residual[k] = np.float32(0), np.float32(0)
        diagonal[k] = background * eigenvalues[k] + ridge
        inverse[k] = np.float32(1) / (diagonal[k] + mass * moments[k])
    if has_drifted:
        for k in range(width):
            # The diagonal of the matrix is above 0 with the drift, too.
            inverse[k] = np.float32(1) / (np.float32(1) / inverse[k] + background * space[2 * width + k, k])


@kernel
def _applied(
    blocks: Any, diagonal: Any, drift: Any, has_drifted: Any, unobserved: Any, direction: Any, image: Any
) -> Any:
    """Set ``image`` to the matrix of background and ridge times ``direction``."""
    if has_drifted:
        _turn(blocks, direction, drift, image)
        for k in range(len(image)):
            image[k] = unobserved * image[k] + diagonal[k] * direction[k]
    else:
        for k in range(len(image)):
            image[k] = diagonal[k] * direction[k]


@kernel
def _descend(
    blocks: Any, drift: Any, has_drifted: Any, unobserved: Any, panel: Any, weights: Any, n: Any, work: Any
) -> Any:
    """Move ``x`` to where the residual ends; return whether it came to rest."""
    diagonal, inverse, x, residual, direction, image, scales = (
        work[0], work[1], work[2], work[3], work[4], work[5], work[8],
    )  # fmt: skip
    energy = begin(inverse, residual, direction)
    least = max(_ENOUGH * energy, _SMALLEST)
    for _ in range(_MOST_STEPS):
        if energy <= least:
            break
        _applied(blocks, diagonal, drift, has_drifted, unobserved, direction, image)
        add_products(blocks, panel, weights, n, direction, scales, image)
        energy, _ = advance(inverse, image, energy, x, residual, direction)
    return energy <= least  # as is not so if it is not a number


@kernel
def fold_in(
    blocks: Any,
    solution: Any,
    columns: Any,
    values: Any,
    are_targets: Any,
    table: Any,
    has_drifted: Any,
    strength: Any,
    unobserved: Any,
    exponent: Any,
    is_centred: Any,
) -> Any:
    r"""Solve a row of :func:`llmrec.factorizers.least_squares.solve_rows` to the limit of float32.

    Returns 1 if the row did not come to rest, else 0; -1, and solves nothing, if an entry points past the
    vectors.

    Parameters
    ----------
    blocks : tuple of width / 16 integers
        ``width`` is ``dim`` in whole blocks of 16.
    solution : ndarray of float32, shape (1, dim)
        Filled here; with nan if the row has not come to rest.
    columns, values : ndarray of int32 and float32, shape (n,)
        The entries. Repeated columns add up.
    are_targets : int
        If 0, values are weights, and all targets are 1; else they are targets that weigh 1.
    table : ndarray of float32, shape (3 * width + 2 + n_columns, width)
        Of a :class:`~llmrec.factorizers.gramian.Gramian`. In its basis ``YᵀY`` is the diagonal of the
        eigenvalues and, if it has drifted, the drift; so a step reads but the vectors of the entries.
    has_drifted : int
        0 if it has not.
    strength, unobserved, exponent : float
        The ridge is ``strength * (mass + unobserved * n_columns) ** exponent``; ``unobserved`` is what
        ``YᵀY`` is multiplied by.
    is_centred : int
        Whether ``solution`` comes with what the row is drawn towards; if 0, that is the origin.
    """
    width, dim, n = LANES * len(blocks), solution.shape[1], len(columns)
    turned, drift, background = table[3 * width + 2 :], table[2 * width : 3 * width], np.float32(unobserved)
    if not _all_within(columns, len(turned)):
        return -1
    for place in range(min(n, _FETCHED)):
        _ask(turned, np.int64(columns[place]), 1)
    _ask(table, width, width)
    # One array for all: to make one takes as long as a product of two vectors.
    work = np.empty((_N_VECTORS + max(n, 1), width), np.float32)
    panel, x, residual, centre, plain = work[_N_VECTORS:], work[2], work[3], work[6], work[7]
    ones = np.ones(n if are_targets else 1, np.float32)
    weights, targets = (ones, values) if are_targets else (values, ones)
    mass = _mass(weights, n)
    ridge = np.float32(strength * max(mass + unobserved * len(turned), 1e-6) ** exponent)
    _prepare(table, has_drifted, background, ridge, mass, work)
    _centred(blocks, table, solution[0], is_centred, plain, centre)
    gather_errors(
        blocks, turned, columns, weights, targets, are_targets, 0, n, centre, residual, panel, True
    )  # fmt: skip
    is_solved = _descend(blocks, drift, has_drifted, background, panel, weights, n, work)
    combined_rows(blocks, table[width : 2 * width], x, width, plain)
    for k in range(dim):
        solution[0, k] = plain[k] if is_solved else np.float32(np.nan)
    return 0 if is_solved else 1


class FoldIn(NamedTuple):
    """:func:`fold_in` for vectors of one width: to be told it with each call would take as long as a step.

    ``row`` keeps the interpreter's lock, as what takes microseconds should. ``rows`` takes ``indptr`` first,
    int64, and solves as many rows as there are; it returns how many did not come to rest, or -1.
    """

    row: Any
    rows: Any


def fold_in_of(n_blocks: int) -> FoldIn:
    """Return the kernels for vectors of so many blocks of 16 floats."""
    if n_blocks not in by_blocks:
        by_blocks[n_blocks] = _made_for((0,) * n_blocks)
    return by_blocks[n_blocks]


def _made_for(blocks: tuple[int, ...]) -> FoldIn:

    @brief_kernel
    def fold_in_row(
        solution: Any, columns: Any, values: Any, are_targets: Any, table: Any, has_drifted: Any,
        strength: Any, unobserved: Any, exponent: Any, is_centred: Any,
    ) -> Any:  # fmt: skip
        return fold_in(
            blocks, solution, columns, values, are_targets, table, has_drifted, strength, unobserved,
            exponent, is_centred,
        )  # fmt: skip

    @kernel
    def fold_in_rows(
        indptr: Any, solution: Any, columns: Any, values: Any, are_targets: Any, table: Any,
        has_drifted: Any, strength: Any, unobserved: Any, exponent: Any, is_centred: Any,
    ) -> Any:  # fmt: skip
        n_unsolved = 0
        for row in range(len(solution)):
            start, stop = indptr[row], indptr[row + 1]
            # Not the kernel above, which would keep this one from being found on disk.
            left = fold_in(
                blocks, solution[row : row + 1], columns[start:stop], values[start:stop], are_targets, table,
                has_drifted, strength, unobserved, exponent, is_centred,
            )  # fmt: skip
            if left < 0:
                return left
            n_unsolved += left
        return n_unsolved

    return FoldIn(fold_in_row, fold_in_rows)


def warm(dim: int = 64) -> None:
    """Compile for vectors of ``dim`` floats."""
    width = -(-dim // LANES) * LANES
    kernels, table = fold_in_of(width // LANES), np.ones((3 * width + 3, width), dtype=np.float32)
    how = np.zeros(1, np.int32), table[0, :1], 0, table, 0, 1.0, 1.0, 1.0, 0
    solution = np.empty((1, dim), dtype=np.float32)
    kernels.row(solution, *how)
    kernels.rows(np.array([0, 1], dtype=np.int64), solution, *how)
