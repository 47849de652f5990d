"""Plots show the figures of the comparison."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from llmrec import Popularity, Recommender
from llmrec.errors import MissingExtraError, ParameterError, UnknownNameError
from llmrec.evaluation import (
    Split,
    compare,
    plot_accuracy_against,
    plot_by_history_length,
    plot_by_item_popularity,
    split_users_by_time,
)
from tests.evaluation.samples import random_events


@pytest.fixture(scope="module")
def found():
    recs = {
        name: Recommender(encoder=None, factorizer=one, fuser="concat")
        for name, one in {"popular": Popularity(), "knn": "item-knn"}.items()
    }
    split = split_users_by_time(random_events(n_users=60), 0.3)
    rows = zip(split.test.events.user_rows, split.test.events.item_rows, strict=True)
    test = [(split.test.users[user], split.test.items[item]) for user, item in rows]
    return compare(recs, Split.from_tables(split.train, [*test, ("new", "i1")]), ["recall@5", "coverage@5"])


@pytest.fixture(autouse=True)
def _close():
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


def labels(axes):
    return [one.get_text() for one in axes.get_xticklabels()]


def test_by_history_length(found):
    axes = plot_by_history_length(found, "recall@5", n_groups=3)
    assert labels(axes)[0] == "0"
    assert [one.get_label() for one in axes.containers] == ["popular", "knn"]
    lengths, values = found.task.history_lengths, found.trials["knn"].user_values[:, 0]
    shown = axes.containers[1].lines[0].get_ydata()
    for label, mean in zip(labels(axes), shown, strict=True):
        low, _, high = label.partition("-")
        own = (lengths >= int(low)) & (lengths <= int(high or low))
        assert mean == pytest.approx(values[own].mean())
    with pytest.raises(ParameterError, match="coverage@5"):
        plot_by_history_length(found, "coverage@5")


def test_by_item_popularity(found):
    axes = plot_by_item_popularity(found, n_groups=4)
    counts, relevant = found.task.background.item_counts, found.task.relevant
    users = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    lists = found.trials["popular"].lists.items
    hit = np.array([item in lists[user] for user, item in zip(users, relevant.indices, strict=True)])
    for label, share in zip(labels(axes), axes.lines[0].get_ydata(), strict=True):
        low, _, high = label.partition("-")
        own = counts[relevant.indices]
        assert share == pytest.approx(hit[(own >= int(low)) & (own <= int(high or low))].mean())


def test_accuracy_against_coverage(found):
    from matplotlib import pyplot

    axes = pyplot.subplots()[1]
    assert plot_accuracy_against(found, "recall@5", "coverage@5", axes=axes) is axes
    points = [tuple(np.ravel(one.lines[0].get_xydata())) for one in axes.containers]
    assert points == [(coverage, recall) for recall, coverage in found.values.tolist()]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("coverage@5", "recall@5")
    with pytest.raises(UnknownNameError, match="coverage@5"):
        plot_accuracy_against(found, "recall@5", "coverage@10")


def test_without_matplotlib_the_extra_is_named(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"llmrec\[plots\]"):
        plot_by_item_popularity(found)
