"""Item neighbours against a dense reference, and where its blocks of items meet."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.errors import NotFittedError, ParameterError
from llmrec.factorizers import ItemKNN
from llmrec.interactions import Histories, Interactions
from tests.factorizers.samples import from_dense, random_weights


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
