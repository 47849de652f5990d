"""Popularity: what everybody takes, all time or now."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from llmrec.base import Factorizer, FloatArray, IntArray, ViewKind
from llmrec.errors import DataError
from llmrec.validation import check_fitted, check_number
from llmrec.vectors import distinct, grown

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["Popularity"]

DoubleArray = npt.NDArray[np.float64]

_DAY = 86_400.0
_CANDIDATE_HALF_LIVES = (2.0, 7.0, 30.0, 180.0, None)
_MAX_HALF_LIVES = 40.0
_MAX_EXPONENT = 500.0
_MAX_FADING = 50.0
_EVENTS_AT_A_TIME = 1 << 20


class Popularity(Factorizer):
    r"""Score items by the logarithm of their count, old events counting less: the same list for everybody.

    A view like the others, with query vector 1 and item vector :math:`\log(1 + c_i)`, where an event that
    is :math:`t` days older than the newest adds :math:`2^{-t/h}` to the count. On streams of news or of
    releases, what is hot now is the strongest single view.

    Parameters
    ----------
    half_life : float, "auto" or None, default "auto"
        Days after which an event counts half. None counts all events alike. ``"auto"`` takes the one of
        2, 7, 30, 180 days and None that ranks best the last tenth of the events, by the mean
        reciprocal rank; None where events have no times.

    Attributes
    ----------
    counts_ : ndarray of shape (n_items,), float64
        Decayed counts, as of ``reference_time_``. A later event counts more than 1, in step with the decay
        of the others; so an event costs O(1), not O(n_items).
    item_vectors_ : ndarray of shape (n_items, 1)
        The logarithm of one plus each count.
    reference_time_ : float
        The newest event of ``fit``, moved on when it lies 40 half-lives back. The counts of all items shrink
        then, at a cost of O(n_items) once in 40 half-lives.
    half_life_ : float or None
        In days.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> day = 86_400
    >>> events = [("a", "old", 1, 0), ("b", "old", 1, 0), ("c", "new", 1, 30 * day)]
    >>> counts = Popularity(half_life=10).fit(Interactions.from_table(events)).counts_
    >>> counts.tolist()
    [0.25, 1.0]
    """

    kind: ClassVar[ViewKind] = "popularity"

    def __init__(self, half_life: float | str | None = "auto"):
        self.half_life = half_life

    def fit(self, interactions: Interactions) -> Self:
        """Count all events."""
        events, n_items = interactions.events, interactions.n_items
        self.half_life_ = self._choose(events, n_items)
        self.reference_time_ = interactions.last_timestamp or 0.0
        self.counts_ = _decayed_counts(events, n_items, self.half_life_, self.reference_time_)
        self.item_vectors_ = _logs(self.counts_)
        return self

    def item_vectors(self) -> FloatArray:
        """Return ``(n_items, 1)``: the logarithm of one plus each item's count."""
        check_fitted(self, "counts_")
        return self.item_vectors_

    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return ``(len(histories), 1)`` ones: everybody gets the same list."""
        return np.ones((len(histories), 1), dtype=np.float32)

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Count new events; return their items, and all whose score falls where the reference time moves."""
        check_fitted(self, "counts_")
        self.counts_ = grown(self.counts_, interactions.n_items)
        self.item_vectors_ = grown(self.item_vectors_, interactions.n_items)
        faded = self._move_reference(events)
        items = distinct(events.item_rows)
        decayed = _decayed_weights(events, self.half_life_, self.reference_time_)
        np.add.at(self.counts_, events.item_rows, decayed)
        self.item_vectors_[items] = _logs(self.counts_[items])
        return items if faded is None else distinct(np.concatenate([items, faded]))

    def _move_reference(self, events: Events) -> IntArray | None:
        """Move the reference time on if that is due; return the items whose vectors that changes."""
        if self.half_life_ is None or events.timestamps is None or not len(events):
            return None
        newest = float(events.timestamps.max())
        passed = (newest - self.reference_time_) / (self.half_life_ * _DAY)
        if passed <= _MAX_HALF_LIVES:
            return None
        self.counts_ = self.counts_ * 2.0 ** -min(passed, _MAX_EXPONENT)
        self.reference_time_ = newest
        before, self.item_vectors_ = self.item_vectors_, _logs(self.counts_)
        return np.flatnonzero(self.item_vectors_[:, 0] != before[:, 0]).astype(np.int32)

    def _choose(self, events: Events, n_items: int) -> float | None:
        if self.half_life is None:
            return None
        if self.half_life == "auto":
            return _best_half_life(events, n_items)
        days = check_number("half_life", self.half_life, 0, above=True)
        if events.timestamps is None:
            raise DataError(
                "a half-life needs event times, and the events have none; "
                "add a 'timestamp' column, or choose half_life=None."
            )
        return days


def _logs(counts: DoubleArray) -> FloatArray:
    return np.log1p(counts)[:, None].astype(np.float32)


def _decayed_weights(events: Events, half_life: float | None, newest: float) -> DoubleArray:
    weights = events.weights.astype(np.float64)
    if half_life is None or events.timestamps is None:
        return weights
    ages = np.minimum((newest - events.timestamps) / (half_life * _DAY), _MAX_EXPONENT)
    return np.asarray(weights * np.exp2(-ages))


def _decayed_counts(events: Events, n_items: int, half_life: float | None, newest: float) -> DoubleArray:
    counts = np.zeros(n_items)
    # Of many events each array of doubles is a large part of a fit's memory.
    for start in range(0, len(events), _EVENTS_AT_A_TIME):
        some = events.take(slice(start, start + _EVENTS_AT_A_TIME))
        weights = _decayed_weights(some, half_life, newest)
        counts += np.bincount(some.item_rows, weights=weights, minlength=n_items)
    return counts


def _best_half_life(events: Events, n_items: int) -> float | None:
    """Return the half-life that ranks the last tenth of the events best, judged day by day."""
    if events.timestamps is None or len(events) < 100:
        return None
    start = len(events) - len(events) // 10
    scores = {
        half_life: _reciprocal_rank(events, n_items, half_life, start) for half_life in _CANDIDATE_HALF_LIVES
    }
    return max(reversed(scores), key=lambda half_life: scores[half_life])


def _reciprocal_rank(events: Events, n_items: int, half_life: float | None, start: int) -> float:
    """Return the mean reciprocal rank of the events from ``start`` on, counting on ten times."""
    total, newest, counts = 0.0, -np.inf, np.zeros(n_items)
    known = events.take(slice(0, start))
    for step in np.array_split(np.arange(start, len(events)), 10):
        if not len(step):
            continue
        before, newest = newest, _newest(known, newest)
        if half_life is not None:
            # What was counted is older now; what has all but gone stays in its order.
            counts *= 2.0 ** -min((newest - before) / (half_life * _DAY), _MAX_FADING)
        counts += _decayed_counts(known, n_items, half_life, newest)
        ranks = np.empty(n_items)
        ranks[np.argsort(-counts, kind="stable")] = np.arange(1, n_items + 1)
        known = events.take(slice(int(step[0]), int(step[-1]) + 1))
        total += float(np.sum(1.0 / ranks[known.item_rows]))
    return total / (len(events) - start)


def _newest(events: Events, before: float) -> float:
    return before if events.timestamps is None else max(before, float(events.timestamps.max()))
