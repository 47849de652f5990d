"""What one event costs does not depend on how many users and items there are."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from llmrec.base import OnlineState
from llmrec.factorizers import ALSFactorizer, Popularity, UserKNN
from llmrec.interactions import Events, IdTable, Interactions
from llmrec.updaters import SGDUpdater
from llmrec.views import FactorView

SMALL, LARGE = 2_000, 200_000


def world(n):
    rng = np.random.default_rng(0)
    users, items = (rng.integers(n, size=n).astype(np.int32) for _ in range(2))
    events = Events(users, items, np.ones(n, np.float32), None, np.arange(n, dtype=np.float64))
    return Interactions(IdTable(range(n)), IdTable(range(n)), events)


def model_of(n):
    """An ALS model whose vectors need not be learned."""
    model = ALSFactorizer(factors=4, progress=False).fit(world(20))
    model.user_vectors_, model.item_vectors_ = np.full((2, n, 4), 0.1, np.float32)
    return model


def newcomer(interactions, *, is_item):
    """Append one event of a new user and a known item, or the other way round."""
    user = interactions.users.add(0 if is_item else f"new {interactions.n_users}")
    item = interactions.items.add(f"new {interactions.n_items}" if is_item else 1)
    rows = (np.array([row], np.int32) for row in (user, item))
    event = Events(*rows, np.ones(1, np.float32), None, np.array([interactions.last_timestamp]))
    interactions.append(event)
    return event


def popularity(n):
    interactions = world(n)
    factorizer = Popularity(half_life=1).fit(interactions)
    return interactions, lambda event: factorizer.partial_fit(interactions, event)


def neighbours(**settings):
    def part(n):
        interactions = world(n)
        factorizer = UserKNN(**settings).fit(interactions)
        return interactions, lambda event: factorizer.partial_fit(interactions, event)

    return part


def gradients(n):
    interactions, model, updater = world(n), model_of(n), SGDUpdater()

    def learn(event):
        model.resize(interactions.n_users, interactions.n_items)
        updater.update(OnlineState(model, interactions), event)

    return interactions, learn


def view(n):
    interactions, model = world(n), model_of(n)
    own = FactorView("als", model, SGDUpdater())

    def learn(event):
        rows = own.learn(interactions, event)
        own.item_vectors(interactions, rows)

    return interactions, learn


def peak_bytes(part, n, *, is_item):
    """Return the memory that an event takes at most, once the buffers have room for it."""
    interactions, learn = part(n)
    for _ in range(2):
        learn(newcomer(interactions, is_item=is_item))
    tracemalloc.start()
    try:
        learn(newcomer(interactions, is_item=is_item))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("is_item", [False, True], ids=["new user", "new item"])
@pytest.mark.parametrize(
    "part",
    [popularity, neighbours(), neighbours(weighting="bm25", popularity_exponent=0.5), gradients, view],
    ids=["popularity", "neighbours", "weighted neighbours", "gradients", "view"],
)
def test_an_event_takes_no_memory_by_the_catalogue(part, is_item):
    """A copy, a mask or a count of all items would take more than a byte an item."""
    peak_bytes(part, SMALL, is_item=is_item)
    assert peak_bytes(part, LARGE, is_item=is_item) < peak_bytes(part, SMALL, is_item=is_item) + LARGE / 4
