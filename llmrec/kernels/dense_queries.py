"""A few dense queries: the moments of their scores, and the queries whose scores have unit deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.kernels.jit import brief_kernel, kernel

__all__ = ["dense_moments", "scores_by_column", "standardise", "standardise_by", "unit_scales", "warm"]

FloatArray = npt.NDArray[np.float32]


def dense_moments(
    queries: FloatArray, means: FloatArray, covariance: npt.NDArray[np.float64]
) -> tuple[FloatArray, FloatArray]:
    """Return the mean score of each query and the deviation of its scores, ``(n_queries,)``.

    For a few queries and columns; for many, a product of matrices reads the covariance less often.

    Parameters
    ----------
    queries : ndarray of float32, shape (n_queries, dim)
    means : ndarray of shape (dim,)
        The mean of the item vectors.
    covariance : ndarray of float64, shape (dim, dim)

    Examples
    --------
    >>> items = np.array([[1, 0], [3, 4]], dtype=np.float32)
    >>> query = np.array([[1, 1]], dtype=np.float32)
    >>> mean, deviation = dense_moments(query, items.mean(axis=0), np.cov(items.T, bias=True))
    >>> mean.tolist(), deviation.tolist()
    ([4.0], [3.0])
    """
    moments = np.empty((2, len(queries)), dtype=np.float32)
    _moments(queries, means, covariance, moments)
    return moments[0], moments[1]


def unit_scales(mean: FloatArray, deviation: FloatArray, support: FloatArray) -> FloatArray:
    """Return one over the deviation of each query's scores.

    It is 0 where they are alike but for rounding, or where the query stands on nothing.

    Examples
    --------
    >>> ones = np.ones(2, dtype=np.float32)
    >>> unit_scales(ones, np.array([4, 1e-9], dtype=np.float32), ones).tolist()
    [0.25, 0.0]
    """
    scales = np.empty(len(mean), dtype=np.float32)
    _scale(mean, deviation, support, scales)
    return scales


def scores_by_column(queries: FloatArray, by_column: FloatArray) -> FloatArray:
    """Return the ``(n_queries, n_items)`` inner products, of which only columns that queries use are read.

    Parameters
    ----------
    queries : ndarray of float32, shape (n_queries, dim)
    by_column : ndarray of float32, shape (dim, n_items)
        The items, transposed.

    Examples
    --------
    >>> items = np.array([[1, 0, 3], [0, 5, 0]], dtype=np.float32)
    >>> scores_by_column(np.array([[2, 1, 0]], dtype=np.float32), np.ascontiguousarray(items.T)).tolist()
    [[2.0, 5.0]]
    """
    scores = np.zeros((len(queries), by_column.shape[1]), dtype=np.float32)
    _add_columns(queries, by_column, scores)
    return scores


@brief_kernel
def standardise(
    queries: Any, means: Any, covariance: Any, support: Any, front: Any, column: int, start: int
) -> None:
    """Write a few queries so that their scores have mean 0 and a deviation of their weights.

    Parameters
    ----------
    queries, means, covariance
        As for :func:`dense_moments`.
    support : ndarray of float32, shape (n_queries,)
        As for :func:`unit_scales`.
    front : ndarray of float32, shape (n_queries, n_columns)
        Holds their weights in ``column``, and receives minus their mean score there; the scaled queries from
        column ``start`` on.

    Examples
    --------
    >>> ones, front = np.ones((1, 2), dtype=np.float32), np.full((1, 3), 2, dtype=np.float32)
    >>> standardise(ones, 2 * ones[0], 8 * np.eye(2), ones[0, :1], front, 0, 1)
    >>> front.tolist()
    [[-2.0, 0.5, 0.5]]
    """
    moments, scales = np.empty((2, len(queries)), np.float32), np.empty(len(queries), np.float32)
    _moments(queries, means, covariance, moments)
    _scale(moments[0], moments[1], support, scales)
    standardise_by(queries, moments[0], scales, front, column, start)


@brief_kernel
def standardise_by(queries: Any, mean: Any, scales: Any, front: Any, column: int, start: int) -> None:
    """Write what :func:`standardise` does, of queries whose mean scores and :func:`unit_scales` are known."""
    for query in range(len(queries)):
        scale = scales[query] * front[query, column]
        front[query, column] = -mean[query] * scale
        for place in range(queries.shape[1]):
            front[query, start + place] = queries[query, place] * scale


@kernel
def _add_columns(queries: Any, by_column: Any, scores: Any) -> None:
    for query in range(len(queries)):
        for column in range(queries.shape[1]):
            value = queries[query, column]
            if value != 0:
                for item in range(scores.shape[1]):
                    scores[query, item] += value * by_column[column, item]


@brief_kernel
def _moments(queries: Any, means: Any, covariance: Any, moments: Any) -> None:
    # In float64: rounded in float32, a mean far above its deviation would depend on the batch, and a spread
    # is a difference of large numbers.
    n_columns = queries.shape[1]
    for query in range(queries.shape[0]):
        expected, variance = 0.0, 0.0
        for row in range(n_columns):
            value = np.float64(queries[query, row])
            expected += value * np.float64(means[row])
            # Of a symmetric matrix half is enough.
            total = 0.0
            for column in range(row):
                total += covariance[row, column] * np.float64(queries[query, column])
            variance += value * (2 * total + covariance[row, row] * value)
        moments[0, query] = expected
        moments[1, query] = np.sqrt(max(variance, 0.0))


@brief_kernel
def _scale(mean: Any, deviation: Any, support: Any, scales: Any) -> None:
    for query in range(len(mean)):
        least = max(1e-6 * abs(np.float64(mean[query])), 1e-12)
        is_usable = support[query] > 0 and deviation[query] > least
        scales[query] = np.float32(1) / deviation[query] if is_usable else np.float32(0)


def warm() -> None:
    """Compile for the arrays that fusers have."""
    one = np.ones(1, dtype=np.float32)
    scores_by_column(one[:, None], one[:, None])
    mean, deviation = dense_moments(one[:, None], one, np.ones((1, 1)))
    front, scales = np.ones((1, 2), dtype=np.float32), unit_scales(mean, deviation, one)
    standardise_by(one[:, None], mean, scales, front, 0, 1)
    standardise(one[:, None], one, np.ones((1, 1)), one, front, 0, 1)
