"""Items whose events are hidden, as views see them that read texts: how a fuser learns to rank new items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from sklearn.base import clone

from llmrec.base import ContentFactorizer, IntArray, ViewVectors
from llmrec.interactions import Histories, Interactions
from llmrec.views import FactorView, TextView, View, content_view

__all__ = ["cold_trial"]

_SHARE = 0.2
_MAX_USERS = 1000


def cold_trial(
    interactions: Interactions, texts: Sequence[TextView], factors: Sequence[FactorView], sample: Histories
) -> tuple[list[ViewVectors], Any]:
    """Hide the events of a fifth of the items, the same each time, and let the views foretell them.

    Parameters
    ----------
    factors : sequence of FactorView
        Those that place an item by its text are fitted once more, without the hidden events; the others
        have no say.
    sample : Histories
        Of the users to learn the metrics of texts from.

    Returns
    -------
    views : list of ViewVectors
        Of the hidden items alone, with the queries of some users.
    relevant : csr_array of shape (n_users, n_hidden)
        What these users had met of the hidden items.
    """
    hidden = _drawn_items(interactions)
    is_later = np.isin(interactions.events.item_rows, hidden)
    users = interactions.events.user_rows
    both = np.intersect1d(users[is_later], users[~is_later]).astype(np.int32)
    both = both[:: max(1, -(-len(both) // _MAX_USERS))]
    earlier = interactions.subset(~is_later)
    left = np.flatnonzero(earlier.item_counts).astype(np.int32)
    views: list[View] = [text.for_items(left if len(left) else None, sample) for text in texts]
    views += [_fitted_again(view, earlier, texts) for view in factors if view.reads_texts()]
    shown = earlier.histories(both)
    tried = [_with_queries(view, earlier, hidden, shown) for view in views]
    return tried, interactions.subset(is_later).histories(both).weight_matrix()[:, hidden]


def _drawn_items(interactions: Interactions) -> IntArray:
    warm = np.flatnonzero(interactions.item_counts).astype(np.int32)
    drawn = np.random.default_rng(0).permutation(len(warm))
    return np.sort(warm[drawn[: int(len(warm) * _SHARE)]])


def _fitted_again(view: FactorView, interactions: Interactions, texts: Sequence[TextView]) -> FactorView:
    place = content_view(texts)
    factorizer = cast(ContentFactorizer, clone(view.factorizer))
    factorizer.fit(interactions, None if place is None else texts[place].vectors_)
    return FactorView(view.name, factorizer)


def _with_queries(view: View, interactions: Interactions, items: IntArray, shown: Histories) -> ViewVectors:
    return replace(view.item_vectors(interactions, items), queries=view.query_vectors(shown))
