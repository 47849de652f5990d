"""Fold-in of single histories: conjugate gradients until a vector no longer moves in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.gradients import add_products, advance, begin
from llmrec.kernels.jit import kernel
from llmrec.kernels.lanes import LANES, combined_rows, gather_errors

__all__ = ["fold_in", "fold_in_of", "warm"]

_MOST_STEPS = 200
_ENOUGH = np.float32(1e-13)
_SMALLEST = np.float32(1e-30)
_N_VECTORS = 9

by_blocks: dict[int, Any] = {}
"""What :func:`fold_in_of` has made so far."""


@kernel
def _all_within(columns: Any, start: Any, stop: Any, n_columns: Any) -> Any:
    within = True
    for place in range(start, stop):
        within &= (columns[place] >= 0) & (columns[place] < n_columns)
    return within


@kernel
def _longest(indptr: Any, n_rows: Any) -> Any:
    longest = 1
    for row in range(n_rows):
        longest = max(longest, indptr[row + 1] - indptr[row])
    return longest


@kernel
def _turn(blocks: Any, vector: Any, turn: Any, result: Any) -> Any:
    """Set ``result`` to the combination of the rows of ``turn`` that ``vector`` says."""
    for k in range(len(result)):
        result[k] = np.float32(0)
    combined_rows(blocks, turn, vector, len(vector), result)


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
    indptr: Any,
    solution: Any,
    columns: Any,
    values: Any,
    are_targets: Any,
    turned: Any,
    space: Any,
    has_drifted: Any,
    strength: Any,
    unobserved: Any,
    exponent: Any,
    is_centred: Any,
) -> Any:
    r"""Solve rows of :func:`llmrec.factorizers.least_squares.solve_rows` to the limit of float32.

    Returns the number of rows that did not come to rest; -1, and solves nothing, if an entry points past the
    vectors.

    Parameters
    ----------
    blocks : tuple of width / 16 integers
        ``width`` is ``dim`` in whole blocks of 16.
    indptr, columns, values
        The rows, as in a ``csr_array``: int64, int32, float32. Repeated columns add up.
    solution : ndarray of float32, shape (n_rows, dim)
        Filled here; nan where a row has not come to rest.
    are_targets : int
        If 0, values are weights, and all targets are 1; else they are targets that weigh 1.
    turned, space : ndarray of float32, shape (n_columns, width) and (3 * width + 2, width)
        Of a :class:`~llmrec.factorizers.gramian.Gramian`. In its basis ``YᵀY`` is the diagonal of the
        eigenvalues and, if it has drifted, the drift; so a step reads but the vectors of the entries.
    has_drifted : int
        0 if it has not.
    strength, unobserved, exponent : float
        The ridge of a row is ``strength * (mass + unobserved * n_columns) ** exponent``; ``unobserved`` is
        what ``YᵀY`` is multiplied by.
    is_centred : int
        Whether ``solution`` comes with what each row is drawn towards; if 0, that is the origin.
    """
    width, dim = LANES * len(blocks), solution.shape[1]
    background = np.float32(unobserved)
    if not _all_within(columns, indptr[0], indptr[len(solution)], len(turned)):
        return -1
    n_unsolved = 0
    longest = _longest(indptr, len(solution))
    # One array for all: to make one takes as long as a product of two vectors.
    work = np.empty((_N_VECTORS + longest, width), np.float32)
    panel, drift = work[_N_VECTORS:], space[2 * width : 3 * width]
    x, residual, centre, plain = work[2], work[3], work[6], work[7]
    ones = np.ones(longest if are_targets else 1, np.float32)
    for row in range(len(solution)):
        start, stop = indptr[row], indptr[row + 1]
        own, n = values[start:stop], stop - start
        weights, targets = (ones, own) if are_targets else (own, ones)
        mass = _mass(weights, n)
        ridge = np.float32(strength * max(mass + unobserved * len(turned), 1e-6) ** exponent)
        _prepare(space, has_drifted, background, ridge, mass, work)
        _centred(blocks, space, solution[row], is_centred, plain, centre)
        gather_errors(
            blocks, turned, columns[start:stop], weights, targets, are_targets, 0, n, centre, residual, panel,
            True,
        )  # fmt: skip
        is_solved = _descend(blocks, drift, has_drifted, background, panel, weights, n, work)
        n_unsolved += 0 if is_solved else 1
        combined_rows(blocks, space[width : 2 * width], x, width, plain)
        for k in range(dim):
            solution[row, k] = plain[k] if is_solved else np.float32(np.nan)
    return n_unsolved


def fold_in_of(n_blocks: int) -> Any:
    """Return :func:`fold_in` for vectors of so many blocks of 16 floats.

    To be told it with each call would take as long as a step.
    """
    if n_blocks not in by_blocks:
        by_blocks[n_blocks] = _made_for((0,) * n_blocks)
    return by_blocks[n_blocks]


def _made_for(blocks: tuple[int, ...]) -> Any:

    @kernel
    def fold_in_blocks(
        indptr: Any, solution: Any, columns: Any, values: Any, are_targets: Any, turned: Any, space: Any,
        has_drifted: Any, strength: Any, unobserved: Any, exponent: Any, is_centred: Any,
    ) -> Any:  # fmt: skip
        return fold_in(
            blocks, indptr, solution, columns, values, are_targets, turned, space, has_drifted, strength,
            unobserved, exponent, is_centred,
        )  # fmt: skip

    return fold_in_blocks


def warm(dim: int = 64) -> None:
    """Compile for vectors of ``dim`` floats."""
    width = -(-dim // LANES) * LANES
    turned, square = np.ones((1, width), dtype=np.float32), np.eye(width, dtype=np.float32)
    fold_in_of(width // LANES)(
        np.array([0, 1], dtype=np.int64),
        np.empty((1, dim), dtype=np.float32),
        np.zeros(1, dtype=np.int32),
        turned[0, :1],
        0,
        turned,
        np.vstack([square, square, square, square[:2]]),
        0,
        1.0,
        1.0,
        1.0,
        0,
    )
