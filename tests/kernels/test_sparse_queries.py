"""Kernels of sparse queries, beside NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec.errors import DataError
from llmrec.growing_rows import GrowingRows, row_bounds
from llmrec.kernels.sparse_queries import (
    covariance_moments,
    joined_rows,
    score_moments,
    scores_by_column,
    sum_of_rows,
)


def matrix(seed, n_rows, n_columns):
    random = np.random.default_rng(seed)
    kept = random.random((n_rows, n_columns)) < 0.3
    return sparse.csr_array(np.where(kept, random.normal(size=kept.shape), 0).astype(np.float32))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 5), st.integers(1, 9), st.integers(1, 30))
def test_moments_are_those_of_all_scores(seed, n_queries, width, n_items):
    queries, items = matrix(seed, n_queries, width), matrix(seed + 1, n_items, width)
    means = np.asarray(items.mean(axis=0), dtype=np.float32)
    mean, deviation = score_moments(queries, means, sparse.csr_array(items.T))
    scores = queries.toarray().astype(np.float64) @ items.toarray().astype(np.float64).T
    np.testing.assert_allclose(mean, scores.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(deviation, scores.std(axis=1), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 5), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_joined_rows_are_stacked_and_scaled(seed, n_rows, widths):
    blocks = [matrix(seed + place, n_rows, width) for place, width in enumerate(widths)]
    scales = np.random.default_rng(seed).normal(size=(len(blocks), n_rows)).astype(np.float32)
    values, columns, starts, shape = joined_rows(blocks, list(scales))
    joined = sparse.csr_array((values, columns, starts), shape)
    expected = np.hstack([one.toarray() * scale[:, None] for one, scale in zip(blocks, scales, strict=True)])
    np.testing.assert_allclose(joined.toarray(), expected, rtol=1e-6)
    assert joined.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 5), st.integers(1, 9), st.integers(2, 30))
def test_a_covariance_gives_the_moments_of_all_scores(seed, n_queries, width, n_items):
    queries, items = matrix(seed, n_queries, width), matrix(seed + 1, n_items, width).toarray()
    covariance = np.cov(items.T.astype(np.float64), bias=True).reshape(width, width)
    mean, deviation = covariance_moments(queries, items.mean(axis=0), covariance)
    scores = queries.toarray().astype(np.float64) @ items.astype(np.float64).T
    np.testing.assert_allclose(mean, scores.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(deviation, scores.std(axis=1), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 5), st.integers(1, 9), st.integers(1, 30))
def test_scores_by_column_are_inner_products(seed, n_queries, width, n_items):
    queries, items = matrix(seed, n_queries, width), matrix(seed + 1, n_items, width)
    scores = scores_by_column(queries, sparse.csr_array(items.T))
    np.testing.assert_allclose(scores, (queries @ items.T).toarray(), atol=1e-5)
    assert scores.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 9), st.lists(st.integers(0, 19), max_size=9), st.booleans())
def test_a_sum_of_rows_is_that_of_numpy(seed, width, rows, is_growing):
    items, weights = matrix(seed, 20, width), np.arange(1, len(rows) + 1, dtype=np.float32)
    if is_growing:
        items = GrowingRows(items)
        items.replace(np.array([3, 19]), matrix(seed + 1, 2, width))
    places = np.array(rows, dtype=np.int64)
    *bounds, indices, data = row_bounds(items, places)
    columns, values = sum_of_rows(tuple(bounds), weights, indices, data, width)
    assert len(set(columns.tolist())) == len(columns)
    found = np.zeros(width)
    found[columns] = values
    np.testing.assert_allclose(found, weights @ items.toarray()[places], atol=1e-4)


def test_widths_that_differ_are_refused():
    with pytest.raises(DataError, match="the queries have 3 columns, the items 2"):
        score_moments(matrix(0, 1, 3), np.zeros(3, np.float32), matrix(1, 2, 4))
    with pytest.raises(DataError, match="the queries have 3 columns, the items 2"):
        covariance_moments(matrix(0, 1, 3), np.zeros(2, np.float32), np.eye(2))
    with pytest.raises(DataError, match="the queries have 3 columns, the items 2"):
        scores_by_column(matrix(0, 1, 3), matrix(1, 2, 4))
