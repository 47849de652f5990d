"""Sparse EASE against EASE and against regressions solved one by one."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec import EASE, Recommender, thread_limit
from llmrec.errors import NotFittedError, ParameterError
from llmrec.factorizers import SparseEASE, sparse_ease
from llmrec.interactions import Histories, Interactions
from llmrec.testing.samples import with_new_events
from tests.factorizers.samples import from_dense, random_weights


def regressed_on_the_nearest(rows, ridge, neighbours):
    """Each column on those with the largest cosines to it, one by one."""
    lengths = np.linalg.norm(rows, axis=0)
    cosines = rows.T @ rows / np.maximum(np.outer(lengths, lengths), 1e-12)
    np.fill_diagonal(cosines, 0)
    found = np.zeros_like(cosines)
    for item, near in enumerate(cosines):
        chosen = [one for one in np.argsort(-near, kind="stable")[:neighbours] if near[one] > 0]
        design = rows[:, chosen]
        gram = design.T @ design + ridge * np.eye(len(chosen))
        found[item, chosen] = np.linalg.solve(gram, design.T @ rows[:, item])
    return found


@pytest.mark.parametrize("neighbours", [1, 3, 100])
@pytest.mark.parametrize("ridge", [0.3, 20])
def test_each_item_is_a_ridge_regression_on_its_nearest(neighbours, ridge):
    rows = random_weights(40, 15)
    model = SparseEASE(neighbours, regularization=ridge, dropout=0, length_exponent=0).fit(from_dense(rows))
    expected = regressed_on_the_nearest(rows, ridge, neighbours)
    np.testing.assert_allclose(model.coefficients_.toarray(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"regularization": 3.0, "dropout": 0.2, "length_exponent": 1.0}], ids=str
)
def test_with_all_items_as_neighbours_it_is_ease(settings):
    events = from_dense(random_weights(60, 12))
    sparse_one, dense_one = SparseEASE(12, **settings).fit(events), EASE(**settings).fit(events)
    np.testing.assert_allclose(sparse_one.coefficients_.toarray(), dense_one.item_vectors(), atol=1e-5)
    assert sparse_one.regularization_ == pytest.approx(dense_one.regularization_)


def test_of_two_items_that_say_the_same_each_counts_half():
    rows = np.zeros((10, 3), dtype=np.float32)
    rows[:6] = 1
    rows[6:, 2] = 1
    model = SparseEASE(regularization=1e-3, dropout=0, length_exponent=0).fit(from_dense(rows))
    twin, other, _ = model.coefficients_.toarray()[2]
    assert twin == pytest.approx(other)
    assert twin == pytest.approx(0.5, abs=1e-3)


def test_the_number_of_threads_and_of_chunks_changes_nothing(monkeypatch):
    events = from_dense(random_weights(80, 30))
    expected = SparseEASE(7).fit(events).coefficients_.toarray()
    monkeypatch.setattr(sparse_ease, "_WORK_AT_A_TIME", 50)
    for n_jobs in (1, 4):
        with thread_limit(n_jobs):
            np.testing.assert_array_equal(SparseEASE(7).fit(events).coefficients_.toarray(), expected)


def test_items_without_company_have_no_coefficients():
    model = SparseEASE().fit(Interactions.from_table([("ann", "tea"), ("bob", "jam")]))
    assert model.coefficients_.shape == (2, 2)
    assert model.coefficients_.nnz == 0


def test_no_events_give_no_coefficients():
    assert SparseEASE().fit(Interactions.from_table([])).item_vectors().shape == (0, 0)


@pytest.mark.parametrize(
    "settings", [{}, {"regularization": 3.0, "dropout": 0.2, "length_exponent": 1.0}], ids=str
)
def test_new_items_get_the_columns_of_ease_where_all_are_neighbours(settings):
    known = from_dense(random_weights(60, 12))
    grown, events = with_new_events(known, [(3, 12), (5, 12), (60, 14), (5, 14), (7, 2)])
    sparse_one, dense_one = SparseEASE(12, **settings).fit(known), EASE(**settings).fit(known)
    before = sparse_one.coefficients_.toarray()
    assert sparse_one.partial_fit(grown, events).tolist() == [12, 14]
    dense_one.partial_fit(grown, events)
    found = sparse_one.item_vectors().toarray()
    assert found.shape == (15, 12)
    np.testing.assert_allclose(found, dense_one.item_vectors(), atol=1e-5)
    np.testing.assert_array_equal(found[:12], before)
    assert np.abs(found[12]).max() > 0
    assert sparse_one.query_vectors(grown.histories()).shape == (grown.n_users, 12)


def test_new_items_keep_the_largest_coefficients():
    known = from_dense(random_weights(60, 12))
    grown, events = with_new_events(known, [(user, 12) for user in range(20)])
    few, all_of_them = SparseEASE(3).fit(known), SparseEASE(3).fit(known)
    all_of_them.neighbours = 12
    few.partial_fit(grown, events), all_of_them.partial_fit(grown, events)
    mine, whole = (one.item_vectors().toarray()[12] for one in (few, all_of_them))
    kept = np.argsort(-np.abs(whole))[:3]
    assert sorted(np.flatnonzero(mine)) == sorted(kept)
    np.testing.assert_array_equal(mine[kept], whole[kept])


def test_the_order_of_events_changes_nothing_for_new_items():
    known = from_dense(random_weights(60, 12))
    grown, events = with_new_events(known, [(3, 12), (5, 12), (9, 13)])
    at_once, one_by_one = SparseEASE(5).fit(known), SparseEASE(5).fit(known)
    at_once.partial_fit(grown, events)
    for place in range(3):
        one_by_one.partial_fit(grown, events.take(np.arange(3) == place))
    np.testing.assert_allclose(
        at_once.item_vectors().toarray(), one_by_one.item_vectors().toarray(), atol=1e-6
    )


def test_a_new_item_is_recommended_to_those_who_met_what_goes_with_it():
    events = [(user, item) for user in "abcdef" for item in ("tea", "jam")]
    events += [(user, item) for user in "uvwxyz" for item in ("oil", "nut")]
    rec = Recommender(encoder=None, factorizer=SparseEASE()).fit(events)
    rec.partial_fit([("a", "new"), ("b", "new"), ("zoe", "tea")])
    assert rec.recommend("c", 1).items == ["new"]
    assert set(rec.recommend("zoe", 2).items) == {"jam", "new"}
    why = rec.explain("c", "new")
    assert {item for item, share in why.history.items() if share > 0} == {"tea", "jam"}


def test_events_that_would_not_fit_are_refused_by_name():
    events = from_dense(random_weights(40, 15))
    with pytest.raises(ParameterError, match=r"max_gigabytes is 1e-07.*'item-knn'"):
        SparseEASE(max_gigabytes=1e-7).fit(events)


def test_a_system_without_a_solution_says_what_to_raise():
    rows = np.ones((5, 4), dtype=np.float32)
    with pytest.raises(ParameterError, match="raise it"):
        SparseEASE(regularization=1e-300, dropout=0).fit(from_dense(rows))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("neighbours", 0),
        ("regularization", 0),
        ("regularization", "some"),
        ("dropout", 1.0),
        ("length_exponent", -1),
        ("max_gigabytes", 0),
    ],
)
def test_parameters_are_checked_in_fit(name, value):
    with pytest.raises(ParameterError, match=name):
        SparseEASE().set_params(**{name: value}).fit(from_dense(random_weights()))


def test_nothing_is_answered_before_fit():
    for ask in (SparseEASE().item_vectors, lambda: SparseEASE().query_vectors(Histories.of([[0]], 1))):
        with pytest.raises(NotFittedError):
            ask()
