"""Ranking by an inner product: one scan in float32, and the best few scored again in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray, IntArray, Matrix
from llmrec.rankers.exact import ExactRanker
from llmrec.vectors import JoinedVectors, dot, paired_dots

__all__ = ["InnerProductRanker"]


class InnerProductRanker(ExactRanker):
    """Base of the rankers whose score is the inner product of prepared vectors.

    A scan in float32 finds the candidates; their scores are then computed anew in float64. A blend of
    views may be a small difference of large products, whose rounding would otherwise depend on how many
    queries are asked at once.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time; bounds memory at ``min(n_queries, 256) * block_size * 4`` bytes.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A subclass with a score of its own must not get inner products back for its best items.
        if "score" in vars(cls) and "rescore" not in vars(cls):
            cls.rescore = ExactRanker.rescore  # type: ignore[assignment, method-assign]

    def score(self, queries: Matrix, items: Any) -> FloatArray:
        """Return the inner products."""
        if items is getattr(self, "items_", None) and not isinstance(items, np.ndarray):
            return self._score_all(queries)
        return dot(queries, items)

    def _score_all(self, queries: Matrix) -> FloatArray:
        """Return the inner products with the whole catalogue, whose sparse part is kept by column as well.

        A product with rows of items would turn all of them on every call; by column it reads only those
        that a query has.
        """
        items = self.items_
        thin = items.sparse if isinstance(items, JoinedVectors) else items
        kept = getattr(self, "_by_column", None)
        if kept is None or kept[0] is not thin:
            kept = self._by_column = (thin, sparse.csr_array(thin.T))
        asked = queries.sparse if isinstance(queries, JoinedVectors) else queries
        product = asked @ kept[1]
        scores = np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float32)
        return scores + dot(queries.dense, items.dense) if isinstance(queries, JoinedVectors) else scores

    def rescore(self, queries: Matrix, rows: IntArray) -> npt.NDArray[np.float64]:
        """Return the inner products with the items in ``rows``, ``(n_queries, n)``, in float64."""
        return paired_dots(queries, self.items_, rows)
