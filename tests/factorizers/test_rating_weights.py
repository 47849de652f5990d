"""Ratings as weights: the same model as of events with those weights, and where ratings cannot be any."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from llmrec.errors import DataError
from llmrec.factorizers import EASE, ALSFactorizer
from llmrec.interactions import Histories, IdTable, Interactions
from tests.factorizers.samples import from_dense, random_ratings

MODELS = [
    ALSFactorizer(3, rating_exponent=0.5, solver="exact", progress=False),
    ALSFactorizer(3, rating_exponent=0.5, solver="cg", progress=False),
    EASE(rating_exponent=0.5),
    EASE(2.0, rating_exponent=1.0),
]


def rated_and_weighed(exponent, n_users=30, n_items=12):
    ratings, is_met = random_ratings(n_users, n_items)
    ratings[4] = 0.01
    rated = from_dense(ratings, ratings=ratings, is_met=is_met)
    shares = np.maximum(ratings / rated.events.ratings.mean(), 0.05)
    return rated, from_dense(np.where(is_met, shares**exponent, 0))


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_a_rating_counts_as_a_weight_in_fit_and_in_queries(model):
    rated, weighed = rated_and_weighed(model.rating_exponent)
    by_rating = model.fit(rated)
    plain = type(model)(**{**model.get_params(), "rating_exponent": 0.0}).fit(weighed)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(by_rating.item_vectors(), plain.item_vectors(), **close)
    for method in ("query_vectors", "history_parts"):
        ours, theirs = (
            getattr(one, method)(events.histories()) for one, events in ((by_rating, rated), (plain, weighed))
        )
        ours, theirs = (one if isinstance(one, np.ndarray) else one.toarray() for one in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, **close)


def test_a_new_user_and_a_new_item_are_folded_in_by_their_ratings():
    rated, weighed = rated_and_weighed(0.5)
    by_rating = ALSFactorizer(3, rating_exponent=0.5, progress=False).fit(rated)
    plain = ALSFactorizer(3, progress=False).fit(weighed)
    np.testing.assert_allclose(
        by_rating.fold_in_items(rated.audiences()),
        plain.fold_in_items(weighed.audiences()),
        rtol=1e-4,
        atol=1e-5,
    )
    liked, disliked = (Histories.of([[1, 2]], 12, ratings=[[5.0, rating]]) for rating in (5.0, 1.0))
    assert not np.allclose(by_rating.query_vectors(liked), by_rating.query_vectors(disliked))


def known_and_new(events):
    """Return the events but for those of the last item, and these."""
    is_new = events.events.item_rows == events.n_items - 1
    known = Interactions(
        IdTable(range(events.n_users)),
        IdTable(range(events.n_items - 1)),
        events.events.take(np.flatnonzero(~is_new)),
    )
    return known, events.events.take(np.flatnonzero(is_new))


def test_a_new_item_gets_its_column_by_the_ratings():
    ratings, is_met = random_ratings(30, 12)
    ratings, is_met = ratings[:, :9], is_met[:, :9]
    rated = from_dense(ratings, ratings=ratings, is_met=is_met)
    first, later = known_and_new(rated)
    model = EASE(2.0, rating_exponent=1.0).fit(first)
    model.partial_fit(rated, later)
    # What makes a weight of 1 is the mean rating at the time of fit.
    weighed = from_dense(np.where(is_met, ratings / first.events.ratings.mean(), 0))
    first, later = known_and_new(weighed)
    plain = EASE(2.0).fit(first)
    plain.partial_fit(weighed, later)
    assert np.abs(plain.item_vectors()[8]).max() > 0
    np.testing.assert_allclose(model.item_vectors(), plain.item_vectors(), rtol=1e-4, atol=1e-5)


def test_without_ratings_nothing_changes():
    events = Interactions.from_table([("a", "x"), ("a", "y"), ("b", "y"), ("b", "z")])
    for exponent in (0.0, 0.5):
        model = EASE(1.0, rating_exponent=exponent).fit(events)
        assert model.usual_rating_ == 1
    np.testing.assert_array_equal(model.item_vectors(), EASE(1.0).fit(events).item_vectors())


@pytest.mark.parametrize("model", MODELS[::2], ids=repr)
def test_ratings_that_are_no_weights_are_refused(model):
    ratings = np.where(np.eye(4) > 0, -1.0, 1.0) - 1
    events = from_dense(ratings, ratings=ratings, is_met=np.ones((4, 4), dtype=bool))
    with pytest.raises(DataError, match="rating_exponent=0"):
        model.fit(events)
    clone(model).set_params(rating_exponent=0.0).fit(events)
