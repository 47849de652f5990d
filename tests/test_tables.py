"""Reading tables: every form of input gives the same events, and a bad table is told what is wrong."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from llmrec.errors import DataError, MissingColumnError, ParameterError
from llmrec.tables import ItemTable, join_text, read_events, read_items

USERS = ["ann", "bob", "ann", "eve"]
ITEMS = ["tea", "tea", "jam", "oil"]
WEIGHTS = [1.0, 2.0, 0.5, 4.0]
TIMES = [10.0, 20.0, 30.0, 40.0]
COLUMNS = {"user": USERS, "item": ITEMS, "weight": WEIGHTS, "timestamp": TIMES}


class Event(NamedTuple):
    timestamp: float
    weight: float
    item: str
    user: str


TUPLES = list(zip(USERS, ITEMS, WEIGHTS, TIMES, strict=True))

TABLES = {
    "pandas": pd.DataFrame(COLUMNS),
    "pandas, other index": pd.DataFrame(COLUMNS, index=[7, 7, 3, 1]),
    "polars": pl.DataFrame(COLUMNS),
    "polars lazy": pl.LazyFrame(COLUMNS),
    "pyarrow": pa.table(COLUMNS),
    "tuples": TUPLES,
    "lists": [list(row) for row in TUPLES],
    "generator": None,
    "dicts": [dict(zip(COLUMNS, row, strict=True)) for row in TUPLES],
    "columns": COLUMNS,
    "namedtuples, other order": [Event(t, w, i, u) for u, i, w, t in TUPLES],
}


@pytest.mark.parametrize("form", TABLES)
def test_every_form_of_events_reads_the_same(form):
    read = read_events((row for row in TUPLES) if form == "generator" else TABLES[form])
    assert list(read.users) == USERS
    assert list(read.items) == ITEMS
    assert read.weights.tolist() == WEIGHTS
    assert read.weights.dtype == np.float32
    assert read.timestamps.tolist() == TIMES
    assert read.ratings is None


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.coo_array, sparse.csc_matrix, sparse.lil_array])
def test_sparse_matrix_is_users_by_items(form):
    read = read_events(form(np.array([[0, 2.0, 0], [0, 0, 0.5]])))
    triples = sorted(zip(read.users, read.items, read.weights.tolist(), strict=True))
    assert triples == [(0, 1, 2.0), (1, 2, 0.5)]
    assert (read.n_users, read.n_items) == (2, 3)


def test_stored_zeros_of_a_sparse_matrix_are_no_events():
    matrix = sparse.csr_array((np.array([0.0, 3.0]), np.array([0, 1]), np.array([0, 2])), shape=(1, 2))
    read = read_events(matrix)
    assert read.items == [1]


def test_negative_values_of_a_sparse_matrix_are_refused():
    with pytest.raises(DataError, match="negative"):
        read_events(sparse.csr_array(np.array([[1.0, -1.0]])))


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "b"],
        [3, -4],
        [uuid.UUID(int=1), uuid.UUID(int=2)],
        [("shop", 1), ("shop", 2)],
        [dt.date(2020, 1, 1), dt.date(2020, 1, 2)],
        [frozenset("ab"), frozenset("c")],
        [b"a", b"b"],
        [2**70, 1],
        ["", " "],
    ],
    ids=str,
)
def test_ids_of_any_hashable_type_stay_what_they_are(ids):
    read = read_events([(ids[0], ids[1]), (ids[1], ids[0])])
    assert read.users == ids
    assert read.items == ids[::-1]
    assert [type(one) for one in read.users] == [type(one) for one in ids]


def test_numpy_ids_become_python_ids():
    read = read_events([(np.int64(5), np.str_("tea"))])
    assert (type(read.users[0]), type(read.items[0])) == (int, str)


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2020, 1, 1),
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc),
        dt.datetime(2020, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.date(2020, 1, 1),
        np.datetime64("2020-01-01T00:00:00"),
        pd.Timestamp("2020-01-01"),
        1577836800,
        1577836800.0,
    ],
    ids=repr,
)
def test_times_become_seconds_since_1970(value):
    assert read_events([("ann", "tea", 1.0, value)]).timestamps.tolist() == [1577836800.0]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"user": [1], "item": [2], "timestamp": pd.to_datetime(["2020-01-01"])}),
        pl.DataFrame({"user": [1], "item": [2], "timestamp": [dt.datetime(2020, 1, 1)]}),
        pa.table({"user": [1], "item": [2], "timestamp": [dt.datetime(2020, 1, 1)]}),
    ],
    ids=["pandas", "polars", "pyarrow"],
)
def test_times_of_frames_become_seconds_since_1970(table):
    assert read_events(table).timestamps.tolist() == [1577836800.0]


# -- columns= ----------------------------------------------------------------------------------------------


def test_columns_maps_our_names_to_theirs():
    frame = pd.DataFrame({"userId": [1], "movieId": [2], "stars": [4.5]})
    read = read_events(frame, {"user": "userId", "item": "movieId", "rating": "stars"})
    assert (list(read.users), list(read.items), read.ratings.tolist()) == ([1], [2], [4.5])


def test_columns_may_swap_two_names():
    read = read_events({"user": ["tea"], "item": ["ann"]}, {"user": "item", "item": "user"})
    assert (read.users, read.items) == (["ann"], ["tea"])


def test_columns_for_the_other_table_are_left_alone():
    read = read_items([{"movieId": 1, "plot": "x"}], {"item": "movieId", "text": "plot", "user": "userId"})
    assert (read.ids, read.columns) == ([1], {"text": ["x"]})


def test_columns_with_a_name_that_is_not_ours():
    with pytest.raises(ParameterError, match=r"'usr' is none of ours.*Did you mean 'user'"):
        read_events([("ann", "tea")], {"usr": "userId"})


def test_columns_naming_a_column_that_is_not_there():
    with pytest.raises(MissingColumnError, match=r"'movie'.*found 'user', 'movies'.*Did you mean 'movies'"):
        read_events({"user": [1], "movies": [2]}, {"item": "movie"})


# -- bad events --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["user", "item"])
def test_missing_column_names_those_there(missing):
    table = {"user": [1], "item": [2], "price": [3]}
    del table[missing]
    there = ", ".join(map(repr, table))
    with pytest.raises(MissingColumnError, match=f"no column '{missing}' in the events; found {there}"):
        read_events(table)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -float("inf"), None, "much", 1e300])
def test_weight_that_is_no_finite_number(weight):
    with pytest.raises(DataError, match="weight"):
        read_events([("ann", "tea", 1.0), ("ann", "jam", weight)])


@pytest.mark.parametrize("weight", [0, -1, -0.5, 1e-50])
def test_weight_not_above_zero(weight):
    with pytest.raises(DataError, match=f"event 1 has weight {weight}.*above 0"):
        read_events([("ann", "tea", 1.0), ("ann", "jam", weight)])


@pytest.mark.parametrize("rating", [float("nan"), float("inf"), None])
def test_rating_that_is_not_finite(rating):
    with pytest.raises(DataError, match="row 1 has rating"):
        read_events({"user": [1, 2], "item": [1, 2], "rating": [3.0, rating]})


def test_ratings_may_be_zero_or_negative():
    assert read_events({"user": [1, 1], "item": [1, 2], "rating": [0, -2]}).ratings.tolist() == [0, -2]


@pytest.mark.parametrize("missing", [None, float("nan"), np.float64("nan"), pd.NA, pd.NaT], ids=repr)
@pytest.mark.parametrize("column", ["user", "item"])
def test_missing_id(column, missing):
    table = {"user": [1, 2], "item": [1, 2]} | {column: [1, missing]}
    with pytest.raises(DataError, match=f"row 1 has no {column}"):
        read_events(table)


def test_id_that_cannot_be_hashed():
    with pytest.raises(DataError, match="hashable; row 0"):
        read_events([(["ann"], "tea")])


@pytest.mark.parametrize("time", [None, float("nan"), np.datetime64("NaT"), "yesterday"], ids=repr)
def test_time_that_is_none(time):
    with pytest.raises(DataError, match="timestamp"):
        read_events([("ann", "tea", 1.0, 5.0), ("ann", "jam", 1.0, time)])


@pytest.mark.parametrize("table", ["ann", b"ann", 5, object()], ids=repr)
def test_what_is_no_table(table):
    with pytest.raises(DataError, match=f"events must be .*got {type(table).__name__}"):
        read_events(table)


@pytest.mark.parametrize(
    "rows",
    [
        [("ann",)],
        [("ann", "tea"), ("ann", "tea", 1.0)],
        [("ann", "tea", 1.0, 2.0, 3.0)],
        [("ann", "tea"), "ann"],
        [("ann", "tea"), {"user": "ann", "item": "tea"}],
    ],
    ids=repr,
)
def test_rows_that_are_no_events(rows):
    with pytest.raises(DataError, match="row"):
        read_events(rows)


def test_dicts_mixed_with_tuples():
    with pytest.raises(DataError, match="mix dicts and tuple"):
        read_events([{"user": 1, "item": 2}, (1, 2)])


@pytest.mark.parametrize("table", [[], pd.DataFrame({"user": [], "item": []}), sparse.csr_array((3, 4))])
def test_empty_table_has_no_events(table):
    assert list(read_events(table).users) == []


# -- items -------------------------------------------------------------------------------------------------

TEXTS = {"tea": "a green leaf", "jam": "a sweet fruit"}


@pytest.mark.parametrize(
    "table",
    [
        TEXTS,
        list(TEXTS.items()),
        [{"item": one, "text": text} for one, text in TEXTS.items()],
        {"item": list(TEXTS), "text": list(TEXTS.values())},
        pd.DataFrame({"item": list(TEXTS), "text": list(TEXTS.values())}),
        pl.DataFrame({"item": list(TEXTS), "text": list(TEXTS.values())}),
        pa.table({"item": list(TEXTS), "text": list(TEXTS.values())}),
    ],
    ids=["mapping", "tuples", "dicts", "columns", "pandas", "polars", "pyarrow"],
)
def test_every_form_of_items_reads_the_same(table):
    read = read_items(table)
    assert read.ids == ["tea", "jam"]
    assert read.columns == {"text": ["a green leaf", "a sweet fruit"]}


def test_mapping_with_an_item_called_item_is_still_a_mapping():
    assert read_items({"item": "a thing", "tea": "a leaf"}).ids == ["item", "tea"]


def test_mapping_of_columns_under_the_names_of_the_caller():
    read = read_items({"movieId": [1], "plot": ["x"]}, {"item": "movieId", "text": "plot"})
    assert (read.ids, read.columns) == ([1], {"text": ["x"]})


def test_item_listed_twice_keeps_its_last_row():
    read = read_items([("tea", "old"), ("jam", "sweet"), ("tea", "new")])
    assert dict(zip(read.ids, read.columns["text"], strict=True)) == {"tea": "new", "jam": "sweet"}


def test_dicts_may_lack_keys():
    read = read_items([{"item": 1, "text": "x"}, {"item": 2, "year": 1999}])
    assert read.columns == {"text": ["x", None], "year": [None, 1999]}


def test_items_without_ids():
    with pytest.raises(MissingColumnError, match="no column 'item' in the items; found 'movieId'"):
        read_items([{"movieId": 1}])


# -- join_text ---------------------------------------------------------------------------------------------


def test_text_column_is_taken_as_it_is():
    items = ItemTable([1, 2, 3, 4], {"text": [" two  blanks ", "", None, float("nan")]})
    assert join_text(items, None) == [" two  blanks ", "", "", ""]


def test_template_joins_columns_and_closes_gaps():
    items = ItemTable([1, 2], {"title": ["Jaws", None], "genres": [["horror", "sea"], []], "year": [1975, 2]})
    assert join_text(items, "{title} {genres}. {year}") == ["Jaws horror, sea. 1975", ". 2"]


def test_template_naming_a_missing_column():
    with pytest.raises(MissingColumnError, match=r"no column 'titel'.*found 'title'.*Did you mean 'title'"):
        join_text(ItemTable([1], {"title": ["Jaws"]}), "{titel}")


def test_template_naming_no_column():
    with pytest.raises(ParameterError, match="names no column"):
        join_text(ItemTable([1], {"title": ["Jaws"]}), "title")


@pytest.mark.parametrize("dtype", ["object", pytest.param("string"), "str"])
def test_missing_text_of_a_pandas_frame_is_empty(dtype):
    frame = pd.DataFrame({"item": [1, 2], "text": pd.array(["tea", None], dtype=dtype)})
    assert join_text(read_items(frame), None) == ["tea", ""]


def test_missing_time_of_a_pandas_frame_is_an_error():
    frame = pd.DataFrame({"user": [1, 2], "item": [1, 2], "timestamp": pd.to_datetime(["2020-01-01", None])})
    with pytest.raises(DataError, match="row 1 has timestamp"):
        read_events(frame)
