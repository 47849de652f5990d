"""EASE against the dense formula, its two ways to the same numbers, and items that come later."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec import Recommender, TfidfEncoder
from llmrec.errors import DataError, NotFittedError, ParameterError
from llmrec.factorizers import EASE, ease
from llmrec.interactions import Histories, Interactions
from llmrec.testing.samples import with_new_events
from tests.factorizers.samples import from_dense, random_weights


def plain(ridge, **settings):
    """EASE as first published: no dropout, all users alike."""
    return EASE(ridge, dropout=0, length_exponent=0, **settings)


def dense_columns(rows, ridge, dropout=0.0):
    """The regression of each column on all others, solved one by one: no trick with the inverse."""
    n_items = rows.shape[1]
    columns = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        design = rows[:, others]
        hidden = dropout / (1 - dropout) * (design**2).sum(axis=0)
        gram = design.T @ design + ridge * np.eye(n_items - 1) + np.diag(hidden)
        columns[others, item] = np.linalg.solve(gram, design.T @ rows[:, item])
    return columns


def random_texts(n_items, dim=3, seed=1):
    texts = np.abs(np.random.default_rng(seed).normal(size=(n_items, dim)))
    texts[0] = 0
    return (texts / np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-9)).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 15), (6, 30)], ids=["more users", "fewer users"])
@pytest.mark.parametrize("ridge", [0.3, 20])
def test_each_column_is_a_ridge_regression_on_the_other_items(shape, ridge):
    weights = random_weights(*shape)
    vectors = plain(ridge).fit(from_dense(weights)).item_vectors()
    np.testing.assert_allclose(vectors.T, dense_columns(weights, ridge), atol=2e-6)


def test_blocks_of_items_meet(monkeypatch):
    weights = random_weights(40, 15)
    monkeypatch.setattr(ease, "_ITEMS_AT_A_TIME", 4)
    for rows in (weights, weights[-7:]):
        vectors = plain(2.0).fit(from_dense(rows)).item_vectors()
        np.testing.assert_allclose(vectors.T, dense_columns(rows, 2.0), atol=2e-6)


def weighed(rows, exponent):
    """Users by the power of their squared lengths, with the same squared weights in all."""
    energies = (rows**2).sum(axis=1, keepdims=True)
    scales = np.where(energies > 0, np.maximum(energies, 1e-9) ** -exponent, 0)
    return rows * np.sqrt(scales * energies.sum() / (scales * energies).sum())


SHAPES = pytest.mark.parametrize("shape", [(40, 15), (4, 30)], ids=["over items", "over users"])


@SHAPES
@pytest.mark.parametrize("dropout", [0.2, 0.9])
def test_dropout_is_a_ridge_by_the_number_of_events(shape, dropout):
    weights = random_weights(*shape)
    vectors = EASE(2.0, dropout=dropout, length_exponent=0).fit(from_dense(weights)).item_vectors()
    np.testing.assert_allclose(vectors.T, dense_columns(weights, 2.0, dropout), atol=2e-6)


def test_dropout_is_what_hiding_events_at_random_gives_on_average():
    weights, rng = random_weights(40, 6), np.random.default_rng(0)
    design, target = weights[:, 1:], weights[:, 0]
    hidden = np.vstack([design * (rng.random(design.shape) < 0.5) / 0.5 for _ in range(4000)])
    gram = hidden.T @ hidden / 4000 + 2 * np.eye(5)
    expected = np.linalg.solve(gram, design.T @ target)
    vectors = EASE(2.0, dropout=0.5, length_exponent=0).fit(from_dense(weights)).item_vectors()
    np.testing.assert_allclose(vectors[0, 1:], expected, atol=0.02 * abs(expected).max())


@SHAPES
def test_long_histories_count_less(shape):
    weights = random_weights(*shape)
    for exponent in (0.5, 1):
        vectors = EASE(2.0, dropout=0, length_exponent=exponent).fit(from_dense(weights)).item_vectors()
        np.testing.assert_allclose(vectors.T, dense_columns(weighed(weights, exponent), 2.0), atol=2e-6)


@SHAPES
def test_both_with_texts(shape):
    weights, texts = random_weights(*shape), random_texts(shape[1])
    model = EASE(2.0, dropout=0.6, length_exponent=0.5, content_weight=5)
    vectors = model.fit(from_dense(weights), texts).item_vectors()
    stacked = np.vstack([weighed(weights, 0.5), np.sqrt(5) * texts.T])
    np.testing.assert_allclose(vectors.T, dense_columns(stacked, 2.0, 0.6), atol=2e-6)


def test_the_two_solutions_are_one(monkeypatch):
    events, texts = from_dense(random_weights(20, 30)), random_texts(30)
    model = EASE(content_weight=3).fit(events, texts)
    over_items, precisions = model.item_vectors().copy(), model.precisions_
    monkeypatch.setattr(ease, "_solve_over_items", ease._solve_over_rows)
    over_rows = model.fit(events, texts)
    np.testing.assert_allclose(over_rows.item_vectors(), over_items, atol=1e-7)
    np.testing.assert_allclose(over_rows.precisions_, precisions, rtol=1e-9)


@pytest.mark.parametrize("is_sparse", [False, True])
@SHAPES
def test_texts_are_further_rows(shape, is_sparse):
    weights, texts = random_weights(*shape), random_texts(shape[1])
    content = sparse.csr_array(texts) if is_sparse else texts
    vectors = plain(2.0, content_weight=5).fit(from_dense(weights), content).item_vectors()
    stacked = np.vstack([weights, np.sqrt(5) * texts.T])
    np.testing.assert_allclose(vectors.T, dense_columns(stacked, 2.0), atol=2e-6)


def test_texts_are_not_read_unless_they_count():
    events, texts = from_dense(random_weights()), random_texts(11)
    without, beside = EASE(2.0).fit(events), EASE(2.0).fit(events, texts)
    np.testing.assert_array_equal(without.item_vectors(), beside.item_vectors())
    assert beside.content_ is None


def test_an_item_without_events_stands_on_its_text():
    weights, texts = random_weights(), random_texts(11)
    counts, rows = from_dense(weights).item_counts.astype(np.float32), np.arange(11, dtype=np.int32)
    without = EASE(2.0).fit(from_dense(weights))
    beside = EASE(2.0, content_weight=5).fit(from_dense(weights), texts)
    assert without.item_support(counts, rows)[10] == 0
    assert not without.item_vectors()[10].any()
    assert beside.item_support(counts, rows)[10] == 0.5
    assert beside.item_vectors()[10].any()
    assert beside.item_support(counts, rows)[0] == counts[0]


def test_the_chosen_regularization_follows_histories_and_the_scale_of_weights():
    lengths = np.array([1, 2, 5])
    weights = np.arange(5) < lengths[:, None]
    chosen = EASE(length_exponent=0).fit(from_dense(weights.astype(float))).regularization_
    items = (3**2 + 2**2 + 3) / 8
    assert chosen == pytest.approx(4 * np.sqrt((1 + 4 + 25) / 8 * items))
    squares = 8 * np.sqrt(lengths) / np.sqrt(lengths).sum()
    evened = EASE().fit(from_dense(weights.astype(float))).regularization_
    assert evened == pytest.approx(4 * np.sqrt((squares**2).sum() / 8 * items))
    assert evened < chosen
    small, large = (EASE().fit(from_dense(weights * scale)) for scale in (1.0, 10.0))
    assert large.regularization_ == pytest.approx(100 * small.regularization_)
    np.testing.assert_allclose(small.item_vectors(), large.item_vectors(), atol=1e-6)


def test_the_popularity_of_items_counts_up_to_a_hundred_events():
    chosen = [EASE().fit(from_dense(np.ones((n, 3)))).regularization_ for n in (25, 100, 400)]
    np.testing.assert_allclose(chosen, 4 * np.sqrt([3 * 25, 3 * 100, 3 * 100]))


def test_a_score_is_the_sum_over_the_history():
    model = EASE(2.0).fit(from_dense(random_weights()))
    queries = model.query_vectors(Histories.of([[3, 7, 7], []], n_columns=11))
    scores = queries @ model.item_vectors().T
    np.testing.assert_allclose(scores[0], model.item_vectors()[:, 3] + 2 * model.item_vectors()[:, 7])
    assert not scores[1].any()


def test_a_new_item_is_regressed_on_the_known_ones():
    known, texts = from_dense(random_weights()), random_texts(13, seed=4)
    model = EASE(2.0, dropout=0.5, content_weight=5).fit(known, texts[:11])
    before = model.item_vectors().copy()
    new = np.array([11, 12], dtype=np.int32)
    assert model.learn_content(new[:1], texts[11:12]).tolist() == [11]
    grown, events = with_new_events(known, [(3, 11), (5, 11), (5, 12)])
    assert model.partial_fit(grown, events).tolist() == [11, 12]
    assert model.learn_content(new, texts[11:]).tolist() == [11, 12]
    rows = known.matrix.toarray().astype(float)
    energies = (rows**2).sum(axis=1, keepdims=True)
    # With an exponent of a half a user counts the inverse of their length.
    users = np.sqrt(np.where(energies > 0, energies, np.inf)) ** -1 * energies.sum() / np.sqrt(energies).sum()
    gram = rows.T @ (users * rows) + 5 * texts[:11] @ texts[:11].T
    target = rows.T @ (users * grown.matrix.toarray()[:, 11:]) + 5 * texts[:11] @ texts[11:].T
    expected = np.linalg.solve(gram + np.diag(np.diag(gram)) + 2 * np.eye(11), target)
    np.testing.assert_allclose(model.item_vectors()[11:], expected.T, atol=1e-5)
    np.testing.assert_array_equal(model.item_vectors()[:11], before)
    assert model.query_vectors(grown.histories()).shape == (grown.n_users, 11)


def test_new_texts_of_known_items_wait_for_the_next_fit():
    model = EASE(2.0, content_weight=5).fit(from_dense(random_weights()), random_texts(11))
    before = model.item_vectors().copy()
    assert model.learn_content(np.array([4], dtype=np.int32), random_texts(2)[1:]).tolist() == []
    np.testing.assert_array_equal(model.item_vectors(), before)


def test_a_recommender_places_a_new_item_by_its_text():
    texts = {"a": "moon robots", "b": "moon rockets", "c": "garden roses", "d": "garden tea"}
    events = [("u", "a"), ("u", "b"), ("v", "c"), ("v", "d"), ("w", "a"), ("w", "b")]
    rec = Recommender(encoder=TfidfEncoder(), factorizer=EASE(1.0, content_weight=2), fuser="concat")
    rec.fit(events, items=texts).partial_fit(items={"e": "garden roses, and more roses"})
    assert rec.views_["ease"].item_vectors().shape == (5, 4)
    assert rec.recommend("v", k=1).items == ["e"]


def test_too_large_a_catalogue_is_refused_before_anything_is_computed():
    events = Interactions.from_table(sparse.csr_array((2, 100_000), dtype=np.float32))
    with pytest.raises(ParameterError, match=r"120\.0 GB for 100000 items.*'graph-filter'"):
        EASE().fit(events)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("regularization", 0),
        ("regularization", "high"),
        ("dropout", 1),
        ("dropout", -0.1),
        ("length_exponent", -1),
        ("content_weight", -1),
        ("max_gigabytes", 0),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        EASE().set_params(**{name: value}).fit(from_dense(random_weights()))


def test_texts_of_other_items_are_refused():
    with pytest.raises(DataError, match="10 rows for 11 items"):
        EASE(content_weight=1).fit(from_dense(random_weights()), random_texts(10))


def test_use_before_fit_is_refused():
    for ask in (EASE().item_vectors, lambda: EASE().query_vectors(Histories.of([[0]], n_columns=1))):
        with pytest.raises(NotFittedError):
            ask()
