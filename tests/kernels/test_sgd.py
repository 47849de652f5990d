"""Gradient steps and sampled items against loops over NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.kernels import sgd

ROOM = (np.int32, np.int32, np.float32)


def steps_by_numpy(users, items, targets, user_vectors, item_vectors, rates, ridge):
    for user, item, target in zip(users, items, targets, strict=True):
        p, q = user_vectors[user].copy(), item_vectors[item].copy()
        error = target - p @ q
        user_vectors[user] = p + rates[0] * (error * q - ridge * p)
        item_vectors[item] = q + rates[1] * (error * p - ridge * q)


def drawn(n_known, *, n_events=1, n_items=50, seed=0, first=0, wanted=5, met=(3, 7, 7, 11)):
    """Return the steps of events of one user, all with item 7, with some of the history known by then."""
    events = (np.zeros(n_events, np.int32), np.full(n_events, 7, np.int32), np.ones(n_events, np.float32))
    room = tuple(np.empty(n_events * (1 + wanted), dtype=dtype) for dtype in ROOM)
    owners, indptr = np.zeros(n_events, np.int64), np.array([0, len(met)])
    known = np.full(n_events, n_known, np.int64)
    catalogue = (n_items, seed, first)
    met = np.array(met, np.int32)
    n_steps = sgd.spread_events(events, owners, indptr, met, known, catalogue, room, wanted)
    return [column[:n_steps] for column in room]


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_steps_equal_those_of_numpy(dim):
    rng = np.random.default_rng(dim)
    users, items = (rng.integers(n, size=200).astype(np.int32) for n in (5, 9))
    targets = rng.normal(size=200).astype(np.float32)
    vectors = [rng.normal(scale=0.3, size=(n, dim)) for n in (5, 9)]
    rates = 0.05 * rng.integers(2, size=(2, dim))
    ours = [one.astype(np.float32) for one in vectors]
    assert sgd.take_steps(users, items, targets, *ours, rates.astype(np.float32), 0.02) == 200
    steps_by_numpy(users, items, targets, *vectors, rates, 0.02)
    np.testing.assert_allclose(ours[0], vectors[0], atol=1e-5)
    np.testing.assert_allclose(ours[1], vectors[1], atol=1e-5)


def test_a_single_step_is_that_of_many():
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(n, 4)).astype(np.float32) for n in (2, 3)]
    one, many = ([side.copy() for side in start] for _ in range(2))
    rates = np.full((2, 4), 0.1, np.float32)
    assert sgd.take_step(1, 2, 1.0, *one, rates, 0.1)
    sgd.take_steps(
        np.array([1], np.int32), np.array([2], np.int32), np.ones(1, np.float32), *many, rates, 0.1
    )
    np.testing.assert_array_equal(one[0], many[0])
    np.testing.assert_array_equal(one[1], many[1])
    assert not np.array_equal(one[0], start[0])


@pytest.mark.parametrize(("user", "item"), [(2, 0), (-1, 0), (0, 3), (0, -1)])
def test_pairs_without_vectors_are_not_touched(user, item):
    vectors = [np.ones((n, 4), np.float32) for n in (2, 3)]
    rates = np.full((2, 4), 0.1, np.float32)
    users, items = np.array([0, user], np.int32), np.array([0, item], np.int32)
    assert not sgd.take_step(user, item, 1.0, *vectors, rates, 0.1)
    assert (vectors[0] == 1).all()
    assert sgd.take_steps(users, items, np.ones(2, np.float32), *vectors, rates, 0.1) == 1


def test_an_event_comes_before_what_is_drawn_for_it():
    users, items, targets = drawn(4, n_events=3)
    assert len(items) == 18
    assert items[::6].tolist() == [7, 7, 7]
    assert targets.tolist() == ([1] + [0] * 5) * 3
    assert not users.any()


def test_nothing_known_is_drawn_and_what_comes_later_may_be():
    many = {"n_events": 400, "n_items": 12}
    assert set(drawn(4, **many)[1]) == set(range(12)) - {3, 11}
    assert set(drawn(2, **many)[1]) == set(range(12)) - {3}
    assert drawn(4, n_items=1, met=(0, 0, 0, 0))[1].tolist() == [7]


def test_items_are_drawn_alike_often():
    items = drawn(0, n_events=4000, n_items=10)[1].reshape(-1, 6)[:, 1:]
    counts = np.bincount(items.ravel(), minlength=10)
    # Five standard deviations of a binomial of 20,000 and a tenth.
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(20_000 * 0.1 * 0.9)


def test_draws_depend_on_the_seed_and_the_number_of_the_event():
    together = drawn(4, n_events=3, first=5)[1]
    apart = [drawn(4, first=first)[1] for first in (5, 6, 7)]
    np.testing.assert_array_equal(together, np.concatenate(apart))
    assert not np.array_equal(apart[0], apart[1])
    assert not np.array_equal(together, drawn(4, n_events=3, first=5, seed=1)[1])
