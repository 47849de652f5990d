"""Popularity, variety and calibration of lists, by hand and against slow references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import entropy

from llmrec.errors import DataError
from llmrec.evaluation import (
    RankedLists,
    calibration_error,
    coverage,
    gini,
    intra_list_diversity,
    mae,
    mean_popularity,
    novelty,
    rmse,
)
from llmrec.vectors import JoinedVectors
from tests.evaluation.samples import random_lists


def test_coverage_counts_the_catalogue_alone():
    lists = RankedLists.of([["a", "x"], ["b", "a"]], [{"x"}, {"c"}], catalogue="abcd")
    assert coverage(lists) == 3 / 5
    assert coverage(lists, n_items=4) == 2 / 4
    assert coverage(lists, k=1, n_items=4) == 2 / 4
    assert coverage(lists.take(np.array([0])), k=1, n_items=4) == 1 / 4


def test_gini_is_the_mean_difference_over_twice_the_mean():
    _, _, lists = random_lists(n_users=20, seed=5)
    counts = np.asarray(lists.indicator(4).sum(axis=0)).ravel()
    differences = np.abs(counts[:, None] - counts[None, :]).mean()
    assert gini(lists, 4) == pytest.approx(differences / (2 * counts.mean()))


def test_gini_of_one_item_for_all_is_near_one_and_of_no_list_unknown():
    one = RankedLists.of([["a"]] * 5, [{"a"}] * 5, catalogue=range(99))
    assert gini(one) == pytest.approx(0.99)
    assert np.isnan(gini(RankedLists.of([[]], [{"a"}])))


def test_popularity_and_novelty_are_means_over_the_list():
    lists = RankedLists.of([["a", "b"], ["c"], []], [{"a"}] * 3, catalogue="abc")
    np.testing.assert_allclose(mean_popularity(lists, [16, 4, 0]), [10, 16 * 0, np.nan])
    np.testing.assert_allclose(mean_popularity(lists, [16, 4, 0], k=1), [16, 0, np.nan])
    np.testing.assert_allclose(novelty(lists, [16, 4, 0], n_users=16), [1, 4, np.nan])
    with pytest.raises(DataError, match="item_counts"):
        novelty(lists, [1, 2], n_users=3)


@pytest.mark.parametrize("form", ["dense", "sparse", "joined"])
def test_diversity_is_one_minus_the_mean_cosine_of_pairs(form):
    ids, _, lists = random_lists(seed=6)
    vectors = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    vectors[3] = 0
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    expected = [
        1 - np.mean([units[a] @ units[b] for a, b in itertools.combinations(own[:6], 2)])
        if len(own[:6]) > 1
        else np.nan
        for own in ids
    ]
    given = {
        "dense": vectors,
        "sparse": sparse.csr_array(vectors),
        "joined": JoinedVectors(vectors[:, :2], sparse.csr_array(vectors[:, 2:])),
    }
    np.testing.assert_allclose(intra_list_diversity(lists, given[form], 6), expected, atol=1e-5)


def test_diversity_needs_a_vector_for_each_item():
    _, _, lists = random_lists()
    with pytest.raises(DataError, match="30 items, and 4 item vectors"):
        intra_list_diversity(lists, np.ones((4, 2), dtype=np.float32))


def test_calibration_is_the_divergence_from_the_users_own_mix():
    categories = sparse.csr_array(np.array([[1, 0], [0, 1], [0.5, 0.5], [0, 0]]))
    lists = RankedLists.of([["a"], ["a", "b"], ["c"], ["d"], ["a"]], [{"a"}] * 5, catalogue="abcd")
    profiles = sparse.csr_array(
        np.array([[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 7, 0], [1, 0, 0, 5], [0, 0, 0, 2]], dtype=float)
    )
    wanted = np.array([[0.75, 0.25], [0.5, 0.5], [0.5, 0.5], [1, 0]])
    given = np.array([[1, 0], [0.5, 0.5], [0.5, 0.5], [0, 0]])
    expected = [entropy(p, 0.99 * q + 0.01 * p) for p, q in zip(wanted[:3], given[:3], strict=True)]
    expected += [-np.log(0.01), np.nan]
    np.testing.assert_allclose(calibration_error(lists, profiles, categories), expected, atol=1e-12)
    assert expected[0] > 0.5


def test_rating_errors():
    assert rmse([1, 2, 3], [1, 2, 6]) == pytest.approx(3**0.5)
    assert mae([1, 2, 3], [1, 2, 6]) == 1
    for wrong in ([], [1, np.nan], ["a", "b"], [[1, 2]]):
        with pytest.raises(DataError, match="predicted"):
            rmse(wrong, [1, 2])
    with pytest.raises(DataError, match="1 predicted ratings, and 2"):
        mae([1], [1, 2])
