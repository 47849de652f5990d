"""Fold-in updates: the vectors that an event touches are solved anew, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmrec.base import IntArray, OnlineState, OnlineUpdater
from llmrec.validation import check_integer
from llmrec.vectors import distinct

if TYPE_CHECKING:
    from llmrec.interactions import Events

__all__ = ["FoldInUpdater"]


class FoldInUpdater(OnlineUpdater):
    """Solve again for each touched item, then for each touched user, all else held fixed.

    The most accurate update for a factor model: the user's vector is the one that a full half-sweep would
    give them, whatever came before. The cost of an event grows with the history of its user and the
    audience of its item.

    Parameters
    ----------
    max_audience : int or None, default 200
        Items with more events than this keep their vector: one event more hardly moves it, and solving
        for it would cost most. None solves for all.

    Examples
    --------
    >>> import numpy as np
    >>> from llmrec import ALSFactorizer
    >>> from llmrec.base import OnlineState
    >>> from llmrec.interactions import Events, Interactions
    >>> known = Interactions.from_table([(u, i) for u in range(6) for i in range(8) if (u + i) % 2])
    >>> als = ALSFactorizer(factors=2).fit(known)
    >>> event = Events(*(np.array([value], dtype=np.int32) for value in (0, 5)), np.ones(1, np.float32))
    >>> before = float(als.user_vectors_[0] @ als.item_vectors_[5])
    >>> known.append(event)
    >>> FoldInUpdater().update(OnlineState(als, known), event).tolist()
    [5]
    >>> float(als.user_vectors_[0] @ als.item_vectors_[5]) > before
    True
    """

    def __init__(self, *, max_audience: int | None = 200):
        self.max_audience = max_audience

    def update(self, state: OnlineState, events: Events) -> IntArray:
        """Solve for the touched items and users; return the item rows that moved."""
        model, interactions = state.model, state.interactions
        items = distinct(events.item_rows)
        if self.max_audience is not None:
            limit = check_integer("max_audience", self.max_audience, minimum=0)
            items = items[interactions.counts_of_items(items) <= limit]
        if len(items):
            model.set_item_vectors(items, model.solve_items(interactions, items))
        users = distinct(events.user_rows)
        model.set_user_vectors(users, model.query_vectors(interactions.histories(users)))
        return items
