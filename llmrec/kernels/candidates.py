"""Finding the rows that may be among the best: bounded scores, a threshold, and exact scores of what is left.

A *bounded* score is off by no more than ``slack * scale`` of its row. The threshold is the k-th best of the
lower ends; whatever reaches it with its upper end is a candidate, so no row of the true best is ever lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel
from llmrec.kernels.vectors import (
    GROUP,
    byte_products,
    byte_products_of_two,
    first_bit,
    has_byte_products,
    reached,
)

__all__ = [
    "best_of_codes",
    "candidates_of_codes",
    "candidates_of_scores",
    "encode_queries",
    "encode_rows",
    "exact_scores",
    "place_among",
    "scores_of_codes",
    "warm",
]

_ROWS_AT_A_TIME = 2048
# Rounding to float32, of a score and of the threshold itself, as a share of the number.
_ROUNDING = 2.0**-20
# Sixteen bits in two signed bytes: 128 * 127 at most in the upper one.
_LARGEST_WORD = 16_256.0
_LEAST_UNIT = 1e-30


@kernel
def encode_rows(vectors: Any, rows: Any, centre: Any, width: Any, codes: Any, scales: Any) -> Any:
    """Write rows as bytes, and return the largest error and the largest length, in units of their scales.

    Coordinate ``c`` is ``centre[c] + width[c] * scales[row] * (code - 128)``, rounded; ``codes`` is
    ``(n_groups, n_quads, 64, 4)``.
    """
    n_columns = vectors.shape[1]
    slip, reach = 0.0, 0.0
    values = np.empty(n_columns, np.float64)
    for i in range(len(rows)):
        row = rows[i]
        group, place = row // GROUP, row % GROUP
        largest = 0.0
        for c in range(n_columns):
            values[c] = (np.float64(vectors[row, c]) - centre[c]) / width[c]
            largest = max(largest, abs(values[c]))
        # Not below the smallest normal number, whose multiples are exact enough.
        scale = np.float64(np.float32(max(largest / 127.0, 1.2e-38)))
        error, length = 0.0, 0.0
        for c in range(n_columns):
            code = max(-127.0, min(127.0, np.rint(values[c] / scale)))
            codes[group, c // 4, place, c % 4] = np.uint8(np.int64(code) + 128)
            error += (values[c] / scale - code) ** 2
            length += code * code
        scales[row] = np.float32(scale) if largest > 0 else np.float32(0)
        if largest > 0:
            slip, reach = max(slip, error), max(reach, length)
    return np.sqrt(slip), np.sqrt(reach)


@kernel
def encode_queries(
    queries: Any,
    scale: Any,
    centre: Any,
    width: Any,
    bounds: Any,
    words: Any,
    starts: Any,
    factors: Any,
    sums: Any,
) -> Any:
    """Write queries, divided by ``scale``, as numbers of sixteen bits in two signed bytes.

    Parameters
    ----------
    queries : ndarray of float64, shape (n, dim)
    bounds : ndarray of float64, shape (2,)
        The largest error and the largest length of a row, as :func:`encode_rows` returns them.
    words : ndarray of int8, shape (n_tuples, n_quads, step, 2, 4)
        Filled with zeros; ``step`` queries lie side by side.
    starts, factors : ndarray of shape (n_tuples * step, 2) and (n_tuples * step, 3)
    sums : ndarray of float64, shape (n, 3)
        Receives the leeway, the reach, and what the centre adds to each score.
    """
    step, n_columns = words.shape[2], queries.shape[1]
    values = np.empty(n_columns, np.float64)
    for query in range(len(queries)):
        largest, length, error, shared, parts = 0.0, 0.0, 0.0, 0.0, 0.0
        for c in range(n_columns):
            value = queries[query, c] / scale[query]
            shared += value * centre[c]
            parts += abs(value * centre[c])
            values[c] = value * width[c]
            length += values[c] * values[c]
            largest = max(largest, abs(values[c]))
        unit = np.float64(np.float32(max(largest / _LARGEST_WORD, _LEAST_UNIT)))
        own = words[query // step]
        place = query % step
        high_sum, low_sum = 0, 0
        for c in range(n_columns):
            whole = max(-_LARGEST_WORD, min(_LARGEST_WORD, np.rint(values[c] / unit)))
            error += (values[c] - unit * whole) ** 2
            high = (np.int64(whole) + 64) >> 7
            low = np.int64(whole) - 128 * high
            own[c // 4, place, 0, c % 4], own[c // 4, place, 1, c % 4] = high, low
            high_sum += high
            low_sum += low
        starts[query, 0], starts[query, 1] = -128 * high_sum, -128 * low_sum
        length, error = np.sqrt(length), np.sqrt(error)
        reach = (length + error) * (bounds[0] + bounds[1])
        slack = length * bounds[0] + error * bounds[1] + 2 * _ROUNDING * reach
        factors[query, 0], factors[query, 1], factors[query, 2] = unit, slack, -np.inf
        # What the centre adds is the same for all items, but final scores are rounded with it.
        sums[query, 0] = 2 * _ROUNDING * abs(shared) + 1e-13 * parts + 1e-36
        sums[query, 1], sums[query, 2] = reach, shared


@kernel
def place_among(row: Any, ordered: Any, start: Any, end: Any) -> Any:
    """Return the place from ``start`` up to ``end`` where a row is among ordered ones, or would be."""
    while start < end:
        middle = (start + end) // 2
        if ordered[middle] < row:
            start = middle + 1
        else:
            end = middle
    return start


@kernel
def _raise_least(heap: Any, value: Any) -> Any:
    """Put ``value`` in place of the least of a heap."""
    place, size = 0, len(heap)
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = value


@kernel
def _drop_hopeless(rows: Any, scores: Any, n_found: Any, scales: Any, slack: Any, threshold: Any) -> Any:
    kept = 0
    for i in range(n_found):
        if scores[i] + slack * scales[rows[i]] >= threshold:
            rows[kept], scores[kept] = rows[i], scores[i]
            kept += 1
    return kept


@kernel
def _take(
    mask: Any,
    first: Any,
    scores: Any,
    scales: Any,
    n_items: Any,
    factors: Any,
    leeway: Any,
    unwanted: Any,
    allowed: Any,
    heap: Any,
    rows: Any,
    found: Any,
    n_found: Any,
) -> Any:
    """Take the hits of one group as candidates and raise the threshold; return how many there are now.

    ``factors[1]`` is the slack, ``factors[2]`` the threshold; -1 is returned where there is no room left.
    """
    slack, threshold = factors[1], factors[2]
    while mask != 0:
        place = first_bit(mask)
        mask &= mask - np.uint64(1)
        row = first + place
        room = slack * scales[row]
        score = scores[place]
        if row >= n_items or not score + room >= threshold:
            continue
        if len(allowed) > 0 and not allowed[row]:
            continue
        at = place_among(row, unwanted, 0, len(unwanted))
        if at < len(unwanted) and unwanted[at] == row:
            continue
        if n_found == len(rows):
            n_found = _drop_hopeless(rows, found, n_found, scales, slack, threshold)
            if 2 * n_found > len(rows):
                factors[2] = threshold
                return -1
        rows[n_found], found[n_found] = row, score
        n_found += 1
        if score - room > heap[0]:
            _raise_least(heap, score - room)
            low = np.float64(heap[0])
            threshold = np.float32(low - leeway - _ROUNDING * abs(low))
    factors[2] = threshold
    return n_found


@kernel
def candidates_of_scores(
    scores: Any,
    scales: Any,
    n_items: Any,
    factors: Any,
    leeway: Any,
    unwanted: Any,
    allowed: Any,
    heap: Any,
    rows: Any,
    found: Any,
) -> Any:
    """Find the candidates among bounded scores; return their number, or -1 where there are too many.

    Parameters
    ----------
    scores, scales : ndarray of float32, shape (n,)
        ``n`` is a multiple of 64, and the scales past ``n_items`` are nan.
    factors : ndarray of float32, shape (3,)
        The unit, unused here, the slack, and the threshold, which is raised.
    leeway : float
        What is taken off the threshold besides, for errors that no row's scale tells.
    unwanted : ndarray of int32
        Rows that are left out, ascending.
    allowed : ndarray of bool, shape (n_items,) or (0,)
        Rows that may come; all, if it is empty.
    heap : ndarray of float32, shape (k,)
        Filled with -inf.
    rows, found : ndarray of int32 and float32
        Room for the candidates and their scores; they come by ascending row.
    """
    n_found = 0
    scored, scaled = scores.ctypes.data, scales.ctypes.data
    for first in range(0, n_items, GROUP):
        mask = reached(np.uintp(scored + first * 4), np.uintp(scaled + first * 4), factors[1], factors[2])
        if mask != 0:
            n_found = _take(
                mask, first, scores[first : first + GROUP], scales, n_items, factors, leeway, unwanted,
                allowed, heap, rows, found, n_found,
            )  # fmt: skip
            if n_found < 0:
                return -1
    return _drop_hopeless(rows, found, n_found, scales, factors[1], factors[2])


@kernel
def scores_of_codes(codes: Any, scales: Any, words: Any, starts: Any, factors: Any, scores: Any) -> Any:
    """Write the bounded scores of all rows for one query; ``scores`` is as long as ``scales``."""
    masks = np.empty(2, np.uint64)
    n_quads = codes.shape[1]
    coded, scaled, written = codes.ctypes.data, scales.ctypes.data, scores.ctypes.data
    for group in range(len(scales) // GROUP):
        byte_products(
            np.uintp(coded + group * n_quads * GROUP * 4), np.uintp(words.ctypes.data), n_quads,
            np.uintp(starts.ctypes.data), np.uintp(factors.ctypes.data),
            np.uintp(scaled + group * GROUP * 4), np.uintp(written + group * GROUP * 4),
            np.uintp(masks.ctypes.data),
        )  # fmt: skip


@kernel
def candidates_of_codes(
    codes: Any,
    scales: Any,
    n_items: Any,
    words: Any,
    starts: Any,
    factors: Any,
    leeway: Any,
    unwanted: Any,
    bounds: Any,
    allowed: Any,
    heaps: Any,
    rows: Any,
    found: Any,
    counts: Any,
) -> Any:
    """Scan the codes for some queries, two at a time, and find the candidates of each.

    ``words``, ``starts`` and ``factors`` are those of pairs of queries side by side, the last pair's second
    query being a copy where their number is odd; with one query alone, its own. ``unwanted[bounds[q] :
    bounds[q + 1]]`` are the rows left out for query ``q``; the rest is as in :func:`candidates_of_scores`,
    one row a query. ``counts`` receives the numbers of candidates.
    """
    n_queries, n_quads = len(counts), codes.shape[1]
    step = 1 if n_queries == 1 else 2
    scores, masks = np.empty(2 * GROUP, np.float32), np.zeros(2, np.uint64)
    coded, scaled, out, hits = codes.ctypes.data, scales.ctypes.data, scores.ctypes.data, masks.ctypes.data
    counts[:] = 0
    for begin in range(0, n_items, _ROWS_AT_A_TIME):
        end = min(begin + _ROWS_AT_A_TIME, n_items)
        for query in range(0, n_queries, step):
            asked = words.ctypes.data + query * n_quads * 8
            start, factor = starts.ctypes.data + query * 8, factors.ctypes.data + query * 12
            for first in range(begin, end, GROUP):
                here, beside = np.uintp(coded + first * n_quads * 4), np.uintp(scaled + first * 4)
                if step == 1:
                    byte_products(
                        here, np.uintp(asked), n_quads, np.uintp(start), np.uintp(factor), beside,
                        np.uintp(out), np.uintp(hits),
                    )  # fmt: skip
                else:
                    byte_products_of_two(
                        here, np.uintp(asked), n_quads, np.uintp(start), np.uintp(factor), beside,
                        np.uintp(out), np.uintp(hits),
                    )  # fmt: skip
                for one in range(step):
                    own = query + one
                    if masks[one] != 0 and own < n_queries and counts[own] >= 0:
                        counts[own] = _take(
                            masks[one], first, scores[one * GROUP : (one + 1) * GROUP], scales, n_items,
                            factors[own], leeway[own], unwanted[bounds[own] : bounds[own + 1]], allowed,
                            heaps[own], rows[own], found[own], counts[own],
                        )  # fmt: skip
    for own in range(n_queries):
        if counts[own] > 0:
            counts[own] = _drop_hopeless(
                rows[own], found[own], counts[own], scales, factors[own, 1], factors[own, 2]
            )


@kernel
def exact_scores(
    dense: Any, query: Any, starts: Any, lengths: Any, indices: Any, data: Any, columns: Any, values: Any,
    spread: Any, rows: Any, scores: Any,
) -> Any:  # fmt: skip
    """Write the inner products of one query with some rows, dense and sparse part together, in float64.

    Parameters
    ----------
    dense : ndarray of float32, shape (n_items, dim)
    query : ndarray of float64, shape (dim,)
    starts, lengths, indices, data : ndarray
        The sparse part: row ``i`` has the entries from ``starts[i]`` on.
    columns, values : ndarray
        The query's entries in the sparse part; those of one column are added up.
    spread : ndarray of float64, shape (n_columns,)
        Room for them, zeros before and after.
    """
    for i in range(len(columns)):
        spread[columns[i]] += np.float64(values[i])
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        for c in range(len(query)):
            total += np.float64(dense[row, c]) * query[c]
        if len(columns) > 0:
            for at in range(starts[row], starts[row] + lengths[row]):
                total += np.float64(data[at]) * spread[indices[at]]
        scores[i] = total
    for i in range(len(columns)):
        spread[columns[i]] = 0.0


@kernel
def best_of_codes(
    codes: Any, scales: Any, dense: Any, query: Any, centre: Any, width: Any, bounds: Any, unwanted: Any,
    allowed: Any, room: Any, best_rows: Any, best_scores: Any,
) -> Any:  # fmt: skip
    """Do all for one dense query: encode it, scan, score the candidates exactly, and sort the best.

    ``best_rows`` and ``best_scores``, int32 and float32, have a place for each row that is wanted. Returned
    is the number of rows found, or -1 where there are more candidates than ``room``.
    """
    length = 0.0
    for c in range(query.shape[1]):
        length += query[0, c] * query[0, c]
    scale = np.array([np.sqrt(length) if length > 0 else 1.0])
    words, starts = np.zeros((1, codes.shape[1], 1, 2, 4), np.int8), np.empty((1, 2), np.int32)
    factors, sums = np.empty((1, 3), np.float32), np.empty((1, 3), np.float64)
    encode_queries(query, scale, centre, width, bounds, words, starts, factors, sums)
    found, heap = np.empty((1, room), np.float32), np.full((1, len(best_rows)), np.float32(-np.inf))
    rows = np.empty((1, room), np.int32)
    counts, ends = np.zeros(1, np.int64), np.array([0, len(unwanted)])
    candidates_of_codes(
        codes, scales, len(dense), words, starts, factors, 2 * sums[:, 0], unwanted, ends, allowed, heap,
        rows, found, counts,
    )  # fmt: skip
    if counts[0] < 0:
        return -1
    n_found, none = counts[0], np.empty(0, np.int64)
    no_indices, no_data, no_room = np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.float64)
    scores = np.empty(n_found, np.float64)
    exact_scores(
        dense, query[0], none, none, no_indices, no_data, no_indices, no_data, no_room, rows[0, :n_found],
        scores,
    )  # fmt: skip
    return _keep_best(rows[0, :n_found], scores, best_rows, best_scores)


@kernel
def _keep_best(rows: Any, scores: Any, best_rows: Any, best_scores: Any) -> Any:
    """Sort the best scores, rounded, in descending order, equal ones as they come; return their number."""
    k, n_kept = len(best_rows), 0
    for i in range(len(rows)):
        score = np.float32(scores[i])
        place = n_kept if n_kept < k else k - 1
        if n_kept == k and not score > best_scores[place]:
            continue
        while place > 0 and score > best_scores[place - 1]:
            best_rows[place], best_scores[place] = best_rows[place - 1], best_scores[place - 1]
            place -= 1
        best_rows[place], best_scores[place] = rows[i], score
        n_kept = min(n_kept + 1, k)
    return n_kept


def warm() -> None:
    """Compile the kernels of this module on a few rows."""
    vectors, rows = np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int32)
    codes, scales = np.zeros((1, 1, GROUP, 4), np.uint8), np.full(GROUP, np.nan, np.float32)
    encode_rows(vectors, rows, np.zeros(4), np.ones(4), codes, scales)
    nothing, everything, found = np.empty(0, np.int32), np.empty(0, np.bool_), np.empty((2, 8), np.float32)
    some, heaps = np.empty((2, 8), np.int32), np.full((2, 1), -np.inf, np.float32)
    factors = np.array([[1, 1, -np.inf]] * 2, dtype=np.float32)
    candidates_of_scores(
        np.zeros(GROUP, np.float32),
        scales,
        4,
        factors[0],
        0.0,
        nothing,
        everything,
        heaps[0],
        some[0],
        found[0],
    )
    counts, words, starts = (
        np.zeros(2, np.int64),
        np.zeros((1, 1, 2, 2, 4), np.int8),
        np.zeros((2, 2), np.int32),
    )
    asked = np.eye(2, 4)
    encode_queries(
        asked, np.ones(2), np.zeros(4), np.ones(4), np.ones(2), words, starts, factors, np.empty((2, 3))
    )
    if has_byte_products():
        scores_of_codes(codes, scales, words[0, :, 0], starts[0], factors[0], np.empty(GROUP, np.float32))
        best_of_codes(
            codes, scales, vectors, asked[:1], np.zeros(4), np.ones(4), np.ones(2), nothing, everything, 8,
            some[0, :1], found[0, :1],
        )  # fmt: skip
        candidates_of_codes(
            codes, scales, 4, words, starts, factors, np.zeros(2), nothing, np.zeros(3, np.int64), everything,
            heaps, some, found, counts,
        )  # fmt: skip
    long, doubles = np.zeros(4, np.int64), np.ones(4)
    thin = (long, long, nothing, vectors[0], nothing, vectors[0, :0])
    exact_scores(vectors, doubles, *thin, doubles, rows, np.empty(4))
