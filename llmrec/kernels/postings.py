"""Sparse item vectors by column: which items have a column, so that a query reads only the columns it has.

The bulk lies column by column, rows ascending; what came later hangs on a chain for each column. A
changed entry is written where it stands, a vanished one becomes 0, and nothing is moved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["add_columns", "place_of", "replace_entries", "warm"]


@kernel
def place_of(column: Any, row: Any, indptr: Any, rows: Any) -> Any:
    """Return where a column's bulk has an entry for ``row``, or -1."""
    start, end = indptr[column], indptr[column + 1]
    last = end
    while start < end:
        middle = (start + end) // 2
        if rows[middle] < row:
            start = middle + 1
        else:
            end = middle
    return start if start < last and rows[start] == row else -1


@kernel
def _link_of(column: Any, row: Any, heads: Any, links: Any, late_rows: Any) -> Any:
    link = heads[column]
    while link >= 0 and late_rows[link] != row:
        link = links[link]
    return link


@kernel
def replace_entries(
    row: Any,
    old: Any,
    new: Any,
    values: Any,
    indptr: Any,
    rows: Any,
    data: Any,
    heads: Any,
    links: Any,
    late_rows: Any,
    late_data: Any,
    n_late: Any,
) -> Any:
    """Replace the entries of one row, whose columns were ``old`` and become ``new``; return ``n_late``.

    ``heads`` holds the first link of each column, or -1; ``links``, ``late_rows`` and ``late_data`` have room
    for all of ``new`` behind the ``n_late`` links in use.
    """
    for i in range(len(old)):
        at = place_of(old[i], row, indptr, rows)
        if at >= 0:
            data[at] = 0
        else:
            link = _link_of(old[i], row, heads, links, late_rows)
            if link >= 0:
                late_data[link] = 0
    for i in range(len(new)):
        column = new[i]
        at = place_of(column, row, indptr, rows)
        if at >= 0:
            # Added, in case a column comes twice in a row.
            data[at] += values[i]
            continue
        link = _link_of(column, row, heads, links, late_rows)
        if link < 0:
            link = n_late
            links[link], late_rows[link], late_data[link] = heads[column], row, 0
            heads[column] = link
            n_late += 1
        late_data[link] += values[i]
    return n_late


@kernel
def add_columns(
    columns: Any,
    values: Any,
    indptr: Any,
    rows: Any,
    data: Any,
    heads: Any,
    links: Any,
    late_rows: Any,
    late_data: Any,
    scores: Any,
) -> Any:
    """Add the products of a query with all items, of which ``columns`` and ``values`` are the entries."""
    for i in range(len(columns)):
        column, value = columns[i], values[i]
        for at in range(indptr[column], indptr[column + 1]):
            scores[rows[at]] += value * data[at]
        link = heads[column]
        while link >= 0:
            scores[late_rows[link]] += value * late_data[link]
            link = links[link]


def warm() -> None:
    """Compile the kernels of this module on a single entry."""
    places, row = np.zeros(2, np.int64), np.zeros(1, np.int32)
    values, heads = np.ones(1, np.float32), np.full(1, -1, np.int64)
    bulk = (places, row, values, heads, heads.copy(), row.copy(), values.copy())
    replace_entries(0, row, row, values, *bulk, 0)
    add_columns(row, values, *bulk, np.zeros(1, np.float32))
