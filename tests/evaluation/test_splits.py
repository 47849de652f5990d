"""Splits by time: nothing leaks, nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.errors import DataError, ParameterError
from llmrec.evaluation import split_by_time, split_users_by_time
from llmrec.interactions import Interactions

DAY = 86_400.0


def listed(interactions):
    """Return events as sorted tuples of ids, ratings, weights and times."""
    events = interactions.events
    ratings = [None] * len(events) if events.ratings is None else events.ratings.tolist()
    users = [interactions.users[row] for row in events.user_rows.tolist()]
    items = [interactions.items[row] for row in events.item_rows.tolist()]
    return sorted(
        zip(users, items, events.weights.tolist(), ratings, events.timestamps.tolist(), strict=True)
    )


def timed(rows):
    return Interactions.from_table(
        [{"user": u, "item": i, "rating": r, "timestamp": t * DAY} for u, i, r, t in rows]
    )


tables = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(1, 5), st.integers(-20, 20)),
    min_size=1,
    max_size=40,
).map(timed)


@settings(deadline=None)
@given(tables, st.floats(0.5, 60))
def test_split_by_time_keeps_all_events_and_parts_them_at_one_moment(events, days):
    before, after = split_by_time(events, days)
    assert sorted(listed(before) + listed(after)) == listed(events)
    boundary = events.last_timestamp - days * DAY
    assert (before.events.timestamps <= boundary).all()
    assert (after.events.timestamps > boundary).all()
    assert after.n_events > 0


@settings(deadline=None)
@given(tables, st.floats(0.05, 0.95))
def test_split_users_by_time_takes_the_end_of_each_history(events, share):
    before, after = split_users_by_time(events, share)
    assert sorted(listed(before) + listed(after)) == listed(events)
    times = {
        name: {user: [event[4] for event in listed(part) if event[0] == user] for user in events.users}
        for name, part in (("before", before), ("after", after))
    }
    for user, count in zip(events.users, events.user_counts.tolist(), strict=True):
        earlier, later = times["before"][user], times["after"][user]
        assert len(later) == int(count * share)
        assert not later or max(earlier) <= min(later)


def test_parts_name_just_their_own_users_and_items():
    events = timed([("a", "x", 1, 0), ("b", "y", 2, 1), ("b", "z", 3, 9)])
    before, after = split_by_time(events, days=2)
    assert (list(before.users), list(before.items)) == (["a", "b"], ["x", "y"])
    assert (list(after.users), list(after.items)) == (["b"], ["z"])
    assert after.events.item_rows.tolist() == [0]


def test_a_part_may_grow_and_leaves_the_whole_alone():
    events = timed([("a", "x", 1, 0), ("b", "y", 2, 1), ("b", "z", 3, 9)])
    whole = listed(events)
    before, after = split_by_time(events, days=2)
    before.append(before.events.take(np.array([0])))
    assert listed(events) == whole
    assert after.n_events == 1


def test_times_before_1970_are_split_like_others():
    events = timed([("a", "x", 1, -900), ("a", "y", 1, -101), ("a", "z", 1, -100)])
    before, after = split_by_time(events, days=5)
    assert (list(before.items), list(after.items)) == (["x"], ["y", "z"])


def test_events_without_times_are_refused():
    events = Interactions.from_table([("a", "x")])
    with pytest.raises(DataError, match="times"):
        split_by_time(events, 1)
    with pytest.raises(DataError, match="times"):
        split_users_by_time(events, 0.5)


def test_wrong_sizes_are_refused():
    events = timed([("a", "x", 1, 0)])
    for days in (0, -1, float("nan"), "1"):
        with pytest.raises(ParameterError, match="days"):
            split_by_time(events, days)
    for share in (0, 1, -0.1, 1.1, None):
        with pytest.raises(ParameterError, match="share"):
            split_users_by_time(events, share)
