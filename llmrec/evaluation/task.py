"""The task of a split: which users are asked about, what is right for each, what was known before."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.errors import DataError, ParameterError
from llmrec.evaluation.background import Background
from llmrec.evaluation.ranked_lists import relevance_matrix
from llmrec.evaluation.splits import Split
from llmrec.interactions import IdTable, Interactions
from llmrec.tables import read_items
from llmrec.validation import check_choice

__all__ = ["RankingTask"]

_Rows = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RankingTask:
    """What every recommender of a comparison is asked.

    Attributes
    ----------
    split : Split
    items : table or None
        What is passed to ``fit`` beside the events.
    users : list
        The users with something to find, those without training events included.
    relevant : csr_array of shape (n_users, n_items)
        What each of them met in the test part; items that they knew before count only where
        ``exclude_seen`` is off.
    history_lengths : ndarray of shape (n_users,)
        Number of their training events, or of those that are shown; 0 for a new user.
    histories : list of (list or None)
        For each of them, what of their history is passed to ``recommend`` in place of the user, oldest first:
        items, or pairs of an item and a rating or weight; None for those who are asked about by their id.
    n_candidates : ndarray of shape (n_users,)
        Number of items that may be recommended to each, or are relevant.
    n_nothing_new : int
        Users of the test part who met there just what they knew before, so that there is nothing to find.
    n_strangers : int
        Users of the test part without training events who are left out; 0 where they are judged.
    exclude_seen : bool
    background : Background
    """

    split: Split
    items: Any
    users: list[Hashable]
    relevant: Any
    history_lengths: _Rows
    histories: list[list[Any] | None]
    n_candidates: _Rows
    n_nothing_new: int
    n_strangers: int
    exclude_seen: bool
    background: Background

    @classmethod
    def of(
        cls,
        split: Split,
        items: Any = None,
        *,
        columns: Any = None,
        exclude_seen: bool = True,
        new_users: str = "judge",
        item_vectors: Any = "tfidf",
    ) -> RankingTask:
        """Read the task off a split.

        Raises
        ------
        DataError
            If the training part is empty, or no user of the test part has something to find.
        """
        _check_split(split)
        check_choice("new_users", new_users, ("judge", "leave out"))
        train, test = split.train, split.test
        described = None if items is None else read_items(items, columns)
        table = IdTable([*train.items, *(() if described is None else described.ids)])
        n_catalogue, catalogue = len(table), set(table.ids)
        test_items = np.array([table.add(one) for one in test.items], dtype=np.int64)

        user_in_train = np.array([_row_or_none(train.users, one) for one in test.users], dtype=np.int64)
        shown = Interactions.from_table([]) if split.shown is None else split.shown
        user_in_shown = _shown_rows(shown, train, test)
        histories = _histories(shown, user_in_shown, catalogue)
        for one in shown.items:
            table.add(one)
        known = _known_pairs(train, user_in_train, table) + _known_pairs(shown, user_in_shown, table)
        lengths = _lengths(train, user_in_train) + _lengths(shown, user_in_shown)
        found = relevance_matrix(
            test.events.user_rows, test_items[test.events.item_rows], (test.n_users, len(table))
        )
        n_met = np.diff(found.indptr)
        if exclude_seen:
            found = _without(found, known)
        has_news = np.diff(found.indptr) > 0
        is_left_out = has_news & (lengths == 0) & (new_users == "leave out")
        judged = _judged(n_met > 0, has_news, is_left_out)
        relevant, profiles = found[judged], known[judged]
        n_cold = np.diff(relevant[:, n_catalogue:].indptr)
        n_seen = np.diff(profiles.indptr) if exclude_seen else np.zeros(len(judged), dtype=np.int64)
        counts = np.concatenate([train.item_counts, np.zeros(len(table) - train.n_items, dtype=np.int64)])
        return cls(
            split=split,
            items=items,
            users=[test.users[row] for row in judged.tolist()],
            relevant=relevant,
            history_lengths=lengths[judged],
            histories=[histories[row] for row in judged.tolist()],
            n_candidates=np.asarray(n_catalogue - n_seen + n_cold, dtype=np.int64),
            n_nothing_new=int(np.count_nonzero(n_met) - np.count_nonzero(has_news)),
            n_strangers=int(np.count_nonzero(is_left_out)),
            exclude_seen=exclude_seen,
            background=Background(
                items=table,
                n_catalogue=n_catalogue,
                item_counts=counts,
                audience_sizes=_audience_sizes(train, len(table)),
                n_users=int(np.count_nonzero(train.user_counts)),
                profiles=profiles,
                described=described,
                vectors_from=item_vectors,
            ),
        )

    @property
    def n_new_users(self) -> int:
        """Number of judged users of whom nothing is known: no training event, and none that is shown."""
        return int(np.count_nonzero(self.history_lengths == 0))

    @property
    def n_shown(self) -> int:
        """Number of judged users who are asked about by their history, not by their id."""
        return sum(one is not None for one in self.histories)


def _check_split(split: Split) -> None:
    if not isinstance(split, Split):
        raise ParameterError(
            f"split must be a Split, got {type(split).__name__}; "
            "parts that were split elsewhere become one by Split.from_tables(train, test)."
        )
    if not split.train.n_events:
        raise DataError("the training part of the split has no events.")


def _judged(has_met: _Flags, has_news: _Flags, is_left_out: _Flags) -> _Rows:
    """Return the test users to judge by: those who met something new to them and are not left out."""
    judged = np.flatnonzero(has_news & ~is_left_out)
    if not len(judged):
        raise DataError(
            f"there is nobody to judge by: of {np.count_nonzero(has_met)} users of the test part, "
            f"{np.count_nonzero(has_news)} met an item that is new to them, and "
            f"{np.count_nonzero(is_left_out)} of these are new users, whom new_users='leave out' omits."
        )
    return judged


def _row_or_none(table: IdTable, one: Hashable) -> int:
    row = table.get(one)
    return -1 if row is None else row


def _known_pairs(events: Interactions, rows: _Rows, table: IdTable) -> Any:
    """Return what each test user weighed each item with, ``(n_test_users, n_items)``; -1 is nobody's row."""
    is_known = np.flatnonzero(rows >= 0)
    owner = np.full(events.n_users, -1, dtype=np.int64)
    owner[rows[is_known]] = is_known
    owners = owner[events.events.user_rows]
    items = np.array([table.get(one) for one in events.items], dtype=np.int64)
    kept = owners >= 0
    pairs = sparse.csr_array(
        (events.events.weights[kept], (owners[kept], items[events.events.item_rows[kept]])),
        shape=(len(rows), len(table)),
    )
    pairs.sum_duplicates()
    return pairs


def _shown_rows(shown: Interactions, train: Interactions, test: Interactions) -> _Rows:
    """Return which of the users shown each test user is; -1 for none."""
    for one in shown.users:
        if one in train.users:
            raise DataError(f"the user {one!r} is shown, but has training events as well.")
    return np.array([_row_or_none(shown.users, one) for one in test.users], dtype=np.int64)


def _lengths(events: Interactions, rows: _Rows) -> _Rows:
    """Return the number of events of each test user; -1 is nobody's row."""
    return np.append(events.user_counts, 0)[rows].astype(np.int64)


def _histories(shown: Interactions, rows: _Rows, catalogue: set[Hashable]) -> list[list[Any] | None]:
    """Return each user's history as ``recommend`` takes it, without items that nobody can know."""
    events = shown.events
    numbers = events.weights if events.ratings is None else events.ratings
    are_plain = events.ratings is None and bool((events.weights == 1).all())
    listed: list[list[Any]] = [[] for _ in range(shown.n_users)]
    triples = zip(events.user_rows.tolist(), events.item_rows.tolist(), numbers.tolist(), strict=True)
    for user, row, number in triples:
        item = shown.items[row]
        if item in catalogue:
            listed[user].append(item if are_plain else (item, number))
    return [None if row < 0 else listed[row] for row in rows.tolist()]


def _without(found: Any, known: Any) -> Any:
    """Return ``found`` without the pairs that ``known`` stores."""
    n_users, n_items = found.shape
    found_keys, known_keys = (
        np.repeat(np.arange(n_users, dtype=np.int64), np.diff(one.indptr)) * n_items + one.indices
        for one in (found, known)
    )
    users, items = np.divmod(np.setdiff1d(found_keys, known_keys, assume_unique=True), n_items)
    return relevance_matrix(users, items, (n_users, n_items))


def _audience_sizes(train: Interactions, n_items: int) -> _Rows:
    keys = np.unique(train.events.user_rows.astype(np.int64) * n_items + train.events.item_rows)
    return np.bincount(keys % n_items, minlength=n_items)
