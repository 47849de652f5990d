"""Ridge regressions of each item on a few others, from a sparse Gram matrix: many small systems."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["regress_items", "warm"]


@kernel
def regress_items(
    gram: Any, ridges: Any, candidates: Any, start: int, stop: int, coefficients: Any, failed: Any
) -> None:
    """Fill in the coefficients of items ``start`` to ``stop``, in the order of their candidates.

    ``gram`` is the ``(indptr, indices, data)`` of the items × items matrix, ``ridges`` what its diagonal
    gets on top, and ``candidates`` the ``(indptr, indices)`` of the items that each is regressed on. Where a
    system cannot be solved, being singular, ``failed[0]`` becomes true.
    """
    candidate_ends, candidate_items = candidates
    widest = 0
    for item in range(start, stop):
        widest = max(widest, candidate_ends[item + 1] - candidate_ends[item])
    places = np.full(len(ridges), -1, dtype=np.int32)
    system = np.empty((widest, widest))
    for item in range(start, stop):
        first, last = candidate_ends[item], candidate_ends[item + 1]
        chosen, solution = candidate_items[first:last], coefficients[first:last]
        for place in range(len(chosen)):
            places[chosen[place]] = place
        _take_row(gram, item, places, solution)
        for place in range(len(chosen)):
            _take_row(gram, chosen[place], places, system[place])
            system[place, place] += ridges[chosen[place]]
        for place in range(len(chosen)):
            places[chosen[place]] = -1
        if not _factorize(system, len(chosen)):
            failed[0] = True
            return
        _solve(system, solution)


@kernel
def _take_row(gram: Any, row: int, places: Any, out: Any) -> None:
    """Copy the entries of a row that have a place; all other places hold 0."""
    indptr, indices, data = gram
    out[:] = 0
    for entry in range(indptr[row], indptr[row + 1]):
        place = places[indices[entry]]
        if place >= 0:
            out[place] = data[entry]


@kernel
def _factorize(system: Any, size: int) -> bool:
    """Overwrite the lower triangle by its Cholesky factor; say whether it has one."""
    for column in range(size):
        for row in range(column, size):
            total = system[row, column]
            for place in range(column):
                total -= system[row, place] * system[column, place]
            if row > column:
                system[row, column] = total / system[column, column]
            elif total > 0:
                system[column, column] = np.sqrt(total)
            else:
                return False
    return True


@kernel
def _solve(factor: Any, solution: Any) -> None:
    """Solve in place, with the factor and then with its transpose."""
    size = len(solution)
    for row in range(size):
        total = solution[row]
        for place in range(row):
            total -= factor[row, place] * solution[place]
        solution[row] = total / factor[row, row]
    for row in range(size - 1, -1, -1):
        value = solution[row] / factor[row, row]
        solution[row] = value
        for place in range(row):
            solution[place] -= factor[row, place] * value


def warm() -> None:
    """Compile the kernel."""
    indptr, items = np.arange(3, dtype=np.int64), np.array([1, 0], dtype=np.int32)
    gram = indptr, items, np.ones(2, dtype=np.float32)
    regress_items(gram, np.ones(2), (indptr, items), 0, 2, np.empty(2), np.zeros(1, dtype=np.bool_))
