"""Decayed histories, and the factorizer that asks about them."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec import Recommender, TfidfEncoder
from llmrec.errors import ComponentError, DataError, NotFittedError, ParameterError
from llmrec.factorizers import EASE, GraphFilter, ItemKNN, Recent, SequenceRules, UserKNN
from llmrec.interactions import Histories, Interactions
from llmrec.testing.samples import tiny_interactions, with_new_events

DAY = 86_400.0


def timed():
    days = [0, 2, 4, 10, 3]
    return Interactions.from_table(
        [(user, item, 1.0, DAY * day) for user, item, day in zip("aaaab", "vwxyv", days, strict=True)]
    )


def test_weights_halve_after_half_life_events():
    histories = Histories.of([[0] * 11, [], [3]], 4, weights=[[2.0] * 11, [], [5.0]])
    weights = histories.decayed(half_life=5).weights
    assert weights[[10, 5, 0]].tolist() == [2.0, 1.0, 0.5]
    assert weights[11] == 5.0
    ratios = weights[1:11] / weights[:10]
    np.testing.assert_allclose(ratios, 2 ** (1 / 5), rtol=1e-5)
    assert (histories.weights[:11] == 2.0).all()


def test_weights_halve_after_half_life_days():
    histories = timed().histories()
    assert histories.decayed(half_life=2, unit="days").weights.tolist() == [2**-5, 2**-4, 2**-3, 1.0, 1.0]


def test_the_oldest_of_many_events_keeps_a_weight():
    weights = Histories.of([[0] * 5000], 1).decayed(half_life=0.5).weights
    assert weights[0] > 0
    assert weights[-1] == 1


def test_ages_in_days_need_times():
    with pytest.raises(DataError, match="times"):
        Histories.of([[0]], 1).decayed(1, "days")


@pytest.mark.parametrize("inner", [ItemKNN(5), UserKNN(5), EASE(2.0)], ids=str)
def test_only_queries_differ_from_those_of_the_factorizer_inside(inner):
    known = tiny_interactions()
    histories = known.histories()
    recent, plain = Recent(inner, half_life=3).fit(known), inner.fit(known)
    np.testing.assert_array_equal(
        np.asarray(recent.item_vectors() @ np.eye(recent.item_vectors().shape[1])),
        np.asarray(plain.item_vectors() @ np.eye(plain.item_vectors().shape[1])),
    )
    found, expected = recent.query_vectors(histories), plain.query_vectors(histories.decayed(3))
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)
    assert np.abs(found.toarray() - plain.query_vectors(histories).toarray()).max() > 0.01


@pytest.mark.parametrize(
    "model",
    [Recent(ItemKNN(5)), Recent(ItemKNN(5, similarity="pearson")), SequenceRules(), GraphFilter()],
    ids=str,
)
def test_parts_of_histories_add_up_to_queries(model):
    known = tiny_interactions()
    histories = known.histories()
    model.fit(known)
    parts, queries = model.history_parts(histories), model.query_vectors(histories).toarray()
    weights = histories.weight_matrix()
    assert parts.shape == (weights.nnz, queries.shape[1])
    owners = np.repeat(np.arange(len(histories)), np.diff(weights.indptr))
    summed = np.zeros_like(queries)
    np.add.at(summed, owners, parts.toarray())
    np.testing.assert_allclose(summed, queries, atol=1e-6)
    assert Recent(UserKNN()).fit(known).history_parts(histories) is None


def test_the_factorizer_inside_is_a_copy_that_learns_from_new_events():
    inner = UserKNN(5)
    known = tiny_interactions()
    grown, events = with_new_events(known, [(0, 3), (known.n_users, 1)])
    recent = Recent(inner).fit(known)
    plain = UserKNN(5).fit(known)
    assert recent.partial_fit(grown, events).tolist() == plain.partial_fit(grown, events).tolist() == [1, 3]
    assert (recent.item_vectors() != plain.item_vectors()).nnz == 0
    assert not hasattr(inner, "audiences_")


def test_a_history_without_times_is_of_one_day():
    recent = Recent(ItemKNN(), half_life=2, unit="days").fit(timed())
    assert recent.query_vectors(Histories.of([[0, 1]], 4)).toarray().tolist() == [[1, 1, 0, 0]]


def test_texts_reach_the_factorizer_inside():
    texts = {"a": "moon robots", "b": "moon rockets", "c": "garden roses", "d": "garden tea"}
    events = [("u", "a"), ("u", "b"), ("v", "c"), ("v", "d"), ("w", "a"), ("w", "b")]
    recent = Recent(EASE(1.0, content_weight=2))
    rec = Recommender(encoder=TfidfEncoder(), factorizer=recent, fuser="concat").fit(events, items=texts)
    rec.partial_fit(items={"e": "garden roses, and more roses"})
    assert rec.views_["recent-ease"].item_support(
        np.zeros(1, np.float32), np.array([4], np.int32)
    ).tolist() == [0.5]
    assert rec.recommend("v", k=1).items == ["e"]


def test_what_cannot_be_is_refused():
    with pytest.raises(ParameterError, match="half_life"):
        Recent(ItemKNN(), half_life=0).fit(timed())
    with pytest.raises(ParameterError, match="Did you mean 'days'"):
        Recent(ItemKNN(), unit="day").fit(timed())
    with pytest.raises(ComponentError, match="'item-knn'"):
        Recent("item-knn").fit(timed())
    with pytest.raises(DataError, match="timestamp"):
        Recent(ItemKNN(), unit="days").fit(Interactions.from_table([("a", "x")]))
    with pytest.raises(NotFittedError):
        Recent(ItemKNN()).item_vectors()
