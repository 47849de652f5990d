"""Rows of a sparse product, of which only the largest entries are kept: neighbours, and rules of sequences.

One row at a time is summed into an array as wide as the product, so that memory does not grow with it. Each
kernel fills arrays for rows ``start`` to ``stop``, which begin at row 0, with the entries kept, in no order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["COSINE", "JACCARD", "nearest", "rules", "upper_products", "warm"]

# How a sum over shared columns becomes a similarity.
COSINE, JACCARD = 0, 1

# A row that meets fewer than one in so many others keeps a list of them; one that meets more looks at all.
_FEW = 16
_BLOCK = 64


@kernel
def nearest(
    left: Any,
    right: Any,
    start: int,
    stop: int,
    own: Any,
    kind: int,
    shrinkage: float,
    sizes: Any,
    names: Any,
    kept_columns: Any,
    kept_values: Any,
    counts: Any,
) -> None:
    """Keep the largest positive entries of ``left @ right``; of equal ones those with the least names.

    ``left`` is the ``(indptr, indices, data)`` of rows × columns, ``right`` that of columns × others.
    ``sizes`` holds the number of columns of each row of ``left`` and of each of the others. ``names`` holds
    what each of the others is called in what is kept, and ``own``, if not empty, which of them is the row
    itself, to be left out. Columns are uint32: unlike a signed index, one without a sign is not asked
    whether it counts from the end, which halves the time.
    """
    indptr, columns, weights = left
    n_others, k = len(names), kept_columns.shape[1]
    sums = np.zeros(n_others, dtype=np.float32)
    shared = np.zeros(n_others if shrinkage > 0 else 1, dtype=np.float32)
    is_met = np.zeros(n_others, dtype=np.bool_)
    met = np.empty(n_others, dtype=np.int32)
    # Twice as many as are wanted: to choose among them is due only when so many have come.
    best = np.empty(2 * k, dtype=np.int32), np.empty(2 * k, dtype=np.float32)
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        n_met = _met_by(columns[first:last], right, is_met, met)
        for entry in range(first, last):
            _add_row(right, columns[entry], weights[entry], sums, shared, shrinkage > 0)
        if len(own):
            sums[own[row]] = 0
        how = kind, shrinkage, sizes[0][row], sizes[1]
        found = _collect(sums, shared, met, n_met, how, names, best)
        _forget(sums, met, n_met)
        if shrinkage > 0:
            _forget(shared, met, n_met)
        kept_columns[row - start, :found] = best[0][:found]
        kept_values[row - start, :found] = best[1][:found]
        counts[row - start] = found


@kernel
def _collect(sums: Any, shared: Any, met: Any, n_met: int, how: Any, names: Any, best: Any) -> int:
    """Put the best of one row's similarities first in ``best``; return how many there are."""
    columns, values = best
    k, n_others = len(columns) // 2, len(sums)
    found, lowest = 0, np.float32(0)
    for begin in range(0, n_met, _BLOCK):
        end = min(begin + _BLOCK, n_met)
        # No similarity is larger than the sum that it comes from.
        if n_met == n_others and not _any_reach(sums[begin:end], lowest):
            continue
        for at in range(begin, end):
            other = at if n_met == n_others else met[at]
            if not (sums[other] > 0 and sums[other] >= lowest):
                continue
            value = _similarity(sums, shared, other, how)
            if value > 0 and value >= lowest:
                columns[found], values[found] = names[other], value
                found += 1
            if found == 2 * k:
                _select(columns, values, found, k)
                found, lowest = k, values[:k].min()
    if found > k:
        _select(columns, values, found, k)
    return min(found, k)


@kernel
def _similarity(sums: Any, shared: Any, other: int, how: Any) -> Any:
    kind, shrinkage, size, other_sizes = how
    value = sums[other]
    if kind == JACCARD:
        value = np.float32(value / (size + other_sizes[other] - value))
    if shrinkage > 0:
        value = np.float32(value * np.float32(shared[other] / np.float32(shared[other] + shrinkage)))
    return value


@kernel
def _any_reach(values: Any, least: float) -> bool:
    largest = np.float32(0)
    for at in range(len(values)):
        largest = max(largest, values[at])
    return bool(largest > 0 and largest >= least)


@kernel
def _forget(sums: Any, met: Any, n_met: int) -> None:
    if n_met == len(sums):
        sums[:] = 0
        return
    for at in range(n_met):
        sums[met[at]] = 0


@kernel
def _add_row(right: Any, row: int, weight: float, sums: Any, shared: Any, counts_shared: bool) -> None:
    indptr, columns, weights = right
    first, last = indptr[row], indptr[row + 1]
    columns, weights = columns[first:last], weights[first:last]
    if counts_shared:
        for entry in range(last - first):
            sums[columns[entry]] += weight * weights[entry]
            shared[columns[entry]] += 1
    else:
        for entry in range(last - first):
            sums[columns[entry]] += weight * weights[entry]


@kernel
def upper_products(left: Any, right: Any, start: int, stop: int, out: Any) -> None:
    """Add to the upper triangle of ``out`` that of ``left @ right``, whose columns ascend in each row."""
    indptr, columns, weights = left
    for row in range(start, stop):
        target = out[row]
        for entry in range(indptr[row], indptr[row + 1]):
            first, last = right[0][columns[entry]], right[0][columns[entry] + 1]
            others, values, weight = right[1][first:last], right[2][first:last], weights[entry]
            for at in range(last - first - 1, -1, -1):
                if others[at] < row:
                    break
                target[others[at]] += weight * values[at]


@kernel
def _met_by(columns: Any, right: Any, is_met: Any, met: Any) -> int:
    """List the columns of the product's row that may be other than zero; if they may be many, count all."""
    work = 0
    for column in columns:
        work += right[0][column + 1] - right[0][column]
    if work * _FEW >= len(met):
        return len(met)
    n_met = 0
    for column in columns:
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
def _select(columns: Any, values: Any, n: int, k: int) -> None:
    """Put the ``k`` best of the first ``n`` entries first, by Hoare's selection."""
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        value, column = values[middle], columns[middle]
        left, right = low, high
        while left <= right:
            while _is_better(values[left], columns[left], value, column):
                left += 1
            while _is_better(value, column, values[right], columns[right]):
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                columns[left], columns[right] = columns[right], columns[left]
                left += 1
                right -= 1
        if k - 1 <= right:
            high = right
        elif k - 1 >= left:
            low = left
        else:
            return


@kernel
def _is_better(value: float, column: int, other_value: float, other_column: int) -> bool:
    return value > other_value or (value == other_value and column < other_column)


@kernel
def rules(
    occurrences: Any,
    events: Any,
    places: Any,
    window: int,
    width: int,
    most: int,
    start: int,
    stop: int,
    kept_columns: Any,
    kept_values: Any,
    counts: Any,
) -> None:
    """Add up, for each item, ``1 / distance`` for what stands up to ``window`` events before it.

    The ``most`` largest sums are kept; of equal ones those with the least columns.

    ``occurrences`` is ``(indptr, indices)``: where in ``events`` each item stands. ``places`` holds how many
    events of the same history stand before each, ``window`` for more. What is kept of all items is in one
    row; ``counts`` says how much of it each item fills.
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
        if filled - begin > most:
            _select(kept_columns[begin:filled], kept_values[begin:filled], filled - begin, most)
            filled = begin + most
        counts[item - start] = filled - begin


def warm() -> None:
    """Compile for the types that they are called with."""
    columns, values = np.zeros((1, 1), dtype=np.int32), np.ones((1, 1), dtype=np.float32)
    pointers, counts = np.array([0, 1], dtype=np.int64), np.zeros(1, dtype=np.int64)
    matrix, sizes = (pointers, columns[0].view(np.uint32), values[0].copy()), values[0].copy()
    names = columns[0].copy()
    nearest(matrix, matrix, 0, 1, names, COSINE, 1.0, (sizes, sizes), names, columns, values, counts)
    places = np.zeros(1, dtype=np.uint8)
    rules((pointers, names), columns[0], places, 1, 1, 1, 0, 1, columns[0], values[0], counts)
    doubles = (*matrix[:2], np.ones(1))
    upper_products(doubles, doubles, 0, 1, np.zeros((1, 1)))
