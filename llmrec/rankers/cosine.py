"""Cosine ranking: top-k items by the angle between query and item vectors."""

from __future__ import annotations

from llmrec.base import Matrix
from llmrec.rankers.inner_product import InnerProductRanker
from llmrec.vectors import unit_rows

__all__ = ["CosineRanker"]


class CosineRanker(InnerProductRanker):
    """Rank items by cosine similarity, exactly.

    Cosine forgets the length of item vectors, and with it popularity: lists are more diverse and
    usually a little less accurate than those of :class:`DotRanker`. A vector of zeros scores 0.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time; bounds memory at ``min(n_queries, 256) * block_size * 4`` bytes.

    Examples
    --------
    >>> import numpy as np
    >>> ranker = CosineRanker().index(np.eye(3, dtype=np.float32))
    >>> rows, scores = ranker.rank(np.array([[0, 2, 1]], dtype=np.float32), k=2)
    >>> rows.tolist()
    [[1, 2]]
    """

    def prepare(self, vectors: Matrix) -> Matrix:
        """Return the vectors scaled to length 1."""
        return unit_rows(vectors)
