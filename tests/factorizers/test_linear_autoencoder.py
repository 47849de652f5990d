"""The linear autoencoder: its loss against a dense reference, what it learns, and what it promises."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

from llmrec.errors import MissingExtraError, NotFittedError, ParameterError
from llmrec.factorizers import LinearAutoencoder
from llmrec.factorizers.linear_autoencoder import _Trainer
from llmrec.interactions import Histories, Interactions
from tests.factorizers.samples import from_dense, random_weights

torch = pytest.importorskip("torch")


def two_kinds(n_users=40, n_items=12, seed=0):
    """Return users × items: even users take even items mostly."""
    rng = np.random.default_rng(seed)
    users, items = np.indices((n_users, n_items))
    return (rng.random((n_users, n_items)) < np.where((users + items) % 2, 0.1, 0.7)).astype(float)


def fitted(interactions, **parameters):
    defaults = {"factors": 4, "epochs": 20, "patience": None, "batch_size": 16, "progress": False}
    return LinearAutoencoder(**{**defaults, **parameters}).fit(interactions)


def dense_loss(weights, vectors):
    """Return the mean squared distance of unit histories and unit reconstructions, item by item."""
    items = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    histories = weights[weights.any(axis=1)]
    predicted = histories @ (items @ items.T - np.eye(len(items)))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (histories, predicted)]
    return np.mean(np.sum((unit[0] - unit[1]) ** 2, axis=1))


@pytest.mark.parametrize("factors", [2, 5, 30])
def test_the_loss_is_that_of_the_dense_reconstruction(factors):
    weights = random_weights(20, 11)
    trainer = _Trainer(torch, sparse.csr_array(weights.astype(np.float32)), LinearAutoencoder(factors))
    used = sparse.csr_array(weights[weights.any(axis=1)].astype(np.float32))
    found = trainer._loss(used).item()
    vectors = trainer.factors.detach().numpy().astype(float)
    assert found == pytest.approx(dense_loss(weights, vectors), abs=1e-5)


def test_the_loss_falls():
    losses = fitted(from_dense(two_kinds())).losses_
    assert len(losses) == 20
    assert losses[-1] < 0.8 * losses[0]


def test_items_that_the_same_users_take_are_near_each_other():
    vectors = fitted(from_dense(two_kinds())).item_vectors()
    similar = vectors @ vectors.T
    same = np.add.outer(np.arange(12), np.arange(12)) % 2 == 0
    assert similar[same & ~np.eye(12, dtype=bool)].mean() > similar[~same].mean() + 0.3


def test_rows_have_length_one_and_those_of_items_without_events_are_zero():
    weights = random_weights(30, 11)
    norms = np.linalg.norm(fitted(from_dense(weights)).item_vectors(), axis=1)
    np.testing.assert_allclose(norms, weights.any(axis=0), atol=1e-5)


def test_a_query_is_the_weighted_sum_of_the_items_met():
    model = fitted(from_dense(two_kinds()))
    items = model.item_vectors()
    queries = model.query_vectors(Histories.of([[3, 7, 7], []], n_columns=12))
    np.testing.assert_allclose(queries[0], items[3] + 2 * items[7], atol=1e-6)
    assert not queries[1].any()


def test_training_stops_when_held_out_items_rank_no_better():
    rng = np.random.default_rng(0)
    noise = (rng.random((60, 30)) < 0.2).astype(float)
    model = fitted(from_dense(noise), patience=2, epochs=200)
    assert len(model.losses_) < 100


def test_the_seed_decides_and_the_threads_do_not():
    events = from_dense(two_kinds(60, 30))
    before = torch.get_num_threads()
    try:
        vectors = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            vectors.append(fitted(events).item_vectors())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*vectors)
    other = fitted(events, random_state=1).item_vectors()
    assert np.abs(vectors[0] - other).max() > 0.1


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fitted(from_dense(two_kinds()))
    assert torch.equal(torch.rand(3), expected)


def test_users_with_one_item_and_one_factor_give_finite_vectors():
    model = fitted(from_dense(np.eye(6)), factors=1)
    assert np.isfinite(model.item_vectors()).all()
    assert np.isfinite(model.losses_).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factors", 0),
        ("epochs", 0),
        ("patience", 0),
        ("batch_size", 0),
        ("learning_rate", 0),
        ("random_state", -1),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        LinearAutoencoder().set_params(**{name: value}).fit(Interactions.from_table([("a", "x")]))


def test_use_before_fit_is_refused():
    with pytest.raises(NotFittedError):
        LinearAutoencoder().item_vectors()
    with pytest.raises(NotFittedError):
        LinearAutoencoder().query_vectors(Histories.of([[0]], n_columns=1))


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"LinearAutoencoder needs torch.*llmrec\[torch\]"):
        LinearAutoencoder().fit(Interactions.from_table([("a", "x")]))
