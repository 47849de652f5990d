"""Whether the order of events says anything: whether histories are sequences, sets, or may be either."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from llmrec.interactions import Interactions

__all__ = ["HistoryKind", "history_kind"]

HistoryKind = Literal["sequences", "sets", "either"]

_MIN_REPEATED = 100
_LEAST_EXCESS, _MOST_EXCESS = 0.2, 0.97
_LEAST_TIMED = 0.05
_LONGEST_EXPECTED = 64
_AT_A_TIME = 1 << 20


def history_kind(interactions: Interactions) -> HistoryKind:
    """Return whether the events of a history stand in the order in which they happened.

    The events themselves tell: of two items that often follow one another, one mostly comes first. Where
    either does so as often as chance would have it, the order says nothing: whoever rates a hundred films in
    one sitting takes them as the page shows them. Nor does it where one always comes first, as in a table
    without times that is sorted by item. Such histories are sets, and ``"either"`` if they have times: films
    of one page are rated together in whatever order, so the latest may still tell the next. Events too few
    to tell are in order if they have times.

    Examples
    --------
    >>> history_kind(Interactions.from_table([("ann", "tea"), ("ann", "jam")]))
    'sets'
    >>> history_kind(Interactions.from_table([("ann", "tea", 1.0, 0.0)]))
    'sequences'
    """
    is_timed = interactions.events.timestamps is not None
    forward, both = _directions(interactions)
    if both.sum() < _MIN_REPEATED:
        return "sequences" if is_timed else "sets"
    by_chance = _expected_majority(both).sum()
    excess = (np.maximum(forward, both - forward).sum() - by_chance) / max(both.sum() - by_chance, 1e-9)
    if is_timed:
        return "sequences" if excess >= _LEAST_TIMED else "either"
    return "sequences" if _LEAST_EXCESS <= excess <= _MOST_EXCESS else "sets"


def _directions(interactions: Interactions) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return for each pair of items that were neighbours twice or more: how often in one way, and in all."""
    indptr, columns = interactions.items_met()
    ends = indptr[1:-1] - 1
    within = columns[:-1] != columns[1:]
    within[ends[(ends >= 0) & (ends < len(within))]] = False
    # Of many events each array is a large part of a fit's memory: one key a pair, sorted in place.
    keys = np.empty(np.count_nonzero(within), dtype=np.int64)
    filled = 0
    for start in range(0, len(within), _AT_A_TIME):
        places = start + np.flatnonzero(within[start : start + _AT_A_TIME])
        first, second = columns[places].astype(np.int64), columns[places + 1].astype(np.int64)
        pairs = np.minimum(first, second) * interactions.n_items + np.maximum(first, second)
        keys[filled : filled + len(pairs)] = 2 * pairs + (first < second)
        filled += len(pairs)
    keys.sort()
    is_forward = (keys & 1).astype(np.uint8)
    keys >>= 1
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    both = np.diff(np.append(starts, len(keys)))
    forward = np.add.reduceat(is_forward, starts, dtype=np.int64) if len(starts) else both
    return forward[both > 1], both[both > 1]


def _expected_majority(both: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how often the more frequent way would be seen if either were as likely."""
    steps = np.arange(_LONGEST_EXPECTED + 1)
    table = np.zeros(_LONGEST_EXPECTED + 1)
    for n in steps[1:]:
        ways = np.cumprod([1.0, *((n - k) / (k + 1) for k in range(n))]) / 2.0**n
        table[n] = np.sum(ways * np.maximum(steps[: n + 1], n - steps[: n + 1]))
    # Of many, half and the mean deviation of a normal distribution.
    far = both / 2 + np.sqrt(both / (2 * np.pi))
    return np.where(both <= _LONGEST_EXPECTED, table[np.minimum(both, _LONGEST_EXPECTED)], far)
