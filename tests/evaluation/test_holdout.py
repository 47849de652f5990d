"""The piece held out to choose the blend by: later, new to its user, and never seen in the fit."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.holdout import hold_out
from llmrec.interactions import Interactions


def stream(n_users, n_events, n_items=60, seed=0, timed=True):
    """Return events in time order, of users drawn at random."""
    rng = np.random.default_rng(seed)
    pairs = zip(rng.integers(n_users, size=n_events), rng.integers(n_items, size=n_events), strict=True)
    rows = [(int(user), int(item), 1, float(time)) for time, (user, item) in enumerate(pairs)]
    return Interactions.from_table(rows if timed else [row[:2] for row in rows])


def entries(histories):
    return np.split(histories.columns, histories.indptr[1:-1])


@pytest.mark.parametrize("histories", ["sequences", "sets", "either"])
@pytest.mark.parametrize("n_users", [50, 300])
def test_later_items_are_new_to_their_user_and_the_fit_has_none_of_the_later_events(n_users, histories):
    events = stream(n_users, 4000)
    held = hold_out(events, histories)
    assert len(held.later) == len(held.user_rows) == len(np.unique(held.user_rows))
    assert held.later.lengths.min() >= 1
    met = held.earlier.histories(held.user_rows)
    for earlier, later in zip(entries(met), entries(held.later), strict=True):
        assert not set(earlier.tolist()) & set(later.tolist())
    assert (held.earlier.n_users, held.earlier.n_items) == (events.n_users, events.n_items)
    assert held.earlier.n_events < events.n_events


def test_many_known_users_are_split_at_one_moment():
    events = stream(300, 6000)
    held = hold_out(events, "sequences")
    np.testing.assert_array_equal(held.earlier.events.timestamps, np.arange(5400))
    assert held.later.timestamps.min() >= 5400


def test_few_users_are_split_at_the_end_of_each_history():
    events = stream(5, 200)
    held = hold_out(events, "sequences")
    counts, kept = events.user_counts, held.earlier.user_counts
    np.testing.assert_array_equal(counts - kept, np.maximum(1, counts // 10))
    for user in range(5):
        own = events.histories(np.array([user], np.int32)).timestamps
        np.testing.assert_array_equal(
            held.earlier.histories(np.array([user], np.int32)).timestamps, own[: kept[user]]
        )


def test_users_with_fewer_than_three_events_keep_them_all():
    pairs = [("a", i) for i in range(2)] + [("b", i) for i in range(3)]
    held = hold_out(Interactions.from_table([(user, item, 1.0, item) for user, item in pairs]), "sequences")
    assert held.user_rows.tolist() == [1]
    assert held.earlier.user_counts.tolist() == [2, 2]
    assert entries(held.later)[0].tolist() == [2]


@pytest.mark.parametrize(("histories", "timed"), [("sets", False), ("either", True)])
def test_unless_in_order_half_of_the_users_lose_their_last_events_and_half_any(histories, timed):
    pairs = [(user, item) for user in range(40) for item in range(10)]
    events = Interactions.from_table([(*pair, 1.0, pair[1]) for pair in pairs] if timed else pairs)
    held, again = hold_out(events, histories), hold_out(events, histories)
    assert held.later.lengths.tolist() == [1] * 40
    ends = held.parts == 0
    assert 5 < ends.sum() < 35
    assert set(held.later.columns[ends].tolist()) == {9}
    assert len(set(held.later.columns[~ends].tolist())) > 5
    assert held.later.columns.tolist() == again.later.columns.tolist()


def test_nobody_with_three_events_or_nothing_new_holds_out_nothing():
    assert hold_out(Interactions.from_table([("a", 1), ("a", 2), ("b", 1)]), "sets") is None
    assert hold_out(Interactions.from_table([("a", 1)] * 5), "sets") is None


def test_no_more_than_a_thousand_users_are_sampled():
    events = Interactions.from_table([(user, item) for user in range(2500) for item in range(3)])
    held = hold_out(events, "sets")
    assert 500 <= len(held.user_rows) <= 1000
    assert held.earlier.n_events == 5000
