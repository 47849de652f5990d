"""How alike two items are to a re-ranker: the cosine of what the views say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llmrec.base import IntArray, ItemFacts, Matrix, Ranker, ViewVectors
from llmrec.errors import ParameterError, nearest
from llmrec.rankers.reranker import DoubleArray, Reranker
from llmrec.validation import check_fitted, check_matrix
from llmrec.vectors import JoinedVectors, dot, join_columns, replace_rows, scale_rows, take_rows, unit_rows

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LikenessReranker"]


class LikenessReranker(Reranker):
    """Base of the re-rankers that keep like items apart.

    Inside a recommender, two items are as alike as the views say: the cosine of their unit vectors in
    each view but popularity, side by side, so that text and behaviour count alike and an item that a view
    does not know is less like those that it knows. Alone, without facts of the items, likeness is
    the cosine of the vectors that are ranked.

    Parameters
    ----------
    ranker : Ranker or str, default "dot"
    view : str, optional
        The one view that likeness is read from, by a name in ``Recommender.views_``; all, if not given.
    pool : int, default 100

    Attributes
    ----------
    features_ : ndarray, csr_array or JoinedVectors of shape (n_items, dim)
        Rows of length 1, whose inner product is the likeness; zero for an item of which nothing is known.
    by_views_ : bool
        Whether they come from the views.
    """

    features_: Matrix
    by_views_: bool

    def __init__(self, *, ranker: Ranker | str = "dot", view: str | None = None, pool: int = 100):
        super().__init__(ranker=ranker, pool=pool)
        self.view = view

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense, sparse or joined, finite."""
        super().index(item_vectors)
        self.features_ = unit_rows(_checked(item_vectors))
        self.by_views_ = False
        return self

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items."""
        super().update(rows, vectors)
        if not self.by_views_:
            self.features_ = replace_rows(self.features_, rows, unit_rows(_checked(vectors)))

    def describe(self, facts: ItemFacts) -> None:
        """Take the views' vectors of items: of all for the first time, then of those that changed."""
        super().describe(facts)
        features = self._features_of(facts.views)
        self.features_ = replace_rows(self.features_, facts.rows, features) if self.by_views_ else features
        self.by_views_ = True

    def likeness(self, rows: IntArray) -> DoubleArray:
        """Return the ``(n, n)`` likeness of some items, from -1 to 1, with 1 on the diagonal."""
        check_fitted(self, "features_", "index")
        own = take_rows(self.features_, rows) if not isinstance(self.features_, JoinedVectors) else None
        own = _joined_rows(self.features_, rows) if own is None else own
        alike = dot(own, own).astype(np.float64)
        np.fill_diagonal(alike, 1.0)
        return alike

    def _features_of(self, views: Sequence[ViewVectors]) -> Matrix:
        telling = [one for one in views if one.kind != "popularity"]
        if self.view is not None:
            telling = [one for one in views if one.name == self.view]
            if not telling:
                names = [one.name for one in views]
                raise ParameterError(
                    f"view names {self.view!r}, which is not there; the views are {names}."
                    f"{nearest(self.view, names)}"
                )
        blocks = [scale_rows(unit_rows(one.vectors), one.present.astype(np.float32)) for one in telling]
        if not blocks:
            return np.zeros((len(views[0].support) if views else 0, 1), dtype=np.float32)
        return unit_rows(join_columns(blocks))


def _checked(vectors: Matrix) -> Matrix:
    return vectors if isinstance(vectors, JoinedVectors) else check_matrix(vectors, "the vectors of items")


def _joined_rows(vectors: JoinedVectors, rows: IntArray) -> JoinedVectors:
    return JoinedVectors(take_rows(vectors.dense, rows), take_rows(vectors.sparse, rows))
