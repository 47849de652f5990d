"""User neighbours against a dense reference, and events that come later against a fresh fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec import Recommender, TfidfEncoder
from llmrec.errors import DataError, NotFittedError, ParameterError
from llmrec.factorizers import UserKNN
from llmrec.interactions import Histories
from llmrec.testing.samples import with_new_events
from tests.factorizers.samples import from_dense, random_ratings, random_weights


def unit(rows):
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def dense_scores(queries, profiles, audiences, neighbours, shrinkage=0.0):
    """Scores of histories: the similarity-weighted sum over the nearest users' rows."""
    alike = unit(queries) @ unit(profiles).T
    shared = (queries != 0).astype(float) @ (profiles != 0).T
    alike *= np.divide(shared, shared + shrinkage, out=np.zeros_like(shared), where=shared > 0)
    alike = np.maximum(alike, 0)
    for row in alike:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0
    return alike @ audiences


def scores_of(model, histories):
    return (model.query_vectors(histories) @ model.item_vectors().T).toarray()


@pytest.mark.parametrize("shrinkage", [0, 3])
@pytest.mark.parametrize("neighbours", [1, 4, 100])
def test_scores_are_those_of_the_dense_reference(neighbours, shrinkage):
    weights = random_weights(30, 12)
    events = from_dense(weights)
    model = UserKNN(neighbours, shrinkage=shrinkage).fit(events)
    expected = dense_scores(weights, weights, weights, neighbours, shrinkage)
    np.testing.assert_allclose(scores_of(model, events.histories()), expected, atol=1e-5)


def test_a_history_of_nobody_known_is_compared_like_any_other():
    weights = random_weights(30, 12)
    model = UserKNN(5).fit(from_dense(weights))
    asked = np.zeros((1, 12))
    asked[0, [2, 7]] = 1
    expected = dense_scores(asked, weights, weights, 5)
    np.testing.assert_allclose(scores_of(model, Histories.of([[2, 7]], 12)), expected, atol=1e-5)


def test_popular_items_count_less_on_both_sides():
    weights = random_weights(30, 12)
    totals = weights.sum(axis=0)
    scaled = weights * np.divide(1, np.sqrt(totals), out=np.zeros(12), where=totals > 0)
    model = UserKNN(100, popularity_exponent=0.5).fit(from_dense(weights))
    expected = dense_scores(scaled, scaled, scaled, 100)
    np.testing.assert_allclose(scores_of(model, from_dense(weights).histories()), expected, atol=1e-5)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_texts_spread_events_to_the_nearest_items(is_sparse):
    weights = random_weights(30, 12)
    texts = unit(np.abs(np.random.default_rng(3).normal(size=(12, 3)))).astype(np.float32)
    texts[4] = 0
    alike = texts @ texts.T
    np.fill_diagonal(alike, 0)
    for row in alike:
        row[np.argsort(-row, kind="stable")[2:]] = 0
    spread = weights + 0.3 * weights @ alike.T
    content = sparse.csr_array(texts) if is_sparse else texts
    model = UserKNN(100, content_weight=0.3, content_neighbours=2).fit(from_dense(weights), content)
    expected = dense_scores(spread, spread, spread, 100)
    np.testing.assert_allclose(scores_of(model, from_dense(weights).histories()), expected, atol=1e-5)


def test_an_item_without_events_stands_on_its_text():
    weights = random_weights()
    texts = np.ones((11, 1), dtype=np.float32)
    counts, rows = from_dense(weights).item_counts.astype(np.float32), np.arange(11, dtype=np.int32)
    plain = UserKNN().fit(from_dense(weights), texts)
    spread = UserKNN(content_weight=0.3).fit(from_dense(weights), texts)
    assert plain.item_support(counts, rows)[10] == 0
    assert not plain.item_vectors()[[10]].nnz
    assert spread.item_support(counts, rows)[10] == 0.5
    assert spread.item_vectors()[[10]].nnz


@pytest.mark.parametrize(("similarity", "axis"), [("pearson", 1), ("adjusted-cosine", 0)])
def test_ratings_are_compared_less_their_means(similarity, axis):
    ratings, is_rated = random_ratings(40, 15)
    rated = np.where(is_rated, ratings, 0)
    means = rated.sum(axis=axis, keepdims=True) / np.maximum(is_rated.sum(axis=axis, keepdims=True), 1)
    left = np.where(is_rated, ratings - means, 0)
    events = from_dense(ratings, ratings=ratings, is_met=is_rated)
    model = UserKNN(100, similarity=similarity).fit(events)
    expected = dense_scores(left, left, rated, 100)
    np.testing.assert_allclose(scores_of(model, events.histories()), expected, atol=1e-4)


@pytest.mark.parametrize("parameters", [{}, {"similarity": "jaccard", "shrinkage": 2}])
def test_new_events_give_what_a_fresh_fit_gives(parameters):
    known = from_dense(random_weights())
    grown, events = with_new_events(known, [(3, 1), (14, 2), (14, 11), (0, 11), (2, 2)])
    model = UserKNN(5, **parameters).fit(known)
    before = model.item_vectors().copy()
    assert model.partial_fit(grown, events).tolist() == [1, 2, 11]
    fresh = UserKNN(5, **parameters).fit(grown)
    histories = grown.histories()
    np.testing.assert_allclose(scores_of(model, histories), scores_of(fresh, histories), atol=1e-6)
    assert model.item_vectors().shape == (12, before.shape[1])


@pytest.mark.parametrize(
    "settings",
    [
        {"weighting": "bm25"},
        {"weighting": "tf-idf", "popularity_exponent": 0.5},
        {"similarity": "adjusted-cosine"},
    ],
)
def test_new_items_weigh_as_the_mean_of_those_at_fit(settings):
    ratings, is_rated = random_ratings(14, 11)
    known = from_dense(ratings, ratings=ratings, is_met=is_rated)
    model = UserKNN(5, **settings).fit(known)
    of_fit = model.comparison_.column_weights, model.comparison_.column_means, model.item_scale_
    means = [one[one > 0].mean() if one is of_fit[2] else one.mean() for one in of_fit]
    interactions = known
    for item in (11, 13, 12):
        interactions, event = with_new_events(interactions, [(3, item)])
        model.partial_fit(interactions, event)
    now = model.comparison_.column_weights, model.comparison_.column_means, model.item_scale_
    for before, after, mean in zip(of_fit, now, means, strict=True):
        np.testing.assert_array_equal(after[:11], before)
        np.testing.assert_allclose(after[11:], mean, rtol=1e-6)
        assert len(after) == 14


def test_new_events_spread_to_items_with_a_like_text():
    texts = unit(np.abs(np.random.default_rng(3).normal(size=(11, 3)))).astype(np.float32)
    known = from_dense(random_weights())
    grown, events = with_new_events(known, [(3, 1), (14, 2)])
    model = UserKNN(5, content_weight=0.3, content_neighbours=2).fit(known, texts)
    before = model.item_vectors().toarray()
    moved = model.partial_fit(grown, events)
    fresh = UserKNN(5, content_weight=0.3, content_neighbours=2).fit(grown, texts)
    histories = grown.histories()
    np.testing.assert_allclose(scores_of(model, histories), scores_of(fresh, histories), atol=1e-5)
    changed = np.flatnonzero((before != model.item_vectors().toarray()).any(axis=1))
    assert len(changed) > 2
    assert set(changed.tolist()) <= set(moved.tolist())


def texts_and_later(n_known=11, n_new=2):
    texts = unit(np.abs(np.random.default_rng(3).normal(size=(n_known + n_new, 3)))).astype(np.float32)
    return texts[:n_known], texts[n_known:]


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("exponent", [0, 0.5])
def test_a_new_item_known_by_text_alone_has_the_audience_that_a_fresh_fit_gives(exponent, is_sparse):
    known, (texts, later) = from_dense(random_weights()), texts_and_later()
    settings = {"content_weight": 0.3, "content_neighbours": 3, "popularity_exponent": exponent}
    model = UserKNN(5, **settings).fit(known, sparse.csr_array(texts) if is_sparse else texts)
    before = model.item_vectors().toarray()
    moved = model.learn_content(
        np.array([11], dtype=np.int32), sparse.csr_array(later[:1]) if is_sparse else later[:1]
    )
    assert moved.tolist() == [11]
    vectors = model.item_vectors().toarray()
    np.testing.assert_array_equal(vectors[:11], before)
    wider = from_dense(np.hstack([random_weights(), np.zeros((14, 1))]))
    fresh = UserKNN(5, **settings).fit(wider, np.vstack([texts, later[:1]]))
    np.testing.assert_allclose(vectors[11], fresh.item_vectors().toarray()[11], atol=1e-6)
    assert vectors[11].any()
    counts = np.zeros(1, dtype=np.float32)
    assert model.item_support(counts, moved).tolist() == [0.5]


def test_the_last_of_two_texts_counts_and_gaps_stay_empty():
    known, (texts, later) = from_dense(random_weights()), texts_and_later()
    once, twice = (UserKNN(5, content_weight=0.3).fit(known, texts) for _ in range(2))
    once.learn_content(np.array([12], dtype=np.int32), later[1:])
    rows = np.array([12, 3, 12], dtype=np.int32)
    assert twice.learn_content(rows, np.vstack([later, later[1:]])).tolist() == [12]
    np.testing.assert_allclose(once.item_vectors().toarray(), twice.item_vectors().toarray(), atol=1e-7)
    assert not once.item_vectors()[[11]].nnz


def test_texts_leave_the_queries_of_known_users_alone():
    known, (texts, later) = from_dense(random_weights()), texts_and_later()
    model = UserKNN(5, content_weight=0.3).fit(known, texts)
    before = model.query_vectors(known.histories()).toarray()
    model.learn_content(np.array([11, 12], dtype=np.int32), later)
    after = model.query_vectors(known.histories()).toarray()
    np.testing.assert_allclose(after, before, atol=1e-7)


@pytest.mark.parametrize("text_first", [True, False])
def test_a_new_item_has_both_its_events_and_those_of_like_texts(text_first):
    known, (texts, later) = from_dense(random_weights()), texts_and_later()
    grown, events = with_new_events(known, [(3, 11), (5, 11)])
    model = UserKNN(5, content_weight=0.3, content_neighbours=2).fit(known, texts)
    for is_text in (text_first, not text_first):
        if is_text:
            model.learn_content(np.array([11], dtype=np.int32), later[:1])
        else:
            model.partial_fit(grown, events)
    cosines = later[0] @ texts.T
    cosines[np.argsort(-cosines)[2:]] = 0
    expected = grown.matrix.toarray()[:, 11] + 0.3 * grown.matrix.toarray()[:, :11] @ cosines
    np.testing.assert_allclose(model.item_vectors()[[11]].toarray()[0, :14], expected, atol=1e-5)


def test_a_recommender_places_a_new_item_by_its_text():
    texts = {"a": "moon robots", "b": "moon rockets", "c": "garden roses", "d": "garden tea"}
    events = [("u", "a"), ("u", "b"), ("v", "c"), ("v", "d"), ("w", "a"), ("w", "b")]
    rec = Recommender(encoder=TfidfEncoder(), factorizer=UserKNN(content_weight=0.3), fuser="concat")
    rec.fit(events, items=texts).partial_fit(items={"e": "garden roses, and more roses"})
    assert rec.views_["userknn"].item_vectors()[[4]].nnz
    assert rec.recommend("v", k=1).items == ["e"]


def test_texts_are_not_learned_unless_they_count():
    model = UserKNN(5).fit(from_dense(random_weights()), texts_and_later()[0])
    assert model.learn_content(np.array([11], dtype=np.int32), texts_and_later()[1][:1]).tolist() == []


def test_more_users_than_there_is_room_for_are_nobodys_neighbours():
    known = from_dense(np.eye(2))
    grown, events = with_new_events(known, [(2, 0), (3, 0), (4, 0), (9, 1)])
    model = UserKNN().fit(known)
    model.partial_fit(grown, events)
    assert model.item_vectors().toarray().tolist() == [[1, 0, 1, 1], [0, 1, 0, 0]]
    assert model.query_vectors(grown.histories()).shape == (10, 4)


def test_a_recommender_takes_new_users_and_items_while_it_serves():
    events = [("u", "a"), ("u", "b"), ("v", "c"), ("v", "d"), ("w", "a"), ("w", "b")]
    rec = Recommender(factorizer=UserKNN(), fuser="concat").fit(events)
    rec.partial_fit([("x", "c"), ("x", "e"), ("y", "c")])
    assert set(rec.recommend("y", k=2).items) == {"d", "e"}


def test_texts_reach_it_through_the_recommender():
    texts = {"a": "moon robots", "b": "moon rockets", "c": "garden roses", "d": "garden tea", "e": "roses"}
    events = [("u", "a"), ("u", "b"), ("v", "c"), ("v", "d"), ("w", "a"), ("w", "b")]
    model = UserKNN(content_weight=0.3)
    rec = Recommender(encoder=TfidfEncoder(), factorizer=model, fuser="concat").fit(events, items=texts)
    assert rec.views_["userknn"].item_vectors()[[4]].nnz


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"neighbours": 0}, "neighbours"),
        ({"shrinkage": -1}, "shrinkage"),
        ({"similarity": "cosin"}, "Did you mean 'cosine'"),
        ({"weighting": "tf-idf", "similarity": "pearson"}, "'cosine' or 'dot'"),
        ({"popularity_exponent": 0.5, "similarity": "jaccard"}, "popularity_exponent.*'cosine' or 'dot'"),
        ({"popularity_exponent": -1}, "popularity_exponent"),
        ({"content_weight": -1}, "content_weight"),
        ({"content_weight": 1, "content_neighbours": 0}, "content_neighbours"),
        ({"content_weight": 1, "similarity": "jaccard"}, "content_weight.*'cosine' or 'dot'"),
    ],
)
def test_a_wrong_parameter_is_named(parameters, message):
    with pytest.raises(ParameterError, match=message):
        UserKNN(**parameters).fit(from_dense(random_weights()), np.ones((11, 1), dtype=np.float32))


def test_ratings_that_are_missing_are_asked_for():
    with pytest.raises(DataError, match=r"pearson.*rating"):
        UserKNN(similarity="pearson").fit(from_dense(random_weights()))


def test_use_before_fit_is_refused():
    for ask in (UserKNN().item_vectors, lambda: UserKNN().query_vectors(Histories.of([[0]], n_columns=1))):
        with pytest.raises(NotFittedError):
            ask()
