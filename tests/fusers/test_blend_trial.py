"""BlendTrial: the NDCG over candidates is that over the whole catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.fusers import ConcatFuser
from llmrec.fusers.blend_trial import BlendTrial
from llmrec.interactions import Histories
from tests.fusers.views import view

N_USERS, N_ITEMS = 300, 150


def world(n_met=20):
    """Return views, of which the second is nearly the first, and what users met and took."""
    rng = np.random.default_rng(0)
    items, users = rng.normal(size=(2, N_ITEMS, 5)), rng.normal(size=(2, N_USERS, 5))
    items[1], users[1] = items[0] + 0.1 * items[1], users[0] + 0.1 * users[1]
    views = [view(f"v{i}", items[i], queries=view(f"v{i}", users[i])) for i in range(2)]
    orders = [rng.permutation(N_ITEMS) for _ in range(N_USERS)]
    met = Histories.of([one[:n_met].tolist() for one in orders], N_ITEMS).weight_matrix()
    taken = Histories.of([one[n_met : n_met + 3].tolist() for one in orders], N_ITEMS).weight_matrix()
    return views, met, taken


def trial_of(views, met, taken):
    fuser = ConcatFuser().fit(views, None)
    return fuser, BlendTrial.of(fuser, views, met, taken, np.arange(N_ITEMS))


def test_no_place_is_kept_that_holds_no_candidate():
    _, trial = trial_of(*world())
    n_open = trial.is_open.sum(axis=1)
    assert trial.is_open.shape == trial.buckets.shape == trial.scores.shape[1:]
    assert n_open.max() == trial.is_open.shape[1] < N_ITEMS
    # Buckets number the items here: no user has one twice.
    for row, is_open in zip(trial.buckets, trial.is_open, strict=True):
        assert len(set(row[is_open])) == is_open.sum()


@pytest.mark.parametrize("n_met", [20, N_ITEMS - 10])
def test_ndcg_is_that_over_the_whole_catalogue(n_met):
    views, met, taken = world(n_met)
    fuser, trial = trial_of(views, met, taken)
    weights = np.array([1.0, 0.5])
    whole = sum(
        weight * fuser.view_scores(place, one, slice(None))
        for place, (weight, one) in enumerate(zip(weights, views, strict=True))
    )
    whole = np.where(met.toarray() > 0, -np.inf, whole)
    ranks = np.argsort(np.argsort(-whole, axis=1), axis=1)
    gains = np.where(ranks < 20, 1 / np.log2(ranks + 2), 0) * (taken.toarray() > 0)
    expected = gains.sum(axis=1) / np.sum(1 / np.log2(np.arange(2, 5)))
    np.testing.assert_allclose(trial.ndcg_of_users(trial.blended(weights)), expected, atol=1e-6)
