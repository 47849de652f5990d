"""Metrics worked out by hand, and what any list may score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec.errors import ParameterError
from llmrec.evaluation import ndcg_at_k, recall_at_k


@pytest.mark.parametrize(
    ("relevant", "k", "expected"),
    [
        ({"a"}, 1, 1.0),
        ({"b"}, 1, 0.0),
        ({"b", "d", "z"}, 4, 2 / 3),
        ({"a", "b", "c"}, 2, 2 / 3),
        ({"z"}, 9, 0.0),
    ],
)
def test_recall_is_the_share_of_relevant_items_found(relevant, k, expected):
    assert recall_at_k(["a", "b", "c", "d"], relevant, k) == pytest.approx(expected)


def test_ndcg_is_the_discounted_sum_over_the_ideal_one():
    gained = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at_k(["a", "b", "c", "d"], {"b", "d", "z"}, 4) == pytest.approx(gained / ideal)


def test_the_ideal_of_ndcg_is_no_longer_than_k():
    assert ndcg_at_k(["a", "b", "c"], {"a", "b", "c", "d", "e"}, 2) == pytest.approx(1)
    assert ndcg_at_k(["z", "b"], {"a", "b", "c"}, 2) == pytest.approx(
        (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    )


def test_a_list_shorter_than_k_is_judged_as_it_is():
    assert recall_at_k(["a"], {"a", "b"}, 10) == 0.5
    assert ndcg_at_k(["a"], {"a", "b"}, 10) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert ndcg_at_k([], {"a"}, 10) == recall_at_k([], {"a"}, 10) == 0


def test_repeated_relevant_items_count_once():
    assert recall_at_k(["a", "x"], ["a", "a", "b"], 2) == 0.5
    assert ndcg_at_k(["a"], ["a", "a"], 1) == 1


def test_an_item_recommended_twice_is_right_once():
    assert recall_at_k(["a", "a", "b"], {"a", "c"}, 3) == 0.5
    assert ndcg_at_k(["a", "a"], {"a"}, 2) == 1


@given(st.permutations(range(8)), st.sets(st.integers(0, 9), min_size=1), st.integers(1, 10))
def test_metrics_lie_between_0_and_1_and_reach_1_for_the_right_items_first(ranking, relevant, k):
    for metric in (recall_at_k, ndcg_at_k):
        assert 0 <= metric(ranking, relevant, k) <= 1 + 1e-12
    first = sorted(relevant) + [one for one in ranking if one not in relevant]
    assert ndcg_at_k(first, relevant, k) == pytest.approx(1)
    assert recall_at_k(first, relevant, k) == pytest.approx(min(1, k / len(relevant)))


@given(st.permutations(range(8)), st.integers(0, 6), st.integers(1, 8))
def test_a_relevant_item_moved_up_never_costs(ranking, place, k):
    relevant = {ranking[place + 1]}
    moved = [*ranking[:place], ranking[place + 1], ranking[place], *ranking[place + 2 :]]
    for metric in (recall_at_k, ndcg_at_k):
        assert metric(moved, relevant, k) >= metric(ranking, relevant, k)


@pytest.mark.parametrize("metric", [recall_at_k, ndcg_at_k])
def test_nothing_relevant_and_a_wrong_k_are_refused(metric):
    with pytest.raises(ParameterError, match="relevant"):
        metric(["a"], set(), 1)
    for k in (0, -1, 2.5, None):
        with pytest.raises(ParameterError, match="k must be"):
            metric(["a"], {"a"}, k)
