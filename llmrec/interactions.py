"""Interactions: who met what, how strongly and when; from any table to rows, histories and matrices."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.columns import IdColumn
from llmrec.errors import DataError, UnknownIdError, nearest
from llmrec.tables import EventTable, matrix_entries, read_events
from llmrec.validation import check_choice, check_number
from llmrec.vectors import csr_of, entry_counts, grown

if TYPE_CHECKING:
    from llmrec.base import FloatArray, IntArray

__all__ = ["Events", "Histories", "IdTable", "Interactions"]

TimeArray = npt.NDArray[np.float64]

_DAY = 86_400.0
# Weights stay above 0, as those of events do.
_MAX_HALF_LIVES = 100.0

_FEW_POSITIONS = 4096
# More are sorted by a kernel, which takes no longer to load than the sort saves, and no memory.
_MANY_EVENTS = 2_000_000
_LATE_COLUMNS = ("weights", "ratings", "timestamps")
_EVENT_COLUMNS = ("user_rows", "item_rows", "weights", "ratings", "timestamps")


class IdTable:
    """Ids on one side, rows ``0, 1, 2, …`` on the other.

    Examples
    --------
    >>> table = IdTable(["a", "b"])
    >>> table.add("c"), table.row("b"), table[0], "z" in table
    (2, 1, 'a', False)
    """

    def __init__(self, ids: Iterable[Hashable] = ()):
        self.ids: list[Hashable] = []
        self._row_of: dict[Hashable, int] = {}
        for one in ids:
            self.add(one)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.ids)

    def __contains__(self, one: object) -> bool:
        return one in self._row_of

    def __getitem__(self, row: int) -> Hashable:
        return self.ids[row]

    def __repr__(self) -> str:
        return f"IdTable({len(self)} ids)"

    def add(self, one: Hashable) -> int:
        """Return the row of an id; a new id gets the next row."""
        row = self._row_of.setdefault(one, len(self.ids))
        if row == len(self.ids):
            self.ids.append(one)
        return row

    def get(self, one: Hashable) -> int | None:
        """Return the row of an id, None if it is unknown."""
        return self._row_of.get(one)

    def row(self, one: Hashable, what: str = "id", error: type[UnknownIdError] = UnknownIdError) -> int:
        """Return the row of an id, or raise ``error`` with the nearest known id."""
        try:
            return self._row_of[one]
        except KeyError:
            raise error(f"unknown {what} {one!r}.{self.hint(one)}") from None

    def hint(self, one: object) -> str:
        """Say which known id is nearest; says nothing on very large tables, where the search is slow."""
        return nearest(one, self.ids) if len(self.ids) <= 50_000 else ""

    def get_state(self) -> dict[str, Any]:
        """Return the ids in row order."""
        return {"ids": list(self.ids)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> IdTable:
        """Build the table that gave ``state``."""
        return cls(state["ids"])


@dataclass(frozen=True)
class Events:
    """Events as columns of equal length, in the order in which they happened.

    Attributes
    ----------
    user_rows, item_rows : ndarray of int32
    weights : ndarray of float32
        Confidence, above 0. An event without a stated weight has 1.
    ratings : ndarray of float32, or None
        Explicit feedback.
    timestamps : ndarray of float64, or None
        Seconds since 1970.
    """

    user_rows: IntArray
    item_rows: IntArray
    weights: FloatArray
    ratings: FloatArray | None = None
    timestamps: TimeArray | None = None

    def __len__(self) -> int:
        return len(self.user_rows)

    def in_time_order(self) -> Events:
        """Return the events sorted by time, those of one moment as they stand; themselves if they are."""
        times = self.timestamps
        if times is None or not np.any(times[1:] < times[:-1]):
            return self
        return self.take(np.argsort(times, kind="stable"))

    def take(self, index: Any) -> Events:
        """Return some of the events, by position or mask."""
        columns: list[Any] = [None if column is None else column[index] for column in self._columns()]
        return Events(*columns)

    def extended(self, later: Events) -> Events:
        """Return these events with ``later`` ones after them, in amortised O(``later``).

        Raises
        ------
        DataError
            If ``later`` lacks ratings or times that these events have.
        """
        n_events = len(self)
        columns: list[Any] = []
        for name, mine, theirs in zip(_EVENT_COLUMNS, self._columns(), later._columns(), strict=True):
            if mine is not None and theirs is None:
                raise DataError(f"the events known so far have {name}; the new events have none.")
            longer = None if mine is None else grown(mine, n_events + len(later))
            if longer is not None:
                longer[n_events:] = theirs
            columns.append(longer)
        return Events(*columns)

    def _columns(self) -> tuple[Any, ...]:
        return self.user_rows, self.item_rows, self.weights, self.ratings, self.timestamps


@dataclass(frozen=True)
class Histories:
    """Several histories, each the items of one user in time order; or audiences: the users of one item.

    The entries of history ``h`` are those from ``indptr[h]`` up to ``indptr[h + 1]``. An item met twice
    stands there twice.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n + 1,)
    columns : ndarray of int32
        Item rows (of audiences: user rows).
    weights : ndarray of float32
    ratings : ndarray of float32, or None
    timestamps : ndarray of float64, or None
    n_columns : int
        Size of the catalogue (of audiences: number of users).
    """

    indptr: npt.NDArray[np.int64]
    columns: IntArray
    weights: FloatArray
    ratings: FloatArray | None
    timestamps: TimeArray | None
    n_columns: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[int]],
        n_columns: int,
        weights: Sequence[Sequence[float]] | None = None,
        ratings: Sequence[Sequence[float]] | None = None,
    ) -> Histories:
        """Build histories from lists of item rows, oldest first.

        Examples
        --------
        >>> Histories.of([[3, 1], [0]], n_columns=4).weight_matrix().toarray().tolist()
        [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
        """
        columns = _flat(rows, np.int32)
        return cls(
            indptr=np.cumsum([0, *(len(one) for one in rows)], dtype=np.int64),
            columns=columns,
            weights=np.ones(len(columns), np.float32) if weights is None else _flat(weights, np.float32),
            ratings=None if ratings is None else _flat(ratings, np.float32),
            timestamps=None,
            n_columns=n_columns,
        )

    @property
    def support(self) -> FloatArray:
        """Number of events in each history, ``(n,)``, as float32: what a view's query vector stands on."""
        if len(self.indptr) == 2:
            return np.array([len(self.columns)], dtype=np.float32)
        return self.lengths.astype(np.float32)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of events in each history, ``(n,)``."""
        return self.indptr[1:] - self.indptr[:-1]

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """For each entry, which history it belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def weight_matrix(self) -> Any:
        """Return a ``csr_array`` of shape ``(n, n_columns)``; weights of repeated events are added up."""
        if len(self) == 1:
            columns, weights = self._summed
            indptr = np.array([0, len(columns)], dtype=columns.dtype)
            row = csr_of(weights.copy(), columns.copy(), indptr, (1, self.n_columns))
            row.has_canonical_format = True
            return row
        # Beside an int64 indptr the columns would become int64, too: twice the memory.
        small = int(self.indptr[-1]) <= np.iinfo(np.int32).max
        indptr = self.indptr.astype(np.int32 if small else np.int64)
        weights, columns = self._entries_to_change()
        matrix = sparse.csr_array((weights, columns, indptr), shape=(len(self), self.n_columns))
        matrix.sum_duplicates()
        return matrix

    def _entries_to_change(self) -> tuple[FloatArray, IntArray]:
        """Return weights and columns of all entries, which the caller may change."""
        return self.weights.copy(), self.columns.copy()

    @cached_property
    def _summed(self) -> tuple[IntArray, FloatArray]:
        """Columns, ascending, and summed weights of the only history, for which each view asks anew."""
        order = np.argsort(self.columns, kind="stable")
        columns, weights = self.columns[order], self.weights[order]
        is_first = np.ones(len(columns), dtype=np.bool_)
        np.not_equal(columns[1:], columns[:-1], out=is_first[1:])
        if is_first.all():
            return columns, weights
        starts = np.flatnonzero(is_first)
        return columns[starts], np.add.reduceat(weights, starts)

    def entry_matrix(self) -> Any:
        """Return a ``csr_array`` of shape ``(nnz, n_columns)``: each summed weight in a row of its own.

        Examples
        --------
        >>> Histories.of([[3, 1], [0]], n_columns=4).entry_matrix().toarray().tolist()
        [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
        """
        matrix = self.weight_matrix()
        rows = np.arange(matrix.nnz + 1)
        return sparse.csr_array((matrix.data, matrix.indices, rows), shape=(matrix.nnz, self.n_columns))

    def rating_matrix(self) -> Any:
        """Return a ``csr_array`` of shape ``(n, n_columns)``; of repeated ratings the last one counts.

        Raises
        ------
        DataError
            If there are no ratings.
        """
        if self.ratings is None:
            raise DataError(
                "explicit feedback needs ratings, and the events have none; "
                "add a 'rating' column, or choose feedback='implicit'."
            )
        keys = self.owners * self.n_columns + self.columns
        _, last_from_end = np.unique(keys[::-1], return_index=True)
        kept = len(keys) - 1 - last_from_end
        counts = np.bincount(self.owners[kept], minlength=len(self))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        # np.unique sorts by (history, column), which is the order a csr_array wants.
        return sparse.csr_array(
            (self.ratings[kept], self.columns[kept], indptr), shape=(len(self), self.n_columns)
        )

    def take(self, positions: npt.NDArray[np.integer[Any]]) -> Histories:
        """Return some of the histories, in that order."""
        starts, lengths = self.indptr[positions], self.lengths[positions]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
        return Histories(
            indptr,
            self.columns[entries],
            self.weights[entries],
            None if self.ratings is None else self.ratings[entries],
            None if self.timestamps is None else self.timestamps[entries],
            self.n_columns,
        )

    def decayed(self, half_life: float, unit: str = "events") -> Histories:
        """Return the same histories with weights that halve with age; the last event keeps its own.

        Parameters
        ----------
        half_life : float
            Age, above 0, at which an event counts half.
        unit : {"events", "days"}, default "events"
            What age is counted in: later events of the same history, or days before its last one.

        Raises
        ------
        DataError
            If ages are to be counted in days and there are no times.

        Examples
        --------
        >>> Histories.of([[3, 1, 2], [0]], n_columns=4).decayed(half_life=1).weights.tolist()
        [0.25, 0.5, 1.0, 1.0]
        """
        check_number("half_life", half_life, 0, above=True)
        if check_choice("unit", unit, ("events", "days")) == "events":
            ages: npt.NDArray[Any] = (
                np.repeat(self.indptr[1:], self.lengths) - 1 - np.arange(len(self.columns))
            )
        elif self.timestamps is None:
            raise DataError("ages in days need event times, and these histories have none.")
        else:
            newest = np.full(len(self), -np.inf)
            np.maximum.at(newest, self.owners, self.timestamps)
            ages = (newest[self.owners] - self.timestamps) / _DAY
        decay = np.exp2(-np.minimum(ages / half_life, _MAX_HALF_LIVES))
        return replace(self, weights=(self.weights * decay).astype(np.float32))

    def without(self, others: Histories) -> Histories:
        """Return the same histories without what ``others`` hold, history by history."""
        width = max(self.n_columns, others.n_columns)
        mine, theirs = self.owners * width + self.columns, others.owners * width + others.columns
        return self._kept(~np.isin(mine, theirs), self.n_columns)

    def known_to(self, n_columns: int) -> Histories:
        """Return the same histories without the columns from ``n_columns`` on."""
        if n_columns >= self.n_columns:
            return self
        return self._kept(self.columns < n_columns, n_columns)

    def widened(self, n_columns: int) -> Histories:
        """Return the same histories over a larger catalogue."""
        return self if n_columns <= self.n_columns else replace(self, n_columns=n_columns)

    def _kept(self, kept: npt.NDArray[np.bool_], n_columns: int) -> Histories:
        counts = np.bincount(self.owners[kept], minlength=len(self))
        return Histories(
            np.concatenate([[0], np.cumsum(counts)]),
            self.columns[kept],
            self.weights[kept],
            None if self.ratings is None else self.ratings[kept],
            None if self.timestamps is None else self.timestamps[kept],
            n_columns,
        )


class Interactions:
    """All events with the tables of user and item ids; grows by :meth:`append`.

    Build it with :meth:`from_table`; the constructor is for parts that are at hand already.

    Examples
    --------
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("ann", "tea")])
    >>> events.n_users, events.n_items, events.n_events
    (2, 2, 4)
    >>> events.matrix.toarray().tolist()          # duplicate events add up
    [[2.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, users: IdTable, items: IdTable, events: Events):
        self.users = users
        self.items = items
        self._events = events
        self._by_user = _RowIndex(events.user_rows)
        self._by_item = _RowIndex(events.item_rows)
        times = events.timestamps
        self._newest = -np.inf if times is None or not len(times) else float(times.max())

    @classmethod
    def from_table(
        cls,
        table: Any,
        *,
        columns: Mapping[str, str] | None = None,
        users: IdTable | None = None,
        items: IdTable | None = None,
    ) -> Interactions:
        """Read events from a frame, a list of tuples or dicts, or a SciPy sparse matrix.

        Parameters
        ----------
        table : pandas, polars or pyarrow frame; list of tuples or dicts; sparse matrix; Interactions
            Columns ``user``, ``item`` and optionally ``rating`` (explicit feedback), ``weight``
            (confidence) and ``timestamp`` (numbers, or dates). Tuples are
            ``(user, item[, weight[, timestamp]])``. A sparse matrix is users × items, its values weights
            and its ids the row and column numbers.
        columns : mapping, optional
            Your name for a column, by ours: ``{"item": "movieId"}``.
        users, items : IdTable, optional
            Tables to extend; new ones if not given.

        Raises
        ------
        MissingColumnError
            If ``user`` or ``item`` is missing.
        DataError
            If an id is missing, or a weight, a rating or a time is not usable.
        """
        if isinstance(table, Interactions):
            return table.copy()
        users = IdTable() if users is None else users
        items = IdTable() if items is None else items
        if sparse.issparse(table):
            return cls(users, items, _events_of_matrix(table, users, items))
        read = read_events(table, columns)
        for table_of_ids, n_ids in ((users, read.n_users), (items, read.n_items)):
            for row in range(n_ids or 0):
                table_of_ids.add(row)
        return cls(users, items, rows_of_events(read, users, items).in_time_order())

    # -- sizes ---------------------------------------------------------------------------------------------

    @property
    def n_users(self) -> int:
        """Number of users, those without events included."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items, those without events included."""
        return len(self.items)

    @property
    def n_events(self) -> int:
        """Number of events; a repeated event counts each time."""
        return len(self._events)

    def __repr__(self) -> str:
        return f"Interactions({self.n_users} users, {self.n_items} items, {self.n_events} events)"

    # -- views of the events -------------------------------------------------------------------------------

    @property
    def events(self) -> Events:
        """All events as columns, in the order in which they happened. Views, not copies."""
        return self._events

    @property
    def has_ratings(self) -> bool:
        """Whether the events carry ratings."""
        return self._events.ratings is not None

    @property
    def matrix(self) -> Any:
        """Users × items ``csr_array`` of weights; duplicate events add up."""
        return self.histories().weight_matrix()

    @property
    def rating_matrix(self) -> Any:
        """Users × items ``csr_array`` of ratings; of several the last counts."""
        return self.histories().rating_matrix()

    @property
    def item_counts(self) -> npt.NDArray[np.int64]:
        """Number of events of each item, ``(n_items,)``."""
        return self._by_item.counts(self.n_items)

    @property
    def user_counts(self) -> npt.NDArray[np.int64]:
        """Number of events of each user, ``(n_users,)``."""
        return self._by_user.counts(self.n_users)

    def counts_of_items(self, item_rows: IntArray) -> npt.NDArray[np.int64]:
        """Return the number of events of some items, ``(n,)``. Costs O(n), not O(n_items)."""
        return self._by_item.counts_of(item_rows)

    def counts_of_users(self, user_rows: IntArray) -> npt.NDArray[np.int64]:
        """Return the number of events of some users, ``(n,)``. Costs O(n), not O(n_users)."""
        return self._by_user.counts_of(user_rows)

    @property
    def last_timestamp(self) -> float | None:
        """Time of the latest event, None if there is none or the events carry no times."""
        times = self._events.timestamps
        return self._newest if times is not None and len(times) else None

    def histories(self, user_rows: IntArray | None = None) -> Histories:
        """Return the histories of some users, or of all. Costs O(their events)."""
        events, (indptr, positions) = self._events, self._by_user.gather(user_rows, len(self.users.ids))
        return _HistoriesOfEvents.at(indptr, positions, events, events.item_rows, len(self.items.ids))

    def items_met(self, user_rows: IntArray | None = None) -> tuple[npt.NDArray[np.int64], IntArray]:
        """Return ``indptr`` and ``columns`` of the histories of some users or of all, without weights."""
        indptr, positions = self._by_user.gather(user_rows, self.n_users)
        return indptr, self._events.item_rows[positions]

    def positions(self, user_rows: IntArray) -> npt.NDArray[Any]:
        """Return where in :attr:`events` those of some users stand, one user behind the other; a copy."""
        return np.array(self._by_user.gather(user_rows, self.n_users)[1])

    def no_histories(self, n: int) -> Histories:
        """Return ``n`` histories without an event, with the columns that those of known users have."""
        nothing: list[list[float]] | None = [[]] * n if self.has_ratings else None
        return Histories.of([[]] * n, self.n_items, ratings=nothing)

    def audiences(self, item_rows: IntArray | None = None) -> Histories:
        """Return the audiences of some items, or of all: the mirror image of :meth:`histories`."""
        events, (indptr, positions) = self._events, self._by_item.gather(item_rows, self.n_items)
        return _HistoriesOfEvents.at(indptr, positions, events, events.user_rows, self.n_users)

    # -- growth --------------------------------------------------------------------------------------------

    def append(self, events: Events) -> None:
        """Add events after those known. Their ids are in the tables already. Costs O(``events``)."""
        self._events = self._events.extended(events)
        self._by_user.append(events.user_rows)
        self._by_item.append(events.item_rows)
        if events.timestamps is not None and len(events):
            self._newest = max(self._newest, float(events.timestamps.max()))

    def subset(self, kept: Any) -> Interactions:
        """Return some of the events, by positions or mask, over the same users and items."""
        index: Any = np.asarray(kept)
        if index.dtype == np.bool_:
            n_kept = int(np.count_nonzero(index))
            # The first ones can be read where they are: later events get a buffer of their own.
            index = slice(0, n_kept) if index[:n_kept].all() else index
        return Interactions(self.users, self.items, self._events.take(index))

    def without_times(self) -> Interactions:
        """Return the same events without their times, in the same order.

        What learns from them then takes a history for a set, and asks what is missing from it rather than
        what comes next.
        """
        events = self._events
        timeless = Events(events.user_rows, events.item_rows, events.weights, events.ratings)
        return Interactions(self.users, self.items, timeless)

    def copy(self) -> Interactions:
        """Return a copy that grows for itself; the events so far, which do not change, are there once."""
        # Views, for of a column itself both would take the room past its end for their own.
        columns: list[Any] = [None if one is None else one[:] for one in self._events._columns()]
        same = Interactions.__new__(Interactions)
        same.users, same.items, same._events = IdTable(self.users), IdTable(self.items), Events(*columns)
        same._by_user, same._by_item = self._by_user.copy(), self._by_item.copy()
        same._newest = self._newest
        return same

    def get_state(self) -> dict[str, Any]:
        """Return ids and event columns, for a model folder."""
        events = self.events
        return {
            "users": self.users,
            "items": self.items,
            **dict(zip(_EVENT_COLUMNS, events._columns(), strict=True)),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Interactions:
        """Build the interactions that gave ``state``."""
        return cls(state["users"], state["items"], Events(*(state[name] for name in _EVENT_COLUMNS)))


class _HistoriesOfEvents(Histories):
    """Histories that read weights, ratings and times of their events, and many items, when asked for them.

    Where users' vectors are kept, a request needs none of these. Events that come later do not change them.
    """

    @classmethod
    def at(
        cls,
        indptr: npt.NDArray[np.int64],
        positions: npt.NDArray[Any],
        events: Events,
        columns: IntArray,
        n_columns: int,
    ) -> _HistoriesOfEvents:
        one = cls.__new__(cls)
        one.__dict__.update(
            indptr=indptr, n_columns=n_columns, _events=events, _positions=positions, _all_columns=columns
        )
        if len(positions) <= _FEW_POSITIONS:
            # A request asks for them at once.
            one.__dict__["columns"] = _taken(columns, positions)
        return one

    def __getattr__(self, name: str) -> Any:
        if name == "columns":
            column = self._all_columns
        elif name in _LATE_COLUMNS:
            column = getattr(self._events, name)
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        read = self.__dict__[name] = None if column is None else _taken(column, self._positions)
        return read

    def _entries_to_change(self) -> tuple[FloatArray, IntArray]:
        if "_positions" not in self.__dict__:
            # Made by replace, of arrays.
            return super()._entries_to_change()
        # Taken anew: copies beside what has been taken would make twice as many arrays of all events.
        return _taken(self._events.weights, self._positions), _taken(self._all_columns, self._positions)


@lru_cache(maxsize=1)
def _kernels() -> Any:
    # An import statement takes as long as a kernel's work for one event, though the module is there.
    from llmrec.kernels import row_index

    return row_index


class _RowIndex:
    """Positions of events by the row they belong to: sorted for the first ones, chained for later ones."""

    def __init__(self, rows: IntArray):
        # Two of these stand beside all events: half as wide they take a quarter less memory together.
        small = len(rows) <= np.iinfo(np.int32).max
        self._indptr = np.append(0, np.cumsum(entry_counts(rows, int(rows.max(initial=-1)) + 1)))
        if len(rows) < _MANY_EVENTS:
            order: npt.NDArray[Any] = np.argsort(rows, kind="stable").astype(np.int32 if small else np.int64)
        else:
            order = np.empty(len(rows), dtype=np.int32 if small else np.int64)
            own = np.ascontiguousarray(rows, dtype=np.int32)
            _kernels().order_by_row(own, self._indptr[:-1].copy(), order)
        self._order = order
        self._counts: npt.NDArray[np.int64] = np.diff(self._indptr)
        # Place of each row's last event, and of each later event's predecessor, in llmrec.kernels.row_index.
        self._last = np.zeros(0, dtype=np.int64)
        self._before = np.zeros(0, dtype=np.int64)

    def copy(self) -> _RowIndex:
        same = copy(self)
        # What later events change in place.
        same._counts, same._last, same._before = (
            one.copy() for one in (self._counts, self._last, self._before)
        )
        return same

    def append(self, rows: IntArray) -> None:
        if not len(rows):
            return
        n_rows, start = int(rows.max()) + 1, len(self._before)
        self._counts = grown(self._counts, n_rows)
        self._last = grown(self._last, len(self._counts))
        self._before = grown(self._before, start + len(rows))
        own = np.ascontiguousarray(rows, dtype=np.int32)
        _kernels().chain(own, start, self._counts, self._last, self._before)

    def counts(self, n_rows: int) -> npt.NDArray[np.int64]:
        self._counts = grown(self._counts, n_rows)
        counts: npt.NDArray[np.int64] = self._counts.copy()
        return counts

    def counts_of(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        counts = self._counts
        if not len(counts):
            return np.zeros(len(rows), dtype=np.int64)
        known: npt.NDArray[np.int64] = counts.take(rows, mode="clip")
        known *= (rows >= 0) & (rows < len(counts))
        return known

    def gather(self, rows: IntArray | None, n_rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """Return indptr and the event positions of some rows, or of all, in order."""
        if rows is not None and len(rows) == 1:
            row = rows.item()
            # Where all events of a row are among the first ones, they lie side by side.
            if 0 <= row < len(self._indptr) - 1 and (row >= len(self._last) or not self._last[row]):
                start, end = self._indptr[row : row + 2].tolist()
                return np.array([0, end - start], dtype=np.int64), self._order[start:end]
        if not len(self._before):
            return self._gather_first(rows, n_rows)
        wanted = np.ascontiguousarray(np.arange(n_rows) if rows is None else rows, dtype=np.int32)
        indptr = np.empty(len(wanted) + 1, dtype=np.int64)
        _kernels().measure(wanted, self._counts, indptr)
        positions = np.empty(indptr[-1], dtype=np.int64)
        sorted_part = (self._indptr, self._order)
        _kernels().collect(wanted, sorted_part, self._last, self._before, indptr, positions)
        return indptr, positions

    def _gather_first(
        self, rows: IntArray | None, n_rows: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """Return what :meth:`gather` does while there are no later events, without a kernel."""
        if rows is None:
            indptr = np.concatenate([self._indptr, np.full(n_rows + 1 - len(self._indptr), len(self._order))])
            return indptr, self._order
        last = len(self._indptr) - 1
        starts, ends = self._indptr[np.minimum(rows, last)], self._indptr[np.minimum(rows + 1, last)]
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(ends - starts, out=indptr[1:])
        places = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], ends - starts)
        return indptr, self._order[places]


def _taken(column: Any, positions: npt.NDArray[Any]) -> Any:
    """Return a column's values at some positions."""
    # For one user take is faster; of all events it would turn the positions into int64 first.
    return column.take(positions) if len(positions) <= _FEW_POSITIONS else column[positions]


def _events_of_matrix(matrix: Any, users: IdTable, items: IdTable) -> Events:
    """Give each row and column of a matrix the row of its id, without a list of all entries."""
    user_rows, item_rows, weights = matrix_entries(matrix)
    row_of_user, row_of_item = (
        np.fromiter((table.add(one) for one in range(n)), dtype=np.int32, count=n)
        for table, n in zip((users, items), matrix.shape, strict=True)
    )
    return Events(row_of_user[user_rows], row_of_item[item_rows], weights)


def rows_of_events(read: EventTable, users: IdTable, items: IdTable) -> Events:
    """Give each id of a table its row, new ids included, and each event a weight."""
    user_rows, item_rows = _rows_of_ids(users, read.users), _rows_of_ids(items, read.items)
    weights = read.weights if read.weights is not None else np.ones(len(user_rows), dtype=np.float32)
    return Events(user_rows, item_rows, weights, read.ratings, read.timestamps)


def _rows_of_ids(table: IdTable, ids: Sequence[Hashable]) -> IntArray:
    """Return the row of each id; new ones get rows in the order in which they appear."""
    if not isinstance(ids, IdColumn):
        return np.fromiter(map(table.add, ids), dtype=np.int32, count=len(ids))
    rows = np.fromiter(map(table.add, ids.distinct), dtype=np.int32, count=len(ids.distinct))
    is_same = np.array_equal(rows, np.arange(len(rows)))
    return ids.codes if is_same else rows[ids.codes]


def _flat(rows: Sequence[Sequence[float]], dtype: type) -> Any:
    return np.fromiter((value for row in rows for value in row), dtype=dtype)
