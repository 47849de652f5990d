"""Popularity: decay by hand, the choice of a half-life, and counting on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.errors import DataError, NotFittedError, ParameterError
from llmrec.factorizers import Popularity
from llmrec.interactions import Events, Histories, IdTable, Interactions

DAY = 86_400.0


def timed(items, days, weights=None):
    """Build interactions of one user a row, an item and a day each."""
    n_events = len(items)
    given = np.ones(n_events) if weights is None else weights
    return Interactions.from_table(
        [(user, item, given[user], days[user] * DAY) for user, item in enumerate(items)]
    )


def events_of(items, days):
    n_events = len(items)
    return Events(
        np.zeros(n_events, np.int32),
        np.array(items, np.int32),
        np.ones(n_events, np.float32),
        None,
        np.array(days, np.float64) * DAY,
    )


def test_an_event_a_half_life_older_counts_half():
    table = timed(["a", "b", "b", "c", "d"], [0, 10, 20, 20, 30], weights=[1, 1, 2, 4, 1])
    counts = Popularity(half_life=10).fit(table).counts_
    np.testing.assert_allclose(counts, [1 / 8, 1 / 4 + 2 / 2, 4 / 2, 1])


def test_without_half_life_weights_add_up_whatever_their_age():
    table = timed(["a", "b", "a"], [0, 500, 9000], weights=[1, 2, 0.5])
    popularity = Popularity(half_life=None).fit(table)
    assert popularity.counts_.tolist() == [1.5, 2]
    np.testing.assert_allclose(popularity.item_vectors(), np.log1p([[1.5], [2]]), rtol=1e-6)


def test_everybody_gets_the_same_query():
    queries = Popularity().query_vectors(Histories.of([[0], [], [1, 2]], n_columns=3))
    assert queries.tolist() == [[1], [1], [1]]
    assert queries.dtype == np.float32


def test_changing_fashion_is_given_a_short_half_life():
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(60), 20)
    fashion = days // 2 + 30
    items = np.where(rng.random(len(days)) < 0.7, fashion, rng.integers(30, size=len(days)))
    popularity = Popularity().fit(timed(items.tolist(), days.tolist()))
    assert popularity.half_life_ == 2


def test_constant_taste_keeps_all_events():
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 21) ** 1.5
    items = rng.choice(20, size=2000, p=shares / shares.sum()).tolist()
    days = np.sort(rng.uniform(0, 400, 2000)).tolist()
    assert Popularity().fit(timed(items, days)).half_life_ is None


def test_equally_good_half_lives_give_way_to_none():
    assert Popularity().fit(timed(["a"] * 200, list(range(200)))).half_life_ is None


def test_auto_keeps_all_events_without_times_and_with_few_events():
    assert Popularity().fit(Interactions.from_table([(u, u % 3) for u in range(300)])).half_life_ is None
    assert Popularity().fit(timed(list(range(99)), list(range(99)))).half_life_ is None


@pytest.mark.parametrize("later_days", [[31, 31.5, 33, 40], [31, 900, 901, 950]])
def test_counting_on_equals_counting_anew_up_to_one_factor(later_days):
    later_items = [0, 3, 3, 1]
    known = timed([0, 1, 2, 0], [0, 10, 29, 30])
    popularity = Popularity(half_life=5).fit(known)
    known.items.add(3)
    for item, day in zip(later_items, later_days, strict=True):
        event = events_of([item], [day])
        known.append(event)
        popularity.partial_fit(known, event)
    anew = Popularity(half_life=5).fit(known).counts_
    factor = popularity.counts_.sum() / anew.sum()
    assert factor >= 1 - 1e-9
    np.testing.assert_allclose(popularity.counts_, anew * factor, rtol=1e-9, atol=1e-12)


def test_counting_on_without_half_life_equals_counting_anew():
    known = Interactions.from_table([("a", 0), ("b", 1)])
    popularity = Popularity(half_life=None).fit(known)
    known.items.add(2)
    event = Events(np.zeros(2, np.int32), np.array([2, 2], np.int32), np.array([1, 0.5], np.float32))
    known.append(event)
    assert popularity.partial_fit(known, event).tolist() == [2]
    assert popularity.counts_.tolist() == [1, 1, 1.5]


def test_all_items_move_when_the_reference_does():
    known = timed([0, 1, 2], [0, 0, 0])
    popularity = Popularity(half_life=1).fit(known)
    near, far = events_of([1], [39]), events_of([1], [41])
    known.append(near)
    assert popularity.partial_fit(known, near).tolist() == [1]
    assert popularity.reference_time_ == 0
    known.append(far)
    assert popularity.partial_fit(known, far).tolist() == [0, 1, 2]
    assert popularity.reference_time_ == 41 * DAY
    np.testing.assert_allclose(popularity.counts_[1], 2.0**-41 + 2.0**-2 + 1)


def test_counts_stay_finite_over_centuries():
    known = timed([0, 1], [0, 0])
    popularity = Popularity(half_life=2).fit(known)
    event = events_of([1], [100_000])
    known.append(event)
    popularity.partial_fit(known, event)
    assert np.isfinite(popularity.item_vectors()).all()
    assert popularity.counts_[1] > popularity.counts_[0] >= 0


def test_a_half_life_without_times_is_refused():
    with pytest.raises(DataError, match="timestamp"):
        Popularity(half_life=7).fit(Interactions.from_table([("a", "x")]))


@pytest.mark.parametrize("half_life", [0, -1, float("nan"), float("inf"), "week", True])
def test_a_wrong_half_life_is_refused(half_life):
    with pytest.raises(ParameterError, match="half_life"):
        Popularity(half_life=half_life).fit(timed(["a"], [0]))


def test_use_before_fit_is_refused():
    known = timed([0], [0])
    with pytest.raises(NotFittedError):
        Popularity().item_vectors()
    with pytest.raises(NotFittedError):
        Popularity().partial_fit(known, known.events)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1e6), st.floats(0.1, 10)), min_size=2, max_size=30),
    st.integers(1, 29),
    st.sampled_from([0.5, 7.0, 400.0]),
)
def test_a_stream_counts_as_all_events_at_once(drawn, n_known, half_life):
    """Up to one factor, over a million hours; what lies 500 half-lives back counts as nothing."""
    drawn = sorted(drawn, key=lambda event: event[1])
    items, hours, weights = (np.array(column) for column in zip(*drawn, strict=True))
    events = Events(items * 0, items.astype(np.int32), weights.astype(np.float32), None, hours * 3600)
    known = Interactions(IdTable([0]), IdTable(range(6)), events.take(slice(0, n_known)))
    popularity = Popularity(half_life=half_life).fit(known)
    for position in range(n_known, len(items)):
        event = events.take([position])
        known.append(event)
        before = popularity.item_vectors().copy()
        moved = popularity.partial_fit(known, event)
        changed = np.flatnonzero(popularity.item_vectors()[:, 0] != before[:, 0])
        assert set(changed.tolist()) <= set(moved.tolist())
    ages = (hours.max() - hours) / (24 * half_life)
    exact = np.bincount(items, weights.astype(np.float32) * 2.0 ** -np.minimum(ages, 1000), minlength=6)
    shares = popularity.counts_ / popularity.counts_.sum()
    np.testing.assert_allclose(shares, exact / exact.sum(), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(
        popularity.item_vectors()[:, 0], np.log1p(popularity.counts_), rtol=1e-6, atol=1e-30
    )
