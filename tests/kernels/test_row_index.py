"""Positions of events by row, sorted at first and chained later, against a search through all events."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.interactions import Events, IdTable, Interactions

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=12)


def events_of(pairs):
    users, items = (np.array([pair[side] for pair in pairs], np.int32) for side in (0, 1))
    return Events(users, items, np.ones(len(pairs), np.float32))


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.lists(PAIRS, max_size=4), st.lists(st.integers(0, 9), max_size=5))
def test_histories_are_the_events_of_each_user_in_order(first, later, asked):
    known = Interactions(IdTable(range(10)), IdTable(range(5)), events_of(first))
    for batch in later:
        known.append(events_of(batch))
    pairs = [pair for batch in [first, *later] for pair in batch]
    for rows in (asked, list(range(10))):
        histories = known.histories(np.array(rows, np.int32))
        expected = [[item for user, item in pairs if user == row] for row in rows]
        assert histories.columns.tolist() == [item for one in expected for item in one]
        assert histories.lengths.tolist() == [len(one) for one in expected]
        assert known.counts_of_users(np.array(rows, np.int32)).tolist() == [len(one) for one in expected]
    assert known.histories().columns.tolist() == histories.columns.tolist()
    assert known.counts_of_items(np.arange(5)).tolist() == known.item_counts.tolist()


def test_many_events_are_ordered_like_few(monkeypatch):
    rng = np.random.default_rng(0)
    pairs = np.column_stack([rng.integers(0, 7, 500), rng.integers(0, 40, 500)])
    few = Interactions(IdTable(range(10)), IdTable(range(40)), events_of(pairs))
    monkeypatch.setattr("llmrec.interactions._MANY_EVENTS", 0)
    monkeypatch.setattr("llmrec.vectors._PIECE", 64)
    many = Interactions(IdTable(range(10)), IdTable(range(40)), events_of(pairs))
    for name in ("histories", "audiences"):
        one, other = getattr(few, name)(), getattr(many, name)()
        assert one.columns.tolist() == other.columns.tolist()
        assert one.indptr.tolist() == other.indptr.tolist()
    assert many.item_counts.tolist() == few.item_counts.tolist()
