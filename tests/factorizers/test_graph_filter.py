"""The graph filter against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.errors import NotFittedError, ParameterError
from llmrec.factorizers import GraphFilter, graph_filter
from llmrec.interactions import Histories
from tests.factorizers.samples import from_dense, random_weights


def powers(totals, exponent):
    return np.array([0.0 if total == 0 else total**exponent for total in totals])


def normalised(weights, user_exponent):
    users, items = weights.sum(axis=1), weights.sum(axis=0)
    return powers(users, -user_exponent)[:, None] * weights * powers(items, user_exponent - 1)


def dense_filter(weights, user_exponent, power):
    rows = normalised(weights, user_exponent)
    linear = (rows.T @ rows) ** power
    np.fill_diagonal(linear, 0)
    return linear


def dense_low_pass(weights, factors):
    """Built from eigenvectors of the item graph, not from singular vectors."""
    rows, items = normalised(weights, 0.5), weights.sum(axis=0)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = vectors[:, np.argsort(-values)[:factors]]
    ideal = powers(items, -0.5)[:, None] * (kept @ kept.T) * powers(items, 0.5)
    np.fill_diagonal(ideal, 0)
    return ideal


@pytest.mark.parametrize("power", [0.7, 1, 1.4])
@pytest.mark.parametrize("user_exponent", [0, 0.5, 0.6, 1])
def test_it_is_the_power_of_the_normalised_product(user_exponent, power):
    weights = random_weights(40, 15)
    model = GraphFilter(100, user_exponent=user_exponent, power=power).fit(from_dense(weights))
    expected = dense_filter(weights, user_exponent, power)
    np.testing.assert_allclose(model.item_vectors().toarray(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factors", [1, 4])
def test_an_ideal_low_pass_filter_is_added(factors, monkeypatch):
    monkeypatch.setattr(graph_filter, "_ITEMS_AT_A_TIME", 4)
    weights = random_weights(40, 15)
    model = GraphFilter(100, power=1, factors=factors, low_pass_weight=0.3).fit(from_dense(weights))
    expected = dense_filter(weights, 0.6, 1) + 0.3 * dense_low_pass(weights, factors)
    # Row j of the item vectors is what a history says for item j: the column j of the filter.
    assert (expected < -1e-3).any() or factors == 1
    np.testing.assert_allclose(model.item_vectors().toarray(), np.maximum(expected, 0).T, atol=1e-5)


def largest(rows, k):
    kept = rows.copy()
    for row in kept:
        row[np.argsort(-row, kind="stable")[k:]] = 0
    return kept


@pytest.mark.parametrize("factors", [0, 3])
def test_the_largest_entries_of_each_row_and_column_stay(factors, monkeypatch):
    monkeypatch.setattr(graph_filter, "_ITEMS_AT_A_TIME", 4)
    weights = random_weights(40, 15)
    found = GraphFilter(3, power=1, factors=factors).fit(from_dense(weights)).item_vectors().toarray()
    everything = dense_filter(weights, 0.6, 1)
    if factors:
        everything = np.maximum(everything + 0.3 * dense_low_pass(weights, factors), 0)
    expected = np.maximum(largest(everything, 3), largest(everything.T, 3).T)
    np.testing.assert_allclose(found, expected.T, atol=1e-5)
    assert np.count_nonzero(found) < np.count_nonzero(everything)


def test_a_score_is_the_sum_over_the_history():
    model = GraphFilter().fit(from_dense(random_weights()))
    queries = model.query_vectors(Histories.of([[3, 7, 7], []], n_columns=11))
    scores, dense = (queries @ model.item_vectors().T).toarray(), model.item_vectors().toarray()
    np.testing.assert_allclose(scores[0], dense[:, 3] + 2 * dense[:, 7], rtol=1e-6)
    assert not scores[1].any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("neighbours", 0),
        ("user_exponent", 1.1),
        ("power", 0),
        ("factors", -1),
        ("low_pass_weight", -1),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        GraphFilter().set_params(**{name: value}).fit(from_dense(random_weights()))


def test_use_before_fit_is_refused():
    for ask in (GraphFilter().item_vectors, lambda: GraphFilter().query_vectors(Histories.of([[0]], 1))):
        with pytest.raises(NotFittedError):
            ask()
