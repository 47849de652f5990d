"""Sparse queries of several views: the moments of their scores, and their rows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.errors import DataError
from llmrec.kernels.jit import kernel

__all__ = [
    "covariance_moments",
    "joined_rows",
    "paired_products",
    "score_moments",
    "scores_by_column",
    "sum_of_rows",
    "warm",
]

FloatArray = npt.NDArray[np.float32]


def score_moments(queries: Any, means: FloatArray, by_column: Any) -> tuple[FloatArray, FloatArray]:
    """Return the mean score of each query, and the deviation of its scores over a sample, ``(n_queries,)``.

    Only the columns that a query has are read: a product with rows of items would read them all.

    Parameters
    ----------
    queries : csr_array of shape (n_queries, dim)
    means : ndarray of shape (dim,)
        The mean of the item vectors.
    by_column : csr_array of shape (dim, n_items)
        The sample of the items, transposed.

    Raises
    ------
    DataError
        If the widths differ.

    Examples
    --------
    >>> items = sparse.csr_array(np.array([[1, 0, 3], [0, 5, 0]], dtype=np.float32))
    >>> query = sparse.csr_array(np.array([[1, 0]], dtype=np.float32))
    >>> mean, deviation = score_moments(query, np.array([4 / 3, 5 / 3], dtype=np.float32), items)
    >>> mean.round(3).tolist(), deviation.round(3).tolist()
    ([1.3329999446868896], [1.246999979019165])
    """
    if not queries.shape[1] == len(means) == by_column.shape[0]:
        raise DataError(f"the queries have {queries.shape[1]} columns, the items {by_column.shape[0]}.")
    moments = np.zeros((2, queries.shape[0]), dtype=np.float32)
    asked = queries.indptr, queries.indices, queries.data
    items = by_column.indptr, by_column.indices, by_column.data
    _moments(*asked, means, *items, np.zeros(by_column.shape[1]), moments)
    return moments[0], moments[1]


def covariance_moments(
    queries: Any, means: FloatArray, covariance: npt.NDArray[np.float64]
) -> tuple[FloatArray, FloatArray]:
    """Return the same of queries for dense items, of which the covariance is known.

    Parameters
    ----------
    queries : csr_array of shape (n_queries, dim)
    means : ndarray of shape (dim,)
    covariance : ndarray of float64, shape (dim, dim)

    Examples
    --------
    >>> items = np.array([[1, 0, 3], [3, 5, 0]], dtype=np.float32)
    >>> query = sparse.csr_array(np.array([[1, 1, 0]], dtype=np.float32))
    >>> mean, deviation = covariance_moments(query, items.mean(axis=0), np.cov(items.T, bias=True))
    >>> mean.tolist(), deviation.tolist()
    ([4.5], [3.5])
    """
    if not queries.shape[1] == len(means) == len(covariance):
        raise DataError(f"the queries have {queries.shape[1]} columns, the items {len(means)}.")
    moments = np.empty((2, queries.shape[0]), dtype=np.float32)
    _covariance_moments(queries.indptr, queries.indices, queries.data, means, covariance, moments)
    return moments[0], moments[1]


def scores_by_column(queries: Any, by_column: Any) -> FloatArray:
    """Return the ``(n_queries, n_items)`` inner products, of which only the queries' columns are read.

    Parameters
    ----------
    queries : csr_array of shape (n_queries, dim)
    by_column : csr_array of shape (dim, n_items)
        The items, transposed.

    Examples
    --------
    >>> items = sparse.csr_array(np.array([[1, 0, 3], [0, 5, 0]], dtype=np.float32))
    >>> scores_by_column(sparse.csr_array(np.array([[2, 1]], dtype=np.float32)), items).tolist()
    [[2.0, 5.0, 6.0]]
    """
    if queries.shape[1] != by_column.shape[0]:
        raise DataError(f"the queries have {queries.shape[1]} columns, the items {by_column.shape[0]}.")
    scores = np.empty((queries.shape[0], by_column.shape[1]), dtype=np.float32)
    asked = queries.indptr, queries.indices, queries.data
    _add_columns(*asked, by_column.indptr, by_column.indices, by_column.data, scores)
    return scores


def paired_products(queries: Any, items: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the inner products of each query with items of its own, in float64.

    Parameters
    ----------
    queries, items : csr_array of shape (n_queries, dim) and (n_items, dim)
    rows : ndarray of int64, shape (n_queries, n)

    Examples
    --------
    >>> items = sparse.csr_array(np.array([[1, 0], [0, 1], [2, 2]], dtype=np.float32))
    >>> query = sparse.csr_array(np.array([[1, 3]], dtype=np.float32))
    >>> paired_products(query, items, np.array([[2, 0]])).tolist()
    [[8.0, 1.0]]
    """
    products, spread = np.empty(rows.shape), np.zeros(items.shape[1])
    asked = queries.indptr, queries.indices, queries.data
    _paired(*asked, items.indptr, items.indices, items.data, rows, spread, products)
    return products


def sum_of_rows(
    bounds: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    weights: FloatArray,
    indices: npt.NDArray[Any],
    data: FloatArray,
    n_columns: int,
) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Return the columns and values of a weighted sum of sparse rows: what one history makes of its items.

    Parameters
    ----------
    bounds : pair of ndarray of shape (n_rows,)
        Where the entries of each row start and stop.
    weights : ndarray of shape (n_rows,)
    indices, data : ndarray
        Columns and values.

    Examples
    --------
    >>> rows = sparse.csr_array(np.array([[0, 1, 0], [0, 0, 9], [2, 5, 0]], dtype=np.float32))
    >>> bounds, weights = (rows.indptr[[2, 0]], rows.indptr[[3, 1]]), np.array([1, 3], dtype=np.float32)
    >>> columns, values = sum_of_rows(bounds, weights, rows.indices, rows.data, 3)
    >>> columns.tolist(), values.tolist()
    ([0, 1], [2.0, 8.0])
    """
    columns, sums = np.empty(n_columns, dtype=np.int32), np.zeros(n_columns, dtype=np.float32)
    met = np.zeros(n_columns, dtype=np.bool_)
    count = _add_rows(*bounds, weights, indices, data, met, columns, sums)
    found = columns[:count].copy()
    return found, sums[found]


def joined_rows(
    blocks: Sequence[Any], scales: Sequence[FloatArray]
) -> tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.int64], tuple[int, int]]:
    """Put ``csr_array`` blocks of equal numbers of rows side by side, each row times its block's number.

    Returned are values, columns, ``indptr`` and shape of the matrix.

    Parameters
    ----------
    blocks : sequence of csr_array of shape (n, dim of the block)
    scales : sequence of ndarray of shape (n,)
        One a block.

    Examples
    --------
    >>> one = sparse.csr_array(np.array([[1, 0], [0, 2]], dtype=np.float32))
    >>> twice = np.full(2, 2, dtype=np.float32)
    >>> values, columns, starts, shape = joined_rows([one, one], [twice / 2, twice])
    >>> sparse.csr_array((values, columns, starts), shape).toarray().tolist()
    [[1.0, 0.0, 2.0, 0.0], [0.0, 2.0, 0.0, 4.0]]
    """
    n_rows = blocks[0].shape[0]
    starts = np.zeros(n_rows + 1, dtype=np.int64)
    for block in blocks:
        starts += block.indptr
    cursors = starts[:-1].copy()
    columns, values = np.empty(starts[-1], dtype=np.int64), np.empty(starts[-1], dtype=np.float32)
    width = 0
    for block, scale in zip(blocks, scales, strict=True):
        _place(block.indptr, block.indices, block.data, scale, width, cursors, columns, values)
        width += block.shape[1]
    return values, columns, starts, (n_rows, width)


@kernel
def _moments(
    query_starts: Any,
    query_columns: Any,
    query_values: Any,
    means: Any,
    column_starts: Any,
    items: Any,
    values: Any,
    scores: Any,
    moments: Any,
) -> None:
    n_items = len(scores)
    for query in range(moments.shape[1]):
        scores[:] = 0.0
        expected = 0.0
        for entry in range(query_starts[query], query_starts[query + 1]):
            column, weight = query_columns[entry], np.float64(query_values[entry])
            expected += weight * means[column]
            for place in range(column_starts[column], column_starts[column + 1]):
                scores[items[place]] += weight * values[place]
        total = 0.0
        for item in range(n_items):
            total += scores[item]
        mean = total / max(n_items, 1)
        squares = 0.0
        for item in range(n_items):
            squares += (scores[item] - mean) ** 2
        moments[0, query] = expected
        moments[1, query] = np.sqrt(squares / max(n_items, 1))


@kernel
def _add_rows(
    starts: Any, stops: Any, weights: Any, indices: Any, data: Any, met: Any, columns: Any, sums: Any
) -> Any:
    """Add up rows, list their columns as they are met, and return how many these are."""
    count = 0
    for row in range(len(weights)):
        for place in range(starts[row], stops[row]):
            column = indices[place]
            if not met[column]:
                met[column] = True
                columns[count] = column
                count += 1
            sums[column] += weights[row] * data[place]
    return count


@kernel
def _covariance_moments(
    starts: Any, columns: Any, values: Any, means: Any, covariance: Any, moments: Any
) -> None:
    for query in range(moments.shape[1]):
        expected, variance = 0.0, 0.0
        for entry in range(starts[query], starts[query + 1]):
            row, value = columns[entry], np.float64(values[entry])
            expected += value * np.float64(means[row])
            total = 0.0
            for other in range(starts[query], starts[query + 1]):
                total += covariance[row, columns[other]] * np.float64(values[other])
            variance += value * total
        moments[0, query] = expected
        moments[1, query] = np.sqrt(max(variance, 0.0))


@kernel
def _add_columns(
    query_starts: Any,
    query_columns: Any,
    query_values: Any,
    column_starts: Any,
    items: Any,
    values: Any,
    scores: Any,
) -> None:
    sums = np.empty(scores.shape[1], np.float64)
    for query in range(len(scores)):
        sums[:] = 0.0
        for entry in range(query_starts[query], query_starts[query + 1]):
            column, weight = query_columns[entry], np.float64(query_values[entry])
            for place in range(column_starts[column], column_starts[column + 1]):
                sums[items[place]] += weight * values[place]
        scores[query] = sums


@kernel
def _paired(
    query_starts: Any,
    query_columns: Any,
    query_values: Any,
    starts: Any,
    columns: Any,
    values: Any,
    rows: Any,
    spread: Any,
    products: Any,
) -> None:
    for query in range(len(rows)):
        for entry in range(query_starts[query], query_starts[query + 1]):
            spread[query_columns[entry]] += np.float64(query_values[entry])
        for place in range(rows.shape[1]):
            total = 0.0
            for entry in range(starts[rows[query, place]], starts[rows[query, place] + 1]):
                total += np.float64(values[entry]) * spread[columns[entry]]
            products[query, place] = total
        for entry in range(query_starts[query], query_starts[query + 1]):
            spread[query_columns[entry]] = 0.0


@kernel
def _place(
    block_starts: Any,
    block_columns: Any,
    block_values: Any,
    scale: Any,
    first_column: int,
    cursors: Any,
    columns: Any,
    values: Any,
) -> None:
    for row in range(len(cursors)):
        cursor = cursors[row]
        for entry in range(block_starts[row], block_starts[row + 1]):
            columns[cursor] = first_column + block_columns[entry]
            values[cursor] = scale[row] * block_values[entry]
            cursor += 1
        cursors[row] = cursor


def warm() -> None:
    """Compile for SciPy's arrays, whose indices are of either width."""
    one = np.ones(1, dtype=np.float32)
    forms = []
    for dtype in (np.int32, np.int64):
        matrix = sparse.csr_array(np.ones((1, 1), dtype=np.float32))
        matrix.indices, matrix.indptr = matrix.indices.astype(dtype), matrix.indptr.astype(dtype)
        forms.append(matrix)
    for queries in forms:
        joined_rows([queries], [one])
        sum_of_rows((queries.indptr[:1], queries.indptr[1:]), one, queries.indices, one, 1)
        covariance_moments(queries, one, np.ones((1, 1)))
        for items in forms:
            score_moments(queries, one, items)
            scores_by_column(queries, items)
            paired_products(queries, items, np.zeros((1, 1), dtype=np.int64))
