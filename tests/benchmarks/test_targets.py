"""The tables of benchmarks/targets.py: rows are judged, kept, merged and printed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from llmrec import ItemKNN, Popularity
from llmrec.datasets import load_movietweetings
from llmrec.evaluation import RankedLists, Split, compare
from llmrec.interactions import Interactions

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "targets.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not part of this copy")


@pytest.fixture(scope="module")
def targets():
    spec = importlib.util.spec_from_file_location("targets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["targets"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("LLMREC_DATA", raising=False)


def test_a_run_keeps_its_rows_and_a_later_one_adds_to_them(targets, tmp_path, capsys):
    file, results = tmp_path / "rows.json", tmp_path / "RESULTS.md"
    results.write_text("# Results\n", encoding="utf-8")
    for name in ("popularity", "popularity, half-life 2 d"):
        places = ["--json", str(file), "--results", str(results)]
        targets.main(["movietweetings", "--only", name, *places])
    rows = json.loads(file.read_text(encoding="utf-8"))["test"]["movietweetings, sample"]
    assert list(rows) == ["popularity", "popularity, half-life 2 d"]
    assert rows["popularity, half-life 2 d"]["metrics"]["ndcg@20"] > rows["popularity"]["metrics"]["ndcg@20"]
    text = results.read_text(encoding="utf-8")
    assert text.startswith("# Results\n")
    assert text.count("**movietweetings, sample**") == 1
    assert text.count("| popularity") == 2
    assert capsys.readouterr().out.split("\n\n")[-2] in text


def test_the_validation_part_lies_before_the_test_part(targets):
    events = Interactions.from_table(load_movietweetings().interactions)

    def split(events):
        return targets.split_by_time(events, days=14)

    outer, inner = (targets.inner(events, split, validation) for validation in (False, True))
    assert inner.test.events.timestamps.max() == outer.train.events.timestamps.max()
    assert inner.train.n_events + inner.test.n_events == outer.train.n_events


def test_what_users_met_after_the_fit_counts_for_them_alone(targets):
    events = [(user, item) for user in range(10) for item in (user % 2, 2 + user % 2)]
    later = Interactions.from_table([("new", "jam")])
    train = Interactions.from_table([*events, ("new", 1), ("other", "jam"), ("other", "tea")])
    split = Split(train, Interactions.from_table([("new", "tea")]))
    system = targets.single(ItemKNN(shrinkage=0))
    with_later, without = (
        compare({"it": targets.Asked(system, None, one)}, split, ["hit_rate@1"]).values[0, 0]
        for one in (later, None)
    )
    assert (with_later, without) == (1, 0)
    asked = targets.Asked(targets.single(Popularity(half_life=None)), None, later).fit(train)
    assert asked.recommender.views_["popularity"].counts_.sum() == train.n_events


def test_only_candidates_are_recommended(targets):
    asked = targets.Asked(targets.single(ItemKNN()), ["b"], None)
    asked.fit(Interactions.from_table([("x", "a"), ("x", "b"), ("y", "a"), ("y", "c"), ("z", "a")]))
    assert [one.items for one in asked.recommend(["z"], 5)] == [["b"]]


def test_cold_items_keep_the_number_of_events_that_their_metric_names(targets):
    events = [(user, item, 1, user) for item in range(50) for user in range(12)]
    train = Interactions.from_table(events)
    part = targets.cold_part(Split(train, train), seed=0)
    counts = part.split.train.item_counts
    assert sorted(counts.tolist()) == [0, 0, 1, 1, 2, 2, 5, 5, 10, 10, *[12] * 40]
    names = [getattr(metric, "name", metric) for metric in part.metrics]
    assert names == ["ndcg@20", "0 events", "1 events", "2 events", "5 events", "10 events"]


def test_a_metric_of_some_items_reads_the_same_lists(targets):
    lists = RankedLists.of([["a", "b"], ["b", "a"]], [{"a", "b"}, {"a"}])

    class Known:
        items = ("a", "b")

    values = targets.ndcg_of({"b"}, lists, Known)
    assert values[0] == pytest.approx(1 / np.log2(3))
    assert np.isnan(values[1])


@pytest.mark.parametrize("validation", [False, True])
def test_rating_folds_never_meet(targets, validation):
    events = Interactions.from_table([(user, item) for user in range(5) for item in range(8)])
    folds = targets.rating_folds(events, validation)
    assert len(folds) == 5
    assert all(not set(train) & set(test) for train, test in folds)
    tested = np.concatenate([test for _, test in targets.rating_folds(events, False)])
    assert sorted(tested.tolist()) == list(range(40))


def test_what_cannot_run_says_why(targets):
    class TooLarge:
        pass

    def refuse(system):
        raise targets.LLMRecError("it needs 13 GB.")

    row = targets.timed_row(targets.Table("any", "any", {}, refuse), TooLarge())
    assert row["why_not"] == "it needs 13 GB"
