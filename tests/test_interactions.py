"""Interactions, histories and id tables: known answers, growth, and copies that stand alone."""

from __future__ import annotations

import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec.errors import DataError, UnknownIdError, UnknownItemError
from llmrec.interactions import Events, Histories, IdTable, Interactions

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=30)


def events_of(pairs):
    users, items = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    return Events(users.copy(), items.copy(), np.ones(len(users), np.float32))


@pytest.mark.parametrize(
    "build",
    [
        list,
        lambda pairs: pd.DataFrame(pairs, columns=["user", "item"]),
        lambda pairs: pl.DataFrame(pairs, schema=["user", "item"], orient="row"),
        lambda pairs: pa.table({"user": [u for u, _ in pairs], "item": [i for _, i in pairs]}),
        lambda pairs: [{"item": i, "user": u} for u, i in pairs],
        lambda pairs: sparse.coo_array((np.ones(len(pairs)), tuple(np.array(pairs).T)), shape=(2, 3)),
    ],
    ids=["tuples", "pandas", "polars", "pyarrow", "dicts", "sparse"],
)
def test_every_form_gives_the_same_interactions(build):
    known = Interactions.from_table(build([(0, 0), (0, 1), (1, 0), (1, 2)]))
    assert known.users.ids == [0, 1]
    assert known.items.ids == [0, 1, 2]
    assert known.matrix.toarray().tolist() == [[1, 1, 0], [1, 0, 1]]
    assert known.events.user_rows.dtype == known.events.item_rows.dtype == np.int32


def test_rows_and_columns_of_a_sparse_matrix_without_events_count():
    known = Interactions.from_table(sparse.csr_array(([1.0], ([2], [3])), shape=(5, 6)))
    assert (known.n_users, known.n_items, known.n_events) == (5, 6, 1)
    assert known.matrix.toarray()[2, 3] == 1


@pytest.mark.parametrize("make", [str, int, uuid.UUID, lambda n: ("shop", int(n, 16))])
def test_ids_come_back_as_they_went_in(make):
    ids = [make("1" * 32), make("2" * 32)]
    known = Interactions.from_table([(ids[0], ids[1]), (ids[1], ids[0])])
    assert known.users.ids == ids
    assert known.items.ids == ids[::-1]


def test_duplicates_add_up_and_the_last_rating_counts():
    known = Interactions.from_table(
        {"user": [1, 1, 1], "item": [7, 8, 7], "weight": [1.0, 2.0, 3.0], "rating": [5.0, 4.0, 1.0]}
    )
    assert known.n_events == 3
    assert known.matrix.toarray().tolist() == [[4.0, 2.0]]
    assert known.rating_matrix.toarray().tolist() == [[1.0, 4.0]]


def test_the_last_rating_is_the_latest_in_time():
    known = Interactions.from_table(
        {"user": [1, 1], "item": [7, 7], "rating": [5.0, 1.0], "timestamp": [20, 10]}
    )
    assert known.rating_matrix.toarray().tolist() == [[5.0]]


def test_events_are_put_in_the_order_of_time_and_ties_keep_theirs():
    known = Interactions.from_table([("u", "c", 1, 30), ("u", "a", 1, 10), ("u", "b", 1, 10)])
    assert [known.items[row] for row in known.events.item_rows] == ["a", "b", "c"]
    assert known.last_timestamp == 30


def test_rating_matrix_without_ratings_is_an_error():
    with pytest.raises(DataError, match="explicit feedback needs ratings"):
        _ = Interactions.from_table([(1, 2)]).rating_matrix


def test_last_timestamp_is_none_without_times_or_events():
    assert Interactions.from_table([(1, 2)]).last_timestamp is None
    assert Interactions.from_table([]).last_timestamp is None


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.lists(PAIRS, max_size=4))
def test_growing_event_by_event_equals_reading_all_at_once(first, later):
    everything = [*first, *(pair for pairs in later for pair in pairs)]
    at_once = Interactions(IdTable(range(6)), IdTable(range(8)), events_of(everything))
    grown = Interactions(IdTable(range(6)), IdTable(range(8)), events_of(first))
    for pairs in later:
        grown.append(events_of(pairs))
    assert grown.n_events == len(everything)
    assert grown.matrix.toarray().tolist() == at_once.matrix.toarray().tolist()
    assert grown.item_counts.tolist() == at_once.item_counts.tolist()
    assert grown.user_counts.tolist() == at_once.user_counts.tolist()
    rows = np.array([3, 0, 3], dtype=np.int32)
    assert grown.histories(rows).columns.tolist() == at_once.histories(rows).columns.tolist()
    assert grown.audiences(rows).columns.tolist() == at_once.audiences(rows).columns.tolist()


@settings(max_examples=40, deadline=None)
@given(PAIRS)
def test_audiences_mirror_histories(pairs):
    known = Interactions(IdTable(range(6)), IdTable(range(8)), events_of(pairs))
    mirrored = known.audiences().weight_matrix().toarray()
    assert mirrored.tolist() == known.matrix.toarray().T.tolist()


def test_append_without_the_ratings_that_are_known_is_an_error():
    known = Interactions.from_table({"user": [0], "item": [0], "rating": [3.0]})
    with pytest.raises(DataError, match="ratings"):
        known.append(events_of([(0, 0)]))
    assert known.n_events == 1
    assert known.item_counts.tolist() == [1]


def test_copies_grow_apart():
    first = Interactions(IdTable("abc"), IdTable("x"), events_of([(0, 0)] * 3))
    first.append(events_of([(0, 0)]))
    second = first.copy()
    second.append(events_of([(1, 0)]))
    first.append(events_of([(2, 0)]))
    second.users.add("d")
    assert second.events.user_rows.tolist() == [0, 0, 0, 0, 1]
    assert first.events.user_rows.tolist() == [0, 0, 0, 0, 2]
    assert first.n_users == 3


def test_copies_share_the_events_so_far():
    first = Interactions(IdTable("abc"), IdTable("x"), events_of([(0, 0)] * 3))
    second = first.copy()
    assert np.shares_memory(first.events.item_rows, second.events.item_rows)
    second.append(events_of([(1, 0)]))
    assert (first.user_counts.tolist(), second.user_counts.tolist()) == ([3, 0, 0], [3, 1, 0])


def test_the_first_events_are_a_subset_without_a_copy():
    known = Interactions(IdTable("abc"), IdTable("x"), events_of([(0, 0), (1, 0), (2, 0)]))
    part = known.subset(np.array([True, True, False]))
    assert np.shares_memory(known.events.user_rows, part.events.user_rows)
    part.append(events_of([(0, 0)]))
    assert part.events.user_rows.tolist() == [0, 1, 0]
    assert known.events.user_rows.tolist() == [0, 1, 2]


def test_a_matrix_leaves_the_histories_that_it_came_from_as_they_are(monkeypatch):
    monkeypatch.setattr("llmrec.interactions._FEW_POSITIONS", 0)
    histories = Interactions.from_table([("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")]).histories()
    expected = [[2.0, 1.0], [1.0, 0.0]]
    assert histories.weight_matrix().toarray().tolist() == expected
    assert histories.columns.tolist() == [0, 1, 0, 0]
    assert histories.weights.tolist() == [1.0] * 4
    assert histories.weight_matrix().toarray().tolist() == expected
    halved = histories.decayed(1.0)
    assert halved.weight_matrix().toarray().tolist() == [[1.25, 0.5], [1.0, 0.0]]


def test_subset_keeps_users_and_items():
    known = Interactions.from_table([("a", "x"), ("b", "y")])
    part = known.subset(np.array([False, True]))
    assert (part.n_users, part.n_items, part.n_events) == (2, 2, 1)
    assert part.matrix.toarray().tolist() == [[0, 0], [0, 1]]


def test_state_round_trip():
    known = Interactions.from_table([(("a", 1), "x", 2.0, 5.0), (("b", 2), "y", 1.0, 6.0)])
    again = Interactions.from_state(known.get_state())
    assert again.users.ids == known.users.ids
    assert again.matrix.toarray().tolist() == known.matrix.toarray().tolist()
    assert again.events.timestamps.tolist() == [5.0, 6.0]


def test_repr_counts():
    assert (
        repr(Interactions.from_table([("a", "x"), ("a", "x")])) == "Interactions(1 users, 1 items, 2 events)"
    )


# -- ids ---------------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.text(max_size=3), st.integers(), st.tuples(st.text(max_size=2), st.integers()))))
def test_id_table_is_a_bijection(ids):
    table = IdTable(ids)
    assert table.ids == list(dict.fromkeys(ids))
    assert all(table[table.row(one)] == one for one in ids)
    assert len(table) == len(set(ids))


def test_unknown_id_names_the_nearest():
    table = IdTable(["alien", "heat"])
    with pytest.raises(UnknownItemError, match=r"unknown item 'aliens'\. Did you mean 'alien'"):
        table.row("aliens", "item", UnknownItemError)
    with pytest.raises(UnknownIdError, match="unknown id"):
        table.row("zzz")
    assert table.get("zzz") is None


# -- histories ---------------------------------------------------------------------------------------------


def test_histories_without_others():
    mine = Histories.of([[0, 1, 2], [0, 1]], n_columns=3)
    others = Histories.of([[1], [2, 0]], n_columns=3)
    left = mine.without(others)
    assert left.lengths.tolist() == [2, 1]
    assert left.columns.tolist() == [0, 2, 1]


def test_histories_known_to_a_smaller_catalogue():
    known = Histories.of([[0, 5], [4]], n_columns=6).known_to(4)
    assert (known.lengths.tolist(), known.columns.tolist(), known.n_columns) == ([1, 0], [0], 4)


def test_histories_taken_in_any_order():
    taken = Histories.of([[0], [1, 2], []], n_columns=3).take(np.array([1, 2, 1, 0]))
    assert (taken.lengths.tolist(), taken.columns.tolist()) == ([2, 0, 2, 1], [1, 2, 1, 2, 0])


def test_last_rating_of_a_history_counts():
    histories = Histories.of([[2, 0, 2]], n_columns=3, ratings=[[1.0, 4.0, 5.0]])
    assert histories.rating_matrix().toarray().tolist() == [[4.0, 0.0, 5.0]]
    assert histories.weight_matrix().toarray().tolist() == [[1.0, 0.0, 2.0]]


def test_the_weights_of_one_history_are_those_it_has_among_others():
    rows, weights = [[5, 1, 5, 0], [2]], [[1, 2, 3, 4], [1]]
    alone = Histories.of(rows[:1], n_columns=6, weights=weights[:1])
    together = Histories.of(rows, n_columns=6, weights=weights)
    first = alone.weight_matrix()
    assert first.toarray().tolist() == together.weight_matrix().toarray()[:1].tolist() == [[4, 2, 0, 0, 0, 4]]
    assert first.indices.tolist() == [0, 1, 5]
    # What a view does to its own matrix, no other view sees.
    first.data *= 2
    first.indices[:] = 0
    assert alone.weight_matrix().toarray().tolist() == [[4, 2, 0, 0, 0, 4]]


def test_one_user_has_the_same_history_alone_and_after_later_events():
    known = Interactions.from_table([("a", 1), ("b", 2), ("a", 3)])
    for item in (2, 1):
        event = Events(np.array([0], np.int32), np.array([item], np.int32), np.ones(1, np.float32))
        for user in (0, 1, 7):
            several = known.histories(np.array([user, 1], np.int32)).take(np.array([0]))
            alone = known.histories(np.array([user], np.int32))
            assert alone.columns.tolist() == several.columns.tolist()
            assert alone.indptr.tolist() == several.indptr.tolist()
        known.append(event)
