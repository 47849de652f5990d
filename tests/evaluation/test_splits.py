"""Splits: nothing leaks, nothing is lost."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.errors import DataError, ParameterError
from llmrec.evaluation import (
    Split,
    leave_one_out,
    split_by_time,
    split_cold_items,
    split_cold_users,
    split_k_fold,
    split_users_at_random,
    split_users_by_time,
)
from llmrec.interactions import Interactions

DAY = 86_400.0


def listed(interactions):
    """Return events as sorted tuples of ids, ratings, weights and times."""
    events = interactions.events
    ratings = [None] * len(events) if events.ratings is None else events.ratings.tolist()
    times = [None] * len(events) if events.timestamps is None else events.timestamps.tolist()
    users = [interactions.users[row] for row in events.user_rows.tolist()]
    items = [interactions.items[row] for row in events.item_rows.tolist()]
    return sorted(zip(users, items, events.weights.tolist(), ratings, times, strict=True))


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


SPLITS = {
    "time, days": lambda events, **more: split_by_time(events, 6, **more),
    "time, share": lambda events, **more: split_by_time(events, share=0.3, **more),
    "users by time": lambda events, **more: split_users_by_time(events, 0.3, **more),
    "users at random": lambda events, **more: split_users_at_random(events, 0.3, keep_times=True, **more),
    "leave one out": leave_one_out,
    "cold items": lambda events, **more: split_cold_items(events, 0.3, **more),
    "cold users": lambda events, **more: split_cold_users(events, 0.3, **more),
}


def crowd(seed=0):
    rng = np.random.default_rng(seed)
    return timed([(int(rng.integers(9)), int(rng.integers(12)), 3, day / 10) for day in range(200)])


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("validation", [False, True])
def test_every_event_is_in_one_part(split, validation):
    events = crowd()
    parts = list(split(events, validation=validation))
    assert len(parts) == 2 + validation
    assert all(part.n_events for part in parts)
    assert sorted(event for part in parts for event in listed(part)) == listed(events)


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_a_split_is_the_same_each_time_and_reads_tables(split):
    rows = [{"user": u, "item": i, "rating": r, "timestamp": t} for u, i, _, r, t in listed(crowd())]
    first, second = split(Interactions.from_table(rows)), split(rows)
    assert listed(first.train) == listed(second.train)
    assert listed(first.test) == listed(second.test)


@pytest.mark.parametrize("split", [split_users_at_random, split_cold_items, split_cold_users, split_k_fold])
def test_random_splits_depend_on_the_seed(split):
    def tests(seed):
        found = split(crowd(), random_state=seed)
        return [listed(one.test) for one in ([found] if isinstance(found, Split) else found)]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)


def test_at_random_each_user_gives_their_share_from_anywhere():
    events = crowd()
    train, test = split_users_at_random(events, 0.3, keep_times=True)
    given = dict(zip(test.users, test.user_counts.tolist(), strict=True))
    for user, count in zip(events.users, events.user_counts.tolist(), strict=True):
        assert given.get(user, 0) == int(count * 0.3)
    assert test.events.timestamps.min() < np.median(events.events.timestamps) < train.last_timestamp


def test_the_share_in_time_is_rounded_down_and_keeps_a_moment_whole():
    events = timed([("a", n, 1, day) for n, day in enumerate([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])])
    assert list(split_by_time(events, share=0.25).test.items) == [8, 9]
    tied = timed([("a", n, 1, day) for n, day in enumerate([0, 1, 2, 3, 5, 5, 5, 5, 5, 5])])
    assert list(split_by_time(tied, share=0.2).test.items) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "at", [3 * DAY, dt.datetime(1970, 1, 4), dt.date(1970, 1, 4), np.datetime64("1970-01-04")]
)
def test_at_a_moment_what_happens_then_is_later(at):
    events = timed([("a", n, 1, n) for n in range(5)])
    assert list(split_by_time(events, at=at).test.items) == [3, 4]


def test_leave_one_out_takes_the_last_event_of_whoever_has_two():
    events = timed([("a", "x", 1, 5), ("a", "y", 1, 2), ("b", "z", 1, 1)])
    train, test = leave_one_out(events)
    assert list(test.items) == ["x"]
    assert sorted(train.users) == ["a", "b"]


def test_folds_cover_each_event_once():
    events = crowd()
    folds = list(split_k_fold(events, 4, keep_times=True, random_state=3))
    assert len(folds) == 4
    assert sorted(event for fold in folds for event in listed(fold.test)) == listed(events)
    for fold in folds:
        assert fold.test.n_events == 50
        assert sorted(listed(fold.train) + listed(fold.test)) == listed(events)


def test_cold_items_and_users_are_unknown_to_train():
    events = crowd()
    train, test = split_cold_items(events, 0.25)
    assert len(test.items) == 3
    assert not set(train.items) & set(test.items)
    train, test = split_cold_users(events, 0.25)
    assert len(test.users) == 2
    assert not set(train.users) & set(test.users)


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_the_tables_of_train_hold_its_own_ids_alone(split):
    train = split(crowd()).train
    assert (train.user_counts > 0).all()
    assert (train.item_counts > 0).all()


def test_wrong_splits_are_refused():
    events = crowd()
    with pytest.raises(ParameterError, match="one of days, share and at"):
        split_by_time(events)
    with pytest.raises(ParameterError, match="one of days, share and at"):
        split_by_time(events, 3, share=0.2)
    with pytest.raises(ParameterError, match="one moment"):
        split_by_time(events, at=0, validation=True)
    with pytest.raises(ParameterError, match="at must be"):
        split_by_time(events, at="tomorrow")
    with pytest.raises(ParameterError, match="n_folds"):
        split_k_fold(events, 1)
    with pytest.raises(ParameterError, match="200 events"):
        split_k_fold(events, 201)
    for split in (split_users_at_random, split_cold_items, split_cold_users):
        with pytest.raises(ParameterError, match="share"):
            split(events, 1)
        with pytest.raises(ParameterError, match="random_state"):
            split(events, random_state=-1)
    with pytest.raises(DataError, match="two items"):
        split_cold_items([("a", "x"), ("b", "x")])


def test_parts_that_were_split_elsewhere():
    split = Split.from_tables([("a", "x")], [("a", "y")], [("a", "z")])
    assert [list(part.items) for part in split] == [["x"], ["z"], ["y"]]
    assert repr(split) == "Split(1 events to learn from, 1 to choose by, 1 to be judged by)"


def test_random_parts_have_no_times_unless_asked_for():
    events = timed([(user, item, 3, item) for user in range(4) for item in range(10)])
    for split in (split_users_at_random(events), next(split_k_fold(events))):
        assert split.train.events.timestamps is None
        assert split.test.events.timestamps is None
        assert split.train.n_events + split.test.n_events == 40
    assert events.events.timestamps is not None
    assert split_users_at_random(events, keep_times=True).train.events.timestamps is not None


@pytest.mark.parametrize("validation", [False, True])
def test_of_cold_users_the_earlier_part_is_shown(validation):
    events = crowd()
    split = split_cold_users(events, 0.3, shown=0.75, validation=validation)
    whole = split_cold_users(events, 0.3, validation=validation)
    assert listed(split.train) == listed(whole.train)
    judged = [split.test, *([split.validation] if validation else [])]
    assert sorted(event for part in (split.train, *judged, split.shown) for event in listed(part)) == listed(
        events
    )
    assert not set(split.shown.users) & set(split.train.users)
    times = events.events.timestamps
    for part in judged:
        for user, count in zip(part.users, part.user_counts.tolist(), strict=True):
            own = np.sort(times[events.events.user_rows == events.users.row(user)])
            assert count == len(own) - np.ceil(len(own) * 0.75)
            mine = part.events.timestamps[part.events.user_rows == part.users.row(user)]
            np.testing.assert_array_equal(np.sort(mine), own[-count:])


def test_without_times_what_is_shown_is_drawn():
    events = Interactions.from_table([(user, item) for user in range(10) for item in range(10)])
    first, other = (split_cold_users(events, 0.2, shown=0.8, random_state=seed) for seed in (0, 1))
    assert (first.test.user_counts.tolist(), first.shown.user_counts.tolist()) == ([2, 2], [8, 8])
    assert {len(set(first.test.items)), len(set(other.test.items))} != {2}
    assert repr(first) == "Split(80 events to learn from, 16 to ask with, 4 to be judged by)"
    assert len(list(first)) == 2


def test_a_wrong_share_to_show_is_refused():
    for shown in (0, 1, -0.5, "half"):
        with pytest.raises(ParameterError, match="shown"):
            split_cold_users(crowd(), 0.3, shown=shown)
