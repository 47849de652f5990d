"""Small sets of events for the tests of factorizers."""

from __future__ import annotations

import numpy as np

from llmrec.interactions import Events, IdTable, Interactions


def from_dense(weights, *, ratings=None, is_met=None):
    """Build interactions from a users × items array; rows of zeros are users without events."""
    users, items = np.nonzero(weights if is_met is None else is_met)
    given = weights[users, items].astype(np.float32) if is_met is None else np.ones(len(users), np.float32)
    return Interactions(
        IdTable(range(weights.shape[0])),
        IdTable(range(weights.shape[1])),
        Events(
            users.astype(np.int32),
            items.astype(np.int32),
            given,
            None if ratings is None else ratings[users, items].astype(np.float32),
        ),
    )


def random_weights(n_users=14, n_items=11, seed=0):
    """Return weights whose rows have from none to all items, and one item that nobody met."""
    rng = np.random.default_rng(seed)
    shares = np.linspace(0, 1, n_users)[:, None]
    weights = rng.uniform(0.5, 3, (n_users, n_items)) * (rng.random((n_users, n_items)) < shares)
    weights[0] = 0
    weights[1] = np.eye(n_items)[2]
    weights[:, n_items - 1] = 0
    return np.round(weights, 2).astype(np.float32).astype(np.float64)


def random_ratings(n_users=14, n_items=11, seed=0):
    """Return ratings from 1 to 5 in halves, and which of them were given."""
    rng = np.random.default_rng(seed)
    is_rated = random_weights(n_users, n_items, seed) > 0
    return rng.integers(2, 11, (n_users, n_items)) / 2.0, is_rated
