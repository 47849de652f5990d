"""Kernels of a few dense queries, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.kernels.dense_queries import dense_moments, standardise, standardise_by, unit_scales


@pytest.mark.parametrize(("n_queries", "dim"), [(1, 1), (3, 7), (4, 64)])
def test_moments_are_those_of_all_scores(n_queries, dim):
    random = np.random.default_rng(dim)
    # A mean far above the deviation, where float32 would be too short.
    items = (100 + random.normal(size=(50, dim))).astype(np.float32)
    queries = random.normal(size=(n_queries, dim)).astype(np.float32)
    means, doubles = items.mean(axis=0, dtype=np.float64).astype(np.float32), items.astype(np.float64)
    mean, deviation = dense_moments(queries, means, np.cov(doubles.T, bias=True).reshape(dim, dim))
    scores = queries.astype(np.float64) @ doubles.T
    np.testing.assert_allclose(mean, scores.mean(axis=1), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(deviation, scores.std(axis=1), rtol=1e-5)


def test_scores_that_are_alike_or_stand_on_nothing_have_no_scale():
    mean = np.array([0, 1e3, 0, 0], np.float32)
    deviation = np.array([2, 1e-4, 1e-13, 2], np.float32)
    support = np.array([1, 1, 1, 0], np.float32)
    assert unit_scales(mean, deviation, support).tolist() == [0.5, 0, 0, 0]


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_standardised_queries_give_scores_of_mean_0_and_a_deviation_of_their_weights(dim):
    random = np.random.default_rng(dim)
    items = (3 + random.normal(size=(50, dim))).astype(np.float32)
    queries = random.normal(size=(3, dim)).astype(np.float32)
    means, covariance = items.mean(axis=0), np.cov(items.T.astype(np.float64), bias=True).reshape(dim, dim)
    support, weights = np.array([1, 2, 0], np.float32), random.random(3, dtype=np.float32)
    front, again = np.full((2, 3, dim + 2), np.nan, np.float32)
    front[:, 0] = again[:, 0] = weights
    standardise(queries, means, covariance, support, front, 0, 2)
    assert np.isnan(front[:, 1]).all()  # another view's
    scores = front[:, 2:] @ items.T + front[:, :1]
    np.testing.assert_allclose(scores.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(scores.std(axis=1), weights * (support > 0), rtol=1e-4, atol=1e-6)
    mean, deviation = dense_moments(queries, means, covariance)
    standardise_by(queries, mean, unit_scales(mean, deviation, support), again, 0, 2)
    np.testing.assert_array_equal(again, front)
