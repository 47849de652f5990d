"""Sequence rules against a plain loop over all histories, and after new events."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec import Recommender
from llmrec.errors import NotFittedError, ParameterError
from llmrec.factorizers import SequenceRules
from llmrec.interactions import Histories, Interactions
from llmrec.testing.samples import with_new_events

ROWS = [[0, 1, 2, 1, 4], [3, 0], [], [2, 2, 0, 1, 3], [4]]


def sequences(rows=ROWS):
    events = [
        (user, item, 1.0, 100.0 * place + user)
        for user, row in enumerate(rows)
        for place, item in enumerate(row)
    ]
    return Interactions.from_table(events)


def looped_scores(known, asked, window, half_life):
    """Scores of a list of item rows, from the definition."""
    counts = known.item_counts
    rules = np.zeros((known.n_items, known.n_items))
    histories = known.histories()
    for user in range(known.n_users):
        row = histories.columns[histories.indptr[user] : histories.indptr[user + 1]].tolist()
        for later, after in enumerate(row):
            for earlier in range(max(0, later - window), later):
                if row[earlier] != after:
                    rules[row[earlier], after] += 1 / (later - earlier)
    scores = np.zeros(known.n_items)
    for age, item in enumerate(reversed(asked)):
        scores += 0.5 ** (age / half_life) * rules[item] / np.sqrt(np.maximum(counts[item] * counts, 1))
    return scores


def scores_of(model, rows, n_items):
    queries = model.query_vectors(Histories.of(rows, n_items))
    return (queries @ model.item_vectors().T).toarray()


@pytest.mark.parametrize("half_life", [1, 2.5])
@pytest.mark.parametrize("window", [1, 2, 10])
def test_scores_are_those_of_the_definition(window, half_life):
    known = sequences()
    model = SequenceRules(window, half_life=half_life).fit(known)
    asked = [[0], [1, 2], [4, 3, 0, 1], [2, 2]]
    expected = [looped_scores(known, one, window, half_life) for one in asked]
    np.testing.assert_allclose(scores_of(model, asked, known.n_items), expected, atol=1e-6)


def test_new_events_give_what_a_fresh_fit_gives():
    known = sequences()
    n_users, n_items = known.n_users, known.n_items
    pairs = [(0, 3), (n_users, 1), (1, n_items), (1, 2), (n_users, n_items)]
    grown, events = with_new_events(known, pairs)
    model, fresh = SequenceRules(3).fit(known), SequenceRules(3).fit(grown)
    assert model.partial_fit(grown, events).tolist() == [1, 2, 3, n_items]
    asked = [[n_items], [0, 3, 1], [n_items, 2]]
    expected = [looped_scores(grown, one, 3, 2.0) for one in asked]
    assert np.count_nonzero(expected[0])
    np.testing.assert_allclose(scores_of(model, asked, grown.n_items), expected, atol=1e-6)
    np.testing.assert_allclose(scores_of(fresh, asked, grown.n_items), expected, atol=1e-6)


def test_items_beyond_the_room_start_no_rules_but_are_reached_by_them():
    known = Interactions.from_table([("a", "x", 1, 0)])
    model = SequenceRules().fit(known)
    assert model.item_vectors().shape == (1, 2)
    grown, events = with_new_events(known, [(0, 1), (0, 2), (0, 3), (0, 1)])
    model.partial_fit(grown, events)
    scores = scores_of(model, [[0], [1], [3]], grown.n_items)
    assert model.item_vectors().shape == (4, 2)
    np.testing.assert_allclose(scores[1], looped_scores(grown, [1], 10, 2.0), atol=1e-6)
    assert scores[0, 3] > 0
    assert not scores[2].any()


def test_the_last_event_decides_what_a_recommender_says_next():
    episodes = [f"part {part}" for part in range(6)]
    events = [(user, part, 1.0, place) for user in "abcd" for place, part in enumerate(episodes)]
    rec = Recommender(factorizer=SequenceRules(window=1), fuser="concat").fit(events)
    assert rec.recommend(history=["part 0", "part 3"], k=1).items == ["part 4"]
    rec.partial_fit([("e", "part 2", 1.0, 100), ("e", "bonus", 1.0, 101)])
    assert rec.recommend(history=["part 2"], k=1, candidates=["bonus", "part 0"]).items == ["bonus"]


@pytest.mark.parametrize("by_kernel", [False, True])
def test_the_largest_rules_to_each_item_are_kept(by_kernel, monkeypatch):
    rng = np.random.default_rng(0)
    events = sequences([rng.integers(0, 12, 9).tolist() for _ in range(20)])
    everything = SequenceRules().fit(events).rules_.toarray()
    if by_kernel:
        monkeypatch.setattr("llmrec.factorizers.sequence_rules._LITTLE_WORK", 0)
    kept = SequenceRules(max_rules=4).fit(events).rules_.toarray()
    for row, own in enumerate(kept):
        best = np.argsort(-everything[row], kind="stable")[:4]
        expected = np.where(np.isin(np.arange(len(own)), best), everything[row], 0)
        np.testing.assert_allclose(own, expected, rtol=1e-6)
    assert np.count_nonzero(kept) < np.count_nonzero(everything)


@pytest.mark.parametrize(("name", "value"), [("window", 0), ("half_life", 0), ("max_rules", 0)])
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        SequenceRules().set_params(**{name: value}).fit(sequences())


def test_use_before_fit_is_refused():
    for ask in (SequenceRules().item_vectors, lambda: SequenceRules().query_vectors(Histories.of([[0]], 1))):
        with pytest.raises(NotFittedError):
            ask()
