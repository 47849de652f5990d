"""A held-out piece of the fitting events: later events of some users, to choose the blend by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmrec.base import BoolArray, IntArray
from llmrec.decomposition import row_chunks
from llmrec.event_order import HistoryKind
from llmrec.interactions import Histories, Interactions

__all__ = ["HoldOut", "hold_out"]

_SHARE = 0.1
_DRAWN_SHARE = 0.5
_MIN_KNOWN_USERS = 200
_MIN_HISTORY = 3
_MAX_USERS = 1000
_EVENTS_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class HoldOut:
    """Events to fit on, and users with what they did next.

    Attributes
    ----------
    earlier : Interactions
        All but the later events; the same ids and rows.
    user_rows : ndarray of int32
        Known users with later events; a sample.
    later : Histories
        Their later events with items that they had not met before.
    parts : ndarray of int64
        For each of these users, in which way the later events were chosen; all 0 where there is one way.
    """

    earlier: Interactions
    user_rows: IntArray
    later: Histories
    parts: npt.NDArray[np.int64]


def hold_out(interactions: Interactions, histories: HistoryKind) -> HoldOut | None:
    """Split off the later events: of sequences those of the last tenth of the time, if users enough have any.

    Where most users come once and do all in one sitting, a moment in time divides users rather than
    histories; then the last tenth of each history, at least one event, is split off. Where histories are
    no sequences, the next event may be anything: one half of the users loses a tenth at random, the other
    half the tenth that comes last as the events were given, which matters where they are sorted by something.
    Returns None where no user has three events.
    """
    is_ordered = histories == "sequences"
    by_moment = _last_events(interactions) if is_ordered else None
    drawn = np.zeros(interactions.n_users, dtype=np.bool_)
    if by_moment is not None and len(_known_users(interactions, by_moment)) >= _MIN_KNOWN_USERS:
        is_later = by_moment
    else:
        if not is_ordered:
            drawn = np.random.default_rng(0).random(interactions.n_users) < _DRAWN_SHARE
        is_later = _tenth_of_histories(interactions, drawn)
    users = _known_users(interactions, is_later)
    if not len(users):
        return None
    users = users[:: max(1, -(-len(users) // _MAX_USERS))]
    earlier = interactions.subset(~is_later)
    later = interactions.subset(is_later).histories(users).without(earlier.histories(users))
    kept = np.flatnonzero(later.lengths)
    users = users[kept]
    return HoldOut(earlier, users, later.take(kept), drawn[users].astype(np.int64)) if len(kept) else None


def _last_events(interactions: Interactions) -> BoolArray | None:
    if interactions.events.timestamps is None:
        return None
    is_later = np.zeros(interactions.n_events, dtype=np.bool_)
    is_later[interactions.n_events - int(interactions.n_events * _SHARE) :] = True
    return is_later


def _tenth_of_histories(interactions: Interactions, drawn: BoolArray) -> BoolArray:
    """Return the ends of histories, or for some users a random part; the same part every time."""
    is_later = np.zeros(interactions.n_events, dtype=np.bool_)
    # Of many events each array is a large part of a fit's memory: half as wide, and sorted some at a time.
    small = len(is_later) <= np.iinfo(np.int32).max
    places = np.arange(len(is_later), dtype=np.int32 if small else np.int64)
    np.random.default_rng(0).shuffle(places)
    counts = interactions.user_counts
    n_taken = np.where(counts >= _MIN_HISTORY, np.maximum(1, (counts * _SHARE).astype(np.int64)), 0)
    for some in row_chunks(np.append(0, np.cumsum(counts)), _EVENTS_AT_A_TIME):
        users = np.arange(some.start, some.stop, dtype=np.int32)
        positions = interactions.positions(users)
        owners = np.repeat(users, counts[some])
        is_drawn = drawn[owners]
        own = positions[is_drawn]
        positions[is_drawn] = own[np.lexsort((places[own], owners[is_drawn]))]
        places_from_end = np.repeat(np.cumsum(counts[some]), counts[some]) - np.arange(len(owners))
        is_later[positions[places_from_end <= np.repeat(n_taken[some], counts[some])]] = True
    return is_later


def _known_users(interactions: Interactions, is_later: BoolArray) -> IntArray:
    """Return the users with events on both sides."""
    n_later = np.bincount(interactions.events.user_rows[is_later], minlength=interactions.n_users)
    return np.flatnonzero((n_later > 0) & (n_later < interactions.user_counts)).astype(np.int32)
