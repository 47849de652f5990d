"""The fitted model behind a recommender: rows in, rows out, read by many threads while one writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from llmrec.base import (
    BoolArray,
    Factorizer,
    FloatArray,
    Fuser,
    IntArray,
    ItemFacts,
    Matrix,
    Ranker,
    ViewVectors,
)
from llmrec.catalogue import Catalogue
from llmrec.interactions import Histories, Interactions, rows_of_events
from llmrec.lock import ReadWriteLock
from llmrec.rankers.exact import top_columns
from llmrec.tables import EventTable, ItemTable
from llmrec.vectors import distinct, dot, grown, row_norms, take_rows, unit_rows
from llmrec.views import FactorView, TextView, View, content_view

__all__ = ["LiveModel", "Queries"]

DoubleArray = npt.NDArray[np.float64]

_SAMPLED_USERS = 2048


class Queries(NamedTuple):
    """Fused query vectors, and for each what it stands on.

    Attributes
    ----------
    vectors : Matrix of shape (n, dim)
    by_history : list of bool, one a query
        Whether a view other than popularity knows something of the history.
    by_context : bool
        Whether such a view knows something of the context, which is the same for all.
    """

    vectors: Matrix
    by_history: list[bool]
    by_context: bool


@dataclass
class LiveModel:
    """Events, views, fuser and index, kept in step.

    ``ranker`` is the one asked for, and ``index`` the one that ranks: the same, unless the fuser puts
    another one around it.

    Everything that reads holds ``lock.reading()``, everything that writes ``lock.writing()``, so that a
    reader sees the state before or after an event and nothing between.
    """

    interactions: Interactions
    catalogue: Catalogue
    texts: list[TextView]
    factors: list[FactorView]
    hidden_popularity: Factorizer | None
    fuser: Fuser
    ranker: Ranker
    lock: ReadWriteLock = field(default_factory=ReadWriteLock)
    views: list[View] = field(init=False, repr=False)
    index: Ranker = field(init=False)
    _unknown: BoolArray = field(init=False, repr=False)
    _unknown_rows: IntArray | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        # In the order in which they are fused.
        self.views = [*self.texts, *self.factors]

    @property
    def popularity(self) -> Factorizer | None:
        """What says what is popular: the first popularity view, or else one kept for this alone."""
        own = [view.factorizer for view in self.factors if view.kind == "popularity"]
        return own[0] if own else self.hidden_popularity

    # -- fit -----------------------------------------------------------------------------------------------

    def fit_fuser(self) -> None:
        """Learn how to join the views, from all items and a sample of the users."""
        known = np.flatnonzero(self.interactions.user_counts).astype(np.int32)
        sampled = known[:: max(1, -(-len(known) // _SAMPLED_USERS))]
        self.fuser.fit(self.views_for(sampled), self.interactions)

    def views_for(self, user_rows: IntArray) -> list[ViewVectors]:
        """Return all item vectors of each view, with the query vectors of some users."""
        histories = self.interactions.histories(user_rows)
        return [
            replace(
                view.item_vectors(self.interactions),
                queries=view.query_vectors(histories, user_rows) if len(user_rows) else None,
            )
            for view in self.views
        ]

    def build_index(self) -> None:
        """Index the fused vectors of all items."""
        items = [view.item_vectors(self.interactions) for view in self.views]
        self.index = self.fuser.ranker_over(self.ranker)
        take = self.index.index_given if self.fuser.gives_new_items else self.index.index
        take(self.fuser.fuse_items(items))
        self._describe(np.arange(self.interactions.n_items, dtype=np.int32), items)
        self._unknown = ~_any_present(items)
        self._unknown_rows = None

    def _describe(self, rows: IntArray, items: Sequence[ViewVectors]) -> None:
        counts = self.interactions.counts_of_items(rows)
        self.index.describe(ItemFacts(rows, counts, items, self.catalogue.columns))

    # -- recommend -----------------------------------------------------------------------------------------

    def queries(self, histories: Histories, user_rows: IntArray | None, context: str | None) -> Queries:
        """Fuse the queries of histories, each with the same text of the moment."""
        vectors: list[ViewVectors] = []
        by_history, by_context = [False] * len(histories), False
        for view in self.views:
            query = view.query_vectors(histories, user_rows, context)
            vectors.append(query)
            # A context that the view can read counts as one item more.
            has_read = context is not None and view.knows(context)
            by_context |= has_read
            if view.kind != "popularity":
                for place, n in enumerate(query.support.tolist()):
                    by_history[place] |= n > has_read
        return Queries(self.fuser.fuse_queries(vectors), by_history, by_context)

    def rank(
        self,
        histories: Histories,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray],
        allow: IntArray | None,
    ) -> list[tuple[list[int], FloatArray]]:
        """Return rows and scores for each query; items that no view knows are left out."""
        unknown = self._unknown_rows
        if unknown is None:
            unknown = self._rows_unknown()
        if len(unknown):
            exclude = [np.concatenate([one, unknown]) for one in exclude]
        rows, scores = self.index.rank_for(histories, queries, k, exclude, allow)
        found = []
        for place, own in enumerate(rows.tolist()):
            best = scores[place]
            # What fills a row up stands at its end.
            if own and own[-1] < 0:
                n_given = own.index(-1)
                own, best = own[:n_given], best[:n_given]
            found.append((own, best))
        return found

    def view_shares(self, histories: Histories, query: Matrix, row: int) -> DoubleArray | None:
        """Return what each view adds to the score of one item, among those that a history leaves.

        None where the score is a measure of the fused vectors.
        """
        exclude = np.concatenate([histories.columns, self._rows_unknown()])
        return self.index.view_shares(query, row, exclude[exclude != row].astype(np.int32))

    def _rows_unknown(self) -> IntArray:
        rows = self._unknown_rows
        if rows is None:
            rows = self._unknown_rows = np.flatnonzero(self._unknown).astype(np.int32)
        return rows

    def rank_popular(
        self, k: int, exclude: IntArray, allow: IntArray | None
    ) -> tuple[IntArray, FloatArray] | None:
        """Return what is popular now; None where there are no events to be popular by."""
        if self.popularity is None or not self.interactions.n_events:
            return None
        vectors = self.popularity.item_vectors()
        scores = take_rows(vectors, np.arange(self.interactions.n_items, dtype=np.int32))[:, 0]
        return self._best(scores, np.ones(len(scores), np.bool_), k, exclude, allow)

    def rank_similar(
        self, row: int, k: int, exclude: IntArray, allow: IntArray | None
    ) -> tuple[IntArray, FloatArray]:
        """Return the items nearest to one, by the mean cosine over the views that know it."""
        one = np.array([row], dtype=np.int32)
        scores = np.zeros(self.interactions.n_items, dtype=np.float32)
        known = np.zeros(self.interactions.n_items, dtype=np.bool_)
        n_views = 0
        for view in self.views:
            if view.kind == "popularity" or not view.item_vectors(self.interactions, one).present[0]:
                continue
            items = view.item_vectors(self.interactions)
            unit = unit_rows(items.vectors)
            scores += np.where(items.present, dot(unit[one], unit)[0], 0)
            known |= items.present
            n_views += 1
        exclude = np.append(exclude, one)
        return self._best(scores / np.float32(max(n_views, 1)), known & (scores != 0), k, exclude, allow)

    def rank_search(
        self, text: str, k: int, exclude: IntArray, allow: IntArray | None
    ) -> tuple[IntArray, FloatArray]:
        """Return the items whose texts are nearest to ``text``, by the mean cosine over the text views."""
        n_items = self.interactions.n_items
        scores, known = np.zeros(n_items, dtype=np.float32), np.zeros(n_items, dtype=np.bool_)
        asked = [(view, vector) for view in self.texts if row_norms(vector := view.moment(text))[0] > 0]
        for view, vector in asked:
            items = view.item_vectors(self.interactions)
            scores += dot(vector, items.vectors)[0]
            known |= items.present
        return self._best(scores / np.float32(max(len(asked), 1)), known & (scores != 0), k, exclude, allow)

    def _best(
        self, scores: FloatArray, known: BoolArray, k: int, exclude: IntArray, allow: IntArray | None
    ) -> tuple[IntArray, FloatArray]:
        left = known.copy()
        left[exclude] = False
        rows = np.flatnonzero(left) if allow is None else allow[left[allow]]
        columns, values = top_columns(scores[rows][None].astype(np.float32), k)
        return rows[columns[0]].astype(np.int32), values[0]

    # -- partial_fit ---------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str]) -> list[Matrix]:
        """Return the vectors of new texts under each text view; slow, so outside the lock."""
        return [view.encode(texts) for view in self.texts]

    def learn(
        self,
        read: EventTable | None,
        items: ItemTable | None,
        texts: Sequence[str],
        vectors: Sequence[Matrix],
    ) -> None:
        """Take new items and events, and bring views and index up to date. Costs O(what is new)."""
        with self.lock.writing():
            first_new = self.interactions.n_items
            touched: list[IntArray] = []
            try:
                if items is not None:
                    self._add_items(items, texts, vectors, touched)
                if read is not None:
                    self._add_events(read, touched)
            finally:
                # Also where a component of the caller's failed half-way: what is known and the index agree.
                self._unknown_rows = None
                touched.append(np.arange(first_new, self.interactions.n_items, dtype=np.int32))
                self._index_again(distinct(np.concatenate(touched)))

    def _add_items(
        self, items: ItemTable, texts: Sequence[str], vectors: Sequence[Matrix], touched: list[IntArray]
    ) -> None:
        rows = np.array([self.interactions.items.add(one) for one in items.ids], dtype=np.int32)
        touched.append(rows)
        self.catalogue.update(items, self.interactions.items)
        # An item that comes again without a text keeps the one it had.
        stated = np.flatnonzero([bool(text.strip()) for text in texts])
        for view, own in zip(self.texts, vectors, strict=True):
            view.extend(rows[stated], own[stated])
        place = content_view(self.texts)
        if place is not None:
            content = vectors[place][stated]
            touched.extend(view.learn_content(rows[stated], content) for view in self.factors)

    def _add_events(self, read: EventTable, touched: list[IntArray]) -> None:
        events = rows_of_events(read, self.interactions.users, self.interactions.items)
        self.interactions.append(events)
        touched.append(events.item_rows)
        for view in self.factors:
            view.make_room(self.interactions)
        if self.hidden_popularity is not None:
            self.hidden_popularity.partial_fit(self.interactions, events)
        touched.extend(view.learn(self.interactions, events) for view in self.factors)

    def _index_again(self, rows: IntArray) -> None:
        if not len(rows):
            return
        items = [view.item_vectors(self.interactions, rows) for view in self.views]
        self.index.update(rows, self.fuser.fuse_items(items))
        self._describe(rows, items)
        # New rows are all among those indexed again.
        self._unknown = grown(self._unknown, self.interactions.n_items)
        self._unknown[rows] = ~_any_present(items)

    # -- files ---------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return all but what :meth:`build_index` makes again."""
        return {
            "interactions": self.interactions,
            "catalogue": self.catalogue,
            "texts": self.texts,
            "factors": {view.name: view.factorizer for view in self.factors},
            "hidden_popularity": self.hidden_popularity,
            "updater": self.factors[0].updater if self.factors else None,
            "fuser": self.fuser,
            "ranker": clone(self.ranker),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> LiveModel:
        """Build the model that gave ``state``."""
        rest = dict(state)
        updater = rest.pop("updater")
        factors = [FactorView(name, one, updater) for name, one in rest.pop("factors").items()]
        model = cls(factors=factors, **rest)
        model.build_index()
        return model


def _any_present(views: Sequence[ViewVectors]) -> BoolArray:
    """Return which rows some view knows; popularity alone knows all."""
    telling = [view.present for view in views if view.kind != "popularity"]
    return reduce(np.logical_or, telling or [view.present for view in views])
