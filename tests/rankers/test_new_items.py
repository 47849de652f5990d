"""NewItemsRanker: as many places for new items as asked, the best of them, and the rest as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec import Recommender
from llmrec.base import ItemFacts
from llmrec.errors import NotFittedError, ParameterError
from llmrec.rankers import DotRanker, MMRRanker, NewItemsRanker

ASK = np.ones((1, 1), dtype=np.float32)


def scored(ranker, scores, counts):
    """Index items whose score for ``ASK`` is given."""
    ranker.index(np.array(scores, dtype=np.float32)[:, None])
    rows = np.arange(len(scores), dtype=np.int32)
    ranker.describe(ItemFacts(rows, np.array(counts, dtype=np.int64), [], {}))
    return ranker


def test_every_fourth_place_is_for_a_new_item():
    counts = [100] * 8 + [0, 1, 5]
    ranker = scored(NewItemsRanker(0.25), [10, 9, 8, 7, 6, 5, 4, 3, -2, -1, -3], counts)
    rows, scores = ranker.rank(ASK, 8)
    assert rows.tolist() == [[0, 1, 2, 9, 3, 4, 5, 8]]
    assert scores[0].tolist() == [10, 9, 8, 7.5, 7, 6, 5, 4.0]


def test_new_items_that_are_on_the_list_by_their_scores_count():
    ranker = scored(NewItemsRanker(0.5), [10, 9, 8, 7, 1], [0, 50, 50, 0, 0])
    assert ranker.rank(ASK, 4)[0].tolist() == [[0, 1, 2, 3]]


def test_new_are_those_with_few_events_and_all_that_have_just_come():
    ranker = scored(NewItemsRanker(0.5, max_events=2), [10, 9, 8, 1], [50, 50, 50, 3])
    assert ranker.rank(ASK, 2)[0].tolist() == [[0, 1]]
    ranker.update(np.array([4], np.int32), np.array([[0.5]], np.float32))
    assert ranker.rank(ASK, 2)[0].tolist() == [[0, 4]]


def test_excluded_and_not_allowed_items_get_no_place():
    ranker = scored(NewItemsRanker(0.5), [10, 9, 8, 3, 2, 1], [50, 50, 50, 0, 0, 0])
    rows, _ = ranker.rank(ASK, 2, exclude=[np.array([3], np.int32)])
    assert rows.tolist() == [[0, 4]]
    rows, _ = ranker.rank(ASK, 2, allow=np.array([1, 2, 5], np.int32))
    assert rows.tolist() == [[1, 5]]


def test_without_new_items_the_list_is_the_inner_ones():
    ranker = scored(NewItemsRanker(1.0), [1, 3, 2], [50, 50, 50])
    assert ranker.rank(ASK, 3)[0].tolist() == [[1, 2, 0]]


@given(
    scores=st.lists(st.integers(-50, 50), min_size=3, max_size=30),
    share=st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]),
    k=st.integers(1, 35),
    seed=st.integers(0, 9),
)
def test_quotas_are_kept_and_short_lists_are_heads_of_long_ones(scores, share, k, seed):
    counts = np.random.default_rng(seed).choice([0, 100], size=len(scores))
    ranker = scored(NewItemsRanker(share), scores, counts)
    rows, values = (one[0] for one in ranker.rank(ASK, k))
    assert len(set(rows.tolist())) == len(rows) == min(k, len(scores))
    n_new = np.cumsum(counts[rows] == 0)
    owed = np.floor(share * np.arange(1, len(rows) + 1) + 1e-9)
    assert (n_new >= np.minimum(owed, np.sum(counts == 0))).all()
    assert (np.diff(values) <= 0).all()
    known = [row for row in rows.tolist() if counts[row]]
    assert known == sorted(known, key=lambda row: (-scores[row], row))
    longer = ranker.rank(ASK, k + 3)[0][0]
    np.testing.assert_array_equal(longer[: len(rows)], rows)


def test_each_query_gets_the_new_items_that_suit_it():
    vectors = np.array([[9, 0], [0, 9], [1, 0], [0, 1]], dtype=np.float32)
    ranker = NewItemsRanker(0.5).index(vectors)
    ranker.describe(ItemFacts(np.arange(4, dtype=np.int32), np.array([50, 50, 0, 0]), [], {}))
    assert ranker.rank(np.eye(2, dtype=np.float32), 2)[0].tolist() == [[0, 2], [1, 3]]


def test_in_a_recommender_a_new_item_is_shown_until_it_has_its_events():
    events = [(user, item) for user in range(30) for item in range(8) if (user + item) % 3]
    items = {**{item: f"film number {item}" for item in range(8)}, "new": "film number nine"}
    rec = Recommender(ranker=NewItemsRanker(0.5, max_events=1), fuser="concat").fit(events, items=items)
    plain = Recommender(ranker="dot", fuser="concat").fit(events, items=items)
    assert "new" not in plain.recommend(0, k=2).items
    assert rec.recommend(0, k=2).items[1] == "new"
    for one in (rec, plain):
        one.partial_fit([(40, "new"), (41, "new")])
    assert rec.recommend(0, k=2).items == plain.recommend(0, k=2).items


def test_a_query_of_a_batch_to_which_nothing_is_left_gets_nothing():
    ranker = scored(NewItemsRanker(0.5), [10, 9, 1], [50, 50, 0])
    every, nothing = np.arange(3, dtype=np.int32), np.empty(0, dtype=np.int32)
    rows, _ = ranker.rank(np.ones((2, 1), dtype=np.float32), 3, [every, nothing])
    assert rows.tolist() == [[-1, -1, -1], [0, 2, 1]]


def test_rerankers_go_around_each_other():
    inner = MMRRanker(diversity=0, ranker=NewItemsRanker(0.5), pool=3)
    ranker = scored(inner, [10, 9, 8, 1], [50, 50, 50, 0])
    assert ranker.rank(ASK, 2)[0].tolist() == [[0, 3]]


@pytest.mark.parametrize(
    ("ranker", "message"),
    [
        (NewItemsRanker(1.5), "share must be a finite number from 0 to 1"),
        (NewItemsRanker(float("nan")), "share must be"),
        (NewItemsRanker(max_events=-1), "max_events must be"),
    ],
)
def test_bad_dials_are_refused(ranker, message):
    with pytest.raises(ParameterError, match=message):
        scored(ranker, [1, 2], [0, 0]).rank(ASK, 1)


def test_before_index_there_is_nothing_to_rank():
    with pytest.raises(NotFittedError):
        NewItemsRanker().rank(ASK, 1)


def test_the_inner_ranker_is_left_as_it_was():
    inner = DotRanker()
    scored(NewItemsRanker(ranker=inner), [1, 2], [0, 0])
    assert not hasattr(inner, "vectors_")
