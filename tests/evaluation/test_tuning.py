"""Tuning: it finds what is best on the validation part, twice the same, and never sees the test part."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from llmrec import ItemKNN, Popularity, Recommender
from llmrec.errors import DataError, MissingExtraError, NotFittedError, ParameterError, UnknownNameError
from llmrec.evaluation import Split, compare, leave_one_out, split_users_by_time, tune
from llmrec.evaluation.parameter_paths import set_parameter
from tests.evaluation.samples import random_events

pytest.importorskip("optuna", reason="optuna is not installed")


def only(factorizer):
    return Recommender(encoder=None, factorizer=factorizer, fuser="concat")


class Untouchable:
    def __getattribute__(self, name):
        raise AssertionError(f"the test part was asked for {name}")


SPACE = {"factorizer": [Popularity(half_life=None), ItemKNN(), "als"]}


def test_the_best_of_all_choices_is_found():
    events = random_events()
    found = tune(only("als"), SPACE, events, budget=12, metric="recall@5")
    split = split_users_by_time(events, 0.2)
    rivals = {str(n): only(one) for n, one in enumerate(SPACE["factorizer"])}
    values = compare(rivals, split, ["recall@5"], n_timed=0).values[:, 0]
    assert found.best_value == pytest.approx(values.max())
    assert {round(trial["value"], 9) for trial in found.trials} == {round(v, 9) for v in values.tolist()}
    assert repr(found.best.factorizer) == repr(SPACE["factorizer"][int(values.argmax())])


def test_a_metric_that_is_better_when_lower_is_minimised():
    found = tune(only("als"), SPACE, random_events(), budget=9, metric="popularity@5")
    assert found.best_value == min(trial["value"] for trial in found.trials)
    assert found.best_value < max(trial["value"] for trial in found.trials)


def test_the_same_seed_gives_the_same_trials():
    def run(seed):
        found = tune(
            only(ItemKNN()), {"factorizer__neighbours": (5, 50)}, random_events(), budget=6, random_state=seed
        )
        return [{name: value for name, value in trial.items() if name != "seconds"} for trial in found.trials]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_the_test_part_is_never_seen():
    split = split_users_by_time(random_events(), 0.2, validation=True)
    guarded = Split(split.train, Untouchable(), split.validation)
    with_part = tune(only("als"), SPACE, guarded, budget=4)
    inner = Split(split.train, split.validation)
    value = compare({"best": with_part.best}, inner, ["ndcg@10"], n_timed=0).value("best", "ndcg@10")
    assert with_part.best_value == pytest.approx(value)
    assert tune(only("als"), SPACE, Split(split.train, Untouchable()), budget=2).trials


def test_the_best_one_is_not_fitted_and_the_given_one_not_changed():
    given = only(["als", "popularity"])
    found = tune(given, {"factorizer__als__factors": [4, 8]}, random_events(), budget=2)
    assert given.factorizer == ["als", "popularity"]
    assert found.best.factorizer[0].factors in (4, 8)
    with pytest.raises(NotFittedError):
        found.best.recommend("u1")


def test_ranges_are_drawn_within_their_bounds():
    seen = []

    class Noting(Popularity):
        def fit(self, interactions):
            seen.append(self.half_life)
            return super().fit(interactions)

    space = {"factorizer__half_life": (1.0, 1000.0, "log")}
    found = tune(only(Noting()), space, random_events(), budget=10)
    drawn = [trial["factorizer__half_life"] for trial in found.trials]
    assert set(drawn) <= set(seen)
    assert all(1 <= one <= 1000 for one in drawn)
    assert np.median(drawn) < 300


def test_frames_and_text():
    found = tune(only("als"), SPACE, random_events(), budget=3)
    frame = found.to_frame()
    assert list(frame.columns) == ["factorizer", "value", "seconds"]
    assert len(frame) == 3
    assert repr(found).startswith(f"Tuning(ndcg@10 {found.best_value:.4f}, best of 3: factorizer=")


def test_time_is_a_limit_too():
    assert len(tune(only("als"), SPACE, random_events(), budget=50, seconds=1e-9).trials) == 1


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space must be a mapping"),
        ({"factorizr": ["als"]}, "Did you mean 'factorizer'"),
        ({"factorizer__factor": [1]}, "Did you mean 'factors'"),
        ({"factorizer__factors": 3}, "must be a list of choices"),
        ({"factorizer__factors": []}, "must be a list of choices"),
        ({"factorizer__factors": (9, 3)}, "must rise"),
        ({"factorizer__factors": (0, 3, "log")}, "above 0"),
        ({"factorizer__factors": (1, 3, "lin")}, "must be a list of choices"),
        ({"ranker__x__y": [1]}, "no parameter 'x'"),
    ],
)
def test_an_unusable_space_is_refused_before_any_trial(space, message):
    with pytest.raises(ParameterError, match=message):
        tune(only("als"), space, Untouchable())


def test_other_arguments_that_are_refused():
    with pytest.raises(UnknownNameError, match="ndcg@10"):
        tune(only("als"), SPACE, random_events(), metric="ndgc@10")
    with pytest.raises(ParameterError, match="budget"):
        tune(only("als"), SPACE, random_events(), budget=0)
    with pytest.raises(DataError, match="leave_one_out"):
        tune(only("als"), SPACE, [("a", "x"), ("a", "y"), ("b", "x")])
    assert tune(only("als"), SPACE, [("a", "x"), ("a", "y"), ("b", "y")], budget=1, validate=leave_one_out)
    with pytest.raises(ParameterError, match="validation part"):
        tune(only("als"), SPACE, leave_one_out(random_events(), validation=True), validate=leave_one_out)


def test_paths_lead_through_lists_by_place_and_name():
    rec = Recommender(factorizer=["als", Popularity()])
    set_parameter(rec, "factorizer__1__half_life", 3.0)
    set_parameter(rec, "factorizer__0", "item-knn")
    assert rec.factorizer[0] == "item-knn"
    assert rec.factorizer[1].half_life == 3
    with pytest.raises(ParameterError, match="none of its places"):
        set_parameter(rec, "factorizer__7__half_life", 3)
    with pytest.raises(ParameterError, match="no component"):
        set_parameter(rec, "unknown_users__x", 3)


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"llmrec\[tune\]"):
        tune(only("als"), SPACE, random_events())
