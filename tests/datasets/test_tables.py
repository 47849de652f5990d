"""Columns and frames: types, what is refused, and how the message says so."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec.datasets import tables
from llmrec.datasets.tables import (
    BACKENDS,
    CodedIds,
    are_integers,
    build_frame,
    choose_backend,
    decode_ids,
    read_columns,
)
from llmrec.errors import DataError, MissingColumnError, MissingExtraError, ParameterError


def rows(*lines):
    return [line.split(",") for line in lines]


def test_columns_have_their_types():
    columns = read_columns(rows("user,item,rating,timestamp,position,age", "u,7,2.5,60,0,30"), "made-up")
    assert isinstance(columns["user"], CodedIds)
    assert columns["rating"].dtype == np.float64
    assert columns["timestamp"].dtype == columns["position"].dtype == np.int64
    assert columns["age"] == ["30"]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.integers(-(2**63), 2**63 - 1)), max_size=40))
def test_what_is_read_is_what_was_written_whatever_the_piece_size(pairs):
    table = [["item", "timestamp"], *([item, str(number)] for item, number in pairs)]
    before = tables._CHUNK
    tables._CHUNK = 7
    try:
        columns = read_columns(table, "made-up")
    finally:
        tables._CHUNK = before
    assert decode_ids(columns["item"], False, "made-up") == [item for item, _ in pairs]
    assert columns["timestamp"].tolist() == [number for _, number in pairs]


@given(st.integers(-(10**17), 10**17))
def test_integer_ids_come_back_as_integers(number):
    column = read_columns([["user"], [str(number)]], "made-up")["user"]
    assert are_integers([column])
    assert decode_ids(column, True, "made-up").tolist() == [number]


@pytest.mark.parametrize("value", ["007", "+7", "-0", " 7", "7.0", "1_000", "٧", "²", "9" * 19, "-", "B004"])
def test_other_ids_stay_text(value):
    column = read_columns([["item"], ["7"], [value]], "made-up")["item"]
    assert not are_integers([column])
    assert decode_ids(column, False, "made-up") == ["7", value]
    with pytest.raises(DataError, match="made-up has the id"):
        decode_ids(column, True, "made-up")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows("user,item", "1,2", "1"), "made-up, row 2: 1 fields where the header has 2"),
        (rows("user,item", "1,2,3"), "row 1: 3 fields"),
        (rows("user,item", "1,2", ",3"), "column 'user'.*an id is empty"),
        (rows("user,rating", "1,good"), "column 'rating', in rows 1 to 1: .*'good'"),
        (rows("user,rating", "1,nan"), "NaN or infinite"),
        (rows("user,rating", "1,inf"), "NaN or infinite"),
        (rows("user,timestamp", "1,6.5"), "column 'timestamp'.*'6.5'"),
        (rows("user,timestamp", f"1,{2**64}"), "column 'timestamp'"),
        (rows("user,item,item", "1,2,3"), "more than one column 'item'"),
    ],
)
def test_what_cannot_be_read_is_named(table, message):
    with pytest.raises(DataError, match=message):
        read_columns(table, "made-up")


def test_rows_are_counted_over_all_pieces(monkeypatch):
    monkeypatch.setattr(tables, "_CHUNK", 2)
    with pytest.raises(DataError, match=r"in rows 5 to 6"):
        read_columns(rows("rating", "1", "2", "3", "4", "5", "x", "7"), "made-up")
    with pytest.raises(DataError, match=r"row 5: 2 fields"):
        read_columns(rows("rating", "1", "2", "3", "4", "5,5"), "made-up")


def test_missing_column_says_what_is_there():
    with pytest.raises(
        MissingColumnError, match=r"no column 'item' in made-up; found 'user', 'itme'\. Did you mean 'itme'\?"
    ):
        read_columns(rows("user,itme", "1,2"), "made-up", required=("user", "item"))
    with pytest.raises(MissingColumnError, match="found nothing"):
        read_columns([], "made-up", required=("user",))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("texts", [[], ["", ""], ["NA", "nan"]])
def test_text_is_text_whatever_it_holds(backend, texts):
    import narwhals.stable.v1 as nw

    pytest.importorskip(backend)
    native = build_frame({"text": texts, "number": np.arange(len(texts))}, backend)
    assert type(native).__module__.split(".")[0] == backend
    frame = nw.from_native(native, eager_only=True)
    assert frame["text"].to_list() == texts
    assert frame["number"].to_list() == list(range(len(texts)))
    # pandas before 3 keeps its strings in columns of objects.
    assert frame.schema["text"] in (nw.String(), nw.Object())
    assert frame.schema["number"] == nw.Int64()


def test_backend_is_the_first_installed(monkeypatch):
    for name in BACKENDS:
        pytest.importorskip(name)
    assert choose_backend(None) == "pandas"
    assert choose_backend("pyarrow") == "pyarrow"
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert choose_backend(None) == "polars"
    with pytest.raises(MissingExtraError, match=r"pip install 'llmrec\[pandas\]'"):
        choose_backend("pandas")
    monkeypatch.setitem(sys.modules, "polars", None)
    assert choose_backend(None) == "pyarrow"
    with pytest.raises(MissingExtraError, match="pip install polars"):
        choose_backend("polars")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pandas, polars or pyarrow"):
        choose_backend(None)


def test_unknown_backend_is_refused():
    with pytest.raises(ParameterError, match="Did you mean 'polars'"):
        choose_backend("polar")
