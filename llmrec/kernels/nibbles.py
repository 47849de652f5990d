"""The best rows by an inner product, from half a byte a coordinate and exact scores of what that leaves.

Reading the vectors is what a search waits for, so a first pass reads an eighth of their bytes. It bounds each
score; rows that may be among the best are then scored exactly, the likely ones at once, which raises the
threshold for the others, and the doubtful ones at the end, when few are left. Whatever the bounds, the lists
are those of exact scores: wide bounds cost time and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import inlined_kernel, kernel
from llmrec.kernels.vectors import (
    GROUP,
    OCTETS,
    first_bit,
    has_nibble_products,
    nibble_products,
    nibble_products_of_four,
    prefetch,
)

__all__ = ["best_of_nibbles", "best_of_one", "encode_queries_for_nibbles", "encode_rows_in_nibbles", "warm"]

# So many queries go through a group of rows together.
_TOGETHER = 4
_ROWS_AT_A_TIME = 2048
# Vectors that are on their way at a time.
_AHEAD = 8
_ROUNDING = 2.0**-20
_LEAST_UNIT = 1e-30
# Rows' errors count at least as much as if the coded part of a query had this length.
_LEAST_SPREAD = 1e-6
_NO_ROW = 2**31 - 1
# Shares of the largest coordinate up to which codes reach; what lies beyond is cut off.
_REACHES = (1.0, 0.85, 0.7)


@kernel
def turn(values: Any) -> None:
    """Rotate a vector in place, by Hadamard's matrix of each block: coordinates become alike in size.

    Half bytes waste most of their few steps where one coordinate is ten times as large as another. The sizes
    of blocks are the powers of two that add up to the length, largest first.
    """
    start, size = 0, 1
    while 2 * size <= len(values):
        size *= 2
    while start < len(values):
        while start + size > len(values):
            size //= 2
        half = 1
        while half < size:
            for first in range(start, start + size, 2 * half):
                for one in range(first, first + half):
                    front, back = values[one], values[one + half]
                    values[one], values[one + half] = front + back, front - back
            half *= 2
        share = 1 / np.sqrt(np.float64(size))
        for one in range(start, start + size):
            values[one] *= share
        start += size


@kernel
def _error_of(values: Any, step: Any) -> Any:
    """Return the sum of squares that codes of such a step are off by."""
    error = 0.0
    for c in range(len(values)):
        code = min(15.0, max(0.0, np.floor(values[c] / step + 8.0))) - 7.5
        error += (values[c] - step * code) ** 2
    return error


@kernel
def encode_rows_in_nibbles(
    vectors: Any, rows: Any, turning: Any, codes: Any, scales: Any, errors: Any
) -> Any:
    """Write rows as half bytes, and return the length of the longest code.

    The rotated row, less the centre, is ``scales[row] * (code - 7.5)`` but for a vector as long as
    ``errors[row]``, rounded up. What it has in columns without a code counts there a million times, so that
    queries bound it by what they bound errors with, however little they ask for else.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items, dim)
    rows : ndarray of int32
    turning : ndarray of float64, shape (3, max(width, dim))
        The centre, zeros past ``dim``; and of each place before the rotation the column that comes there,
        past ``dim`` none, and with which sign. Columns past the width, in which hardly any row differs from
        the centre, have no code.
    codes : ndarray of uint8, shape (n_groups, n_octets, 64, 4)
    scales, errors : ndarray of float32, shape (n_groups * 64,)
    """
    width, longest = 8 * codes.shape[1], 0.0
    values, centre = np.empty(width, np.float64), turning[0]
    for i in range(len(rows)):
        row = rows[i]
        _spread_row(vectors[row], centre, turning, values)
        largest = 0.0
        for c in range(width):
            largest = max(largest, abs(values[c]))
        # Not below the smallest normal number, whose multiples are exact enough.
        step, least = 1.2e-38, np.inf
        for reach in _REACHES:
            tried = max(reach * largest / 7.5, 1.2e-38)
            error = _error_of(values, tried)
            if error < least:
                step, least = tried, error
        longest = max(longest, _write_row(values, step, codes, scales, errors, row))
        apart = 0.0
        for place in range(width, turning.shape[1]):
            column = np.int64(turning[1, place])
            apart += (np.float64(vectors[row, column]) - centre[column]) ** 2
        errors[row] += np.float32(np.sqrt(apart) / _LEAST_SPREAD)
    return longest


@kernel
def _spread_row(vector: Any, centre: Any, turning: Any, values: Any) -> None:
    """Set ``values`` to the rotated vector, less the centre."""
    n_columns = len(vector)
    for c in range(len(values)):
        source = np.int64(turning[1, c])
        values[c] = 0.0
        if source < n_columns:
            values[c] = (np.float64(vector[source]) - centre[source]) * turning[2, c]
    turn(values)


@kernel
def _write_row(values: Any, step: Any, codes: Any, scales: Any, errors: Any, row: Any) -> Any:
    """Write one row, with the scale that fits its codes best; return the length of the code."""
    group, place = row // GROUP, row % GROUP
    product, square = 0.0, 0.0
    for c in range(len(values)):
        code = min(15.0, max(0.0, np.floor(values[c] / step + 8.0)))
        octet, at, shift = c // 8, c % 4, 4 * (c % 8 // 4)
        kept = codes[group, octet, place, at] & np.uint8(15 << (4 - shift))
        codes[group, octet, place, at] = kept | np.uint8(np.int64(code) << shift)
        product += values[c] * (code - 7.5)
        square += (code - 7.5) ** 2
    scale = np.float32(max(product / square, 0.0))
    error = 0.0
    for c in range(len(values)):
        code = min(15.0, max(0.0, np.floor(values[c] / step + 8.0))) - 7.5
        error += (values[c] - np.float64(scale) * code) ** 2
    scales[row] = scale
    errors[row] = np.float32(np.sqrt(error) * (1 + 2.0**-22) + 1e-38 * (error > 0))
    return np.sqrt(square)


@kernel
def encode_queries_for_nibbles(
    queries: Any, turning: Any, longest: Any, words: Any, factors: Any, sums: Any
) -> None:
    """Write queries, divided by their lengths and rotated, as signed bytes.

    Parameters
    ----------
    queries : ndarray of float64, shape (n, dim)
    turning, longest
        As :func:`encode_rows_in_nibbles` takes and returns them.
    words : ndarray of int8, shape (n_tuples, n_octets, step, 2, 4)
        Filled with zeros; ``step`` queries lie side by side.
    factors : ndarray of float32, shape (n_tuples * step, 5)
        Receives the start of the sums, the unit, and by how much a score may be off: the spread times the
        row's error and the slip times its scale. The threshold, last, starts at -inf, and for places without
        a query at inf.
    sums : ndarray of float64, shape (n, 3)
        Receives the length, what the centre adds to each score, and errors that are no row's.
    """
    step, width, n_columns = words.shape[2], 8 * words.shape[1], queries.shape[1]
    factors[:, :4], factors[:, 4] = 0, np.inf
    values, zeros, middle = np.empty(width, np.float64), np.zeros(n_columns), 0.0
    for c in range(n_columns):
        middle += turning[0, c] * turning[0, c]
    scaled = np.empty(n_columns, np.float64)
    for query in range(len(queries)):
        length, shared = 0.0, 0.0
        for c in range(n_columns):
            length += queries[query, c] * queries[query, c]
        length = np.sqrt(length) if length > 0 else 1.0
        for c in range(n_columns):
            scaled[c] = queries[query, c] / length
            shared += scaled[c] * turning[0, c]
        _spread_row(scaled, zeros, turning, values)
        largest, square = 0.0, 0.0
        for c in range(width):
            largest, square = max(largest, abs(values[c])), square + values[c] * values[c]
        unit = np.float64(np.float32(max(largest / 127.0, _LEAST_UNIT)))
        total, parts, error = 0, 0, 0.0
        for c in range(width):
            whole = max(-127.0, min(127.0, np.rint(values[c] / unit)))
            error += (values[c] - unit * whole) ** 2
            words[query // step, c // 8, query % step, c % 8 // 4, c % 4] = np.int64(whole)
            total += np.int64(whole)
            parts += abs(np.int64(whole))
        square, error = np.sqrt(square), np.sqrt(error)
        # Float32 rounding of a sum, of its multiples, and of the bounds themselves; then of the rotation.
        slip = (error * longest + 16 * unit * parts * _ROUNDING / 4) * (1 + _ROUNDING)
        slip += 1e-12 * square * longest
        factors[query, 0], factors[query, 1] = -7.5 * total, unit
        factors[query, 2], factors[query, 3] = max(square, _LEAST_SPREAD) * (1 + _ROUNDING), slip
        factors[query, 4] = -np.inf
        sums[query, 0], sums[query, 1] = length, shared
        # What the centre adds is the same for all items, but final scores are rounded with it.
        sums[query, 2] = 2 * _ROUNDING * abs(shared) + 1e-13 * np.sqrt(middle) + 1e-36


@kernel
def _is_before(score: Any, row: Any, other: Any, other_row: Any) -> Any:
    return score > other or (score == other and row < other_row)


# What follows names the rows of a matrix by number: to cut one out takes longer than what is done to it.


@inlined_kernel
def _exact(dense: Any, row: Any, queries: Any, query: Any) -> Any:
    total = 0.0
    for c in range(queries.shape[1]):
        total += np.float64(dense[row, c]) * queries[query, c]
    return np.float32(total)


@kernel
def _sink(scores: Any, rows: Any, query: Any, size: Any, score: Any, row: Any) -> None:
    """Put an entry in place of the first of a query's heap, whose first is the last of its list."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _is_before(
            scores[query, child], rows[query, child], scores[query, child + 1], rows[query, child + 1]
        ):
            child += 1
        if not _is_before(score, row, scores[query, child], rows[query, child]):
            break
        scores[query, place], rows[query, place] = scores[query, child], rows[query, child]
        place = child
    scores[query, place], rows[query, place] = score, row


@kernel
def _sort(scores: Any, rows: Any, query: Any) -> Any:
    """Turn a query's heap into its list, best first; return the number of entries that are rows."""
    for size in range(rows.shape[1] - 1, 0, -1):
        last, last_row = scores[query, size], rows[query, size]
        scores[query, size], rows[query, size] = scores[query, 0], rows[query, 0]
        _sink(scores, rows, query, size, last, last_row)
    count = 0
    while count < rows.shape[1] and rows[query, count] != _NO_ROW:
        count += 1
    return count


@inlined_kernel
def _fetch(dense: Any, row: Any) -> None:
    """Ask for a vector that is scored a little later, so that several are on their way at a time."""
    size = dense.shape[1] * 4
    for line in range(0, size, 64):
        prefetch(np.uintp(dense.ctypes.data + row * size + line))


@inlined_kernel
def _settle(
    rows: Any, most: Any, n_found: Any, query: Any, dense: Any, queries: Any, sums: Any, best_scores: Any,
    best_rows: Any, threshold: Any,
) -> Any:  # fmt: skip
    """Score those rows exactly that can be among the best; return the threshold, which may be higher then."""
    n_left = 0
    for i in range(n_found):
        if most[query, i] >= threshold:
            rows[query, n_left], most[query, n_left] = rows[query, i], most[query, i]
            n_left += 1
    for i in range(min(n_left, _AHEAD)):
        _fetch(dense, rows[query, i])
    for i in range(n_left):
        if i + _AHEAD < n_left:
            _fetch(dense, rows[query, i + _AHEAD])
        if most[query, i] >= threshold:
            score, row = _exact(dense, rows[query, i], queries, query), rows[query, i]
            if _is_before(score, row, best_scores[query, 0], best_rows[query, 0]):
                _sink(best_scores, best_rows, query, best_rows.shape[1], score, row)
                if best_rows[query, 0] != _NO_ROW:
                    low = np.float64(best_scores[query, 0]) / sums[query, 0] - sums[query, 1]
                    threshold = np.float32(low - 2 * sums[query, 2] - _ROUNDING * abs(low))
    return threshold


@kernel
def _take(
    begin: Any, n_groups: Any, query: Any, scores: Any, masks: Any, scales: Any, errors: Any, factors: Any,
    dense: Any, queries: Any, sums: Any, allowed: Any, best_scores: Any, best_rows: Any, likely: Any,
    likely_most: Any, rows: Any, most: Any, n_found: Any,
) -> Any:  # fmt: skip
    """Take the hits of some groups: score the likely ones, keep the others; return how many are kept now."""
    threshold, place_of_query, n_likely = factors[query, 4], query % masks.shape[1], 0
    for group in range(n_groups):
        mask = masks[group, place_of_query]
        while mask != 0:
            place = first_bit(mask)
            mask &= mask - np.uint64(1)
            row, score = begin + group * GROUP + place, scores[group, place_of_query, place]
            if len(allowed) > 0 and not allowed[row]:
                continue
            upper = score + (factors[query, 2] * errors[row] + factors[query, 3] * scales[row])
            if score >= threshold:
                likely[query, n_likely], likely_most[query, n_likely] = row, upper
                n_likely += 1
                continue
            if n_found == rows.shape[1]:
                threshold = _settle(
                    rows, most, n_found, query, dense, queries, sums, best_scores, best_rows, threshold
                )
                n_found = 0
            rows[query, n_found], most[query, n_found] = row, upper
            n_found += 1
    factors[query, 4] = _settle(
        likely, likely_most, n_likely, query, dense, queries, sums, best_scores, best_rows, threshold
    )
    return n_found


@kernel
def _is_ordered(rows: Any, start: Any, end: Any) -> Any:
    ordered = True
    for place in range(start + 1, end):
        ordered &= rows[place - 1] <= rows[place]
    return ordered


@inlined_kernel
def _strike(
    masks: Any, place_of_query: Any, begin: Any, n_groups: Any, unwanted: Any, at: Any, end: Any
) -> Any:
    """Take the unwanted rows from ``at`` on out of the hits of some groups; return which comes next."""
    while at < end and unwanted[at] < begin + n_groups * GROUP:
        place = unwanted[at] - begin
        # Below 0 are rows that there are none of.
        if place >= 0:
            masks[place // GROUP, place_of_query] &= ~(np.uint64(1) << np.uint64(place % GROUP))
        at += 1
    return at


@kernel
def best_of_one(
    codes: Any, scales: Any, errors: Any, turning: Any, longest: Any, dense: Any, query: Any, unwanted: Any,
    best_scores: Any, best_rows: Any,
) -> Any:  # fmt: skip
    """Do what :func:`best_of_nibbles` does for one query as it comes, of which all rows but some may come.

    Returned is the number of rows, or -1 where the query is not finite or the best score beyond float32.

    Parameters
    ----------
    query : ndarray of float32, shape (1, dim)
    unwanted : ndarray of int32
        In any order.
    """
    queries, square = np.empty((1, query.shape[1])), 0.0
    for c in range(query.shape[1]):
        queries[0, c] = query[0, c]
        square += queries[0, c] * queries[0, c]
    if not np.isfinite(square):
        return -1
    if not _is_ordered(unwanted, 0, len(unwanted)):
        unwanted = np.sort(unwanted)
    ends = np.array([0, len(unwanted)])
    counts = best_of_nibbles(
        codes, scales, errors, turning, longest, dense, queries, unwanted, ends, np.empty(0, np.bool_),
        best_scores, best_rows,
    )  # fmt: skip
    return -1 if counts[0] > 0 and best_scores[0, 0] == np.inf else counts[0]


@kernel
def best_of_nibbles(
    codes: Any, scales: Any, errors: Any, turning: Any, longest: Any, dense: Any, queries: Any, unwanted: Any,
    ends: Any, allowed: Any, best_scores: Any, best_rows: Any,
) -> Any:  # fmt: skip
    """Find the best rows of some queries and their exact scores, rounded to float32; equal ones by row.

    Returned is how many rows there are of each query, ``(n,)``.

    Parameters
    ----------
    codes, scales, errors, turning, longest
        As :func:`encode_rows_in_nibbles` takes, writes or returns them; scales are nan past the items.
    dense : ndarray of float32, shape (n_items, dim)
    queries : ndarray of float64, shape (n, dim)
    unwanted : ndarray of int32
        Rows left out for query ``q``: ``unwanted[ends[q] : ends[q + 1]]``; put in order here.
    allowed : ndarray of bool, shape (n_items,) or (0,)
        Rows that may come; all, if it is empty.
    best_scores, best_rows : ndarray of float32 and int32, shape (n, k)
    """
    n_queries, n_items = len(queries), len(dense)
    step = _TOGETHER if 2 * n_queries > _TOGETHER else 1
    n_tuples = -(-n_queries // step)
    words = np.zeros((n_tuples, codes.shape[1], step, 2, 4), np.int8)
    factors, sums = np.empty((n_tuples * step, 5), np.float32), np.empty((n_queries, 3))
    encode_queries_for_nibbles(queries, turning, longest, words, factors, sums)
    for query in range(n_queries):
        if not _is_ordered(unwanted, ends[query], ends[query + 1]):
            unwanted[ends[query] : ends[query + 1]].sort()
    best_scores[:], best_rows[:], counts = -np.inf, _NO_ROW, np.zeros(n_queries, np.int64)
    following = ends[:-1].copy()
    most_groups = _ROWS_AT_A_TIME // GROUP
    scores, masks = np.empty((most_groups, step, GROUP), np.float32), np.zeros((most_groups, step), np.uint64)
    rows, most = (
        np.empty((n_queries, _ROWS_AT_A_TIME), np.int32),
        np.empty((n_queries, _ROWS_AT_A_TIME), np.float32),
    )
    likely, likely_most = np.empty_like(rows), np.empty_like(most)
    begin, n_groups = 0, 1
    while begin < n_items:
        n_groups = min(n_groups, -(-(n_items - begin) // GROUP))
        for query in range(0, n_queries, step):
            _scan(
                codes, scales, errors, begin // GROUP, n_groups, words, factors, query, scores, masks,
            )  # fmt: skip
            for own in range(query, min(query + step, n_queries)):
                following[own] = _strike(
                    masks, own - query, begin, n_groups, unwanted, following[own], ends[own + 1]
                )
                counts[own] = _take(
                    begin, n_groups, own, scores, masks, scales, errors, factors, dense, queries, sums,
                    allowed, best_scores, best_rows, likely, likely_most, rows, most, counts[own],
                )  # fmt: skip
        begin += n_groups * GROUP
        # Few rows at first, for there is no threshold yet.
        n_groups = min(2 * n_groups, most_groups)
    for own in range(n_queries):
        _settle(rows, most, counts[own], own, dense, queries, sums, best_scores, best_rows, factors[own, 4])
        counts[own] = _sort(best_scores, best_rows, own)
    return counts


@inlined_kernel
def _scan(
    codes: Any, scales: Any, errors: Any, first: Any, n_groups: Any, words: Any, factors: Any, query: Any,
    scores: Any, masks: Any,
) -> None:  # fmt: skip
    """Bound the scores of some groups for as many queries as go together, without a branch on any of them."""
    n_octets, step = codes.shape[1], words.shape[2]
    asked = np.uintp(words.ctypes.data + query * n_octets * 8)
    factor = np.uintp(factors.ctypes.data + query * 20)
    for group in range(n_groups):
        here = np.uintp(codes.ctypes.data + (first + group) * GROUP * n_octets * 4)
        scale = np.uintp(scales.ctypes.data + (first + group) * GROUP * 4)
        error = np.uintp(errors.ctypes.data + (first + group) * GROUP * 4)
        out = np.uintp(scores.ctypes.data + group * step * GROUP * 4)
        hits = np.uintp(masks.ctypes.data + group * step * 8)
        if step == 1:
            nibble_products(here, asked, n_octets // OCTETS, factor, scale, error, out, hits)
        else:
            nibble_products_of_four(here, asked, n_octets // OCTETS, factor, scale, error, out, hits)


def warm() -> None:
    """Compile the kernels of this module on a few rows."""
    if not has_nibble_products():
        return
    vectors, rows = np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int32)
    codes, scales = np.zeros((1, OCTETS, GROUP, 4), np.uint8), np.full((2, GROUP), np.nan, np.float32)
    turning = np.array([np.zeros(8 * OCTETS), np.arange(8 * OCTETS), np.ones(8 * OCTETS)])
    encode_rows_in_nibbles(vectors, rows, turning, codes, scales[0], scales[1])
    nothing, everything, ends = np.empty(0, np.int32), np.empty(0, np.bool_), np.zeros(5, np.int64)
    best = np.empty((4, 2), np.float32), np.empty((4, 2), np.int32)
    held = codes, scales[0], scales[1], turning, 1.0, vectors
    best_of_nibbles(*held, np.eye(4), nothing, ends, everything, *best)
    best_of_one(*held, vectors[:1], nothing, best[0][:1], best[1][:1])
