"""Answers: as lists, as pairs, as frames, and as shown in a notebook."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from llmrec import RecommendationBatch, Recommendations
from llmrec.errors import MissingExtraError, ParameterError, UnknownUserError


def answer(items=("tea", "jam"), user="ann", basis="history"):
    scores = np.linspace(0.9, 0.5, len(items), dtype=np.float32)
    return Recommendations(list(items), scores, user, basis)


BATCH = RecommendationBatch((answer(), answer((), "bob"), answer(("oil",), "eve", "popular")))


def test_answer_is_a_sequence_of_pairs():
    one = answer()
    assert list(one) == [("tea", pytest.approx(0.9)), ("jam", pytest.approx(0.5))]
    assert (len(one), "tea" in one, "oil" in one) == (2, True, False)


def test_batch_in_columns():
    assert BATCH.users == ["ann", "bob", "eve"]
    assert BATCH.items == [["tea", "jam"], [], ["oil"]]
    assert [len(scores) for scores in BATCH.scores] == [2, 0, 1]
    assert BATCH.basis == ["history", "history", "popular"]
    assert len(BATCH) == 3
    assert [row.user for row in BATCH] == BATCH.users


def test_batch_by_place_and_by_user():
    assert BATCH[-1].user == "eve"
    assert isinstance(BATCH[:2], RecommendationBatch)
    assert BATCH[:2].users == ["ann", "bob"]
    assert BATCH.for_user("bob") is BATCH[1]
    with pytest.raises(UnknownUserError, match=r"no row for user 'anne' in this batch.*Did you mean 'ann'"):
        BATCH.for_user("anne")
    with pytest.raises(IndexError):
        BATCH[3]


@pytest.mark.parametrize(
    ("backend", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)]
)
def test_batch_as_a_frame(backend, kind):
    frame = BATCH.to_frame(backend)
    assert isinstance(frame, kind)
    columns = {name: frame[name].to_numpy() for name in ("user", "item", "score", "rank")}
    assert columns["user"].tolist() == ["ann", "ann", "eve"]
    assert columns["item"].tolist() == ["tea", "jam", "oil"]
    assert columns["score"].dtype == np.float32
    assert columns["rank"].tolist() == [1, 2, 1]


def test_frame_without_rows():
    for nothing in (answer(()), RecommendationBatch(()), RecommendationBatch((answer(()),))):
        assert nothing.to_frame("pandas").shape == (0, 4)


def test_frame_of_the_first_backend_there_is():
    assert isinstance(answer().to_frame(), pd.DataFrame)


def test_frame_of_a_backend_that_is_none():
    with pytest.raises(ParameterError, match=r"backend must be one of .*Did you mean 'pandas'"):
        answer().to_frame("panda")


def test_frame_of_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"to_frame needs polars; .*llmrec\[pandas\]"):
        answer().to_frame("polars")


def test_ids_that_are_tuples_go_into_a_frame():
    frame = answer([("a", 1), ("b", 2)], ("u", 1)).to_frame("pandas")
    assert frame["item"].tolist() == [("a", 1), ("b", 2)]
    assert frame["user"].tolist() == [("u", 1), ("u", 1)]


def test_repr_shows_rank_item_and_score():
    assert repr(answer()) == "Recommendations for 'ann' (by history)\n  1. tea  0.9\n  2. jam  0.5"
    assert repr(answer((), None)) == "Recommendations (by history): nothing is left"
    assert repr(RecommendationBatch(())) == "RecommendationBatch of no users"
    many = RecommendationBatch(tuple(answer(user=n) for n in range(8)))
    assert repr(many).endswith("… and 3 more users")
    assert repr(many).count("Recommendations for") == 5


def test_html_escapes_ids():
    page = answer(["<script>alert(1)</script>"], "<b>ann</b>")._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert "and 3 more users" in RecommendationBatch(tuple(answer() for _ in range(8)))._repr_html_()
