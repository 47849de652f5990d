"""Item neighbours against a dense reference, and where its blocks of items meet."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.errors import DataError, NotFittedError, ParameterError
from llmrec.factorizers import ItemKNN
from llmrec.interactions import Histories, Interactions
from tests.factorizers.samples import from_dense, random_ratings, random_weights


def dense_similarities(weights, neighbours, shrinkage):
    lengths = np.linalg.norm(weights, axis=0)
    unit = weights / np.where(lengths > 0, lengths, 1)
    met = (weights > 0).astype(float)
    shared = met.T @ met
    similar = (
        unit.T @ unit * np.divide(shared, shared + shrinkage, out=np.zeros_like(shared), where=shared > 0)
    )
    np.fill_diagonal(similar, 0)
    for row in similar:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0
    return similar


@pytest.mark.parametrize("shrinkage", [0, 0.5, 10])
@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_similarities_are_those_of_the_dense_reference(neighbours, shrinkage):
    weights = random_weights(40, 15)
    knn = ItemKNN(neighbours, shrinkage=shrinkage).fit(from_dense(weights))
    expected = dense_similarities(weights, neighbours, shrinkage)
    np.testing.assert_allclose(knn.similarities_.toarray(), expected, atol=1e-6)


def test_similarities_across_blocks_are_those_of_the_dense_reference():
    rng = np.random.default_rng(0)
    weights = rng.uniform(1, 2, (60, 1100)) * (rng.random((60, 1100)) < 0.05)
    knn = ItemKNN(1100, shrinkage=2).fit(from_dense(weights))
    similar = knn.similarities_.toarray()
    np.testing.assert_allclose(similar, dense_similarities(weights, 1100, 2), atol=1e-5)
    assert not similar.diagonal().any()
    assert similar[:1024, 1024:].any()
    assert similar[1024:, 1024:].any()
    assert similar[1024:, :1024].any()


def test_each_item_keeps_at_most_so_many_neighbours_and_never_itself():
    similar = ItemKNN(4).fit(from_dense(random_weights(60, 30))).similarities_
    assert np.diff(similar.indptr).max() == 4
    assert not similar.diagonal().any()
    assert (similar.data > 0).all()
    assert similar.dtype == np.float32


def test_of_equally_near_neighbours_the_first_rows_stay():
    similar = ItemKNN(2, shrinkage=0).fit(from_dense(np.ones((3, 5)))).similarities_.toarray()
    assert (similar[4] > 0).tolist() == [True, True, False, False, False]
    assert (similar[0] > 0).tolist() == [False, True, True, False, False]


def test_shrinkage_is_by_the_number_of_users_in_common():
    weights = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 1]])
    free, shrunk = (
        ItemKNN(shrinkage=shrinkage).fit(from_dense(weights)).similarities_.toarray() for shrinkage in (0, 6)
    )
    assert shrunk[0, 1] == pytest.approx(free[0, 1] * 3 / 9)
    assert shrunk[0, 2] == pytest.approx(free[0, 2] * 1 / 7)


def test_a_score_is_the_sum_of_similarities_with_the_history():
    weights = random_weights(40, 15)
    knn = ItemKNN(5, shrinkage=1).fit(from_dense(weights))
    queries = knn.query_vectors(Histories.of([[3, 7, 7], []], n_columns=15))
    scores = (queries @ knn.item_vectors().T).toarray()
    similar = knn.similarities_.toarray()
    np.testing.assert_allclose(scores[0], similar[:, 3] + 2 * similar[:, 7], atol=1e-6)
    assert not scores[1].any()


def test_an_item_nobody_met_has_no_neighbours():
    similar = ItemKNN().fit(from_dense(random_weights())).similarities_.toarray()
    assert not similar[-1].any()
    assert not similar[:, -1].any()
    assert np.isfinite(similar).all()


@pytest.mark.parametrize(
    ("name", "value"), [("neighbours", 0), ("neighbours", 1.5), ("shrinkage", -1), ("shrinkage", None)]
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        ItemKNN().set_params(**{name: value}).fit(Interactions.from_table([("a", "x")]))


def test_use_before_fit_is_refused():
    with pytest.raises(NotFittedError):
        ItemKNN().item_vectors()
    with pytest.raises(NotFittedError):
        ItemKNN().query_vectors(Histories.of([[0]], n_columns=1))


def centred_cosine(ratings, is_rated, means):
    left = np.where(is_rated, ratings - means, 0)
    lengths = np.linalg.norm(left, axis=0)
    unit = left / np.where(lengths > 0, lengths, 1)
    similar = np.maximum(unit.T @ unit, 0)
    np.fill_diagonal(similar, 0)
    return similar


@pytest.mark.parametrize(("similarity", "axis"), [("adjusted-cosine", 1), ("pearson", 0)])
def test_ratings_are_compared_less_their_means(similarity, axis):
    ratings, is_rated = random_ratings(40, 15)
    counts = np.maximum(is_rated.sum(axis=axis, keepdims=True), 1)
    means = np.where(is_rated, ratings, 0).sum(axis=axis, keepdims=True) / counts
    events = from_dense(ratings, ratings=ratings, is_met=is_rated)
    knn = ItemKNN(100, shrinkage=0, similarity=similarity).fit(events)
    expected = centred_cosine(ratings, is_rated, means)
    assert (expected > 0).any()
    np.testing.assert_allclose(knn.similarities_.toarray(), expected, atol=1e-5)


def test_where_ratings_are_compared_the_query_holds_them():
    ratings, is_rated = random_ratings()
    events = from_dense(ratings, ratings=ratings, is_met=is_rated)
    histories = Histories.of([[2, 5]], 11, ratings=[[1.5, 4.0]])
    assert ItemKNN(similarity="pearson").fit(events).query_vectors(histories).data.tolist() == [1.5, 4.0]
    assert ItemKNN().fit(events).query_vectors(histories).data.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("similarity", ["pearson", "adjusted-cosine"])
def test_ratings_that_are_missing_are_asked_for(similarity):
    with pytest.raises(DataError, match=f"{similarity}.*rating"):
        ItemKNN(similarity=similarity).fit(from_dense(random_weights()))


def test_jaccard_is_users_in_common_by_users_of_either():
    weights = random_weights(40, 15)
    met = (weights > 0).astype(float)
    shared, counts = met.T @ met, met.sum(axis=0)
    expected = shared / np.maximum(counts[:, None] + counts - shared, 1)
    np.fill_diagonal(expected, 0)
    similar = ItemKNN(100, shrinkage=0, similarity="jaccard").fit(from_dense(weights)).similarities_
    np.testing.assert_allclose(similar.toarray(), expected, atol=1e-6)


def test_tf_idf_counts_an_event_of_a_busy_user_less():
    weights = random_weights(40, 15)
    rarity = np.maximum(np.log(15) - np.log1p((weights > 0).sum(axis=1)), 0)
    expected = dense_similarities(np.sqrt(weights) * rarity[:, None], 100, 0)
    knn = ItemKNN(100, shrinkage=0, weighting="tf-idf").fit(from_dense(weights))
    np.testing.assert_allclose(knn.similarities_.toarray(), expected, atol=1e-5)


def test_bm25_is_the_textbook_formula():
    weights = random_weights(40, 15)
    rarity = np.maximum(np.log(15) - np.log1p((weights > 0).sum(axis=1)), 0)
    lengths = weights.sum(axis=0)
    damped = 0.2 + 0.8 * lengths / lengths[lengths > 0].mean()
    saturated = np.where(weights > 0, weights * 101 / (100 * damped + weights + 1e-30), 0)
    rows = (saturated * rarity[:, None]).T
    expected = rows @ rows.T
    np.fill_diagonal(expected, 0)
    knn = ItemKNN(100, shrinkage=0, similarity="dot", weighting="bm25").fit(from_dense(weights))
    np.testing.assert_allclose(knn.similarities_.toarray(), expected, rtol=1e-4, atol=1e-5)


def test_normalized_similarities_add_up_to_one():
    similar = ItemKNN(4, normalize=True).fit(from_dense(random_weights(40, 15))).similarities_
    sums = similar.sum(axis=1)
    np.testing.assert_allclose(sums[:-1], 1, atol=1e-6)
    assert sums[-1] == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"similarity": "cosin"}, "Did you mean 'cosine'"),
        ({"weighting": "tfidf"}, "Did you mean 'tf-idf'"),
        ({"weighting": "bm25", "similarity": "jaccard"}, "'cosine' or 'dot'"),
    ],
)
def test_what_does_not_go_together_is_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        ItemKNN(**parameters).fit(from_dense(random_weights()))
