"""Re-rankers: known answers, brute force, the ends and the direction of each dial, life in a recommender."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec import (
    CalibratedRanker,
    CosineRanker,
    DotRanker,
    DPPRanker,
    MMRRanker,
    PopularityRanker,
    Recommender,
)
from llmrec.base import ItemFacts, ViewVectors
from llmrec.errors import DataError, MissingColumnError, NotFittedError, ParameterError, UnknownNameError
from llmrec.interactions import Histories
from llmrec.rankers.calibrated import divergence
from llmrec.vectors import unit_rows

ONE = np.ones((1, 1), dtype=np.float32)
GENRES = ["drama", "comedy", "war", "horror", "romance"]
NEUTRAL = [MMRRanker(0), DPPRanker(0), CalibratedRanker(0), PopularityRanker(0)]
STRONG = [MMRRanker(0.7), DPPRanker(0.7), CalibratedRanker(0.7), PopularityRanker(0.5)]


def rows_of(*rows):
    return np.array(rows, dtype=np.int32)


def facts(n_items, *, features=None, counts=None, rows=None, **columns):
    """Facts of items in one text view; of all, unless ``rows`` says of which."""
    rows = np.arange(n_items, dtype=np.int32) if rows is None else rows
    vectors = np.zeros((len(rows), 1)) if features is None else np.asarray(features)
    view = ViewVectors(
        "words", "text", vectors.astype(np.float32), np.any(vectors != 0, axis=1).astype(np.float32)
    )
    return ItemFacts(rows, np.zeros(len(rows)) if counts is None else np.asarray(counts), [view], columns)


def scored(ranker, scores, **known):
    """Index items that have these scores for the query 1, and tell the ranker what is known of them."""
    ranker.index(np.array(scores, dtype=np.float32)[:, None])
    ranker.describe(facts(len(scores), **known))
    return ranker


def world(ranker, seed=0, n_items=60, n_queries=8):
    """A ranker that knows random items, with queries, histories and what to exclude."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_items, 6)).astype(np.float32)
    genres = ["|".join(rng.choice(GENRES, size=rng.integers(1, 3), replace=False)) for _ in vectors]
    genres[3] = None
    ranker.index(vectors)
    counts = rng.geometric(0.05, size=n_items)
    ranker.describe(facts(n_items, features=rng.random((n_items, 12)) ** 3, counts=counts, genres=genres))
    queries = rng.normal(size=(n_queries, 6)).astype(np.float32)
    seen = [rng.choice(n_items, size=6, replace=False) for _ in range(n_queries)]
    histories = Histories.of(seen, n_items, weights=rng.uniform(0.5, 2, (n_queries, 6)))
    return ranker, queries, histories, [one.astype(np.int32) for one in seen]


# -- known answers -----------------------------------------------------------------------------------------


def test_mmr_by_hand():
    # Scores 3, 2, 1, 0 deviate by 1.118; at diversity 0.5 a likeness of 1 costs one deviation.
    features = [[1, 0], [1, 0], [0, 1], [0.6, 0.8]]
    ranker = scored(MMRRanker(0.5), [3, 2, 1, 0], features=features)
    rows, scores = ranker.rank(ONE, k=4)
    deviation = np.sqrt(1.25)
    assert rows.tolist() == [[0, 2, 1, 3]]
    np.testing.assert_allclose(scores[0], [3, 1, 2 - deviation, 0 - 0.8 * deviation], rtol=1e-6)


def test_opposites_are_as_unlike_as_strangers():
    ranker = scored(MMRRanker(0.9), [3, 2, 1], features=[[1, 0], [0, 1], [-1, 0]])
    assert ranker.rank(ONE, k=3)[0].tolist() == [[0, 1, 2]]


def test_dpp_by_hand():
    # Beside the first item, the second keeps 1 - 0.6² of its volume; then the plane is spanned.
    features = [[1, 0], [0.6, 0.8], [0, 1], [0.8, 0.6]]
    ranker = scored(DPPRanker(0.5), [3, 2, 1, 0], features=features)
    rows, scores = ranker.rank(ONE, k=4)
    assert rows.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(scores[0, :2], [3, 2 + np.sqrt(1.25) * np.log(0.64)], rtol=1e-6)
    ranker.set_params(diversity=0.8)
    assert ranker.rank(ONE, k=2)[0].tolist() == [[0, 2]]


@pytest.mark.parametrize("diversity", [0.1, 0.5, 0.9])
def test_dpp_is_the_greedy_maximum_of_the_determinant(diversity):
    rng = np.random.default_rng(3)
    features = unit_rows(rng.normal(size=(14, 9)).astype(np.float32))
    scores = rng.normal(size=14)
    ranker = scored(DPPRanker(diversity), scores, features=features)
    found = ranker.rank(ONE, k=8)[0][0].tolist()
    relevance = (scores - scores.mean()) / scores.std()
    quality = np.exp((1 - diversity) / (2 * diversity) * relevance)
    kernel = quality[:, None] * (features.astype(float) @ features.T.astype(float)) * quality
    chosen = []
    for _ in range(8):
        left = [row for row in range(14) if row not in chosen]
        volumes = [np.linalg.slogdet(kernel[np.ix_([*chosen, row], [*chosen, row])])[1] for row in left]
        chosen.append(left[int(np.argmax(volumes))])
    assert found == chosen


def test_an_item_explained_by_two_together_is_known_to_dpp_alone():
    features = [[1, 0, 0], [0, 1, 0], [0.7, 0.7, 0], [0.75, 0, 0.66]]
    scores = [3.0, 2.99, 2.5, 2.49]
    assert scored(DPPRanker(0.9), scores, features=features).rank(ONE, k=3)[0].tolist() == [[0, 1, 3]]
    assert scored(MMRRanker(0.9), scores, features=features).rank(ONE, k=3)[0].tolist() == [[0, 1, 2]]


def test_calibration_by_hand():
    # Three dramas lead; the history is half comedy.
    genres = ["drama", "drama", "drama", "comedy", "drama", "comedy"]
    ranker = scored(CalibratedRanker(0.95), [6, 5, 4, 3, 2, 1], genres=genres)
    histories = Histories.of([[0, 3]], 6)
    assert ranker.rank_for(histories, ONE, 4)[0].tolist() == [[0, 3, 1, 5]]
    assert ranker.rank_for(Histories.of([[0, 1]], 6), ONE, 4)[0].tolist() == [[0, 1, 2, 4]]
    assert ranker.rank(ONE, 4)[0].tolist() == [[0, 1, 2, 3]]


def test_weights_of_the_history_count_in_the_mix():
    genres = ["drama", "drama", "drama", "comedy", "comedy", "comedy"]
    ranker = scored(CalibratedRanker(0.95), [6, 5, 4, 3, 2, 1], genres=genres)
    heavy = Histories.of([[0, 3]], 6, weights=[[1.0, 3.0]])
    assert sorted(ranker.rank_for(heavy, ONE, 4)[0][0].tolist()) == [0, 3, 4, 5]


@pytest.mark.parametrize("value", ["drama|war", " war | drama|war", ["war", "drama"], ("drama", None, "war")])
def test_categories_are_read_from_texts_and_lists(value):
    ranker = scored(CalibratedRanker(), [1, 0, 0], genres=[value, None, "war"])
    assert sorted(ranker.categories_) == ["drama", "war"]
    assert ranker.shares_.sum(axis=1).tolist() == [1, 0, 1]
    assert ranker.mix(rows_of(0, 2))[ranker.categories_.index("war")] == pytest.approx(0.75)


def test_popularity_by_hand():
    ranker = scored(PopularityRanker(1.0), [2, 1, 0], counts=[9, 0, 0])
    rows, scores = ranker.rank(ONE, k=3)
    deviation = np.sqrt(2 / 3)
    assert rows.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(scores[0, 0], 1)
    np.testing.assert_allclose(scores[0, 1], 2 - deviation * np.log(10), rtol=1e-6)
    assert ranker.set_params(strength=-1.0).rank(ONE, k=3)[0].tolist() == [[0, 1, 2]]


# -- the dials ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [DotRanker(), CosineRanker()], ids=repr)
@pytest.mark.parametrize("neutral", NEUTRAL, ids=repr)
def test_at_the_neutral_end_lists_and_scores_are_those_of_the_inner_ranker(neutral, inner):
    ranker, queries, histories, exclude = world(neutral.set_params(ranker=inner, pool=20))
    for k in (1, 7, 20, 40, 200):
        expected = ranker.ranker_.rank(queries, k, exclude)
        found = ranker.rank_for(histories, queries, k, exclude)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


@pytest.mark.parametrize("kind", [MMRRanker, DPPRanker])
def test_diversity_rises_with_the_dial(kind):
    ranker, queries, histories, exclude = world(kind(), n_queries=40)
    unlike = []
    for dial in (0, 0.2, 0.5, 0.8, 1):
        rows, _ = ranker.set_params(diversity=dial).rank_for(histories, queries, 8, exclude)
        alike = [ranker.likeness(own)[np.triu_indices(8, 1)].mean() for own in rows]
        unlike.append(1 - np.mean(alike))
    assert np.all(np.diff(unlike) > 0)
    assert unlike[-1] > unlike[0] + 0.1


@pytest.mark.parametrize("seed", range(3))
def test_divergence_from_the_history_falls_with_the_dial(seed):
    ranker, queries, histories, exclude = world(CalibratedRanker(), seed, n_queries=40)
    owned = zip(histories.columns.reshape(40, 6), histories.weights.reshape(40, 6), strict=True)
    wanted = [ranker.mix(rows, weights) for rows, weights in owned]
    reached = []
    for dial in (0, 0.2, 0.5, 0.8, 1):
        rows, _ = ranker.set_params(calibration=dial).rank_for(histories, queries, 10, exclude)
        reached.append(
            np.mean([divergence(p, ranker.mix(own)[None])[0] for p, own in zip(wanted, rows, strict=True)])
        )
    assert np.all(np.diff(reached) < 0)
    assert reached[-1] < 0.1 * reached[0]


def test_mean_popularity_falls_with_the_dial():
    ranker, queries, _, exclude = world(PopularityRanker(), n_queries=40)
    means = []
    for strength in (-1, 0, 0.3, 1, 5):
        rows, _ = ranker.set_params(strength=strength).rank(queries, 8, exclude)
        means.append(np.log1p(ranker.counts_[rows]).mean())
    assert np.all(np.diff(means) < 0)


# -- lists -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strong", STRONG, ids=repr)
@pytest.mark.parametrize("pool", [1, 5, 100])
def test_lists_are_complete_descending_and_free_of_what_is_excluded(strong, pool):
    ranker, queries, histories, exclude = world(strong.set_params(ranker="dot", pool=pool))
    allow = rows_of(*range(0, 60, 2))
    whole, _ = ranker.rank_for(histories, queries, 60, exclude, allow)
    for k in (1, 4, 12, 100):
        rows, scores = ranker.rank_for(histories, queries, k, exclude, allow)
        assert np.array_equal(rows, whole[:, :k])
        for own, values, unwanted in zip(rows, scores, exclude, strict=True):
            left = set(allow.tolist()) - set(unwanted.tolist())
            found = own[own >= 0].tolist()
            assert len(set(found)) == len(found) == min(k, len(left))
            assert set(found) <= left
            assert np.all(np.diff(values[own >= 0]) <= 0)
            assert np.all(np.isneginf(values[own < 0]))


@pytest.mark.parametrize("strong", STRONG, ids=repr)
def test_a_batch_gets_what_each_gets_alone(strong):
    ranker, queries, histories, exclude = world(strong.set_params(pool=100))
    rows, scores = ranker.rank_for(histories, queries, 9, exclude)
    for query in range(len(queries)):
        one = np.array([query])
        alone = ranker.rank_for(histories.take(one), queries[one], 9, exclude[query : query + 1])
        assert np.array_equal(alone[0][0], rows[query])
        np.testing.assert_allclose(alone[1][0], scores[query], atol=1e-5)


@pytest.mark.parametrize("strong", STRONG, ids=repr)
def test_equal_scores_and_equal_items_are_no_trouble(strong):
    ranker = scored(strong.set_params(pool=100), [1.0] * 7, features=np.ones((7, 2)), genres=["war"] * 7)
    rows, scores = ranker.rank_for(Histories.of([[0]], 7), ONE, 7)
    assert sorted(rows[0].tolist()) == list(range(7))
    assert np.isfinite(scores).all()


def test_facts_and_histories_reach_a_ranker_within():
    outer = MMRRanker(0, ranker=CalibratedRanker(0.8))
    ranker = scored(outer, [6, 5, 4, 3], genres=["drama", "drama", "drama", "comedy"])
    assert ranker.rank_for(Histories.of([[0, 3]], 4), ONE, 2)[0].tolist() == [[0, 3]]
    assert not hasattr(outer.ranker, "ranker_")


def test_one_view_may_say_what_is_alike():
    known = np.ones(3, dtype=np.float32)
    text = ViewVectors("words", "text", np.array([[1, 0], [1, 0], [0, 1]], np.float32), known)
    taste = ViewVectors("als", "behaviour", np.array([[1, 0], [0, 1], [1, 0]], np.float32), known)
    hits = ViewVectors("hits", "popularity", np.ones((3, 1), np.float32), known)
    told = ItemFacts(rows_of(0, 1, 2), np.ones(3), [text, taste, hits], {})
    expected = {"words": [1, 0], "als": [0, 1], None: [0.5, 0.5]}
    for view, alike in expected.items():
        ranker = MMRRanker(view=view).index(np.ones((3, 1), np.float32))
        ranker.describe(told)
        np.testing.assert_allclose(ranker.likeness(rows_of(0, 1, 2))[0, 1:], alike, atol=1e-6)
    with pytest.raises(ParameterError, match=r"view names 'word', .*'als'.*Did you mean 'words'"):
        MMRRanker(view="word").index(np.ones((3, 1), np.float32)).describe(told)


# -- in a recommender --------------------------------------------------------------------------------------


def small_world():
    rng = np.random.default_rng(5)
    words = ["space", "bank", "love", "war", "sea", "horse"]
    items = [
        {"item": f"i{n}", "text": " ".join(rng.choice(words, 2)), "genres": str(rng.choice(GENRES))}
        for n in range(30)
    ]
    events = [(f"u{u}", f"i{i}") for u in range(25) for i in rng.choice(30, 6, replace=False)]
    return events, items


@pytest.mark.parametrize("strong", STRONG, ids=repr)
def test_new_items_and_events_are_taken_in_and_files_give_the_same_lists(strong, tmp_path):
    events, items = small_world()
    rec = Recommender(ranker=strong.set_params(pool=100)).fit(events, items=items)
    plain = Recommender().fit(events, items=items)
    users = [f"u{u}" for u in range(25)]
    assert rec.recommend(users, k=6).items != plain.recommend(users, k=6).items
    new = {"item": "new", "text": "bank sea", "genres": "western|war"}
    rec.partial_fit([(f"u{u}", "new") for u in range(6)] + [("u9", "i3"), ("guest", "i4")], items=[new])
    rec.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    everybody = [*users, "guest"]
    expected = loaded.recommend(everybody, k=8)
    found = rec.recommend(everybody, k=8)
    assert found.items == expected.items
    assert any("new" in one for one in found.items)
    for own, other in zip(found.scores, expected.scores, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4)


def test_counts_follow_the_events():
    events, items = small_world()
    rec = Recommender(ranker="popularity-control").fit(events, items=items)
    rec.partial_fit([("u1", "i2"), ("u2", "fresh")])
    assert rec.ranker_.counts_.tolist() == rec.interactions_.item_counts.tolist()


def test_the_calibrated_list_follows_its_user():
    events, items = small_world()
    rec = Recommender(ranker=CalibratedRanker(0.95)).fit(events, items=items)
    genre_of = {one["item"]: one["genres"] for one in items}
    history = [one for one in genre_of if genre_of[one] in ("war", "drama")][:6]
    found = [genre_of[one] for one in rec.recommend(history=history, k=4).items]
    assert {"war", "drama"} <= set(found)


def test_a_column_that_is_not_there_is_named_at_fit():
    events, items = small_world()
    rec = Recommender(ranker=CalibratedRanker(column="genre"))
    with pytest.raises(MissingColumnError, match=r"reads the item column 'genre'.*Did you mean 'genres'"):
        rec.fit(events, items=items)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (MMRRanker(1.5), "diversity must be a finite number from 0 to 1"),
        (DPPRanker(-0.1), "diversity must be a finite number from 0 to 1"),
        (CalibratedRanker(2), "calibration must be a finite number from 0 to 1"),
        (PopularityRanker(float("nan")), "strength must be a finite number"),
        (MMRRanker(pool=0), "pool must be a whole number of at least 1"),
    ],
    ids=repr,
)
def test_a_wrong_dial_is_refused(wrong, message):
    ranker = scored(wrong, [2, 1], genres=["war", "war"])
    with pytest.raises(ParameterError, match=message):
        ranker.rank_for(Histories.of([[0]], 2), ONE, 2)


def test_wrong_use_is_refused():
    with pytest.raises(UnknownNameError, match="no ranker is called 'dott'"):
        MMRRanker(ranker="dott").index(ONE)
    with pytest.raises(NotFittedError, match="call index first"):
        MMRRanker().describe(facts(1))
    with pytest.raises(DataError, match="2 histories for 1 queries"):
        scored(MMRRanker(), [1, 2]).rank_for(Histories.of([[], []], 2), ONE, 1)
