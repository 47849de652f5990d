"""Ranking by an inner product: a scan finds the candidates, and float64 decides among them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray, IntArray, Matrix
from llmrec.growing_rows import GrowingRows
from llmrec.rankers.exact import ExactRanker, check_vectors
from llmrec.vectors import JoinedVectors, copied, distinct, dot, paired_dots, row_norms

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.rankers.search import Found, ItemSearch

__all__ = ["InnerProductRanker"]

# Fewer items are scored faster than a kernel is loaded.
_LARGE_CATALOGUE = 4096
# To turn as many entries after each update takes longer than all else.
_MANY_ENTRIES = 200_000
# A query is served by column if it uses no more than a part of so many columns.
_MANY_COLUMNS, _FEW_COLUMNS, _FEW_QUERIES = 512, 3, 4
_EPSILON = 2.0**-24

_building = threading.Lock()


class InnerProductRanker(ExactRanker):
    """Base of the rankers whose score is the inner product of prepared vectors.

    A scan finds the candidates, whose scores are then computed anew in float64. The scan's own error has
    a bound, and what may be among the best within it is a candidate, so that lists are those of float64
    however many queries are asked at once.

    Catalogues of 4,096 items and more are scanned as bytes where the processor has instructions for that
    (AVX-512 VNNI, or AVX2 up to 1,024 columns), with AVX2 as half bytes where there is no sparse part and no
    more than 256 columns, by columns in what is sparse, and compiled on first use; see :func:`llmrec.warmup`.
    Smaller ones are scored by BLAS, those with large sparse parts until they change. A subclass with a
    ``score`` or ``rescore`` of its own is scored by that.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time where scores are written out; bounds memory at
        ``min(n_queries, 256) * block_size * 4`` bytes.
    """

    # Derived from items_, made on first use, and never stored.
    _search: ItemSearch | None = None
    _thin_by_column: tuple[Any, Any] | None = None
    _dense_by_column: tuple[Any, Any] | None = None
    _longest: float | None = None
    _is_live: bool = False
    # Whether the search may take queries as they come.
    _is_plain: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A subclass with a score of its own must not get inner products back for its best items.
        if "score" in vars(cls) and "rescore" not in vars(cls):
            cls.rescore = ExactRanker.rescore  # type: ignore[assignment, method-assign]
        own = ("prepare", "query_form", "_rank_some")
        cls._is_plain = all(getattr(cls, name) is getattr(InnerProductRanker, name) for name in own)

    def prepare(self, vectors: Matrix) -> Matrix:
        """Return a copy: the index does not share memory with the caller."""
        return copied(vectors)

    def query_form(self, queries: Matrix) -> Matrix:
        """Return prepared queries as the inner product takes them; the default, as they are."""
        return queries

    def score(self, queries: Matrix, items: Any) -> FloatArray:
        """Return the inner products."""
        queries = self.query_form(queries)
        if items is not getattr(self, "items_", None):
            return dot(queries, items)
        if isinstance(items, JoinedVectors):
            dense = self._dense_scores(queries.dense, items.dense)
            return dense + self._thin_scores(queries.sparse, items.sparse)
        if sparse.issparse(items):
            return self._thin_scores(queries, items)
        return self._dense_scores(queries, items)

    def _thin_scores(self, queries: Any, items: Any) -> FloatArray:
        """Return the inner products with the sparse part of the catalogue, which is kept by column as well.

        A product with rows of items would turn all of them on every call; by column it reads only those
        that a query has.
        """
        kept = self._thin_by_column
        if kept is None or kept[0] is not items:
            kept = self._thin_by_column = (items, sparse.csr_array(items.T))
        if not sparse.issparse(queries):
            return np.asarray(queries @ kept[1], dtype=np.float32)
        from llmrec.kernels.sparse_queries import scores_by_column

        return scores_by_column(queries, kept[1])

    def _dense_scores(self, queries: Any, items: Any) -> FloatArray:
        """Return the same with the dense part, by column where a few queries use few of many columns."""
        is_wide = items.shape[1] >= _MANY_COLUMNS and len(items) > 1 and not self._is_live
        if not (is_wide and isinstance(queries, np.ndarray) and len(queries) <= _FEW_QUERIES):
            return dot(queries, items)
        if np.count_nonzero(queries) * _FEW_COLUMNS > queries.size:
            return dot(queries, items)
        from llmrec.kernels.dense_queries import scores_by_column

        kept = self._dense_by_column
        if kept is None or kept[0] is not items:
            kept = self._dense_by_column = (items, np.ascontiguousarray(items.T))
        return scores_by_column(queries, kept[1])

    def rescore(self, queries: Matrix, rows: IntArray) -> npt.NDArray[np.float64]:
        """Return the inner products with the items in ``rows``, ``(n_queries, n)``, in float64."""
        return paired_dots(self.query_form(queries), self.items_, rows)

    def rounding(self, queries: Matrix) -> npt.NDArray[np.float64]:
        """Return how far off a float32 score of each query may be, ``(n_queries,)``."""
        longest = self._longest
        if longest is None:
            longest = self._longest = float(row_norms(self.items_).max(initial=0))
        n_terms = queries.shape[1]
        thin = queries.sparse if isinstance(queries, JoinedVectors) else queries
        if sparse.issparse(thin):
            n_terms += int(np.diff(thin.indptr).max(initial=0)) - thin.shape[1]
        # One product, one sum a term, and the sum of two parts; in float64, where nothing overflows.
        return np.asarray((n_terms + 8) * _EPSILON * longest * row_norms(queries).astype(np.float64))

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense, sparse or joined, finite."""
        self._forget()
        return super().index(item_vectors)

    def index_given(self, item_vectors: Matrix) -> Self:
        """Take vectors that nobody else keeps, as they are where this ranker prepares nothing."""
        kind = type(self)
        if kind.index is not InnerProductRanker.index or kind.prepare is not InnerProductRanker.prepare:
            return self.index(item_vectors)
        self._forget()
        self.items_ = check_vectors(item_vectors, "item_vectors")
        self.width_ = int(item_vectors.shape[1])
        return self

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``get_state`` gave; what is derived from it is made on first use."""
        super().set_state(state)
        self._forget()

    def _forget(self) -> None:
        self._search = self._thin_by_column = self._dense_by_column = self._longest = None
        self._is_live = False

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items."""
        search, longest = self._search, self._longest
        self._is_live = True
        if search is None or search.items is not self.items_:
            super().update(rows, vectors)
            self._search = self._thin_by_column = self._dense_by_column = None
            if longest is not None:
                # Of vectors that are gone too: a bound need not be tight, and this one costs O(rows).
                changed = row_norms(self.prepare(vectors)).max(initial=0)
                self._longest = max(longest, float(changed))
            if self._turns_often():
                # Once, and here, so that no request waits for it.
                self._searched()
            return
        n_known, changed = self.items_.shape[0], distinct(rows)
        if len(changed) and changed[-1] >= n_known:
            # Rows between, that nobody named, are new as well.
            new = np.arange(n_known, changed[-1] + 1, dtype=np.int32)
            changed = distinct(np.concatenate([changed, new]))
        before = search.rows_of(changed)
        super().update(rows, vectors)
        search.update(self.items_, changed, before)

    def _searched(self) -> ItemSearch | None:
        """Return what large catalogues are searched with, made on first use; None for small ones."""
        search: ItemSearch | None = getattr(self, "_search", None)
        # First, for counting the entries of rows that grow makes them an ordinary matrix.
        if search is not None and search.items is self.items_:
            return search
        kind = type(self)
        is_own = kind.score is InnerProductRanker.score and kind.rescore is InnerProductRanker.rescore
        if not is_own or not (self.items_.shape[0] >= _LARGE_CATALOGUE or self._turns_often()):
            return None
        with _building:
            search = self._search
            if search is None or search.items is not self.items_:
                search = self._search = self._built()
        return search

    def _turns_often(self) -> bool:
        """Say whether items change that have many sparse entries, all turned for :meth:`score` each time."""
        thin = self.items_.sparse if isinstance(self.items_, JoinedVectors) else self.items_
        return self._is_live and sparse.issparse(thin) and thin.nnz >= _MANY_ENTRIES

    def _built(self) -> ItemSearch:
        from llmrec.rankers.search import ItemSearch

        items = self.items_
        if isinstance(items, JoinedVectors) and not isinstance(items.sparse, GrowingRows):
            items = JoinedVectors(items.dense, GrowingRows(items.sparse))
        elif sparse.issparse(items) and not isinstance(items, GrowingRows):
            items = GrowingRows(items)
        search = ItemSearch(items)
        self.items_ = items
        return search

    def rank(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and scores of the best ``k`` for each query; see :meth:`llmrec.base.Ranker.rank`."""
        search = self._search
        if allow is None and self._is_plain and search is not None and search.items is self.items_:
            found = search.best_of_one(queries, k, exclude)
            if found is not None:
                return found
        return super().rank(queries, k, exclude, allow)

    def _rank_some(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allowed: IntArray | None,
        block_size: int,
    ) -> tuple[IntArray, FloatArray]:
        search = self._searched()
        if search is None:
            return super()._rank_some(queries, k, exclude, allowed, block_size)
        return _side_by_side(search.best(self.query_form(queries), k, exclude, allowed))


def _side_by_side(found: Sequence[Found]) -> tuple[IntArray, FloatArray]:
    """Put lists in rows, and fill short ones up."""
    if len(found) == 1:
        rows, scores = found[0]
        return rows[None], scores[None]
    width = max((len(rows) for rows, _ in found), default=0)
    best_rows = np.full((len(found), width), -1, dtype=np.int32)
    best_scores = np.full((len(found), width), -np.inf, dtype=np.float32)
    for query, (rows, scores) in enumerate(found):
        best_rows[query, : len(rows)], best_scores[query, : len(rows)] = rows, scores
    return best_rows, best_scores
