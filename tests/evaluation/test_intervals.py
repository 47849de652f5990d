"""Intervals hold what they promise; tests find a difference where there is one and none where not."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.errors import DataError, ParameterError
from llmrec.evaluation import bootstrap_interval, paired_test


def test_the_interval_is_about_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(3, 2, size=(400, 2))
    low, high = bootstrap_interval(values, n_resamples=4000)
    margin = 1.96 * values.std(axis=0) / 20
    np.testing.assert_allclose(low, values.mean(axis=0) - margin, atol=0.03)
    np.testing.assert_allclose(high, values.mean(axis=0) + margin, atol=0.03)


def test_intervals_cover_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(1)
    samples = (rng.random((100, 300)) < 0.3).astype(float)
    low, high = bootstrap_interval(samples, level=0.9)
    assert 0.84 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.96


def test_missing_values_are_left_out():
    values = np.array([1.0, 2, 3, 4] * 20)
    holes = np.concatenate([values, np.full(40, np.nan)])
    low, high = bootstrap_interval(np.stack([holes, np.full(120, np.nan)], axis=1))
    plain_low, plain_high = bootstrap_interval(values)
    assert low[0] == pytest.approx(plain_low, abs=0.1)
    assert high[0] == pytest.approx(plain_high, abs=0.1)
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_the_test_enumerates_swaps():
    # Of the 16 sign patterns of four equal differences two are as extreme as what was seen.
    p = paired_test(np.ones(4), np.zeros(4), n_resamples=20_000)
    assert float(p) == pytest.approx(2 / 16, abs=0.01)


def test_no_difference_gives_one_and_chance_gives_any_p():
    rng = np.random.default_rng(2)
    assert float(paired_test(np.arange(5.0), np.arange(5.0))) == 1
    p = paired_test(rng.normal(size=(60, 400)), rng.normal(size=(60, 400)), n_resamples=400)
    assert 0.02 <= np.mean(p < 0.05) <= 0.09
    assert 0.4 <= p.mean() <= 0.6


def test_results_depend_on_the_seed_alone(monkeypatch):
    from llmrec.evaluation import intervals

    values = np.random.default_rng(3).random((50, 3))
    first = bootstrap_interval(values, random_state=4)
    tested = paired_test(values, values[::-1], random_state=4)
    monkeypatch.setattr(intervals, "_CELLS_AT_A_TIME", 700)
    np.testing.assert_allclose(bootstrap_interval(values, random_state=4), first, atol=1e-12)
    np.testing.assert_array_equal(paired_test(values, values[::-1], random_state=4), tested)
    assert not np.array_equal(bootstrap_interval(values, random_state=5)[0], first[0])


def test_wrong_arguments_are_refused():
    with pytest.raises(DataError, match="one row a user"):
        bootstrap_interval([])
    with pytest.raises(ParameterError, match="level"):
        bootstrap_interval([1.0], level=1.5)
    with pytest.raises(ParameterError, match="n_resamples"):
        paired_test([1.0], [2.0], n_resamples=0)
