"""Metrics of all users at once, against slow ones, scikit-learn and ranx."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from llmrec import evaluation
from llmrec.errors import DataError, ParameterError
from llmrec.evaluation import RankedLists, auc, ndcg, recall
from tests.evaluation.samples import Slow, random_lists

AT_K = [
    "precision",
    "recall",
    "capped_recall",
    "hit_rate",
    "ndcg",
    "average_precision",
    "capped_average_precision",
    "reciprocal_rank",
]


@pytest.mark.parametrize("name", AT_K)
@pytest.mark.parametrize("k", [1, 3, 12, 40])
def test_as_slow_as_the_definition_reads(name, k):
    ids, relevant, lists = random_lists()
    expected = [getattr(Slow, name)(own, wanted, k) for own, wanted in zip(ids, relevant, strict=True)]
    measured = getattr(evaluation, name)(lists, k)
    assert measured.dtype == np.float64
    np.testing.assert_allclose(measured, expected, atol=1e-12)
    assert 0 < measured.mean() < 1


@pytest.mark.parametrize(
    "name", ["recall", "ndcg", "average_precision", "reciprocal_rank", "hit_rate", "auc"]
)
def test_without_k_the_whole_list_counts(name):
    _, _, lists = random_lists()
    metric = getattr(evaluation, name)
    np.testing.assert_allclose(metric(lists), metric(lists, 30), atol=1e-12)
    assert not np.allclose(metric(lists), metric(lists, 2))


def test_ndcg_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    scores = rng.random((40, 25))
    wanted = rng.random((40, 25)) < 0.3
    wanted[:, 0] |= ~wanted.any(axis=1)
    order = np.argsort(-scores, axis=1)
    lists = RankedLists.of(
        order.tolist(), [np.flatnonzero(row).tolist() for row in wanted], catalogue=range(25)
    )
    for k in (1, 5, 25):
        expected = [ndcg_score([w], [s], k=k) for w, s in zip(wanted.astype(float), scores, strict=True)]
        np.testing.assert_allclose(ndcg(lists, k), expected, atol=1e-12)


@pytest.mark.parametrize("levels", [1000, 4, 1])
def test_auc_is_that_of_scikit_learn_with_ties(levels):
    rng = np.random.default_rng(2)
    scores = rng.integers(0, levels, size=(40, 25)).astype(float)
    wanted = rng.random((40, 25)) < 0.3
    wanted[:, 0], wanted[:, 1] = True, False
    order = np.argsort(-scores, axis=1, kind="stable")
    lists = RankedLists.of(
        order.tolist(),
        [np.flatnonzero(row).tolist() for row in wanted],
        np.take_along_axis(scores, order, axis=1).tolist(),
        catalogue=range(25),
    )
    expected = [roc_auc_score(w, s) for w, s in zip(wanted, scores, strict=True)]
    np.testing.assert_allclose(auc(lists), expected, atol=1e-12)


def test_auc_counts_what_is_not_listed_as_tied_at_the_end():
    rng = np.random.default_rng(3)
    scores = rng.random((30, 20))
    wanted = rng.random((30, 20)) < 0.3
    wanted[:, 0], wanted[:, 1] = True, False
    order = np.argsort(-scores, axis=1)
    lists = RankedLists.of(
        order[:, :6].tolist(), [np.flatnonzero(row).tolist() for row in wanted], catalogue=range(20)
    )
    cut = np.where(scores >= np.sort(scores, axis=1)[:, -6:-5], scores, -1)
    expected = [roc_auc_score(w, s) for w, s in zip(wanted, cut, strict=True)]
    np.testing.assert_allclose(auc(lists), expected, atol=1e-12)
    nothing = RankedLists.of([[]], [{"a"}], catalogue="abc")
    assert auc(nothing).tolist() == [0.5]


def test_auc_without_an_irrelevant_candidate_is_unknown():
    assert np.isnan(auc(RankedLists.of([["a", "b"]], [{"a", "b"}])))


def test_auc_refuses_lists_longer_than_the_candidates():
    lists = RankedLists.of([["a", "b", "c"]], [{"a"}])
    wrong = RankedLists(lists.items, lists.relevant, None, np.array([2]))
    with pytest.raises(ParameterError, match="candidates"):
        auc(wrong)


RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
lists, relevant, names = json.load(sys.stdin)
qrels = Qrels({f"{u:03}": {str(i): 1 for i in own} for u, own in enumerate(relevant)})
run = Run({f"{u:03}": {str(i): 100.0 - place for place, i in enumerate(own)} for u, own in enumerate(lists)})
found = evaluate(qrels, run, names, return_mean=False)
print(json.dumps({name: values.tolist() for name, values in found.items()}))
"""


def test_as_ranx_measures():
    pytest.importorskip("ranx", reason="ranx is not installed")
    ids, relevant, lists = random_lists(n_users=25, seed=4)
    some = [user for user, own in enumerate(ids) if own]  # ranx knows no empty list
    names = {"precision": "precision", "recall": "recall", "hit_rate": "hit_rate", "ndcg": "ndcg"}
    names |= {"map": "average_precision", "mrr": "reciprocal_rank"}
    asked = [[ids[user] for user in some], [sorted(relevant[user]) for user in some]]
    asked += [[f"{name}@{k}" for name in names for k in (3, 10)]]
    # A process of its own, in which numba compiles nothing: that would take minutes.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps(asked),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    for name, expected in json.loads(done.stdout.splitlines()[-1]).items():
        kind, k = name.split("@")
        measured = getattr(evaluation, names[kind])(lists, int(k))[some]
        np.testing.assert_allclose(measured, expected, atol=1e-9, err_msg=name)


def test_an_item_listed_twice_is_right_at_its_best_place():
    lists = RankedLists.of([["x", "a", "a"], ["a", "b", "a"]], [{"a", "z"}, {"a", "b"}])
    assert lists.hits.tolist() == [[False, True, False], [True, True, False]]
    assert recall(lists).tolist() == [0.5, 1]


def test_lists_are_judged_one_by_one():
    _, _, lists = random_lists()
    some = np.array([7, 3])
    np.testing.assert_array_equal(ndcg(lists.take(some), 5), ndcg(lists, 5)[some])


def test_no_list_or_no_relevant_item_is_refused():
    with pytest.raises(DataError, match="1 lists, and 2 sets"):
        RankedLists.of([["a"]], [{"a"}, {"b"}])
    with pytest.raises(ParameterError, match="user at 1"):
        RankedLists.of([["a"], ["b"]], [{"a"}, set()])
    _, _, lists = random_lists()
    with pytest.raises(ParameterError, match="k must be"):
        ndcg(lists, 0)


def test_all_lists_empty():
    lists = RankedLists.of([[], []], [{"a"}, {"b", "c"}])
    for name in AT_K:
        assert getattr(evaluation, name)(lists, 3).tolist() == [0, 0]
