"""Sequences are told from sets by their events."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.event_order import _expected_majority, history_kind
from llmrec.interactions import Interactions


def walks(order, *, timed=False, n_users=120, seed=0):
    """Return histories of eight neighbours on a ring of forty items, in an order of their own."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        start = rng.integers(40)
        items = order([(start + step) % 40 for step in range(8)], rng)
        # Ids in the order of appearance say nothing of the order in which items are met.
        rows += [(user, f"item {(item * 17) % 40}", 1.0, float(place)) for place, item in enumerate(items)]
    return Interactions.from_table(rows if timed else [row[:2] for row in rows])


def forwards(items, rng):
    """Mostly from one neighbour to the next, at times back."""
    if rng.random() < 0.15:
        return items[::-1]
    return items


def shuffled(items, rng):
    return [items[place] for place in rng.permutation(len(items))]


def by_item(items, rng):
    return sorted(items)


@pytest.mark.parametrize("timed", [False, True])
def test_one_of_two_neighbours_mostly_comes_first_in_a_sequence(timed):
    assert history_kind(walks(forwards, timed=timed)) == "sequences"


def test_either_comes_first_in_a_set():
    assert history_kind(walks(shuffled)) == "sets"


def test_with_times_but_without_order_histories_may_be_either():
    assert history_kind(walks(shuffled, timed=True)) == "either"


def test_a_table_sorted_by_item_says_nothing():
    assert history_kind(walks(by_item)) == "sets"


def test_events_too_few_to_tell_are_in_order_if_they_have_times():
    assert history_kind(walks(forwards, timed=True, n_users=2)) == "sequences"
    assert history_kind(walks(forwards, n_users=2)) == "sets"
    assert history_kind(Interactions.from_table([])) == "sets"


def test_the_majority_that_chance_gives():
    rng = np.random.default_rng(0)
    for n in (2, 3, 10, 64, 65, 1000):
        heads = rng.binomial(n, 0.5, 200_000)
        expected = np.maximum(heads, n - heads).mean()
        assert _expected_majority(np.array([n]))[0] == pytest.approx(expected, rel=3e-3)
