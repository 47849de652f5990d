"""Splits of events into those to learn from and those to be judged by.

Each function takes what :meth:`Interactions.from_table <llmrec.interactions.Interactions.from_table>`
reads and gives a :class:`Split`. The parts have id tables of their own, so that what is fitted on one
cannot know of an id, let alone an event, of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from llmrec.base import BoolArray
from llmrec.errors import DataError, ParameterError
from llmrec.interactions import Events, IdTable, Interactions
from llmrec.validation import check_integer, check_number

__all__ = [
    "Split",
    "leave_one_out",
    "split_by_time",
    "split_cold_items",
    "split_cold_users",
    "split_k_fold",
    "split_users_at_random",
    "split_users_by_time",
]

_DAY = 86_400.0


@dataclass(frozen=True)
class Split:
    """Events to learn from, events to be judged by, and perhaps events to choose settings by.

    Iteration gives the parts in time order: train, validation if there is one, test.

    Attributes
    ----------
    train, test : Interactions
    validation : Interactions or None
    shown : Interactions or None
        Earlier events of users whom the training part does not have: the histories by which these are asked
        about, and which nothing is fitted on.

    Examples
    --------
    >>> train, test = leave_one_out([("ann", "tea"), ("ann", "jam"), ("bob", "tea")])
    >>> train.n_events, list(test.items)
    (2, ['jam'])
    """

    train: Interactions
    test: Interactions
    validation: Interactions | None = None
    shown: Interactions | None = None

    @classmethod
    def from_tables(cls, train: Any, test: Any, validation: Any = None, shown: Any = None) -> Split:
        """Take parts that were split elsewhere, each a table of events."""
        parts = [None if one is None else _read(one) for one in (train, test, validation, shown)]
        return cls(cast(Interactions, parts[0]), cast(Interactions, parts[1]), *parts[2:])

    def share_of_earlier_events(self) -> float:
        """Return the share of the test events that happened before the last training event of their user.

        0 without times. Above a few percent, the split asks what is missing from a history rather than what
        comes next. Items that the training part does not have are not counted: hiding them is another matter.

        Examples
        --------
        >>> later = [("ann", "tea", 1.0, 20.0), ("bob", "jam", 1.0, 20.0)]
        >>> earlier = [("ann", "jam", 1.0, 10.0)]
        >>> Split.from_tables(train=later, test=earlier).share_of_earlier_events()
        1.0
        """
        train, test = self.train.events, self.test.events
        if train.timestamps is None or test.timestamps is None or not len(test):
            return 0.0
        last = np.full(self.train.n_users + 1, -np.inf)
        np.maximum.at(last, train.user_rows, train.timestamps)
        # Users whom the training part does not have come last, and have nothing to be earlier than.
        rows = {user: row for row, user in enumerate(self.train.users)}
        row_of_user = np.array([rows.get(user, len(rows)) for user in self.test.users])
        is_earlier = test.timestamps < last[row_of_user[test.user_rows]]
        known = set(self.train.items)
        is_known = np.array([item in known for item in self.test.items])
        return float(np.mean(is_earlier & is_known[test.item_rows]))

    def __iter__(self) -> Iterator[Interactions]:
        parts = (self.train, self.validation, self.test)
        return iter([part for part in parts if part is not None])

    def __repr__(self) -> str:
        sizes = [f"{self.train.n_events:,} events to learn from"]
        if self.validation is not None:
            sizes.append(f"{self.validation.n_events:,} to choose by")
        if self.shown is not None:
            sizes.append(f"{self.shown.n_events:,} to ask with")
        return f"Split({', '.join(sizes)}, {self.test.n_events:,} to be judged by)"


def split_by_time(
    interactions: Any,
    days: float | None = None,
    *,
    share: float | None = None,
    at: Any = None,
    validation: bool = False,
) -> Split:
    """Split at one moment for all: what happens in production, where tomorrow is not known.

    Parameters
    ----------
    interactions : Interactions or any table of events
    days : float, optional
        The events of the last ``days`` days are the test part.
    share : float, optional
        The last ``share`` of the events is, in whole events, and with it what happened at the same moment.
    at : number of seconds since 1970 or datetime, optional
        What happened then and later is. Pass just one of ``days``, ``share`` and ``at``.
    validation : bool, default False
        Split the training part once more, in the same way. Not with ``at``, which names one moment.

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
    if [days, share, at].count(None) != 2:
        raise ParameterError("split_by_time needs one of days, share and at, and just one.")
    if at is not None and validation:
        raise ParameterError("with at= there is one moment; call split_by_time on the training part again.")
    later = _later_than(days, share, at)
    return _split(interactions, later, validation)


def split_users_by_time(interactions: Any, share: float = 0.2, *, validation: bool = False) -> Split:
    """Split each user's history: the last ``share`` of it, rounded down, is the test part.

    The events of one user happen before those that they are judged by, but other users' training events
    may be later than these: what is in fashion leaks. :func:`split_by_time` has no such leak.

    Parameters
    ----------
    interactions : Interactions or any table of events
    share : float, default 0.2
        Above 0 and below 1.
    validation : bool, default False
        Split the training part once more, in the same way.

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
    share = _check_share(share)

    def is_later(events: Interactions) -> BoolArray:
        _times(events)
        return _ends_of_histories(events, np.floor(events.user_counts * share))

    return _split(interactions, is_later, validation)


def split_users_at_random(
    interactions: Any,
    share: float = 0.2,
    *,
    validation: bool = False,
    keep_times: bool = False,
    random_state: int = 0,
) -> Split:
    """Split each user's history at random: ``share`` of it, rounded down, is the test part.

    The setting of most published tables. It asks what is missing from a history rather than what comes
    next, and learns from the future: figures are higher than with a split by time. The times are left out,
    since a recommender that is given them learns to foretell the next event, which is not asked here.

    Parameters
    ----------
    interactions : Interactions or any table of events
    share : float, default 0.2
        Above 0 and below 1.
    validation : bool, default False
        Split the training part once more, in the same way.
    keep_times : bool, default False
        Whether the parts keep the times of events.
    random_state : int, default 0

    Examples
    --------
    >>> split_users_at_random([("ann", item) for item in range(10)], share=0.3)
    Split(7 events to learn from, 3 to be judged by)
    """
    share = _check_share(share)
    random = _generator(random_state)
    read = _read(interactions)

    def is_held_out(events: Interactions) -> BoolArray:
        return _random_parts(events, np.floor(events.user_counts * share), random)

    return _split(read if keep_times else read.without_times(), is_held_out, validation)


def leave_one_out(interactions: Any, *, validation: bool = False) -> Split:
    """Split off the last event of each user who has another one.

    Events without times, and those at the same time, count in the order of the table. Where that order
    says something of the items, the split is easier than it should be.

    Parameters
    ----------
    interactions : Interactions or any table of events
    validation : bool, default False
        Split off the last but one, too.

    Examples
    --------
    >>> split = leave_one_out([("ann", item) for item in "abc"], validation=True)
    >>> [list(part.items) for part in split]
    [['a'], ['b'], ['c']]
    """
    return _split(
        interactions,
        lambda events: _ends_of_histories(events, (events.user_counts > 1).astype(np.float64)),
        validation,
    )


def split_k_fold(
    interactions: Any, n_folds: int = 5, *, keep_times: bool = False, random_state: int = 0
) -> Iterator[Split]:
    """Give ``n_folds`` splits, in which each event is in one test part; times are left out.

    Parameters
    ----------
    interactions : Interactions or any table of events
    n_folds : int, default 5
        At least 2.
    keep_times : bool, default False
        Whether the parts keep the times of events.
    random_state : int, default 0

    Examples
    --------
    >>> for split in split_k_fold([("ann", item) for item in range(9)], n_folds=3):
    ...     print(split)
    Split(6 events to learn from, 3 to be judged by)
    Split(6 events to learn from, 3 to be judged by)
    Split(6 events to learn from, 3 to be judged by)
    """
    n_folds = check_integer("n_folds", n_folds, minimum=2)
    events = _read(interactions)
    events = events if keep_times else events.without_times()
    if n_folds > events.n_events:
        raise ParameterError(f"n_folds is {n_folds}, and there are {events.n_events} events.")
    folds = _generator(random_state).permutation(events.n_events) % n_folds
    # Checked at the call, not at the first step of the iteration.
    return (_parted(events, folds == fold) for fold in range(n_folds))


def split_cold_items(
    interactions: Any, share: float = 0.2, *, validation: bool = False, random_state: int = 0
) -> Split:
    """Split off all events of some items, so that the training part has never met these.

    Pass all ``items`` with their texts to ``fit``: the texts are all that is known of the cold ones.

    Parameters
    ----------
    interactions : Interactions or any table of events
    share : float, default 0.2
        Share of the items that have events; rounded down, at least one.
    validation : bool, default False
        Split the training part once more, in the same way: by further items.
    random_state : int, default 0

    Examples
    --------
    >>> train, test = split_cold_items([(user, item) for user in "ab" for item in "vwxyz"], share=0.4)
    >>> len(test.items), test.n_events, set(train.items) & set(test.items)
    (2, 4, set())
    """
    share = _check_share(share)
    random = _generator(random_state)
    return _split(
        interactions,
        lambda events: _drawn(events.item_counts, share, random, "items")[events.events.item_rows],
        validation,
    )


def split_cold_users(
    interactions: Any,
    share: float = 0.2,
    *,
    shown: float | None = None,
    validation: bool = False,
    random_state: int = 0,
) -> Split:
    """Split off all events of some users, so that the training part has never met these.

    With ``shown`` they are asked about by a part of their own history, which a recommender folds in without
    a fit: the strong generalisation of Marlin (2004), with 0.8 the protocol of Liang et al. ("Variational
    autoencoders for collaborative filtering", WWW 2018). Without it, only popularity can answer.

    Parameters
    ----------
    interactions : Interactions or any table of events
    share : float, default 0.2
        Share of the users that have events; rounded down, at least one.
    shown : float, optional
        Share of each such user's events that is shown, rounded up: the earliest, or where events have no
        times drawn at random. They become the split's ``shown``, and the rest its test part.
    validation : bool, default False
        Split the training part once more, in the same way: by further users.
    random_state : int, default 0

    Examples
    --------
    >>> events = [(user, item) for user in "abcde" for item in "vwxyz"]
    >>> train, test = split_cold_users(events, share=0.2)
    >>> len(test.users), test.n_events, set(train.users) & set(test.users)
    (1, 5, set())
    >>> split_cold_users(events, share=0.2, shown=0.8)
    Split(20 events to learn from, 4 to ask with, 1 to be judged by)
    """
    share = _check_share(share)
    if shown is not None and not 0 < check_number("shown", shown, 0, 1) < 1:
        raise ParameterError(f"shown must lie between 0 and 1, got {shown!r}.")
    random, events = _generator(random_state), _read(interactions)
    split = _split(
        events,
        lambda some: _drawn(some.user_counts, share, random, "users")[some.events.user_rows],
        validation,
    )
    return split if shown is None else _with_shown(split, events, float(shown), random)


def _with_shown(split: Split, events: Interactions, shown: float, random: np.random.Generator) -> Split:
    """Take from the users of the test and validation parts what is shown of them."""
    counts = events.user_counts.astype(np.float64)
    n_judged = np.floor(np.round(counts * (1 - shown), 9))
    if events.events.timestamps is None:
        is_judged = _random_parts(events, n_judged, random)
    else:
        is_judged = _ends_of_histories(events, n_judged)
    rows = events.events.user_rows
    is_cold = np.array([one not in split.train.users for one in events.users], dtype=np.bool_)[rows]
    in_test = np.array([one in split.test.users for one in events.users], dtype=np.bool_)[rows]
    for_choice = None if split.validation is None else _taken(events, is_judged & is_cold & ~in_test)
    return Split(
        split.train, _taken(events, is_judged & in_test), for_choice, _taken(events, is_cold & ~is_judged)
    )


def _random_parts(
    events: Interactions, n_drawn: npt.NDArray[np.float64], random: np.random.Generator
) -> BoolArray:
    """Mark ``n_drawn[u]`` events of each user ``u``, drawn at random."""
    order = random.permutation(events.n_events)
    drawn = np.zeros(events.n_events, dtype=np.bool_)
    drawn[order] = _ends_of_histories(events.subset(order), n_drawn)
    return drawn


def _split(interactions: Any, held_out: Callable[[Interactions], BoolArray], validation: bool) -> Split:
    events = _read(interactions)
    outer = _parted(events, held_out(events))
    if not validation:
        return outer
    inner = _parted(outer.train, held_out(outer.train))
    return Split(inner.train, outer.test, inner.test)


def _read(interactions: Any) -> Interactions:
    return interactions if isinstance(interactions, Interactions) else Interactions.from_table(interactions)


def _generator(random_state: int) -> np.random.Generator:
    return np.random.default_rng(check_integer("random_state", random_state, minimum=0))


def _check_share(share: Any) -> float:
    if not 0 < check_number("share", share, 0, 1) < 1:
        raise ParameterError(f"share must lie between 0 and 1, got {share!r}.")
    return float(share)


def _times(events: Interactions) -> npt.NDArray[np.float64]:
    times = events.events.timestamps
    if times is None:
        raise DataError("a split by time needs event times; the events have none.")
    return times


def _later_than(days: float | None, share: float | None, at: Any) -> Callable[[Interactions], BoolArray]:
    """Return the function that says which events are later than the moment asked for."""
    if days is not None:
        seconds = check_number("days", days, 0, above=True) * _DAY
        return lambda events: _times(events) > (events.last_timestamp or 0.0) - seconds
    if at is not None:
        moment = _moment(at)
        return lambda events: _times(events) >= moment
    last = _check_share(share)

    def is_later(events: Interactions) -> BoolArray:
        times = np.sort(_times(events))
        n_later = int(len(times) * last)
        return _times(events) >= (times[len(times) - n_later] if n_later else np.inf)

    return is_later


def _moment(at: Any) -> float:
    """Read a moment as the times of events are read."""
    try:
        one = Interactions.from_table([{"user": 0, "item": 0, "timestamp": at}])
    except DataError as error:
        raise ParameterError(f"at must be seconds since 1970 or a datetime, got {at!r}.") from error
    return float(_times(one)[0])


def _ends_of_histories(events: Interactions, n_last: npt.NDArray[np.float64]) -> BoolArray:
    """Mark the last ``n_last[u]`` events of each user ``u``."""
    counts = events.user_counts
    order = np.argsort(events.events.user_rows, kind="stable")
    places_from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(order))
    is_last = np.zeros(events.n_events, dtype=np.bool_)
    is_last[order] = places_from_end <= np.repeat(n_last, counts)
    return is_last


def _drawn(counts: npt.NDArray[np.int64], share: float, random: np.random.Generator, what: str) -> BoolArray:
    """Mark a share of the rows that have events."""
    warm = np.flatnonzero(counts)
    if len(warm) < 2:
        raise DataError(f"a split by {what} needs two {what} with events; there are {len(warm)}.")
    drawn = np.zeros(len(counts), dtype=np.bool_)
    drawn[random.choice(warm, size=max(1, int(len(warm) * share)), replace=False)] = True
    return drawn


def _parted(interactions: Interactions, is_held_out: BoolArray) -> Split:
    return Split(_taken(interactions, ~is_held_out), _taken(interactions, is_held_out))


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
