"""Views: each component's vectors of items and of queries, and how much they stand on."""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import sparse
from sklearn.base import clone

from llmrec.base import (
    Component,
    ContentFactorizer,
    Encoder,
    Factorizer,
    FactorModel,
    FloatArray,
    IntArray,
    Matrix,
    OnlineState,
    OnlineUpdater,
    ViewKind,
    ViewVectors,
)
from llmrec.cold_items import best_metric
from llmrec.registry import resolve
from llmrec.text_metrics import LearnedMetric, RidgeMetric
from llmrec.validation import check_choice, check_fitted, check_number
from llmrec.vectors import csr_of, grown, replace_rows, row_norms, scale_rows, take_rows, unit_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["FactorView", "QueryParts", "TextView", "View", "content_view"]

_USUAL_RIDGE = 10.0
_REMEMBERED_TEXTS = 1024
_REMEMBERED_BYTES = 1 << 24


@dataclass(frozen=True)
class QueryParts:
    """What one query vector is made of.

    Attributes
    ----------
    vectors : ndarray or csr_array of shape (n_parts, dim)
        They add up to the query vector.
    sources : list of str
        What each part comes from: ``"history"``, ``"context"``, ``"everyone"`` where all queries are alike,
        and ``"rest"`` for what the view knows of the user beside the history.
    items : list of (int or None)
        The row of the history's item; None where a part is of no one item.
    """

    vectors: Matrix
    sources: list[str]
    items: list[int | None]


class View(ABC):
    """What the recommender asks of a view.

    Attributes
    ----------
    name : str
    kind : {"text", "behaviour", "popularity"}
    """

    name: str
    kind: ViewKind

    @abstractmethod
    def item_vectors(self, interactions: Interactions, rows: IntArray | None = None) -> ViewVectors:
        """Return the vectors of some items, or of all."""

    @abstractmethod
    def query_vectors(
        self, histories: Histories, user_rows: IntArray | None = None, context: str | None = None
    ) -> ViewVectors:
        """Return the vectors of queries: of each history, with the text of the moment.

        ``user_rows`` says whose the histories are, where they are all that is known of known users.
        """

    @abstractmethod
    def query_parts(
        self, histories: Histories, user_rows: IntArray | None = None, context: str | None = None
    ) -> QueryParts:
        """Take the query vector of one history apart."""

    def knows(self, text: str | None) -> bool:
        """Whether the view can read a request's text; one without texts cannot."""
        return False


class TextView(Component, View):
    r"""The text view: items by the vectors of their texts, queries by the texts of their history.

    Pass it to a :class:`~llmrec.Recommender` in place of an encoder to choose how texts are compared;
    a bare encoder is wrapped in one with the defaults.

    With :math:`z` the unit vectors of the texts and :math:`h` a history, the profile :math:`x = Z^T h` scores
    an item by

    * ``metric="cosine"``: :math:`x \cdot z`;
    * ``metric="ridge"``: :math:`x \cdot (Z_w^T Z_w + \rho I)^{-1} z` over the items :math:`Z_w` that have
      events. That is each user's ridge regression of their history on the texts, with one inverse for all
      users: directions that all texts share count less. It is what makes the vectors of a language model
      useful without training.
    * ``metric="learned"``: :math:`x M z`, where :math:`M` is fitted to all users' events so that one part of
      a history foretells another through the texts; see :class:`~llmrec.text_metrics.LearnedMetric`.

    Parameters
    ----------
    encoder : Encoder or str
    metric : {"ridge", "learned", "cosine", "auto"}, default "auto"
        ``"auto"`` is ``"cosine"`` for sparse vectors. For dense ones it hides a fifth of the items with
        events and takes what ranks them best for the users who had met them, ``"learned"`` or
        ``"ridge"``; ``"ridge"`` where there are too few users to tell.
    ridge : float or "auto", default "auto"
        :math:`\rho`, above 0, in units of one text: near 0 the metric whitens the vectors, a large value is
        the cosine. ``"auto"`` is the best for hidden items of 3, 10, 30, 100 and 300; 10 where there are too
        few users to tell. A number settles a metric of ``"auto"`` as well.
    half_life : float, optional
        The events after which one in a history counts half, from the latest backwards; None counts all alike.
    context_weight : float, default 1.0
        How much the text of the moment counts against the whole history.
    name : str, optional
        The view's name; by default that of the encoder.

    Attributes
    ----------
    encoder_ : Encoder
    metric_ : {"ridge", "learned", "cosine"}
        The metric in use.
    ridge_ : float
        The :math:`\rho` in use.
    vectors_ : ndarray or csr_array of shape (n_items, dim)
        Of length 1; zero where an item has no text.

    Examples
    --------
    >>> from llmrec import Recommender, TfidfEncoder
    >>> view = TextView(TfidfEncoder(), metric="cosine", name="words")
    >>> rec = Recommender(encoder=view).fit(items=[("a", "a tale of two cities"), ("b", "two tales")])
    >>> list(rec.views_)
    ['words']
    """

    kind: ViewKind = "text"

    def __init__(
        self,
        encoder: Encoder | str,
        *,
        metric: str = "auto",
        ridge: float | str = "auto",
        half_life: float | None = None,
        context_weight: float = 1.0,
        name: str | None = None,
    ):
        self.encoder = encoder
        self.metric = metric
        self.ridge = ridge
        self.half_life = half_life
        self.context_weight = context_weight
        self.name = name  # type: ignore[assignment]

    def fit(
        self, texts: Sequence[str], warm: IntArray | None = None, histories: Histories | None = None
    ) -> Self:
        """Encode the catalogue's texts.

        Parameters
        ----------
        texts : sequence of str
            One an item; empty where it has none.
        warm : ndarray of int32, optional
            Rows of the items that have events; all, if not given.
        histories : Histories, optional
            Of a sample of the users, to learn the metric from. Without any, or without events, a metric that
            would be learned is the ridge.
        """
        check_choice("metric", self.metric, ("ridge", "learned", "cosine", "auto"))
        if self.ridge != "auto":
            check_number("ridge", self.ridge, 0, above=True)
        check_number("context_weight", self.context_weight, 0)
        if self.half_life is not None:
            check_number("half_life", self.half_life, 0, above=True)
        self._moments = _Remembered()
        encoder: Any = clone(resolve("encoder", self.encoder))
        rows = [row for row, text in enumerate(texts) if text.strip()]
        vectors = encoder.fit_encode([texts[row] for row in rows])
        self.encoder_ = encoder
        # Those of blank texts lie beyond the last row: zeros.
        places = np.full(len(texts), len(rows), dtype=np.int32)
        places[rows] = np.arange(len(rows))
        self.vectors_ = take_rows(unit_rows(vectors), places)
        self.present_ = (row_norms(self.vectors_) > 0).astype(np.float32)
        self._choose_metric(warm, histories)
        self.operator_ = self._operator(warm, histories)
        return self

    def _choose_metric(self, warm: IntArray | None, histories: Histories | None) -> None:
        is_dense = isinstance(self.vectors_, np.ndarray)
        has_events = warm is not None and histories is not None and len(warm) > 0 and is_dense
        self.metric_ = self.metric
        if self.metric == "auto":
            self.metric_ = "ridge" if is_dense else "cosine"
        elif self.metric == "learned" and not has_events:
            self.metric_ = "ridge"
        self.ridge_ = _USUAL_RIDGE if self.ridge == "auto" else float(self.ridge)
        is_settled = self.ridge != "auto" or self.metric in ("cosine", "learned")
        if is_settled or not has_events:
            return
        best = best_metric(
            cast(FloatArray, self.vectors_),
            cast(IntArray, warm),
            cast("Histories", histories).weight_matrix(),
            may_learn=self.metric == "auto",
        )
        if best is not None:
            self.metric_, self.ridge_ = best

    def for_items(self, warm: IntArray | None, histories: Histories | None = None) -> Self:
        """Return a view of the same vectors whose metric is that of other warm items and their events."""
        check_fitted(self, "vectors_")
        other = copy.copy(self)
        other.operator_ = self._operator(warm, histories)
        return other

    def _operator(self, warm: IntArray | None, histories: Histories | None) -> Any:
        if self.metric_ == "cosine":
            return None
        if self.metric_ == "learned" and warm is not None and histories is not None:
            vectors = cast(FloatArray, self.vectors_)
            return LearnedMetric.of(vectors, warm, histories.weight_matrix(), self.ridge_)
        return RidgeMetric.of(self.vectors_ if warm is None else self.vectors_[warm], self.ridge_)

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return unit vectors of texts; a blank text has zeros. Equal texts are encoded once."""
        check_fitted(self, "encoder_")
        return unit_rows(self.encoder_.encode_distinct(texts))

    def moment(self, text: str) -> Matrix:
        """Return the unit vector of a request's text, ``(1, dim)``; those of the last texts are remembered.

        A thousand at most, and 16 MB of them, or one text that is larger.
        """
        check_fitted(self, "vectors_")
        vector = self._moments.get(text)
        if vector is None:
            vector = self._moments.add(text, self.encode([text]))
        return vector

    def knows(self, text: str | None) -> bool:
        """Whether the encoder has a vector for a request's text: not if it is blank, or of unknown words."""
        return text is not None and bool(row_norms(self.moment(text))[0] > 0)

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``get_state`` gave; no request's text is remembered yet."""
        super().set_state(state)
        self._moments = _Remembered()

    def extend(self, rows: IntArray, vectors: Matrix) -> None:
        """Take the vectors of new or changed texts, from :meth:`encode`."""
        check_fitted(self, "vectors_")
        self.vectors_ = replace_rows(self.vectors_, rows, vectors)
        self.present_ = grown(self.present_, self.vectors_.shape[0])
        self.present_[rows] = row_norms(vectors) > 0

    def item_vectors(self, interactions: Interactions, rows: IntArray | None = None) -> ViewVectors:
        """Return unit text vectors; the support of an item with a text is 1."""
        check_fitted(self, "vectors_")
        wanted = np.arange(interactions.n_items, dtype=np.int32) if rows is None else rows
        support = take_rows(self.present_[:, None], wanted)[:, 0]
        return ViewVectors(self.name, "text", take_rows(self.vectors_, wanted), support)

    def query_vectors(
        self, histories: Histories, user_rows: IntArray | None = None, context: str | None = None
    ) -> ViewVectors:
        """Return the profiles of histories, of unit length, plus the context, under the metric."""
        check_fitted(self, "vectors_")
        history = self._weights(histories)
        profiles = unit_rows(_product(history, self.vectors_))
        met = self._n_met(history)
        if context is not None:
            moment = self.moment(context)
            profiles = profiles + np.float32(self.context_weight) * moment[[0] * len(histories)]
            met = met + (row_norms(moment) > 0)
        if sparse.issparse(profiles) and not isinstance(profiles, sparse.csr_array):
            profiles = sparse.csr_array(profiles)
        vectors = profiles if self.operator_ is None else self.operator_.apply(profiles)
        return ViewVectors(self.name, "text", vectors, np.asarray(met, dtype=np.float32))

    def _n_met(self, history: Any) -> FloatArray:
        """Return how many items with a text each history has, ``(n,)``."""
        counted = (history.indices < len(self.present_)) & (history.data != 0)
        texts = self.present_[history.indices[counted]]
        if history.shape[0] == 1:
            return np.asarray(texts.sum(keepdims=True))
        owners = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))[counted]
        return np.bincount(owners, texts, history.shape[0]).astype(np.float32)

    def query_parts(
        self, histories: Histories, user_rows: IntArray | None = None, context: str | None = None
    ) -> QueryParts:
        """Return the share of each item's text in the profile, given its length, and that of the context."""
        check_fitted(self, "vectors_")
        history = self._weights(histories)
        texts = take_rows(self.vectors_, history.indices)
        length = float(row_norms(_product(history, self.vectors_))[0])
        parts = scale_rows(texts, (history.data / (length or 1.0)).astype(np.float32))
        if context is not None:
            moment = self.moment(context)
            parts = _on_top_of(parts, scale_rows(moment, np.full(1, self.context_weight, np.float32)))
        extra = [] if context is None else ["context"]
        return QueryParts(
            parts if self.operator_ is None else self.operator_.apply(parts),
            ["history"] * history.nnz + extra,
            [*history.indices.tolist(), *(None for _ in extra)],
        )

    def _weights(self, histories: Histories) -> Any:
        """Return how much each item counts in each history, ``(n, n_items)``, sparse."""
        if self.half_life is not None:
            histories = histories.decayed(self.half_life, "events")
        return histories.weight_matrix()

    def common_words(self, row: int, histories: Histories, context: str | None) -> dict[str, int]:
        """Return the words of an item's text that its history or the context has too, with their columns.

        Empty where the encoder's columns are no words.
        """
        words = self.encoder_.column_words()
        if words is None:
            return {}
        asked = _product(self._weights(histories), self.vectors_)
        if context is not None:
            asked = asked + self.moment(context)
        own = take_rows(self.vectors_, np.array([row], dtype=np.int32))
        columns = [set(np.nonzero(_dense(one)[0])[0].tolist()) for one in (asked, own)]
        return {words[column]: column for column in sorted(columns[0] & columns[1])}


class _Remembered:
    """Vectors of requests' texts, which are all forgotten when they become too many or too large.

    Many threads may ask at once: each step on the dictionary is one that no other can interrupt.
    """

    def __init__(self) -> None:
        self._vectors: dict[str, tuple[Matrix, int]] = {}

    def get(self, text: str) -> Matrix | None:
        known = self._vectors.get(text)
        return None if known is None else known[0]

    def add(self, text: str, vector: Matrix) -> Matrix:
        n_bytes = sys.getsizeof(text) + _n_bytes(vector)
        held = list(self._vectors.values())
        if len(held) >= _REMEMBERED_TEXTS or sum(one for _, one in held) + n_bytes > _REMEMBERED_BYTES:
            self._vectors.clear()
        self._vectors[text] = vector, n_bytes
        return vector


class FactorView(View):
    """A factorizer as a view.

    Parameters
    ----------
    name : str
    factorizer : Factorizer
        Fitted.
    updater : OnlineUpdater, optional
        What moves its vectors when events come, if it is a factor model.
    """

    def __init__(self, name: str, factorizer: Factorizer, updater: OnlineUpdater | None = None):
        self.name = name
        self.kind = factorizer.kind
        self.factorizer = factorizer
        self.updater = updater

    def item_vectors(self, interactions: Interactions, rows: IntArray | None = None) -> ViewVectors:
        """Return item vectors; the support of an item is its number of events."""
        wanted = np.arange(interactions.n_items, dtype=np.int32) if rows is None else rows
        vectors = self.factorizer.item_vectors()
        # A whole filter may be most of what a model takes. What changes rows in place, dense ones and rows
        # that grow, is copied all the same: who gets it must not see the next event.
        is_whole = rows is None and type(vectors) is sparse.csr_array and vectors.shape[0] == len(wanted)
        if not is_whole:
            vectors = take_rows(vectors, wanted)
        if self.kind == "popularity":
            return ViewVectors(self.name, self.kind, vectors, np.ones(len(wanted), dtype=np.float32))
        counts = interactions.counts_of_items(wanted).astype(np.float32)
        if isinstance(self.factorizer, ContentFactorizer):
            counts = self.factorizer.item_support(counts, wanted)
        return ViewVectors(self.name, self.kind, vectors, counts * (row_norms(vectors) > 0))

    def query_vectors(
        self, histories: Histories, user_rows: IntArray | None = None, context: str | None = None
    ) -> ViewVectors:
        """Return the kept vectors of known users, or the fold-in of histories."""
        known, vectors = histories, None
        if user_rows is not None and self.updater is not None:
            # They know all items that have events: see make_room.
            vectors = self.factorizer.known_query_vectors(user_rows)
        if vectors is None:
            known = histories.known_to(self.factorizer.item_vectors().shape[0])
            vectors = self.factorizer.query_vectors(known)
        if self.kind == "popularity":
            return ViewVectors(self.name, self.kind, vectors, np.ones(len(histories), dtype=np.float32))
        return ViewVectors(self.name, self.kind, vectors, known.support)

    def reads_texts(self) -> bool:
        """Whether the factorizer was given texts that place an item without events."""
        if not isinstance(self.factorizer, ContentFactorizer):
            return False
        rows = np.arange(self.factorizer.item_vectors().shape[0], dtype=np.int32)
        return bool(self.factorizer.item_support(np.zeros(len(rows), dtype=np.float32), rows).any())

    def make_room(self, interactions: Interactions) -> None:
        """Give new users and items a row; called for all views before one of them learns and may fail."""
        if isinstance(self.factorizer, FactorModel) and self.updater is not None:
            self.factorizer.resize(interactions.n_users, interactions.n_items)

    def query_parts(
        self, histories: Histories, user_rows: IntArray | None = None, context: str | None = None
    ) -> QueryParts:
        """Return the factorizer's split of the history, and what the kept vector has beside it."""
        query = self.query_vectors(histories, user_rows).vectors
        known = histories.known_to(self.factorizer.item_vectors().shape[0])
        parts = self.factorizer.history_parts(known)
        if parts is None:
            return QueryParts(query, ["everyone" if self.kind == "popularity" else "history"], [None])
        total = np.asarray(parts.sum(axis=0), dtype=np.float32).reshape(1, -1)
        rest = _dense(query) - total
        rows: list[int | None] = known.weight_matrix().indices.tolist()
        return QueryParts(_on_top_of(parts, rest), ["history"] * len(rows) + ["rest"], [*rows, None])

    def learn(self, interactions: Interactions, events: Events) -> IntArray:
        """Fold events in, which ``interactions`` already hold; return the item rows that moved."""
        if isinstance(self.factorizer, FactorModel) and self.updater is not None:
            self.make_room(interactions)
            return self.updater.update(OnlineState(self.factorizer, interactions), events)
        return self.factorizer.partial_fit(interactions, events)

    def learn_content(self, rows: IntArray, content: Matrix) -> IntArray:
        """Take the text vectors of new or changed items, if it reads any; return the rows that moved."""
        if isinstance(self.factorizer, ContentFactorizer) and len(rows):
            return self.factorizer.learn_content(rows, content)
        return np.empty(0, dtype=np.int32)


def content_view(views: Sequence[TextView]) -> int | None:
    """Return the place of the text view whose vectors factorizers read: the first dense one, or the first."""
    dense = [place for place, view in enumerate(views) if not sparse.issparse(view.vectors_)]
    return next(iter([*dense, *range(len(views))]), None)


def _n_bytes(vectors: Matrix) -> int:
    parts = (vectors.data, vectors.indices, vectors.indptr) if sparse.issparse(vectors) else (vectors,)
    return sum(int(part.nbytes) for part in parts)


def _dense(vectors: Matrix) -> FloatArray:
    return np.asarray(vectors.toarray() if sparse.issparse(vectors) else vectors)


def _on_top_of(upper: Matrix, lower: Matrix) -> Matrix:
    if sparse.issparse(upper) or sparse.issparse(lower):
        return sparse.csr_array(sparse.vstack([sparse.csr_array(upper), sparse.csr_array(lower)]))
    return np.vstack([upper, lower])


def _product(left: Any, right: Matrix) -> Matrix:
    """Multiply a sparse matrix by vectors; the histories may know fewer items than the view, or more."""
    width = right.shape[0]
    if left.shape[0] == 1 and sparse.issparse(right):
        return _sum_of_one(left, right)
    if left.shape[1] > width:
        left = left[:, :width]
    elif left.shape[1] < width:
        right = right[: left.shape[1]]
    product = left @ right
    if sparse.issparse(product):
        return product if isinstance(product, sparse.csr_array) else sparse.csr_array(product)
    return np.asarray(product, dtype=np.float32)


def _sum_of_one(history: Any, vectors: Any) -> Any:
    """Return the same product of a single history and sparse vectors; SciPy's takes five times as long."""
    from llmrec.growing_rows import row_bounds
    from llmrec.kernels.sparse_queries import sum_of_rows

    items, weights = history.indices, history.data
    if history.shape[1] > vectors.shape[0]:
        is_known = items < vectors.shape[0]
        items, weights = items[is_known], weights[is_known]
    starts, stops, indices, data = row_bounds(vectors, items)
    columns, values = sum_of_rows((starts, stops), weights, indices, data, vectors.shape[1])
    return csr_of(values, columns, np.array([0, len(columns)], dtype=np.int32), (1, vectors.shape[1]))
