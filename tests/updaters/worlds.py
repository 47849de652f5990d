"""A fitted model and its events, and more events after them, for the tests of updaters."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from llmrec.factorizers import ALSFactorizer, SVDFactorizer
from llmrec.interactions import Events, Interactions

MODELS = {
    "als": ALSFactorizer(factors=3, progress=False),
    "als-explicit": ALSFactorizer(factors=3, feedback="explicit", regularization=0.1, progress=False),
    "svd": SVDFactorizer(factors=3),
    "svd-explicit": SVDFactorizer(factors=3, feedback="explicit"),
}


def known_world(name, n_users=12, n_items=9):
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(n_users) for i in range(n_items) if rng.random() < 0.5 or i == u % n_items]
    rows = [{"user": u, "item": i, "rating": float(rng.integers(1, 6))} for u, i in pairs]
    interactions = Interactions.from_table(rows)
    return clone(MODELS[name]).fit(interactions), interactions


def happened(model, interactions, users, items):
    """Append events with new ids, as a recommender does, and return them."""
    for ids, rows in ((interactions.users, users), (interactions.items, items)):
        for row in rows:
            ids.add(row)
    ones = np.ones(len(users), np.float32)
    events = Events(np.array(users, np.int32), np.array(items, np.int32), ones, 4 * ones)
    interactions.append(events)
    model.resize(interactions.n_users, interactions.n_items)
    return events
