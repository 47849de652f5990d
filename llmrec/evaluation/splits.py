"""Splits of events into those to learn from and those to be judged by, by time."""

from __future__ import annotations

import math

import numpy as np

from llmrec.base import BoolArray
from llmrec.errors import DataError, ParameterError
from llmrec.interactions import Events, IdTable, Interactions
from llmrec.validation import check_number

__all__ = ["split_by_time", "split_users_by_time"]

_DAY = 86_400.0


def split_by_time(interactions: Interactions, days: float) -> tuple[Interactions, Interactions]:
    """Split at one moment: the events of the last ``days`` days come second.

    Raises
    ------
    DataError
        If the events carry no times.

    Examples
    --------
    >>> day = 86_400
    >>> events = Interactions.from_table([("a", "x", 1, 0), ("b", "y", 1, 9 * day), ("b", "z", 1, 10 * day)])
    >>> before, after = split_by_time(events, days=2)
    >>> before.n_events, after.n_events
    (1, 2)
    """
    check_number("days", days, 0, above=True)
    times = interactions.events.timestamps
    if times is None:
        raise DataError("a split by time needs event times; the events have none.")
    newest = interactions.last_timestamp or 0.0
    return _parted(interactions, times > newest - days * _DAY)


def split_users_by_time(interactions: Interactions, share: float) -> tuple[Interactions, Interactions]:
    """Split each user's history: the last ``share`` of it, rounded down, comes second.

    Raises
    ------
    DataError
        If the events carry no times.

    Examples
    --------
    >>> events = Interactions.from_table([("a", item, 1, time) for time, item in enumerate("vwxyz")])
    >>> before, after = split_users_by_time(events, share=0.2)
    >>> list(after.items)
    ['z']
    """
    if not 0 < check_number("share", share, 0, 1) < 1:
        raise ParameterError(f"share must lie between 0 and 1, got {share!r}.")
    if interactions.events.timestamps is None:
        raise DataError("a split by time needs event times; the events have none.")
    is_later = np.zeros(interactions.n_events, dtype=np.bool_)
    order = np.argsort(interactions.events.user_rows, kind="stable")
    ends = np.cumsum(interactions.user_counts)
    for end, count in zip(ends.tolist(), interactions.user_counts.tolist(), strict=True):
        is_later[order[end - math.floor(count * share) : end]] = True
    return _parted(interactions, is_later)


def _parted(interactions: Interactions, is_later: BoolArray) -> tuple[Interactions, Interactions]:
    return _taken(interactions, ~is_later), _taken(interactions, is_later)


def _taken(interactions: Interactions, kept: BoolArray) -> Interactions:
    """Return some events with tables of just their users and items."""
    events = interactions.events.take(kept)
    users, items = IdTable(), IdTable()
    user_rows = [users.add(interactions.users[row]) for row in events.user_rows.tolist()]
    item_rows = [items.add(interactions.items[row]) for row in events.item_rows.tolist()]
    return Interactions(
        users,
        items,
        Events(
            np.array(user_rows, dtype=np.int32),
            np.array(item_rows, dtype=np.int32),
            events.weights,
            events.ratings,
            events.timestamps,
        ),
    )
