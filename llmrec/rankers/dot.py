"""Dot-product ranking: top-k items by the inner product of query and item vectors."""

from __future__ import annotations

from llmrec.rankers.inner_product import InnerProductRanker

__all__ = ["DotRanker"]


class DotRanker(InnerProductRanker):
    """Rank items by inner product, exactly: the score that factor models are trained for.

    The length of an item vector counts, and with it the item's popularity. Choose it unless you know
    that popular items should not lead; then see :class:`CosineRanker`.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time; bounds memory at ``min(n_queries, 256) * block_size * 4`` bytes.

    Examples
    --------
    >>> import numpy as np
    >>> ranker = DotRanker().index(np.array([[1, 0], [3, 0], [0, 1]], dtype=np.float32))
    >>> rows, scores = ranker.rank(np.array([[1, 0]], dtype=np.float32), k=2)
    >>> rows.tolist(), scores.tolist()
    ([[1, 0]], [[3.0, 1.0]])
    """
