"""SVD against NumPy's, beyond the rank of the events, and its fold-in."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.errors import DataError, NotFittedError, ParameterError
from llmrec.factorizers import SVDFactorizer
from llmrec.interactions import Histories, Interactions
from tests.factorizers.samples import from_dense, random_ratings, random_weights


def closest_of_rank(matrix, rank):
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank], values[:rank]


@pytest.mark.parametrize("factors", [1, 3, 8])
@pytest.mark.parametrize("shape", [(14, 11), (11, 14), (90, 80)])
def test_scores_are_the_closest_matrix_of_that_rank(shape, factors):
    weights = random_weights(*shape)
    svd = SVDFactorizer(factors=factors).fit(from_dense(weights))
    expected, values = closest_of_rank(weights, factors)
    np.testing.assert_allclose(svd.user_vectors_ @ svd.item_vectors_.T, expected, atol=1e-4)
    np.testing.assert_allclose(svd.singular_values_, values, rtol=1e-5)


def test_item_vectors_are_orthonormal_and_values_descend():
    svd = SVDFactorizer(factors=10).fit(from_dense(random_weights(90, 80)))
    np.testing.assert_allclose(svd.item_vectors_.T @ svd.item_vectors_, np.eye(10), atol=1e-5)
    assert (np.diff(svd.singular_values_) <= 0).all()


@pytest.mark.parametrize("n_copies", [3, 30])
def test_more_factors_than_the_rank_give_as_many_as_the_rank(n_copies):
    weights = np.kron(np.eye(3), np.ones((n_copies, n_copies)))
    svd = SVDFactorizer(factors=70).fit(from_dense(weights))
    assert svd.item_vectors_.shape == (len(weights), 3)
    np.testing.assert_allclose(svd.user_vectors_ @ svd.item_vectors_.T, weights, atol=1e-4)


@pytest.mark.parametrize("shape", [(14, 11), (90, 80)])
def test_largest_entry_of_each_vector_is_positive_whatever_the_seed(shape):
    events = from_dense(random_weights(*shape))
    one, other = (SVDFactorizer(factors=5, random_state=seed).fit(events) for seed in (0, 99))
    largest = np.abs(one.item_vectors_).argmax(axis=0)
    assert (one.item_vectors_[largest, np.arange(5)] > 0).all()
    np.testing.assert_allclose(one.item_vectors_, other.item_vectors_, atol=1e-4)


@pytest.mark.parametrize("shape", [(14, 11), (90, 80)])
def test_fold_in_of_users_and_items_is_what_was_trained(shape):
    events = from_dense(random_weights(*shape))
    svd = SVDFactorizer(factors=6).fit(events)
    np.testing.assert_allclose(svd.query_vectors(events.histories()), svd.user_vectors_, atol=1e-4)
    np.testing.assert_allclose(svd.fold_in_items(events.audiences()), svd.item_vectors_, atol=1e-4)


def test_explicit_decomposes_what_the_biases_leave():
    ratings, is_rated = random_ratings(30, 25)
    svd = SVDFactorizer(factors=4, feedback="explicit").fit(
        from_dense(ratings, ratings=ratings, is_met=is_rated)
    )
    biases = svd.user_vectors_[:, -1:] + svd.item_vectors_[:, -2]
    expected, _ = closest_of_rank(np.where(is_rated, ratings - biases, 0), 4)
    scores = svd.user_vectors_ @ svd.item_vectors_.T
    np.testing.assert_allclose(scores, biases + expected, atol=1e-4)
    assert svd.mean_rating_ == pytest.approx(ratings[is_rated].mean())


def test_explicit_fold_in_of_users_and_items_is_what_was_trained():
    ratings, is_rated = random_ratings(30, 25)
    events = from_dense(ratings, ratings=ratings, is_met=is_rated)
    svd = SVDFactorizer(factors=4, feedback="explicit").fit(events)
    np.testing.assert_allclose(svd.query_vectors(events.histories()), svd.user_vectors_, atol=1e-4)
    np.testing.assert_allclose(svd.fold_in_items(events.audiences()), svd.item_vectors_, atol=1e-4)


def test_targets_are_weights_or_ratings():
    rated = Interactions.from_table([{"user": "a", "item": "x", "rating": 4.0}])
    weighed = Interactions.from_table([("a", "x", 3.0)])
    assert SVDFactorizer(feedback="explicit").targets(rated.events).tolist() == [4.0]
    assert SVDFactorizer().targets(weighed.events).tolist() == [3.0]


def test_a_second_fit_forgets_the_first():
    small = from_dense(random_weights(8, 6))
    svd = SVDFactorizer(factors=3).fit(from_dense(random_weights(90, 80))).fit(small)
    np.testing.assert_array_equal(svd.item_vectors_, SVDFactorizer(factors=3).fit(small).item_vectors_)


@pytest.mark.parametrize(
    ("name", "value"),
    [("factors", 0), ("factors", 1.0), ("feedback", "ratings"), ("damping", -1), ("damping", "5")],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        SVDFactorizer().set_params(**{name: value}).fit(Interactions.from_table([("a", "x")]))


def test_explicit_feedback_without_ratings_is_refused():
    with pytest.raises(DataError, match="rating"):
        SVDFactorizer(feedback="explicit").fit(Interactions.from_table([("a", "x")]))


def test_use_before_fit_is_refused():
    with pytest.raises(NotFittedError):
        SVDFactorizer().query_vectors(Histories.of([[0]], n_columns=1))
