"""Rows of a sparse product, of which only the largest entries are kept: neighbours, and rules of sequences.

One row at a time is summed into an array as wide as the product, so that memory does not grow with it. Each
kernel fills rows ``start`` to ``stop`` of arrays for the entries kept, which begin at row 0; columns are in no order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["COSINE", "JACCARD", "nearest", "rules", "warm"]

# How a sum over shared columns becomes a similarity.
COSINE, JACCARD = 0, 1

# A row that meets fewer than one in so many others keeps a list of them; one that meets more looks at all.
_FEW = 16


@kernel
def nearest(
    left: Any,
    right: Any,
    start: int,
    stop: int,
    skip_self: bool,
    kind: int,
    shrinkage: float,
    sizes: Any,
    kept_columns: Any,
    kept_values: Any,
    counts: Any,
) -> None:
    """Keep the largest positive entries of ``left @ right``; of equal ones the first columns.

    ``left`` is the ``(indptr, indices, data)`` of rows × columns, ``right`` that of columns × others. ``sizes``
    holds the number of columns of each row of ``left`` and of each of the others.
    """
    indptr, columns, weights = left
    own_sizes, other_sizes = sizes
    n_others, k = len(other_sizes), kept_columns.shape[1]
    counts_shared = shrinkage > 0
    sums = np.zeros(n_others, dtype=np.float32)
    shared = np.zeros(n_others if counts_shared else 1, dtype=np.float32)
    is_met = np.zeros(n_others, dtype=np.bool_)
    met = np.empty(n_others, dtype=np.int32)
    for row in range(start, stop):
        place = row - start
        first, last = indptr[row], indptr[row + 1]
        work = 0
        for entry in range(first, last):
            work += right[0][columns[entry] + 1] - right[0][columns[entry]]
        n_met = -1
        if work * _FEW < n_others:
            n_met = _met_by(columns, first, last, right, is_met, met)
        for entry in range(first, last):
            _add_row(right, columns[entry], weights[entry], sums, shared, counts_shared)
        found = 0
        for at in range(n_others if n_met < 0 else n_met):
            other = at if n_met < 0 else met[at]
            value = sums[other]
            sums[other] = 0
            if counts_shared:
                n_shared = shared[other]
                shared[other] = 0
            if not value > 0 or (skip_self and other == row):
                continue
            if kind == JACCARD:
                value = np.float32(value / (own_sizes[row] + other_sizes[other] - value))
            if counts_shared:
                value = np.float32(value * np.float32(n_shared / np.float32(n_shared + shrinkage)))
                if not value > 0:
                    continue
            found = _offer(kept_columns[place], kept_values[place], found, k, other, value)
        counts[place] = found


@kernel
def _add_row(right: Any, row: int, weight: float, sums: Any, shared: Any, counts_shared: bool) -> None:
    indptr, columns, values = right
    if counts_shared:
        for entry in range(indptr[row], indptr[row + 1]):
            sums[columns[entry]] += weight * values[entry]
            shared[columns[entry]] += 1
    else:
        for entry in range(indptr[row], indptr[row + 1]):
            sums[columns[entry]] += weight * values[entry]


@kernel
def _met_by(columns: Any, first: int, last: int, right: Any, is_met: Any, met: Any) -> int:
    """List the columns of the product's row that may be other than zero."""
    n_met = 0
    for entry in range(first, last):
        column = columns[entry]
        for at in range(right[0][column], right[0][column + 1]):
            other = right[1][at]
            if not is_met[other]:
                is_met[other] = True
                met[n_met] = other
                n_met += 1
    for at in range(n_met):
        is_met[met[at]] = False
    return n_met


@kernel
def _offer(columns: Any, values: Any, found: int, k: int, column: int, value: float) -> int:
    """Add an entry to a heap of the ``k`` best, whose root is the worst; return how many it holds."""
    if found < k:
        place = found
        while place > 0:
            above = (place - 1) // 2
            if not _is_worse(value, column, values[above], columns[above]):
                break
            values[place], columns[place] = values[above], columns[above]
            place = above
        values[place], columns[place] = value, column
        return found + 1
    if value < values[0] or _is_worse(value, column, values[0], columns[0]):
        return found
    place = 0
    while True:
        below = 2 * place + 1
        if below >= k:
            break
        if below + 1 < k and _is_worse(
            values[below + 1], columns[below + 1], values[below], columns[below]
        ):
            below += 1
        if not _is_worse(values[below], columns[below], value, column):
            break
        values[place], columns[place] = values[below], columns[below]
        place = below
    values[place], columns[place] = value, column
    return found


@kernel
def _is_worse(value: float, column: int, other_value: float, other_column: int) -> bool:
    return value < other_value or (value == other_value and column > other_column)


@kernel
def rules(
    occurrences: Any,
    events: Any,
    places: Any,
    window: int,
    width: int,
    start: int,
    stop: int,
    kept_columns: Any,
    kept_values: Any,
    counts: Any,
) -> None:
    """Add up, for each item, ``1 / distance`` for what stands up to ``window`` events before it.

    ``occurrences`` is ``(indptr, indices)``: where in ``events`` each item stands. ``places`` holds how many events
    of the same history stand before each. ``kept_columns`` has one row; ``counts`` says how much each item fills.
    """
    indptr, positions = occurrences
    sums = np.zeros(width, dtype=np.float32)
    filled = 0
    for item in range(start, stop):
        begin = filled
        for distance in range(1, window + 1):
            weight = np.float32(1 / distance)
            for at in range(indptr[item], indptr[item + 1]):
                position = positions[at]
                if places[position] < distance:
                    continue
                earlier = events[position - distance]
                if earlier == item or earlier >= width:
                    continue
                if sums[earlier] == 0:
                    kept_columns[filled] = earlier
                    filled += 1
                sums[earlier] += weight
        for at in range(begin, filled):
            kept_values[at] = sums[kept_columns[at]]
            sums[kept_columns[at]] = 0
        counts[item - start] = filled - begin


def warm() -> None:
    """Compile for the types that they are called with."""
    columns, values = np.zeros((1, 1), dtype=np.int32), np.ones((1, 1), dtype=np.float32)
    pointers, counts = np.array([0, 1], dtype=np.int64), np.zeros(1, dtype=np.int64)
    matrix, sizes = (pointers, columns[0], values[0].copy()), values[0].copy()
    nearest(matrix, matrix, 0, 1, True, COSINE, 1.0, (sizes, sizes), columns, values, counts)
    rules((pointers, pointers[:1]), columns[0], pointers[:1], 1, 1, 0, 1, columns[0], values[0], counts)
