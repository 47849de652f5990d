"""What trained factorizers share: the held-out part, its judge, the number of epochs."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy import sparse

from llmrec.evaluation import ndcg_at_k
from llmrec.factorizers.training import closeness, hold_out_entries, ndcg, single_threaded, train
from tests.factorizers.samples import random_weights


class Improving:
    """A trainer whose scores are right from epoch ``best`` on, and wrong before and after it by degrees."""

    def __init__(self, matrix, truth, best, made):
        self.truth, self.best, self.epochs = truth, best, 0
        self.matrix = matrix
        made.append(self)

    def epoch(self):
        self.epochs += 1
        return float(self.epochs)

    def scores(self, user_rows):
        off = abs(self.epochs - self.best)
        noise = np.random.default_rng(0).normal(size=self.truth.shape)
        return (self.truth + off * noise)[user_rows].astype(np.float32)


def run(weights, best, **parameters):
    made = []
    matrix = sparse.csr_array(weights.astype(np.float32))
    _, losses = train(
        lambda part: Improving(part, weights, best, made),
        matrix,
        **{"epochs": 30, "patience": 3, "seed": 0, "description": "", "progress": False, **parameters},
    )
    return made, losses


def test_the_second_training_is_as_long_as_the_first_was_good():
    weights = np.eye(20)[:, :20] + np.roll(np.eye(20), 1, axis=1) + np.roll(np.eye(20), 2, axis=1)
    (first, second), losses = run(weights, best=7)
    assert first.epochs == 7 + 3
    assert losses == [1, 2, 3, 4, 5, 6, 7]
    assert first.matrix.nnz == 40
    assert second.matrix.nnz == 60


def test_without_patience_there_is_one_training_of_all_epochs():
    (only,), losses = run(np.ones((5, 9)), best=2, patience=None)
    assert only.epochs == len(losses) == 30


def test_where_nothing_can_be_held_out_all_epochs_are_gone_through():
    (only,), _ = run(np.eye(5), best=2)
    assert only.epochs == 30


def test_a_tenth_of_each_history_is_held_out():
    weights = sparse.csr_array(random_weights(40, 30))
    seen, held = hold_out_entries(weights, seed=3)
    np.testing.assert_allclose((seen + held).toarray(), weights.toarray(), rtol=1e-6)
    assert seen.nnz + held.nnz == weights.nnz
    lengths = np.diff(weights.indptr)
    expected = np.where(lengths < 3, 0, np.maximum(1, lengths // 10))
    assert np.diff(held.indptr).tolist() == expected.tolist()
    other = hold_out_entries(weights, seed=4)[1]
    assert (other.toarray() != held.toarray()).any()


@pytest.mark.parametrize("n_items", [20, 300])
def test_ndcg_is_that_of_the_metric(n_items):
    rng = np.random.default_rng(1)
    weights = sparse.csr_array((rng.random((300, n_items)) < 0.2).astype(float))
    seen, held = hold_out_entries(weights, seed=0)
    scores = rng.normal(size=weights.shape).astype(np.float32)
    expected = []
    for user in np.flatnonzero(np.diff(held.indptr)):
        order = np.argsort(-np.where(seen[[user]].toarray()[0] > 0, -np.inf, scores[user]))
        expected.append(ndcg_at_k(order.tolist(), held[[user]].indices.tolist(), min(100, n_items)))
    assert ndcg(lambda rows: scores[rows], seen, held) == pytest.approx(np.mean(expected))


def test_closeness_is_minus_the_root_mean_squared_error():
    weights = sparse.csr_array(random_weights(30, 20))
    seen, held = hold_out_entries(weights, seed=0)
    scores = np.full(weights.shape, 1.5, dtype=np.float32)
    expected = -np.sqrt(np.mean((held.data - 1.5) ** 2))
    assert closeness(lambda rows: scores[rows], seen, held) == pytest.approx(expected, rel=1e-5)


def test_threads_are_restored_after_the_last_of_several_fits():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    first_in, second_in = threading.Event(), threading.Event()

    def first():
        with single_threaded(torch):
            first_in.set()
            second_in.wait(5)

    try:
        thread = threading.Thread(target=first)
        thread.start()
        first_in.wait(5)
        with single_threaded(torch):
            second_in.set()
            thread.join()
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
