"""Fold-in of single histories: conjugate gradients until a vector no longer moves in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.gradients import advance, begin
from llmrec.kernels.jit import kernel
from llmrec.kernels.lanes import LANES, combined_rows, gather_errors, row_products

__all__ = ["fold_in", "warm"]

_MOST_STEPS = 200
_ENOUGH = np.float32(1e-13)
_SMALLEST = np.float32(1e-30)
# Up to so many entries it is cheaper to turn their vectors than to turn each direction to and fro.
_FEW = 12


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
def _mass(weights: Any, start: Any, stop: Any) -> Any:
    mass = np.float32(0)
    for place in range(start, stop):
        mass += weights[place]
    return mass


@kernel
def _gathered(
    columns: Any,
    weights: Any,
    targets: Any,
    step: Any,
    vectors: Any,
    dim: Any,
    centre: Any,
    panel: Any,
    right: Any,
) -> Any:
    """Copy the vectors of a row, of any width, side by side, and sum up ``w (t - y · centre) y``."""
    for k in range(len(right)):
        right[k] = np.float32(0)
    for j in range(len(columns)):
        left = targets[j * step]
        for k in range(len(right)):
            panel[j, k] = vectors[columns[j], k] if k < dim else np.float32(0)
            left -= panel[j, k] * centre[k]
        left *= weights[j]
        for k in range(len(right)):
            right[k] += left * panel[j, k]


@kernel
def _prepare(space: Any, background: Any, ridge: Any, mass: Any, diagonal: Any, inverse: Any, x: Any) -> Any:
    """Fill in the diagonal of background and ridge, and the preconditioner; start at 0."""
    width = len(x)
    eigenvalues, moments = space[3 * width], space[3 * width + 1]
    for k in range(width):
        x[k] = np.float32(0)
        diagonal[k] = background * eigenvalues[k] + ridge
        # Without a drift it is zero; the diagonal of the matrix is above 0 with it, too.
        drifted = diagonal[k] + background * space[2 * width + k, k]
        inverse[k] = np.float32(1) / (drifted + mass * moments[k])


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
def _add_products(
    blocks: Any,
    panel: Any,
    weights: Any,
    start: Any,
    n: Any,
    direction: Any,
    space: Any,
    spare: Any,
    image: Any,
) -> Any:
    """Add ``Σ w (y · direction) y`` to ``image`` in the basis, in which the panel is not."""
    width = len(image)
    plain, products = spare[0], spare[1]
    for k in range(width):
        products[k] = np.float32(0)
    _turn(blocks, direction, space[width : 2 * width], plain)
    row_products(blocks, panel, weights, start, n, plain, products)
    _turn(blocks, products, space[:width], plain)
    for k in range(width):
        image[k] += plain[k]


@kernel
def fold_in(
    blocks: Any,
    indptr: Any,
    columns: Any,
    weights: Any,
    targets: Any,
    target_step: Any,
    vectors: Any,
    dim: Any,
    space: Any,
    has_drifted: Any,
    unobserved: Any,
    strength: Any,
    exponent: Any,
    centres: Any,
    solution: Any,
) -> Any:
    r"""Solve rows of :func:`llmrec.factorizers.least_squares.solve_rows` to the limit of float32.

    Returns the number of rows that did not come to rest; -1, and solves nothing, if an entry points past the
    vectors.

    Parameters
    ----------
    blocks : tuple of width / 16 integers
        ``width`` is ``dim`` in whole blocks of 16.
    indptr, columns, weights, targets, target_step
        The rows, as for :func:`llmrec.kernels.als.descend`. Repeated columns add up.
    vectors : ndarray of float32, shape (n_columns, >= dim), C-contiguous
        ``y`` in its first ``dim`` columns.
    space : ndarray of float32, shape (3 * width + 2, width)
        An orthogonal basis in columns, the same in rows, the drift of ``YᵀY`` in the basis, then its
        eigenvalues, and the mean square of each coordinate. In the basis ``YᵀY`` is the diagonal of
        the eigenvalues and, if it has drifted, the drift. In one array, because each argument takes time.
    unobserved : float
        What ``YᵀY`` is multiplied by.
    strength, exponent : float
        The ridge of a row is ``strength * (mass + unobserved * n_columns) ** exponent``.
    centres : ndarray of float32, shape (n_rows, dim) or (0, dim)
    solution : ndarray of float32, shape (n_rows, dim)
        Filled here; nan where a row has not come to rest.
    """
    width = LANES * len(blocks)
    background = np.float32(unobserved)
    turn, turn_back, drift = space[:width], space[width : 2 * width], space[2 * width : 3 * width]
    if not _all_within(columns, indptr[0], indptr[len(solution)], len(vectors)):
        return -1
    n_unsolved = 0
    panel = np.empty((_longest(indptr, len(solution)), width), np.float32)
    # One array for all: to make one takes as long as a product of two vectors.
    work = np.empty((_FEW + 10, width), np.float32)
    turned_panel, diagonal, inverse, residual = work[:_FEW], work[_FEW], work[_FEW + 1], work[_FEW + 2]
    direction, image, plain, x = work[_FEW + 3], work[_FEW + 4], work[_FEW + 5], work[_FEW + 6]
    centre, spare = work[_FEW + 7], work[_FEW + 8 :]
    has_centres = len(centres) > 0
    for row in range(len(solution)):
        start, stop = indptr[row], indptr[row + 1]
        n = stop - start
        for k in range(width):
            centre[k] = centres[row, k] if has_centres and k < dim else np.float32(0)
            plain[k] = np.float32(0)
        mass = _mass(weights, start, stop)
        if dim == width and vectors.shape[1] == width:
            gather_errors(
                blocks,
                vectors,
                columns,
                weights,
                targets,
                target_step,
                start,
                stop,
                centre,
                plain,
                panel,
                True,
            )
        else:
            own = columns[start:stop], weights[start:stop], targets[start * target_step :]
            _gathered(*own, target_step, vectors, dim, centre, panel, plain)
        _turn(blocks, plain, turn, residual)
        for j in range(n if n <= _FEW else 0):
            _turn(blocks, panel[j], turn, turned_panel[j])
        ridge = np.float32(strength * max(mass + unobserved * len(vectors), 1e-6) ** exponent)
        _prepare(space, background, ridge, mass, diagonal, inverse, x)
        energy = begin(inverse, residual, direction)
        least = max(_ENOUGH * energy, _SMALLEST)
        for _ in range(_MOST_STEPS):
            if energy <= least:
                break
            _applied(blocks, diagonal, drift, has_drifted, background, direction, image)
            if n <= _FEW:
                row_products(blocks, turned_panel, weights, start, n, direction, image)
            else:
                _add_products(blocks, panel, weights, start, n, direction, space, spare, image)
            energy, _ = advance(inverse, image, energy, x, residual, direction)
        is_solved = energy <= least  # as is not so if it is not a number
        n_unsolved += 0 if is_solved else 1
        _turn(blocks, x, turn_back, plain)
        for k in range(dim):
            solution[row, k] = plain[k] + centre[k] if is_solved else np.float32(np.nan)
    return n_unsolved


def warm(dim: int = 64) -> None:
    """Compile for vectors of ``dim`` floats."""
    width = -(-dim // LANES) * LANES
    vectors, square = np.ones((1, dim), dtype=np.float32), np.eye(width, dtype=np.float32)
    fold_in(
        (0,) * (width // LANES),
        np.array([0, 1], dtype=np.int64),
        np.zeros(1, dtype=np.int32),
        vectors[0, :1],
        vectors[0],
        0,
        vectors,
        dim,
        np.vstack([square, square, square, square[:2]]),
        False,
        1.0,
        1.0,
        1.0,
        vectors[:0],
        vectors.copy(),
    )
