"""Sequence rules: what users do next, after what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import Factorizer, FloatArray, IntArray
from llmrec.factorizers.nearest import chunked_rows
from llmrec.factorizers.similarity import column_scale, entries_apart, largest_of_rows, within
from llmrec.validation import check_fitted, check_integer, check_number
from llmrec.vectors import (
    csr_of,
    distinct,
    entry_counts,
    grown,
    replace_rows,
    row_pieces,
    scale_entries,
    take_rows,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["SequenceRules"]

_ROOM = 2
# Pairs that NumPy counts in less time than the kernel takes to load.
_LITTLE_WORK = 2_000_000
_WORK_A_RULE = 8


class SequenceRules(Factorizer):
    r"""Score an item by how often, and how soon, it follows the items of a history.

    An event at distance :math:`k` after another adds :math:`1/k` to the rule from the earlier item :math:`a`
    to the later item :math:`b`, up to ``window`` events; the sum :math:`W_{ab}` counts
    :math:`W_{ab} / \sqrt{n_a n_b}` (Ludewig & Jannach, "Evaluation of session-based recommendation
    algorithms", UMUAI 2018). Choose it, beside a view that does not read order, where what a user did last
    says what comes next: sessions, shops, episodes. It learns from new events exactly and at once.

    Parameters
    ----------
    window : int, default 10
        Greatest distance, in events of one user, over which a rule is counted.
    half_life : float, default 2.0
        Age, in events, at which an event of a history counts half when the history is asked about.
    max_rules : int, optional
        A fit keeps so many rules to each item, those with the largest sums; all, if not given. With 500,
        rules of 20 million events take a third of the memory, and a recommender loses less than half a
        percent of its NDCG. What new events add afterwards is kept.

    Attributes
    ----------
    rules_ : csr_array of shape (n_items, dim)
        Row ``b``, column ``a``: :math:`W_{ab} / \sqrt{n_b}`. ``dim`` is twice the number of items at the
        time of ``fit``, so that rules may start from items that come later; when these are used up, further
        items have rules that lead to them and none that start from them until the next ``fit``.
    counts_ : ndarray of shape (n_items,), int64
        Number of events of each item.

    Examples
    --------
    >>> from llmrec.interactions import Histories, Interactions
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam")])
    >>> rules = SequenceRules().fit(events)
    >>> queries = rules.query_vectors(Histories.of([[0], [1]], n_columns=2))
    >>> (queries @ rules.item_vectors().T).toarray().round(2).tolist()  # jam follows tea
    [[0.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, window: int = 10, *, half_life: float = 2.0, max_rules: int | None = None):
        self.window = window
        self.half_life = half_life
        self.max_rules = max_rules

    def fit(self, interactions: Interactions) -> Self:
        """Count the rules of all histories."""
        check_integer("window", self.window, minimum=1)
        check_number("half_life", self.half_life, 0, above=True)
        most = None if self.max_rules is None else check_integer("max_rules", self.max_rules, minimum=1)
        self.counts_ = interactions.item_counts
        self.width_ = _ROOM * interactions.n_items
        histories = interactions.histories()
        items = np.arange(interactions.n_items, dtype=np.int32)
        self.rules_ = self._rules(histories, np.zeros(len(histories), dtype=np.int64), items, most)
        scale_entries(self.rules_, self._scale(items))
        return self

    def item_vectors(self) -> Any:
        """Return ``(n_items, dim)``: the rules that lead to each item, sparse."""
        check_fitted(self, "rules_")
        return self.rules_

    def query_vectors(self, histories: Histories) -> Any:
        """Return the ``(n, dim)`` sparse histories, early events and frequent items counting less."""
        check_fitted(self, "rules_")
        return within(self._weights(histories), self.width_)

    def history_parts(self, histories: Histories) -> Any:
        """Return what each entry of the histories adds to its query, ``(nnz, dim)`` sparse."""
        check_fitted(self, "rules_")
        return within(entries_apart(self._weights(histories)), self.width_)

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Count the rules that end in ``events``; return the items that these lead to."""
        check_fitted(self, "rules_")
        if not len(events):
            return np.empty(0, dtype=np.int32)
        users, n_new = np.unique(events.user_rows, return_counts=True)
        histories = interactions.histories(users.astype(np.int32))
        moved = distinct(events.item_rows)
        added = self._rules(histories, histories.lengths - n_new, moved)
        self.counts_ = grown(self.counts_, interactions.n_items)
        known = take_rows(self.rules_, moved)
        unscaled = np.sqrt(self.counts_[moved]).astype(np.float32)
        self.counts_[moved] = interactions.counts_of_items(moved)
        rules = _sum_of_rows(known, unscaled, added, self._scale(moved))
        self.rules_ = replace_rows(self.rules_, moved, rules)
        return moved

    def _weights(self, histories: Histories) -> Any:
        weights = histories.decayed(self.half_life).weight_matrix()
        # An item that came after the last events has no rules yet.
        has_rules = weights.indices < len(self.counts_)
        weights.data[~has_rules] = 0
        weights.data[has_rules] *= self._scale(weights.indices[has_rules])
        return weights

    def _scale(self, item_rows: IntArray) -> FloatArray:
        return column_scale(self.counts_[item_rows].astype(np.float32), 0.5)

    def _rules(
        self,
        histories: Histories,
        first_new: npt.NDArray[np.int64],
        ends: IntArray,
        most: int | None = None,
    ) -> Any:
        """Return ``(len(ends), dim)``: the rules that the new events of each history add, not scaled.

        ``ends`` are the items of these events, sorted; ``most`` is how many rules to each are kept.
        """
        items = histories.columns
        places, is_new = _places(histories.indptr, first_new, self.window)
        if self.window * len(items) > _LITTLE_WORK:
            n_items = 1 + max(int(items.max()), int(ends.max(initial=0)))
            counted = self._counted(items, places, is_new, n_items, most or self.width_)
            return counted if len(ends) == n_items else sparse.csr_array(counted[ends])
        wide = items.astype(np.int64)
        later = np.flatnonzero(is_new)[:, None]
        distances = np.arange(1, self.window + 1)
        within_history = places[later] >= distances
        from_items = wide[(later - distances)[within_history]]
        to_items, distances = (
            np.broadcast_to(one, within_history.shape)[within_history] for one in (wide[later], distances)
        )
        # An item is no reason for itself, and beyond the room there are no columns.
        kept = (from_items != to_items) & (from_items < self.width_)
        keys = np.searchsorted(ends, to_items[kept]) * self.width_ + from_items[kept]
        keys, places_of_keys = np.unique(keys, return_inverse=True)
        weights = np.bincount(places_of_keys, 1 / distances[kept], len(keys)).astype(np.float32)
        rules = _rows_of_keys(keys, weights, (len(ends), self.width_))
        return rules if most is None else largest_of_rows(rules, most)

    def _counted(
        self,
        items: IntArray,
        places: npt.NDArray[Any],
        is_new: npt.NDArray[np.bool_],
        n_items: int,
        most: int,
    ) -> Any:
        """Return the same by a kernel: sums of the rules to one item at a time."""
        from llmrec.kernels.neighbours import rules

        positions, counts = _places_of_items(items, is_new, n_items)
        indptr = np.append(0, np.cumsum(counts))

        def keep(chunk: slice) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], FloatArray]:
            room = int(indptr[chunk.stop] - indptr[chunk.start]) * self.window
            columns, weights = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float32)
            filled = np.zeros(chunk.stop - chunk.start, dtype=np.int64)
            reach = (self.window, self.width_, most, chunk.start, chunk.stop)
            rules((indptr, positions), items, places, *reach, columns, weights, filled)
            n_filled = int(filled.sum())
            return filled, columns[:n_filled].copy(), weights[:n_filled].copy()

        return chunked_rows(keep, _WORK_A_RULE * self.window * counts, (n_items, self.width_))


def _places(
    indptr: npt.NDArray[np.int64], first_new: npt.NDArray[np.int64], most: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return for each event how many of its history stand before it, or ``most``, and whether it is new."""
    places = np.empty(indptr[-1], dtype=np.uint8 if most <= np.iinfo(np.uint8).max else np.int32)
    is_new = np.empty(len(places), dtype=np.bool_)
    for some, entries in row_pieces(indptr):
        lengths = np.diff(indptr[some.start : some.stop + 1])
        own = np.arange(entries.start, entries.stop) - np.repeat(indptr[some], lengths)
        is_new[entries] = own >= np.repeat(first_new[some], lengths)
        places[entries] = np.minimum(own, most)
    return places, is_new


def _places_of_items(
    items: IntArray, is_new: npt.NDArray[np.bool_], n_items: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return where new events stand among all, by item and in order, and how many each item has."""
    from llmrec.kernels.row_index import order_by_row

    new = None if is_new.all() else np.flatnonzero(is_new)
    own = items if new is None else items[new]
    counts = entry_counts(own, n_items)
    order = np.empty(len(own), dtype=np.int32 if len(items) <= np.iinfo(np.int32).max else np.int64)
    order_by_row(own, np.cumsum(counts) - counts, order)
    return (order if new is None else new.astype(order.dtype)[order]), counts


def _rows_of_keys(keys: npt.NDArray[np.int64], values: FloatArray, shape: tuple[int, int]) -> Any:
    """Return the matrix with these values at ``row * width + column``, which are ascending."""
    indptr = np.searchsorted(keys, np.arange(shape[0] + 1) * shape[1]).astype(np.int32)
    return csr_of(values, (keys % shape[1]).astype(np.int32), indptr, shape)


def _sum_of_rows(known: Any, unscaled: FloatArray, added: Any, scale: FloatArray) -> Any:
    """Return ``(known * unscaled + added) * scale``, each number that of a row.

    Built at once from the entries: as matrices, each step would cost more than its arithmetic.
    """
    parts = []
    for matrix in (known, added):
        owners = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        parts.append((owners * matrix.shape[1] + matrix.indices, owners, matrix.data))
    (keys, owners, values), (more, owners_of_more, more_values) = parts
    values = values * unscaled[owners] * scale[owners]
    more_values = more_values * scale[owners_of_more]
    if np.any(keys[1:] < keys[:-1]):
        order = np.argsort(keys)
        keys, values = keys[order], values[order]
    at = np.searchsorted(keys, more)
    is_known = at < len(keys)
    is_known[is_known] = keys[at[is_known]] == more[is_known]
    values[at[is_known]] += more_values[is_known]
    at, is_new = at[~is_known], ~is_known
    keys, values = np.insert(keys, at, more[is_new]), np.insert(values, at, more_values[is_new])
    return _rows_of_keys(keys, values, known.shape)
