"""The largest entries of products, and counted rules, against dense references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec.factorizers import GraphFilter, ItemKNN, SequenceRules, UserKNN, nearest, sequence_rules
from llmrec.factorizers.nearest import add_gram, largest_products, products_of_rows
from llmrec.interactions import Interactions
from llmrec.testing.samples import with_new_events
from llmrec.threads import thread_limit
from tests.factorizers.samples import from_dense, random_ratings, random_weights


def dense_largest(product, k):
    kept = np.where(product > 0, product, 0)
    for row in kept:
        row[np.argsort(-row, kind="stable")[k:]] = 0
    return kept


def found(left, right, k, **how):
    left, right = (sparse.csr_array(one.astype(np.float32)) for one in (left, right))
    return largest_products(left, right, k, products_of_rows(left, np.diff(right.indptr)), **how)


# Whole numbers, so that equal sums are equal whatever their order.
@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 90)),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    st.integers(0, 99),
)
def test_entries_are_those_of_the_dense_product_ties_included(shape, k, density, seed):
    rng = np.random.default_rng(seed)
    n, m, n_others = shape
    left, right = (
        rng.integers(-1, 3, size) * (rng.random(size) < density) for size in ((n, m), (m, n_others))
    )
    kept = found(left, right, k)
    np.testing.assert_array_equal(kept.toarray(), dense_largest(left @ right, k))
    assert kept.has_sorted_indices
    assert (kept.data > 0).all()


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
@pytest.mark.parametrize("jaccard", [False, True])
@pytest.mark.parametrize("n_others", [40, 4000])
def test_sums_become_similarities(n_others, jaccard, shrinkage):
    rng = np.random.default_rng(0)
    left, right = (rng.random(size) < 0.02 for size in ((50, 60), (60, n_others)))
    left[0] = rng.random(60) < 0.5
    left, right = left.astype(float), right.astype(float)
    shared = left @ right
    expected = shared / np.maximum(left.sum(1)[:, None] + right.sum(0) - shared, 1) if jaccard else shared
    expected = expected * shared / np.maximum(shared + shrinkage, 1)
    kept = found(left, right, n_others, jaccard=jaccard, shrinkage=shrinkage).toarray()
    np.testing.assert_allclose(kept, expected, rtol=1e-6)


def test_all_equal_entries_keep_the_first_columns_but_oneself():
    kept = found(np.ones((300, 2)), np.ones((2, 300)), 3, skip_self=True)
    assert kept[[0]].indices.tolist() == [1, 2, 3]
    assert kept[[299]].indices.tolist() == [0, 1, 2]


@pytest.fixture
def forced(monkeypatch):
    """Return a function that makes little work count as much, and chunks small."""

    def force():
        monkeypatch.setattr(nearest, "_LITTLE_WORK", -1)
        monkeypatch.setattr(nearest, "_WORK_AT_A_TIME", 2000)
        monkeypatch.setattr(sequence_rules, "_LITTLE_WORK", -1)

    return force


@pytest.mark.parametrize(
    "make",
    [
        lambda events: ItemKNN(4).fit(events).similarities_,
        lambda events: ItemKNN(4, similarity="dot", weighting="bm25").fit(events).similarities_,
        lambda events: ItemKNN(4, weighting="tf-idf", shrinkage=0, normalize=True).fit(events).similarities_,
        lambda events: ItemKNN(4, similarity="jaccard").fit(events).similarities_,
        lambda events: ItemKNN(4, similarity="pearson").fit(events).similarities_,
        lambda events: UserKNN(6).fit(events).query_vectors(events.histories()),
        lambda events: UserKNN(6, similarity="adjusted-cosine").fit(events).query_vectors(events.histories()),
        lambda events: GraphFilter(5).fit(events).similarities_,
        lambda events: GraphFilter(5, power=2.5).fit(events).similarities_,
        lambda events: SequenceRules(4).fit(events).rules_,
    ],
)
def test_views_are_the_same_with_kernels_and_without_and_for_any_threads(make, forced):
    ratings, is_rated = random_ratings(50, 30)
    events = from_dense(random_weights(50, 30) + is_rated, ratings=ratings, is_met=is_rated)
    expected = make(events)
    forced()
    answers = []
    for n_threads in (1, 3):
        with thread_limit(n_threads):
            answers.append(make(events))
    assert answers[0].shape == expected.shape
    np.testing.assert_allclose(answers[0].toarray(), expected.toarray(), atol=1e-5)
    np.testing.assert_array_equal(answers[0].toarray(), answers[1].toarray())


def test_rules_of_new_events_are_counted_by_kernel_as_without(forced):
    def learned():
        known = Interactions.from_table([("a", "x"), ("a", "y"), ("b", "y"), ("b", "x"), ("b", "y")])
        rules = SequenceRules(3).fit(known)
        return rules.partial_fit(
            *with_new_events(known, [(0, 2), (0, 0), (2, 2)])
        ).tolist(), rules.rules_.toarray()

    moved, expected = learned()
    forced()
    again, rules = learned()
    assert moved == again
    np.testing.assert_allclose(rules, expected, atol=1e-6)


def test_without_events_there_are_no_neighbours(forced):
    forced()
    assert found(np.zeros((0, 3)), np.ones((3, 5)), 2).shape == (0, 5)
    assert found(np.zeros((4, 3)), np.ones((3, 5)), 2).nnz == 0


def test_the_upper_triangle_of_a_gram_matrix_is_added(forced):
    forced()
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(30, 25)) * (rng.random((30, 25)) < 0.3)
    gram = np.ones((25, 25))
    add_gram(sparse.csr_array(dense), gram)
    np.testing.assert_allclose(np.triu(gram), np.triu(dense.T @ dense + 1), atol=1e-12)
