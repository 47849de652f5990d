"""RankFusion against ranks counted by hand, alone and inside a recommender."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec import (
    ConcatFuser,
    DotRanker,
    EuclideanRanker,
    HNSWRanker,
    ItemKNN,
    MMRRanker,
    Popularity,
    PopularityRanker,
    RankFusion,
    Recommender,
    SVDFactorizer,
    TfidfEncoder,
)
from llmrec.errors import DataError, LLMRecError, NotFittedError, ParameterError
from llmrec.fusers.ranks import RanksOfViews
from tests.fusers.views import random_sparse, view

N_QUERIES = 5
WEIGHTS = {"als": 1.0, "words": 0.5, "hits": 0.3}


def items_of(n_items, seed=0):
    rng = np.random.default_rng(seed)
    return [
        view("als", rng.normal(size=(n_items, 5)), support=np.arange(n_items) % 4),
        view("words", random_sparse(n_items, 30, seed + 1), kind="text", support=np.arange(n_items) % 7 > 0),
        view("hits", rng.integers(1, 9, (n_items, 1)), kind="popularity"),
    ]


def queries_of(seed=9):
    rng = np.random.default_rng(seed)
    words = random_sparse(N_QUERIES, 30, seed + 1) * (rng.random((N_QUERIES, 30)) < 0.1)
    return [
        view("als", rng.normal(size=(N_QUERIES, 5)), support=np.arange(N_QUERIES) != 3),
        view("words", sparse.csr_array(words), kind="text"),
        view("hits", np.ones((N_QUERIES, 1)), kind="popularity"),
    ]


def fitted(items, **options):
    fuser = RankFusion(WEIGHTS, **options).fit(items, None)
    ranker = fuser.ranker_over(DotRanker()).index(fuser.fuse_items(items))
    return fuser, ranker


def dense(vectors):
    return (vectors.toarray() if sparse.issparse(vectors) else vectors).astype(np.float64)


def by_hand(items, queries, exclude=None, allow=None, depth=10**6):
    """Return the fused scores, ``(n_queries, n_items)``; -inf for what no view may give."""
    fused = np.full((N_QUERIES, len(items[0].support)), -np.inf)
    for item, query in zip(items, queries, strict=True):
        scores = (dense(query.vectors) @ dense(item.vectors).T).astype(np.float32)
        for place in range(N_QUERIES):
            is_open = item.support > 0
            if allow is not None:
                is_open &= np.isin(np.arange(len(is_open)), allow)
            if exclude is not None:
                is_open[exclude[place]] = False
            if not query.support[place] or not dense(query.vectors)[place].any():
                continue
            rows = np.flatnonzero(is_open)
            ranks = np.array([np.sum(scores[place, rows] >= scores[place, row]) for row in rows])
            fused[place, rows] = np.maximum(fused[place, rows], 0) + np.where(
                ranks <= depth, WEIGHTS[item.name] / (60 + ranks), 0
            )
    return fused


def require_lists(found, fused, k):
    for rows, scores, expected in zip(*found, fused, strict=True):
        order = np.lexsort((np.arange(len(expected)), -expected.astype(np.float32)))[:k]
        order = order[expected[order] > -np.inf]
        np.testing.assert_array_equal(rows[: len(order)], order)
        np.testing.assert_allclose(scores[: len(order)], expected[order], rtol=1e-6)
        assert (rows[len(order) :] == -1).all()


@pytest.mark.parametrize("n_items", [60, 4500])
def test_scores_are_sums_of_reciprocal_ranks(n_items):
    items, queries = items_of(n_items), queries_of()
    fuser, ranker = fitted(items, depth=n_items)
    require_lists(ranker.rank(fuser.fuse_queries(queries), 20), by_hand(items, queries), 20)


def test_items_left_out_hold_no_rank():
    items, queries = items_of(60), queries_of()
    fuser, ranker = fitted(items)
    rng = np.random.default_rng(3)
    exclude = [rng.choice(60, 9, replace=False).astype(np.int32) for _ in range(N_QUERIES)]
    allow = np.arange(3, 58, 2, dtype=np.int32)
    fused = fuser.fuse_queries(queries)
    require_lists(ranker.rank(fused, 12, exclude), by_hand(items, queries, exclude), 12)
    require_lists(ranker.rank(fused, 60, exclude, allow), by_hand(items, queries, exclude, allow), 60)
    nothing = [np.arange(60, dtype=np.int32)] * N_QUERIES
    assert ranker.rank(fused, 5, nothing)[0].shape == (N_QUERIES, 0)


def test_what_stands_behind_the_depth_gets_nothing():
    items, queries = items_of(300), queries_of()
    fuser, ranker = fitted(items, depth=10)
    found = ranker.rank(fuser.fuse_queries(queries), 3)
    require_lists(found, by_hand(items, queries, depth=10), 3)
    # A longer list is made of as long ones.
    assert (ranker.rank(fuser.fuse_queries(queries), 200)[0] >= 0).sum(axis=1).min() == 200


def test_equal_scores_share_the_last_of_their_ranks():
    items = [view("hits", [[5.0], [9.0], [5.0], [1.0]], kind="popularity")]
    fuser = RankFusion().fit(items, None)
    ranker = fuser.ranker_over(DotRanker()).index(fuser.fuse_items(items))
    rows, scores = ranker.rank(fuser.fuse_queries([view("hits", [[1.0]], kind="popularity")]), 4)
    assert rows.tolist() == [[1, 0, 2, 3]]
    np.testing.assert_allclose(1 / scores, [[61, 63, 63, 64]], rtol=1e-6)


def test_ties_with_what_stands_behind_the_depth_fill_the_list_up_and_count_nothing():
    items = [view("hits", [[9.0], *[[5.0]] * 6], kind="popularity")]
    fuser = RankFusion(depth=3).fit(items, None)
    ranker = fuser.ranker_over(DotRanker()).index(fuser.fuse_items(items))
    rows, scores = ranker.rank(fuser.fuse_queries([view("hits", [[1.0]], kind="popularity")]), 3)
    assert rows.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(scores, [[1 / 61, 0, 0]], rtol=1e-6)


def test_a_query_alone_gets_what_it_gets_among_many(monkeypatch):
    items, queries = items_of(60), queries_of()
    fuser, ranker = fitted(items)
    fused = fuser.fuse_queries(queries)
    rows, scores = ranker.rank(fused, 8)
    monkeypatch.setattr("llmrec.fusers.ranks._QUERIES_AT_A_TIME", 2)
    for place, found in enumerate(zip(*ranker.rank(fused, 8), strict=True)):
        alone = ranker.rank(fused[[place]], 8)
        for one, other, whole in zip(found, alone, (rows, scores), strict=True):
            np.testing.assert_array_equal(one, other[0])
            np.testing.assert_array_equal(one, whole[place])
    assert ranker.rank(fused[np.arange(0)], 8)[0].shape[0] == 0


def test_updates_give_the_lists_of_a_fresh_index():
    items, queries, changed = items_of(60), queries_of(), items_of(64, seed=20)
    fuser, ranker = fitted(items)
    fused = fuser.fuse_queries(queries)
    ranker.rank(fused, 5)
    rows = np.array([62, 0, 5, 60, 63, 61], dtype=np.int32)
    ranker.update(rows, fuser.fuse_items([one.take(rows) for one in changed]))
    joined = [
        view(
            old.name,
            np.vstack([dense(old.vectors), np.zeros((4, old.vectors.shape[1]))]),
            kind=old.kind,
            support=np.append(old.support, np.zeros(4)),
        )
        for old in items
    ]
    for one, new in zip(joined, changed, strict=True):
        one.vectors[rows], one.support[rows] = dense(new.vectors)[rows], new.support[rows]
    require_lists(ranker.rank(fused, 20), by_hand(joined, queries), 20)


def test_a_view_of_weight_zero_has_no_say():
    items, queries = items_of(60), queries_of()
    fuser = RankFusion({"als": 0, "hits": 0}).fit(items, None)
    ranker = fuser.ranker_over(DotRanker()).index(fuser.fuse_items(items))
    rows, _ = ranker.rank(fuser.fuse_queries(queries), 4)
    words = dense(queries[1].vectors) @ dense(items[1].vectors).T
    best = np.where(items[1].support > 0, words, -1).max(axis=1)
    np.testing.assert_allclose(words[np.arange(N_QUERIES), rows[:, 0]], best)


def test_shares_of_views_add_up_to_the_score():
    items, queries = items_of(60), queries_of()
    fuser, ranker = fitted(items)
    fused, seen = fuser.fuse_queries(queries), np.array([1, 2, 30], dtype=np.int32)
    for place in range(N_QUERIES):
        rows, scores = ranker.rank(fused[[place]], 60, [seen])
        for row, score in zip(rows[0], scores[0], strict=True):
            shares = ranker.view_shares(fused[[place]], int(row), seen)
            assert shares.shape == (3,)
            np.testing.assert_allclose(shares.sum(), score, rtol=1e-6)


def test_wrong_use_is_refused():
    items, queries = items_of(60), queries_of()
    fuser, ranker = fitted(items)
    with pytest.raises(NotFittedError):
        RankFusion().ranker_over(DotRanker())
    with pytest.raises(NotFittedError):
        RanksOfViews(DotRanker(), blocks=[], weights=[], depth=5).rank(np.ones((1, 2)), 1)
    with pytest.raises(ParameterError, match="depth"):
        RankFusion(depth=0).fit(items, None).ranker_over(DotRanker())
    with pytest.raises(ParameterError, match="k must be"):
        ranker.rank(fuser.fuse_queries(queries), 0)
    with pytest.raises(DataError, match="histories"):
        ranker.rank_for([], fuser.fuse_queries(queries), 1)


# -- inside a recommender ----------------------------------------------------------------------------------


def small_world():
    rng = np.random.default_rng(5)
    words = ["space", "bank", "love", "war", "sea", "horse", "robbery", "queen"]
    items = [(f"i{n}", " ".join(rng.choice(words, 3))) for n in range(40)]
    events = [(f"u{u}", f"i{i}") for u in range(30) for i in rng.choice(37, 6, replace=False)]
    return events, items


def small_recommender(ranker="dot", fuser="rank"):
    views = [SVDFactorizer(4), ItemKNN(), Popularity()]
    return Recommender(encoder=TfidfEncoder(), factorizer=views, fuser=fuser, ranker=ranker)


@pytest.mark.parametrize(
    "ranker",
    ["dot", "cosine", "pearson", "euclidean", MMRRanker(0.6), PopularityRanker(0.5, ranker=MMRRanker(0.4))],
    ids=str,
)
def test_new_events_and_items_count_and_files_give_the_same_lists(ranker, tmp_path):
    events, items = small_world()
    rec = small_recommender(ranker).fit(events, items=items)
    rec.recommend("u3")
    rec.partial_fit([("u3", "new"), ("u99", "i1"), ("u3", "i39")], items=[("new", "a queen and a bank")])
    answer = rec.recommend("u3", k=40)
    assert len(answer) == len(set(answer.items))
    assert "new" not in answer.items
    assert "new" in rec.recommend("u99", k=40).items
    rec.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    for user in ("u3", "u99", "u7"):
        one, other = rec.recommend(user, k=12), loaded.recommend(user, k=12)
        assert one.items == other.items
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
    # What the index was told since is what a new one is told at once.
    assert type(loaded.fuser_) is RankFusion


def test_conditions_of_a_request_hold():
    events, items = small_world()
    rec = small_recommender().fit(events, items=items)
    seen = {item for user, item in events if user == "u3"}
    assert not seen & set(rec.recommend("u3", k=40).items)
    few = rec.recommend("u3", k=5, candidates=["i1", "i2", "i38"], exclude=["i2"]).items
    assert set(few) <= {"i1", "i38"}
    assert rec.recommend(history=["i4", "i5"], context="love and war", k=5).basis == "history+context"
    several = rec.recommend(["u3", "u4"], k=6)
    assert [one.items for one in several] == [rec.recommend(user, k=6).items for user in ("u3", "u4")]


def test_the_fallen_back_and_the_popular_are_as_ever():
    events, items = small_world()
    ranked, summed = (small_recommender(fuser=fuser).fit(events, items=items) for fuser in ("rank", "concat"))
    assert ranked.recommend("nobody", k=5).items == summed.recommend("nobody", k=5).items
    assert ranked.similar_items("i3", k=5).items == summed.similar_items("i3", k=5).items


@pytest.mark.parametrize("ranker", ["dot", "cosine"])
def test_explanations_add_up(ranker):
    events, items = small_world()
    rec = small_recommender(ranker).fit(events, items=items)
    answer = rec.recommend("u3", k=30)
    for item, score in zip(answer.items, answer.scores, strict=True):
        why = rec.explain("u3", item)
        np.testing.assert_allclose(why.score, score, rtol=1e-5)
        np.testing.assert_allclose(sum(why.views.values()), why.score, rtol=1e-6)
        assert all(-1e-9 <= share <= 1 / 61 + 1e-9 for share in why.views.values())
    behaviour = rec.explain("u3", answer.items[0])
    assert set(behaviour.history) <= {item for user, item in events if user == "u3"}
    # Of what was seen: where it would stand if it had not been.
    assert rec.explain("u3", next(item for user, item in events if user == "u3")).score > 0


def test_a_reranker_is_explained_by_what_it_reranks():
    events, items = small_world()
    plain, varied = (small_recommender(one).fit(events, items=items) for one in ("dot", MMRRanker(0.7)))
    first = plain.recommend("u3", k=1).items[0]
    assert varied.explain("u3", first).score == plain.explain("u3", first).score
    assert varied.recommend("u3", k=10).items != plain.recommend("u3", k=10).items
    assert isinstance(varied.ranker_, MMRRanker)


def test_each_view_is_ranked_by_the_ranker_asked_for():
    items, queries = items_of(60)[:1], queries_of()[:1]
    fuser = RankFusion().fit(items, None)
    ranker = fuser.ranker_over(EuclideanRanker()).index(fuser.fuse_items(items))
    fused = fuser.fuse_queries(queries)
    rows, _ = ranker.rank(fused, 1)
    known = np.flatnonzero(items[0].support)
    distances = np.linalg.norm(items[0].vectors[known] - fused[0, 1:], axis=1)
    assert rows[0, 0] == known[np.argmin(distances)]


def test_what_a_ranker_cannot_take_is_said():
    pytest.importorskip("usearch")
    events, items = small_world()
    with pytest.raises(LLMRecError, match="sparse"):
        small_recommender(HNSWRanker(exact_below=0)).fit(events, items=items)


def test_one_view_is_ranked_as_ever():
    events, _ = small_world()
    views = {"encoder": None, "factorizer": ItemKNN()}
    by_rank, by_score = (
        Recommender(**views, fuser=fuser).fit(events) for fuser in (RankFusion(), ConcatFuser())
    )
    one, other = by_rank.recommend("u3", k=3), by_score.recommend("u3", k=3)
    assert one.items == other.items


def test_a_recommender_with_few_users_and_many_items_fuses_ranks(tmp_path):
    events, items = small_world()
    items += [(f"more{n}", f"love number {n % 300}") for n in range(1000)]
    learned = small_recommender(fuser="learned").fit(events, items=items)
    assert learned.fuser_.by_rank_
    ranked = small_recommender(fuser=RankFusion(learned.fuser_.weights_)).fit(events, items=items)
    learned.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    for user in ("u3", "u8"):
        answer = learned.recommend(user, k=30)
        for other in (ranked, loaded):
            same = other.recommend(user, k=30)
            assert same.items == answer.items
            np.testing.assert_allclose(same.scores, answer.scores, rtol=1e-6)
        why = learned.explain(user, answer.items[0])
        np.testing.assert_allclose(why.score, answer.scores[0], rtol=1e-5)
    # Its own catalogue is small, so scores are summed there.
    assert not small_recommender(fuser="learned").fit(events, items=items[:40]).fuser_.by_rank_
