"""Synthetic events in the shape of known data, drawn by seed: mixed tastes, few famous items."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["SHAPES", "Shape", "drawn", "kept"]


@dataclass(frozen=True)
class Shape:
    """How many users, items and events; how unequal users and items are; how many tastes there are."""

    n_users: int
    n_items: int
    n_events: int
    user_spread: float
    item_spread: float
    n_tastes: int


SHAPES = {
    "small": Shape(2_000, 1_500, 100_000, 0.9, 1.6, 16),
    "ml1m": Shape(6_040, 3_706, 1_000_000, 0.95, 1.75, 24),
    "ml20m": Shape(138_493, 26_744, 20_000_000, 1.2, 2.0, 48),
}


def kept(name: str, seed: int = 0) -> Any:
    """Return what :func:`drawn` does, from a file in the folder for temporary files if it is there."""
    path = Path(tempfile.gettempdir()) / "llmrec-benchmarks" / f"{name}-{seed}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        sparse.save_npz(path, drawn(name, seed), compressed=False)
    return sparse.load_npz(path)


def drawn(name: str, seed: int = 0) -> Any:
    """Return a users × items ``csr_array`` of ones.

    A user has a lognormal number of events and a mixture of tastes, a taste is a distribution over items
    with a few frequent ones; pairs drawn twice count once.
    """
    shape, rng = SHAPES[name], np.random.default_rng(seed)
    activity = np.exp(rng.normal(0, shape.user_spread, shape.n_users))
    keys = np.empty(0, dtype=np.int64)
    famous = rng.normal(0, shape.item_spread, shape.n_items)
    tastes = np.exp(famous + rng.normal(0, 1.6, (shape.n_tastes, shape.n_items)))
    cumulated = np.cumsum(tastes / tastes.sum(axis=1, keepdims=True), axis=1)
    mixtures = np.cumsum(rng.dirichlet(np.full(shape.n_tastes, 0.15), shape.n_users), axis=1)
    share = 1.5
    while len(keys) < shape.n_events:
        wanted = 20 + activity * (share * shape.n_events / activity.sum())
        wanted = np.minimum(wanted, 0.4 * shape.n_items).astype(np.int64)
        users = np.repeat(np.arange(shape.n_users), wanted)
        chosen = _chosen_tastes(mixtures, users, rng)
        items = np.empty(len(users), dtype=np.int64)
        for taste in range(shape.n_tastes):
            own = np.flatnonzero(chosen == taste)
            # Where many sorted points fall is found faster than where each falls; the order is drawn again.
            found = np.searchsorted(cumulated[taste], np.sort(rng.random(len(own))), side="right")
            items[own] = rng.permutation(found)
        new = users * shape.n_items + np.minimum(items, shape.n_items - 1)
        keys = np.unique(np.concatenate([keys, new]))
        share = 0.5
    chosen = np.sort(rng.choice(keys, shape.n_events, replace=False))
    rows, columns = np.divmod(chosen, shape.n_items)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape.n_users))]).astype(np.int32)
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_array((ones, columns.astype(np.int32), indptr), shape=(shape.n_users, shape.n_items))


def _chosen_tastes(mixtures: Any, users: Any, rng: np.random.Generator) -> Any:
    points = rng.random(len(users), dtype=np.float32)
    chosen = np.zeros(len(users), dtype=np.int8)
    for taste in range(mixtures.shape[1] - 1):
        chosen += points > mixtures[:, taste].astype(np.float32)[users]
    return chosen
