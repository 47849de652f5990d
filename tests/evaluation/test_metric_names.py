"""Metrics by name."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.errors import ParameterError, UnknownNameError
from llmrec.evaluation import Metric, available_metrics, ndcg, resolve_metric
from tests.evaluation.samples import random_lists


@pytest.mark.parametrize("kind", available_metrics())
def test_every_name_resolves(kind):
    name = "calibration(genres)@7" if kind == "calibration" else f"{kind}@7"
    found = resolve_metric(name)
    assert (found.name, found.k) == (name, 7)
    assert found.per_user == (kind not in ("coverage", "gini"))
    assert found.higher_is_better == (kind not in ("calibration", "gini", "popularity"))


def test_the_k_of_the_name_is_that_of_the_metric():
    _, _, lists = random_lists()
    np.testing.assert_array_equal(resolve_metric("ndcg@3").measure(lists, None), ndcg(lists, 3))
    np.testing.assert_array_equal(resolve_metric("ndcg").measure(lists, None), ndcg(lists))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@20", "Did you mean 'ndcg@20'"),
        ("recal", "Did you mean 'recall'"),
        ("NDCG@5", "no metric 'NDCG@5'; there are auc"),
        ("ndcg@", "no metric"),
        ("ndcg@-1", "no metric"),
        ("rmse", "call llmrec.evaluation.rmse"),
        (7, "no metric 7"),
    ],
)
def test_an_unknown_name_says_the_nearest(name, message):
    with pytest.raises(UnknownNameError, match=message):
        resolve_metric(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("precision", "write 'precision@10'"),
        ("ndcg@0", "the k of 'ndcg@0' must be"),
        ("calibration@5", r"write 'calibration\(genres\)@5'"),
        ("ndcg(genres)@5", "takes no item column; write 'ndcg@5'"),
    ],
)
def test_an_incomplete_name_says_what_is_missing(name, message):
    with pytest.raises(ParameterError, match=message):
        resolve_metric(name)


def test_a_metric_of_all_lists_needs_a_length():
    with pytest.raises(ParameterError, match="needs a length"):
        Metric("mine", lambda lists, known: 1.0, k=None, per_user=False)
