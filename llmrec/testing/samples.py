"""Small made-up data that components are checked on: events, texts, views."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy import sparse

from llmrec.base import FloatArray, IntArray, ViewVectors
from llmrec.interactions import Events, IdTable, Interactions
from llmrec.validation import check_integer

__all__ = [
    "LATER_TEXTS",
    "ODD_TEXTS",
    "TEXTS",
    "held_out",
    "no_events",
    "sample_views",
    "tiny_interactions",
    "with_new_events",
]

_HOUR = 3_600.0
_START = 1_700_000_000.0

TEXTS = [
    "A bank robbery goes wrong in the rain",
    "Two detectives hunt a robber through the city",
    "A young cook opens a small restaurant",
    "The best bread is baked in the morning rain",
    "Space pirates steal a small moon",
    "A robot learns to bake bread on the moon",
    "流浪地球 科幻电影",
    "科幻小说 三体 宇宙",
    "无线蓝牙耳机 音质好",
    "Blue wireless headphones with good sound",
    "The history of the city, told by its cooks",
    "A love story set in the rain",
    "Wireless sound for the whole city",
    "一部关于宇宙的电影",
    "Morning in a small city",
]
"""Texts to learn from, English and Chinese."""

LATER_TEXTS = [
    "A robbery on the moon",
    "",
    "bread",
    "A robbery on the moon",
    "宇宙电影 and a story of the city, in the rain, told by a cook who has heard it from a robot",
    TEXTS[3],
    "zzyzx qwrtpsdf",
]
"""Texts to read: seen and unseen, empty, equal, long, of unknown words."""

ODD_TEXTS = {
    "emoji": "👩‍👩‍👧 great 😀 moon ❤️",
    "control characters": "moon\x00\x01\x7f\x9f rain\r\n\t",
    "a lone surrogate": "rain \ud800 moon \udfff",
    "combining marks": "e\u0301a\u0300 नमस्ते שָׁלוֹם",
    "100 kB": "moon rain 宇宙 " * 6_000,
    "one word of 100 kB": "a" * 100_000,
    "blanks": " \t\n\u3000",
}
"""Texts that occur, if rarely, by what is odd about them."""


def tiny_interactions(n_users: int = 24, n_items: int = 16, *, seed: int = 0) -> Interactions:
    """Return events of two groups of users, each of which mostly takes items of its own kind.

    Even users take even items, odd ones odd items; those with small numbers are the most popular. Events
    have ratings (4 and 5 for the own kind, 1 and 2 for the other) and times, six hours apart. The last
    user and the last item have no events.

    Parameters
    ----------
    n_users, n_items : int, at least 4
    seed : int, default 0

    Examples
    --------
    >>> events = tiny_interactions(6, 8)
    >>> events.n_users, events.n_items, events.has_ratings
    (6, 8, True)
    >>> int(events.user_counts[-1]), int(events.item_counts[-1])
    (0, 0)
    """
    check_integer("n_users", n_users, minimum=4)
    check_integer("n_items", n_items, minimum=4)
    rng = np.random.default_rng(seed)
    users, items = np.divmod(np.arange((n_users - 1) * (n_items - 1)), n_items - 1)
    is_own_kind = (users - items) % 2 == 0
    chances = np.where(is_own_kind, 0.95 - 0.75 * items / n_items, 0.4 * (1 - items / n_items))
    # The first two of each kind are always taken, so that nobody is without a taste.
    happened = (rng.random(len(users)) < chances) | (is_own_kind & (items < 4))
    order = rng.permutation(np.flatnonzero(happened))
    times: Any = _START + 6 * _HOUR * np.arange(len(order))
    ratings = np.where(is_own_kind, 4.0, 1.0) + rng.integers(2, size=len(users))
    events = Events(
        users[order].astype(np.int32),
        items[order].astype(np.int32),
        np.ones(len(order), dtype=np.float32),
        ratings[order].astype(np.float32),
        times,
    )
    return Interactions(
        IdTable(f"user {row}" for row in range(n_users)),
        IdTable(f"item {row}" for row in range(n_items)),
        events,
    )


def no_events(interactions: Interactions) -> Events:
    """Return no events at all, in columns like those of ``interactions``."""
    return interactions.events.take(np.zeros(0, dtype=np.intp))


def with_new_events(interactions: Interactions, pairs: list[tuple[int, int]]) -> tuple[Interactions, Events]:
    """Return the interactions with five-star events of user and item rows after them, and these events.

    Rows past the end are new users and items.
    """
    users, items = np.array(pairs, dtype=np.int32).reshape(-1, 2).T.copy()
    start = interactions.last_timestamp or _START
    times: Any = start + 60.0 * np.arange(1, len(users) + 1)
    events = Events(
        users,
        items,
        np.ones(len(users), dtype=np.float32),
        np.full(len(users), 5, dtype=np.float32),
        times,
    )
    n_users = max(interactions.n_users, int(users.max(initial=-1)) + 1)
    n_items = max(interactions.n_items, int(items.max(initial=-1)) + 1)
    known = interactions.events
    grown = Interactions(
        IdTable([*interactions.users, *(f"user {row}" for row in range(interactions.n_users, n_users))]),
        IdTable([*interactions.items, *(f"item {row}" for row in range(interactions.n_items, n_items))]),
        known.take(np.arange(len(known))),
    )
    grown.append(events)
    return grown, events


def held_out(interactions: Interactions) -> tuple[Interactions, dict[int, int]]:
    """Return the interactions without the last well-rated event of each user, and its item by user."""
    events = interactions.events
    is_liked = np.ones(len(events), dtype=np.bool_) if events.ratings is None else events.ratings >= 4
    last = {int(events.user_rows[at]): int(at) for at in np.flatnonzero(is_liked)}
    kept = np.delete(np.arange(len(events)), list(last.values()))
    held = {user: int(events.item_rows[at]) for user, at in last.items()}
    return Interactions(interactions.users, interactions.items, events.take(kept)), held


def sample_views(
    interactions: Interactions, names: tuple[str, ...], *, without_queries: bool = False, fill: float = 0.0
) -> list[ViewVectors]:
    """Return item vectors of some views, with the queries of all users in them.

    Of the items one has no events, one no text, and one neither; of the users one has no history. There the
    vectors hold ``fill``.
    """
    views = []
    for name in names:
        items = _view_vectors(name, interactions, "items", fill)
        queries = None if without_queries else _view_vectors(name, interactions, "queries", fill)
        views.append(ViewVectors(name, items.kind, items.vectors, items.support, queries))
    return views


def sample_queries(
    interactions: Interactions, names: tuple[str, ...], *, fill: float = 0.0
) -> list[ViewVectors]:
    """Return the query vectors of some views, of all users."""
    return [_view_vectors(name, interactions, "queries", fill) for name in names]


def _view_vectors(
    name: str, interactions: Interactions, side: Literal["items", "queries"], fill: float
) -> ViewVectors:
    of_items = side == "items"
    n_rows = interactions.n_items if of_items else interactions.n_users
    counts = interactions.item_counts if of_items else interactions.user_counts
    # Rows of one kind are alike: an even item is near the even users in every view.
    kind_of = np.where(np.arange(n_rows) % 2 == 0, 1.0, -1.0)
    rng = np.random.default_rng([len(name), of_items])
    support = counts.astype(np.float32)
    if name == "popularity":
        vectors = np.log1p(support)[:, None] if of_items else np.ones((n_rows, 1))
        return ViewVectors(name, "popularity", vectors.astype(np.float32), np.ones(n_rows, dtype=np.float32))
    if name == "behaviour":
        if of_items:
            support[2] = 0
        vectors = _around(kind_of, 4, rng)
        return ViewVectors(name, "behaviour", _blanked(vectors, support, fill), support)
    support = np.ones(n_rows, dtype=np.float32)
    support[[1, -1] if of_items else [-1]] = 0
    vectors = _blanked(_around(kind_of, 6, rng), support, fill)
    if name == "words":
        vectors[vectors < 0] = 0
        return ViewVectors(name, "text", sparse.csr_array(vectors), support)
    return ViewVectors(name, "text", vectors, support)


def _around(kind_of: Any, dim: int, rng: np.random.Generator) -> FloatArray:
    axis = np.ones(dim) / np.sqrt(dim)
    vectors = kind_of[:, None] * axis + 0.3 * rng.normal(size=(len(kind_of), dim))
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _blanked(vectors: FloatArray, support: FloatArray, fill: float) -> FloatArray:
    vectors[support == 0] = fill
    return vectors


def sample_vectors(n_rows: int, dim: int, seed: int) -> FloatArray:
    """Return ``(n_rows, dim)`` normally distributed numbers."""
    return np.random.default_rng(seed).normal(size=(n_rows, dim)).astype(np.float32)


def sample_rows(*rows: int) -> IntArray:
    """Return row numbers as a component gets them."""
    return np.array(rows, dtype=np.int32)
