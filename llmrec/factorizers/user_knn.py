"""User neighbours: users with a like history, and what they took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from llmrec.base import ContentFactorizer, FloatArray, IntArray, Matrix
from llmrec.factorizers.content_prior import support_with_text
from llmrec.factorizers.similarity import (
    Comparison,
    column_scale,
    content_neighbours,
    nearest_of_rows,
    neighbours_of_new,
    rated_weights,
)
from llmrec.validation import check_fitted, check_integer, check_matrix, check_number
from llmrec.vectors import distinct, grown, replace_rows, scale_rows, take_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["UserKNN"]

_ROOM = 2


class UserKNN(ContentFactorizer):
    r"""Score an item by how alike the users who took it are: user-based collaborative filtering.

    The query vector holds the similarities of a history to its ``neighbours`` nearest users, a sparse row; an
    item's vector is its audience (Resnick et al., "GroupLens", CSCW 1994). Choose it where
    histories are short and there are many items, and beside :class:`ItemKNN`, from which it errs differently.
    New events count at once, of new users too.

    A known user is their own nearest neighbour. That adds to the scores of items they took, which are left
    out of recommendations anyway, and takes one of the ``neighbours`` places.

    Parameters
    ----------
    neighbours : int, default 100
        Similar users who count for a history.
    shrinkage : float, default 0.0
        Similarities are multiplied by ``n / (n + shrinkage)``, with ``n`` the number of items in common.
    similarity : {"cosine", "adjusted-cosine", "pearson", "jaccard", "dot"}, default "cosine"
        As in :class:`ItemKNN`, with users for items: ``"pearson"`` compares ratings less each user's mean,
        ``"adjusted-cosine"`` less each item's. Item vectors then hold the ratings of the audience.
    weighting : {"bm25", "tf-idf"} or None, default None
        What an event counts in ``"cosine"`` and ``"dot"``: less for an item that many took.
    popularity_exponent : float, default 0.0
        Events of an item with ``n`` of them count :math:`n^{-e}`, in histories and in audiences; the higher,
        the rarer the items that are recommended.
    content_weight : float, default 0.0
        How far an event also counts for items with a like text: audiences are :math:`A + g\,C A`, where
        :math:`C` holds the cosines of each item's nearest texts, and histories likewise. Items without events
        then have an audience too, also those that come later; 0.1 is a good start. Needs similarity
        ``"cosine"`` or ``"dot"``.
    content_neighbours : int, default 50
        Items with a like text that count for each item.

    Attributes
    ----------
    audiences_ : csr_array of shape (n_items, dim)
        The item vectors. ``dim`` is twice the number of users at the time of ``fit``, so that users who come
        later have columns; when these are used up, further users are nobody's neighbours until the next
        ``fit``.
    profiles_ : csr_array of shape (n_users, n_items)
        What histories are compared with.
    content_neighbours_ : csr_array of shape (n_items, n_items), or None
    content_ : ndarray or csr_array of shape (n_items at the time of fit, content_dim), or None
        The text vectors, if they are read.
    events_ : csr_array of shape (n_items, dim), or None
        Audiences before they spread, if texts are read.

    Examples
    --------
    >>> from llmrec.interactions import Histories, Interactions
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "jam"), ("bob", "rye")])
    >>> knn = UserKNN().fit(events)
    >>> query = knn.query_vectors(Histories.of([[0]], n_columns=3))
    >>> query.toarray().astype(float).round(2).tolist()          # ann, bob, and room for two more
    [[0.71, 0.0, 0.0, 0.0]]
    >>> knn.item_vectors().toarray().tolist()
    [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        neighbours: int = 100,
        *,
        shrinkage: float = 0.0,
        similarity: str = "cosine",
        weighting: str | None = None,
        popularity_exponent: float = 0.0,
        content_weight: float = 0.0,
        content_neighbours: int = 50,
    ):
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.similarity = similarity
        self.weighting = weighting
        self.popularity_exponent = popularity_exponent
        self.content_weight = content_weight
        self.content_neighbours = content_neighbours

    def fit(self, interactions: Interactions, content: Matrix | None = None) -> Self:
        """Keep all histories and audiences.

        Raises
        ------
        DataError
            If ratings are to be compared and the events have none.
        """
        check_integer("neighbours", self.neighbours, minimum=1)
        exponent = check_number("popularity_exponent", self.popularity_exponent, 0)
        weight = check_number("content_weight", self.content_weight, 0)
        n_items = interactions.n_items
        histories = interactions.histories()
        self.comparison_ = Comparison.learn(self.similarity, self.weighting, self.shrinkage, histories)
        self.content_: Matrix | None = None
        self.content_neighbours_: Any = None
        self.events_: Any = None
        if weight and content is not None:
            self.comparison_.check_weights_are_compared("content_weight")
            self.content_neighbours_ = content_neighbours(content, n_items, self.content_neighbours)
            self.content_ = check_matrix(content, "content")
        if exponent:
            self.comparison_.check_weights_are_compared("popularity_exponent")
        self.width_ = _ROOM * interactions.n_users
        self.item_scale_ = np.ones(n_items, dtype=np.float32)
        rows = np.arange(n_items, dtype=np.int32)
        audiences = self._met(interactions, rows)
        if self.content_ is not None:
            self.events_ = audiences
            audiences = self._spread(rows)
        self.item_scale_ = column_scale(np.asarray(audiences.sum(axis=1)).ravel(), exponent)
        scales = self.item_scale_[self.item_scale_ > 0]
        self.mean_scale_ = float(scales.mean()) if len(scales) else 1.0
        self.audiences_ = scale_rows(audiences, self.item_scale_)
        self.profiles_ = self._profiles(histories)
        return self

    def item_vectors(self) -> Any:
        """Return the ``(n_items, dim)`` sparse audiences."""
        check_fitted(self, "audiences_")
        return self.audiences_

    def query_vectors(self, histories: Histories) -> Any:
        """Return ``(n, dim)``: the similarities of each history to its nearest users, sparse."""
        check_fitted(self, "audiences_")
        profiles = self._profiles(histories)
        queries = nearest_of_rows(self.comparison_, profiles, self.neighbours, self.profiles_)
        queries.resize((len(histories), self.width_))
        return queries

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Renew the histories and audiences that ``events`` extend; return the items that moved.

        What was learned of the catalogue as a whole stays as of ``fit``: how rare items are, their mean
        ratings and neighbours by text. A new item counts as one of mean weight.
        """
        check_fitted(self, "audiences_")
        if not len(events):
            return np.empty(0, dtype=np.int32)
        self._make_room(interactions.n_items)
        users = distinct(events.user_rows[events.user_rows < self.width_])
        items = distinct(events.item_rows)
        audiences = self._met(interactions, items)
        if self.content_neighbours_ is not None:
            self.events_ = replace_rows(self.events_, items, audiences)
            beside = self.content_neighbours_.tocsc()[:, items].indices
            items = np.union1d(items, beside).astype(np.int32)
            audiences = self._spread(items)
        self.profiles_ = replace_rows(self.profiles_, users, self._profiles(interactions.histories(users)))
        self.audiences_ = replace_rows(self.audiences_, items, scale_rows(audiences, self.item_scale_[items]))
        return items

    def learn_content(self, item_rows: IntArray, content: Matrix) -> IntArray:
        """Give the new items among ``item_rows`` the audience of items with a like text; return their rows.

        The text of an item that was there at ``fit`` counts from the next ``fit`` on, and so does what new
        items add to histories and to other items.
        """
        check_fitted(self, "audiences_")
        if self.content_ is None or not np.any(item_rows >= self.content_.shape[0]):
            return np.empty(0, dtype=np.int32)
        is_new = np.flatnonzero(item_rows >= self.content_.shape[0])
        # If an item comes twice, the last text counts.
        rows, from_end = np.unique(item_rows[is_new][::-1], return_index=True)
        rows = rows.astype(np.int32)
        texts = check_matrix(content[is_new[::-1][from_end]], "content", dim=self.content_.shape[1])
        self._make_room(int(rows.max()) + 1)
        found = neighbours_of_new(texts, self.content_, self.content_neighbours)
        found.resize((len(rows), len(self.item_scale_)))
        self.content_neighbours_ = replace_rows(self.content_neighbours_, rows, found)
        audiences = self._spread(rows)
        totals = np.asarray(audiences.sum(axis=1)).ravel()
        # One with events is in histories at the scale that it has.
        placed = (totals > 0) & (np.diff(take_rows(self.events_, rows).indptr) == 0)
        self.item_scale_[rows[placed]] = column_scale(totals[placed], self.popularity_exponent)
        self.audiences_ = replace_rows(self.audiences_, rows, scale_rows(audiences, self.item_scale_[rows]))
        return rows

    def item_support(self, item_counts: FloatArray, item_rows: IntArray) -> FloatArray:
        """Return each item's events, or half of one for an item that has only neighbours by text."""
        if self.content_neighbours_ is None:
            return item_counts
        has_neighbours = np.diff(take_rows(self.content_neighbours_, item_rows).indptr) > 0
        return support_with_text(item_counts, has_neighbours)

    def _profiles(self, histories: Histories) -> Any:
        """Return ``(n, n_items)``: the histories as they are compared."""
        n_items = len(self.item_scale_)
        known = histories.known_to(n_items).widened(n_items)
        blur = None
        if self.content_ is not None:
            # The histories that these are compared with do not hold what new items would add.
            blur = np.float32(self.content_weight) * self.content_neighbours_[: self.content_.shape[0]].T
            blur.resize((n_items, n_items))
        return self.comparison_.rows(known, blur, self.item_scale_)

    def _met(self, interactions: Interactions, item_rows: IntArray) -> Any:
        """Return ``(len(item_rows), dim)``: who took each item."""
        own = interactions.audiences(item_rows).known_to(self.width_)
        weights = own.weight_matrix()
        if self.comparison_.reads_ratings:
            weights = rated_weights(own, self.similarity)
        weights.resize((len(item_rows), self.width_))
        return weights

    def _spread(self, item_rows: IntArray) -> Any:
        """Return ``(len(item_rows), dim)``: who took each item, or one with a like text."""
        beside = np.float32(self.content_weight) * self.content_neighbours_[item_rows]
        events = self.events_
        return sparse.csr_array(take_rows(events, item_rows) + beside[:, : events.shape[0]] @ events)

    def _make_room(self, n_items: int) -> None:
        """Give new items columns of mean weight."""
        n_known = len(self.item_scale_)
        if n_items <= n_known:
            return
        self.item_scale_ = grown(self.item_scale_, n_items)
        self.item_scale_[n_known:] = self.mean_scale_
        self.comparison_ = self.comparison_.with_columns(n_items)
        self.profiles_.resize((self.profiles_.shape[0], n_items))
        if self.content_neighbours_ is not None:
            self.content_neighbours_.resize((n_items, n_items))
