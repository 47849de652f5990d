"""Everybody's recommendations: batch after batch, and into files that are whole or not there."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from llmrec import ALSFactorizer, Interactions, Recommender
from llmrec.errors import MissingExtraError, NotFittedError, ParameterError

random = np.random.default_rng(0)
EVENTS = [(f"u{n}", f"i{row}") for n in range(23) for row in random.choice(40, 6, replace=False)]
SEEN = {user: {item for who, item in EVENTS if who == user} for user, _ in EVENTS}


@pytest.fixture(scope="module")
def rec():
    return Recommender(factorizer=(ALSFactorizer(factors=4), "item-knn", "popularity")).fit(EVENTS)


def test_batches_are_bounded_and_give_what_recommend_gives(rec):
    batches = list(rec.recommend_all(k=5, batch_size=10))
    assert [len(batch) for batch in batches] == [10, 10, 3]
    answers = [answer for batch in batches for answer in batch]
    assert [answer.user for answer in answers] == list(SEEN)
    for answer in answers:
        alone = rec.recommend(answer.user, k=5)
        assert answer.items == alone.items
        np.testing.assert_allclose(answer.scores, alone.scores, rtol=1e-5, atol=1e-6)


def test_nothing_is_computed_before_it_is_asked_for(rec, monkeypatch):
    made = []
    answer = Recommender.recommend
    monkeypatch.setattr(
        Recommender,
        "recommend",
        lambda self, some, *a, **k: made.append(len(some)) or answer(self, some, *a, **k),
    )
    batches = rec.recommend_all(k=2, batch_size=4)
    assert made == []
    next(batches)
    assert made == [4]


def test_what_was_seen_is_left_out_unless_asked_for(rec):
    for batch in rec.recommend_all(k=100):
        for answer in batch:
            assert set(answer.items) == {f"i{n}" for n in range(40)} - SEEN[answer.user]
    everything = [answer for batch in rec.recommend_all(k=100, exclude_seen=False) for answer in batch]
    assert {len(answer) for answer in everything} == {40}


def test_candidates_that_are_read_once_hold_for_all_batches(rec):
    batches = rec.recommend_all(k=3, batch_size=5, candidates=iter(["i1", "i2"]), exclude_seen=False)
    assert {frozenset(answer.items) for batch in batches for answer in batch} == {frozenset(["i1", "i2"])}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_holds_the_batches(rec, tmp_path, suffix):
    path = tmp_path / f"recs.{suffix}"
    assert rec.recommend_all(k=3, batch_size=7, path=str(path)) == path
    if suffix == "csv":
        with path.open(newline="") as file:
            rows = [(r["user"], r["item"], int(r["rank"])) for r in csv.DictReader(file)]
    elif suffix == "jsonl":
        rows = [(r["user"], r["item"], r["rank"]) for r in map(json.loads, path.read_text().splitlines())]
    else:
        rows = list(pd.read_parquet(path)[["user", "item", "rank"]].itertuples(index=False, name=None))
    answers = rec.recommend(list(SEEN), k=3)
    assert rows == [(one.user, item, rank) for one in answers for rank, item in enumerate(one.items, 1)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_no_half_one(rec, tmp_path, monkeypatch):
    path = tmp_path / "recs.csv"
    path.write_text("old")
    answer = Recommender.recommend

    def fail_later(self, users, *args, **kwargs):
        if "u20" in users:
            raise RuntimeError("power cut")
        return answer(self, users, *args, **kwargs)

    monkeypatch.setattr(Recommender, "recommend", fail_later)
    with pytest.raises(RuntimeError, match="power cut"):
        rec.recommend_all(k=3, batch_size=5, path=path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_no_users(tmp_path, suffix):
    empty = Recommender().fit(items={"a": "a tale of two", "b": "two tales"})
    assert list(empty.recommend_all()) == []
    path = empty.recommend_all(path=tmp_path / f"recs.{suffix}")
    assert path.exists()
    if suffix == "parquet":
        assert len(pd.read_parquet(path)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"path": "recs.cvs"}, r"path must end in one of .*Did you mean '\.csv'"),
        ({"path": "/no/such/folder/recs.csv"}, "folder that does not exist"),
        ({"path": 3}, "path must be the path of a file"),
        ({"excludes": ["i1"]}, "takes no 'excludes'.*Did you mean 'exclude'"),
    ],
)
def test_bad_arguments_fail_at_the_call(rec, arguments, message):
    with pytest.raises(ParameterError, match=message):
        rec.recommend_all(**arguments)


def test_parquet_without_pyarrow(rec, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="needs pyarrow"):
        rec.recommend_all(path=tmp_path / "recs.parquet")


def test_before_fit():
    with pytest.raises(NotFittedError):
        Recommender().recommend_all()


def test_results_do_not_depend_on_the_number_of_threads(rec):
    one, two = (
        Recommender(factorizer=(ALSFactorizer(factors=4), "item-knn"), n_jobs=n).fit(EVENTS) for n in (1, 2)
    )
    for mine, theirs in zip(one.recommend_all(k=5), two.recommend_all(k=5), strict=True):
        assert mine.items == theirs.items
        for own, other in zip(mine.scores, theirs.scores, strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    with pytest.raises(ParameterError, match="n_jobs must be"):
        Recommender(n_jobs=0).fit(EVENTS)


def test_forty_threads_at_once(rec):
    users = list(SEEN) * 8
    with ThreadPoolExecutor(40) as pool:
        together = list(pool.map(lambda user: rec.recommend(user, k=5).items, users))
    assert together == [rec.recommend(user, k=5).items for user in users]


def test_histories_of_several_rows_are_those_of_each():
    known = Interactions.from_table(EVENTS)
    rows = np.array([4, 0, 22, 4], dtype=np.int32)
    several = known.histories(rows)
    for place, row in enumerate(rows):
        alone = known.histories(rows[place : place + 1])
        assert several.take(np.array([place])).columns.tolist() == alone.columns.tolist()
        assert [known.users[row]] * len(alone.columns) == [f"u{row}"] * len(alone.columns)
