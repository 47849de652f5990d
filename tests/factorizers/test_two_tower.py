"""The two towers: the loss against a dense reference, texts, sampled softmax, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

from llmrec import Recommender, TfidfEncoder
from llmrec.errors import DataError, MissingExtraError, NotFittedError, ParameterError
from llmrec.factorizers import TwoTower
from llmrec.factorizers.two_tower import _Candidates, _principal_directions, _Trainer
from llmrec.interactions import Histories, Interactions
from tests.factorizers.samples import from_dense

torch = pytest.importorskip("torch")

KINDS = np.arange(12) % 2


def two_kinds(n_users=60, n_items=12, seed=0):
    """Return users × items: even users take even items mostly; the last two items are taken by nobody."""
    rng = np.random.default_rng(seed)
    users, items = np.indices((n_users, n_items))
    weights = (rng.random((n_users, n_items)) < np.where((users + items) % 2, 0.05, 0.6)).astype(float)
    weights[:, -2:] = 0
    return weights


def texts(sparse_ones=False):
    """Return a unit text vector an item, near one of two directions; that of item 10 is zero."""
    rng = np.random.default_rng(1)
    vectors = np.eye(6)[KINDS] + 0.1 * rng.normal(size=(12, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[10] = 0
    return sparse.csr_array(vectors.astype(np.float32)) if sparse_ones else vectors.astype(np.float32)


def fitted(events=None, content=None, **parameters):
    defaults = {
        "factors": 4,
        "hidden": 4,
        "epochs": 30,
        "patience": None,
        "batch_size": 16,
        "progress": False,
    }
    towers = TwoTower(**{**defaults, **parameters})
    return towers.fit(from_dense(two_kinds()) if events is None else events, content=content)


def scores(towers, rows):
    queries = towers.query_vectors(Histories.of(rows, n_columns=len(towers.item_vectors())))
    return queries @ towers.item_vectors().T


def test_the_loss_is_that_of_the_dense_softmax_over_items_with_events():
    weights = two_kinds(8)
    weights[weights > 0] = np.random.default_rng(3).uniform(1, 2, int(weights.sum()))
    settings = TwoTower(3, hidden=5, factor_dropout=0)
    trainer = _Trainer(
        torch, sparse.csr_array(weights.astype(np.float32)), weights.any(axis=0), None, settings
    )
    users, items = weights.nonzero()
    is_asked = np.random.default_rng(4).random(len(users)) < 0.5
    found = trainer._loss(trainer.weights, torch.from_numpy(is_asked)).item()

    learned = trainer.arrays()
    tower, raw, biases = learned["user_tower"], learned["ids"][:, :-1], learned["ids"][:, -1]
    shown = weights.copy()
    shown[users[is_asked], items[is_asked]] = 0
    pooled = shown @ raw / np.maximum(np.linalg.norm(shown, axis=1, keepdims=True), 1e-12)
    vectors = pooled + np.tanh(pooled @ tower["hidden"] + tower["hidden_bias"]) @ tower["output"]
    vectors = vectors + tower["output_bias"]
    logits = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ (
        raw / np.linalg.norm(raw, axis=1, keepdims=True)
    ).T / 0.3 + biases
    logits[shown > 0] = -np.inf
    logits[:, ~weights.any(axis=0)] = -np.inf
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = []
    for user in np.unique(users[is_asked]):
        asked = items[is_asked & (users == user)]
        expected.append(-np.average(logs[user, asked], weights=weights[user, asked]))
    assert found == pytest.approx(np.mean(expected), rel=1e-4)


def test_the_sampled_loss_is_the_full_one_on_average():
    weights = sparse.csr_array(two_kinds(20, 40).astype(np.float32))
    has_events = np.diff(weights.tocsc().indptr) > 0
    is_asked = torch.from_numpy(np.random.default_rng(5).random(weights.nnz) < 0.3)
    losses = {}
    for candidates in (40, 30):
        settings = TwoTower(3, hidden=5, factor_dropout=0, candidates=candidates)
        trainer = _Trainer(torch, weights, has_events, None, settings)
        with torch.no_grad():
            losses[candidates] = [trainer._loss(weights, is_asked).item() for _ in range(300)]
    assert np.ptp(losses[40]) == 0
    assert np.ptp(losses[30]) > 0
    assert np.mean(losses[30]) == pytest.approx(losses[40][0], rel=0.02)


def test_the_chance_of_a_candidate_is_how_often_it_is_drawn():
    weights = sparse.csr_array(two_kinds(50, 30).astype(np.float32))
    has_events = np.diff(weights.tocsc().indptr) > 0
    candidates = _Candidates(weights, has_events, TwoTower(candidates=8))
    random = torch.Generator().manual_seed(0)
    drawn = np.zeros(30)
    for _ in range(2000):
        rows, logs = candidates.draw(np.array([3]), random, torch)
        assert 3 in rows
        drawn[rows[np.isfinite(logs)]] += 1
    assert not drawn[~has_events].any()
    np.testing.assert_allclose(
        drawn[has_events] / 2000, np.exp(candidates.log_chances[has_events]), atol=0.04
    )


@pytest.mark.parametrize("candidates", [10_000, 6])
def test_a_history_asks_for_items_of_its_kind(candidates):
    found = scores(fitted(candidates=candidates), [[0, 2], [1, 3]])
    known = np.arange(4, 10)
    assert found[0][known[known % 2 == 0]].min() > found[0][known[known % 2 == 1]].max()
    assert found[1][known[known % 2 == 1]].min() > found[1][known[known % 2 == 0]].max()


def test_item_vectors_are_unit_rows_and_a_bias_and_zero_where_nothing_is_known():
    vectors = fitted().item_vectors()
    norms = np.linalg.norm(vectors[:, :-1], axis=1)
    np.testing.assert_allclose(norms, [1] * 10 + [0] * 2, atol=1e-5)
    assert not vectors[10:].any()


def test_who_has_no_history_is_shown_what_is_popular():
    rng = np.random.default_rng(0)
    weights = (rng.random((80, 12)) < np.linspace(0.8, 0.1, 12)).astype(float)
    (found,) = scores(fitted(from_dense(weights), epochs=60), [[]])
    assert np.corrcoef(found, np.linspace(0.8, 0.1, 12))[0, 1] > 0.8


# -- texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_sparse", [False, True])
def test_an_item_without_events_is_placed_by_its_text(is_sparse):
    towers = fitted(content=texts(is_sparse), epochs=60)
    found = scores(towers, [[0, 2], [1, 3]])
    assert found[1][11] > found[0][11] + 0.5
    assert not towers.item_vectors()[10].any()


@pytest.mark.parametrize("is_sparse", [False, True])
def test_learned_texts_place_new_items(is_sparse):
    towers = fitted(content=texts(is_sparse), epochs=60)
    before = towers.item_vectors().copy()
    new = texts()[[0, 1, 10]]
    moved = towers.learn_content(
        np.array([14, 12, 13], dtype=np.int32), sparse.csr_array(new) if is_sparse else new
    )
    assert moved.tolist() == [12, 13, 14]
    np.testing.assert_array_equal(towers.item_vectors()[:12], before)
    found = scores(towers, [[0, 2], [1, 3]])
    assert found[1][12] > found[0][12] + 0.5
    assert found[0][14] > found[1][14] + 0.5
    assert not towers.item_vectors()[13].any()


def test_a_new_text_moves_a_known_item_and_its_own_text_does_not():
    towers = fitted(content=texts())
    before = towers.item_vectors().copy()
    rows = np.array([3], dtype=np.int32)
    towers.learn_content(rows, texts()[[3]])
    np.testing.assert_allclose(towers.item_vectors(), before, atol=1e-6)
    towers.learn_content(rows, texts()[[4]])
    assert np.abs(towers.item_vectors()[3] - before[3]).max() > 0.01


def test_items_that_a_text_places_have_support():
    rows, counts = np.array([0, 11], dtype=np.int32), np.array([7, 0], dtype=np.float32)
    assert fitted(content=texts()).item_support(counts, rows).tolist() == [7, 0.5]
    assert fitted().item_support(counts, rows).tolist() == [7, 0]


def test_without_texts_none_are_taken_later():
    towers = fitted()
    before = towers.item_vectors().copy()
    assert len(towers.learn_content(np.array([3], dtype=np.int32), texts()[[4]])) == 0
    np.testing.assert_array_equal(towers.item_vectors(), before)


def test_a_recommender_offers_a_new_item_to_those_who_like_such_texts():
    weights = two_kinds()
    events = [(f"u{u}", f"i{i}") for u, i in zip(*weights.nonzero(), strict=True)]
    words = ("rain sea storm", "robot space moon")
    items = {f"i{i}": f"{words[i % 2]} word{i}" for i in range(10)}
    towers = TwoTower(factors=4, hidden=4, epochs=60, patience=None, progress=False)
    rec = Recommender(encoder=TfidfEncoder(), factorizer=towers, fuser="concat").fit(events, items=items)
    rec.partial_fit([], items={"wet": "rain storm", "far": "moon robot"})
    found = rec.recommend(history=["i0", "i2", "i4", "i6", "i8"], k=1).items
    assert found == ["wet"]


@pytest.mark.parametrize("shape", [(40, 10), (10, 40), (300, 90), (90, 300)])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_principal_directions_are_those_of_the_dense_decomposition(shape, is_sparse):
    vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32) * np.geomspace(9, 1, shape[1])
    given = sparse.csr_array(vectors.astype(np.float32)) if is_sparse else vectors.astype(np.float32)
    found = _principal_directions(given, 5, seed=0)
    expected = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[2][:5].T
    np.testing.assert_allclose(np.abs(found.T @ expected), np.eye(5), atol=1e-3)


# -- what is refused ----------------------------------------------------------------------------------------


def test_texts_for_another_number_of_items_are_refused():
    with pytest.raises(DataError, match="content has 11 rows, and there are 12 items"):
        fitted(content=texts()[:11])


def test_texts_of_another_width_are_refused():
    with pytest.raises(DataError, match="content must have 6 columns, got 5"):
        fitted(content=texts()).learn_content(np.array([0], dtype=np.int32), texts()[:1, :5])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("factors", "hidden", "text_factors", "candidates", "epochs", "batch_size")),
        *((name, 0) for name in ("patience", "temperature", "learning_rate")),
        *((name, 1) for name in ("history_dropout", "factor_dropout", "id_dropout")),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        TwoTower().set_params(**{name: value}).fit(Interactions.from_table([("a", "x")]))


def test_use_before_fit_is_refused():
    with pytest.raises(NotFittedError):
        TwoTower().item_vectors()
    with pytest.raises(NotFittedError):
        TwoTower().query_vectors(Histories.of([[0]], n_columns=1))
    with pytest.raises(NotFittedError):
        TwoTower().learn_content(np.array([0], dtype=np.int32), texts()[:1])


def test_the_seed_decides_and_the_global_random_state_does_not():
    first = fitted(content=texts()).item_vectors()
    torch.manual_seed(17)
    np.testing.assert_array_equal(first, fitted(content=texts()).item_vectors())
    assert np.abs(first - fitted(content=texts(), random_state=1).item_vectors()).max() > 0.1


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"TwoTower needs torch.*llmrec\[torch\]"):
        TwoTower().fit(Interactions.from_table([("a", "x")]))
