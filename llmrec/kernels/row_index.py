"""Which events belong to a row: a sorted part, and a chain backwards through those that came later."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["chain", "collect", "measure", "order_by_row", "warm"]


@kernel
def chain(rows: Any, start: int, counts: Any, last: Any, before: Any) -> None:
    """Hang events on their rows' chains; places in chains count from 1, and 0 ends one.

    ``start`` is the number of events in chains so far; ``before[place - 1]`` is the place that the chain
    goes on with.
    """
    for event in range(len(rows)):
        row = rows[event]
        before[start + event] = last[row]
        last[row] = start + event + 1
        counts[row] += 1


@kernel
def order_by_row(rows: Any, next_place: Any, order: Any) -> None:
    """Write the positions of events by row, in order; ``next_place`` holds where each row starts."""
    for event in range(len(rows)):
        row = rows[event]
        order[next_place[row]] = event
        next_place[row] += 1


@kernel
def measure(rows: Any, counts: Any, indptr: Any) -> None:
    """Write where each row's events end, one row behind the other; a row past the counts has none."""
    indptr[0] = 0
    for index in range(len(rows)):
        row = rows[index]
        indptr[index + 1] = indptr[index] + (counts[row] if 0 <= row < len(counts) else 0)


@kernel
def collect(rows: Any, sorted_part: Any, last: Any, before: Any, indptr: Any, positions: Any) -> None:
    """Write the positions of each row's events, oldest first, from ``indptr[row]`` on.

    ``sorted_part`` is a pair: the start of each row in the sorted positions, and these.
    """
    starts, order = sorted_part
    for index in range(len(rows)):
        row = rows[index]
        to = indptr[index + 1] - 1
        place = last[row] if 0 <= row < len(last) else 0
        while place > 0:
            positions[to] = len(order) + place - 1
            to -= 1
            place = before[place - 1]
        if 0 <= row < len(starts) - 1:
            for k in range(starts[row + 1] - starts[row]):
                positions[indptr[index] + k] = order[starts[row] + k]


def warm() -> None:
    """Compile for int32 rows and int64 positions."""
    row, long = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int64)
    chain(row, 0, long.copy(), long.copy(), long.copy())
    ends = np.array([0, 1])
    measure(row, long, ends)
    for order in (long, row):
        collect(row, (ends, order), long, long, ends, np.empty(1, dtype=np.int64))
        order_by_row(row, long.copy(), order.copy())
