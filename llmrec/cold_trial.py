"""Items whose events are hidden, as text views see them: what a fuser learns to rank new items by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmrec.base import ViewVectors
from llmrec.interactions import Histories, Interactions
from llmrec.views import TextView

__all__ = ["cold_trial"]

_SHARE = 0.2
_MAX_USERS = 1000


def cold_trial(
    interactions: Interactions, texts: Sequence[TextView], sample: Histories
) -> tuple[list[ViewVectors], Any]:
    """Hide the events of a fifth of the items, the same each time, and let the text views foretell them.

    Parameters
    ----------
    sample : Histories
        Of the users to learn the metrics of texts from.

    Returns
    -------
    views : list of ViewVectors
        Of the hidden items alone, with the queries of some users.
    relevant : csr_array of shape (n_users, n_hidden)
        What these users had met of the hidden items.
    """
    warm = np.flatnonzero(interactions.item_counts).astype(np.int32)
    drawn = np.random.default_rng(0).permutation(len(warm))
    hidden = np.sort(warm[drawn[: int(len(warm) * _SHARE)]])
    is_hidden = np.zeros(interactions.n_items, dtype=np.bool_)
    is_hidden[hidden] = True
    is_later = is_hidden[interactions.events.item_rows]
    users = interactions.events.user_rows
    both = np.intersect1d(users[is_later], users[~is_later]).astype(np.int32)
    both = both[:: max(1, -(-len(both) // _MAX_USERS))]
    shown = interactions.subset(~is_later).histories(both)
    left = np.setdiff1d(warm, hidden)
    views = []
    for text in texts:
        view = text.for_items(left if len(left) else None, sample)
        items = view.item_vectors(interactions, hidden)
        queries = view.query_vectors(shown)
        views.append(ViewVectors(items.name, items.kind, items.vectors, items.support, queries))
    return views, interactions.subset(is_later).histories(both).weight_matrix()[:, hidden]
