"""Columns of frames: their values are those of lists, and millions of rows are read in pieces."""

from __future__ import annotations

import datetime as dt
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.columns import IdColumn
from llmrec.errors import DataError
from llmrec.interactions import Interactions
from llmrec.tables import read_events

FRAMES = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
    "arrays": lambda columns: {name: np.array(values) for name, values in columns.items()},
    "arrays of objects": lambda columns: {name: np.array(values, object) for name, values in columns.items()},
}
TEXTS = ["tea", "jam", "tea", "a"]
COLUMNS = {
    "texts": TEXTS,
    "whole numbers": [3, -4, 3, 2**40],
    "bytes": [b"a", b"b", b"a", b""],
    "dates": [dt.date(2020, 1, 1), dt.date(2020, 1, 2), dt.date(2020, 1, 1), dt.date(1960, 1, 1)],
    "numbers": [0.5, -1.0, 0.5, 1e300],
    "truths": [True, False, True, True],
}
TIMES = {
    "whole numbers": [10, 5, 7, -1],
    "numbers": [10.5, 5.25, 7.0, -1.0],
    "times": [dt.datetime(2020, 1, 1, 12, 0, 0, 250_000)] * 3 + [dt.datetime(1960, 1, 1)],
    "times of a zone": [dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=8)))] * 4,
    "dates": [dt.date(2020, 1, 1), dt.date(1960, 1, 1)] * 2,
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("ids", COLUMNS)
def test_ids_of_a_frame_are_those_of_a_list(frame, ids):
    ids = COLUMNS[ids]
    read = read_events(FRAMES[frame]({"user": ids, "item": TEXTS}))
    assert list(read.users) == ids
    assert [type(one) for one in read.users] == [type(one) for one in ids]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("times", TIMES)
def test_times_of_a_frame_are_those_of_a_list(frame, times):
    times = TIMES[times]
    of_list = read_events({"user": TEXTS, "item": TEXTS, "timestamp": times}).timestamps
    of_frame = read_events(FRAMES[frame]({"user": TEXTS, "item": TEXTS, "timestamp": times})).timestamps
    np.testing.assert_array_equal(of_frame, of_list)
    assert of_frame.dtype == np.float64


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "Int64", "Float32", "int64[pyarrow]"])
def test_numbers_of_any_width(dtype):
    frame = pd.DataFrame({"user": TEXTS, "item": TEXTS, "weight": pd.Series([1, 2, 3, 4], dtype=dtype)})
    assert read_events(frame).weights.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user", ["a", "b", None, "d"], "row 2 has no user"),
        ("item", [1, 2, None, 4], "row 2 has no item"),
        ("weight", [1.0, 2.0, None, 3.0], "row 2 has weight"),
        ("weight", [1.0, 2.0, float("inf"), 3.0], "row 2 has weight inf; it must be a finite number"),
        ("weight", ["1", "2", "x", "4"], "column 'weight' must hold numbers"),
        ("timestamp", [1, 2, None, 4], "row 2 has timestamp"),
        ("timestamp", [*[dt.datetime(2020, 1, 1)] * 2, None, dt.datetime(2020, 1, 1)], "row 2 has timestamp"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(frame, column, values, message):
    with pytest.raises(DataError, match=message):
        read_events(FRAMES[frame]({"user": TEXTS, "item": TEXTS} | {column: values}))


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_times_of_arrays_have_any_unit(unit):
    times = np.array(["2020-01-01T12", "1960-01-01"], dtype=f"datetime64[{unit}]")
    read = read_events({"user": ["a", "b"], "item": ["tea", "jam"], "timestamp": times})
    assert read.timestamps.tolist() == [1577880000, -315619200]
    times[1] = np.datetime64("NaT")
    with pytest.raises(DataError, match="row 1 has timestamp"):
        read_events({"user": ["a", "b"], "item": ["tea", "jam"], "timestamp": times})


def test_an_id_that_is_not_hashable_is_named_with_its_row():
    frame = pd.DataFrame({"user": ["a", ["b"], "c", ["d"]], "item": TEXTS})
    with pytest.raises(DataError, match=r"user ids must be hashable; row 1 has \['b'\]"):
        read_events(frame)


def test_numpy_ids_in_a_frame_become_python_ids():
    frame = pd.DataFrame({"user": pd.Series([np.int64(5), "b"], dtype=object), "item": ["tea", "jam"]})
    assert [type(one) for one in read_events(frame).users] == [int, str]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.integers(-5, 5), st.text(max_size=2))))
def test_coded_ids_are_the_ids(ids):
    column = IdColumn(ids)
    assert list(column) == ids
    assert column.distinct == list(dict.fromkeys(ids))
    assert column[1:3] == ids[1:3]


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(["int8", "int64", "uint8", "uint64"]).flatmap(
        lambda dtype: st.tuples(
            st.just(dtype),
            st.lists(st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)), max_size=9).flatmap(
                lambda few: st.lists(st.sampled_from(few or [3, 4]), max_size=300)
            ),
        )
    )
)
def test_coded_numbers_are_the_numbers(drawn):
    dtype, ids = drawn
    frame = pd.DataFrame({"user": np.array(ids, dtype=dtype), "item": np.array(ids, dtype=dtype)})
    users = read_events(frame).users
    assert list(users) == ids
    assert users.distinct == list(dict.fromkeys(ids))


def test_events_of_a_frame_join_known_ids():
    known = Interactions.from_table([("b", "tea"), ("a", "jam")])
    frame = pd.DataFrame({"user": ["a", "c", "b"], "item": ["tea", "tea", "oil"]})
    joined = Interactions.from_table(frame, users=known.users, items=known.items)
    assert list(joined.users) == ["b", "a", "c"]
    assert joined.events.user_rows.tolist() == [1, 2, 0]
    assert joined.events.item_rows.tolist() == [0, 0, 2]


def test_what_was_read_is_no_part_of_the_frame():
    frame = pd.DataFrame(
        {"user": [1, 2], "item": [1, 2], "weight": np.ones(2, np.float32), "timestamp": [1.0, 2.0]}
    )
    read = Interactions.from_table(frame)
    frame.loc[:, ["weight", "timestamp"]] = 9.0
    assert read.events.weights.tolist() == [1, 1]
    assert read.events.timestamps.tolist() == [1, 2]


def test_a_large_frame_takes_a_few_times_its_size():
    n_rows = 600_000
    rng = np.random.default_rng(0)
    columns = {"user": rng.integers(1000, size=n_rows), "item": rng.integers(1000, size=n_rows)}
    frame = pd.DataFrame({**columns, "timestamp": rng.integers(10**9, size=n_rows)})
    tracemalloc.start()
    try:
        read = Interactions.from_table(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read.n_events == n_rows
    # As lists of objects the three columns alone took over 100 bytes a row.
    assert peak < 80 * n_rows
