"""Maximal marginal relevance: the next item is relevant, and unlike those before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.base import Ranker
from llmrec.rankers.likeness import LikenessReranker
from llmrec.rankers.reranker import DoubleArray, Pool, exchange_rate
from llmrec.validation import check_number

__all__ = ["MMRRanker"]


class MMRRanker(LikenessReranker):
    r"""Re-rank by maximal marginal relevance: each next item is relevant, and unlike those above it.

    It is the one with the best

    .. math:: (1 - d) \, z_i - d \max_{j \text{ above}} s_{ij}

    of relevance :math:`z` and likeness :math:`s` to the nearest item above it (Carbonell & Goldstein, "The
    use of MMR, diversity-based reranking for reordering documents and producing summaries", SIGIR 1998;
    their :math:`\lambda` is :math:`1 - d`). A likeness below 0 counts as 0.

    Choose it against near-duplicates, such as sequels and colours of one shirt; it looks at the nearest item
    alone, and :class:`DPPRanker` at the whole list.

    Parameters
    ----------
    diversity : float from 0 to 1, default 0.3
        The dial: 0 is the inner ranker's list; at 1 relevance only breaks ties.
    ranker : Ranker or str, default "dot"
        Whose lists are re-ranked.
    view : str, optional
        The one view that likeness is read from; all but popularity, if not given.
    pool : int, default 100
        How many of the best items to choose from; a query costs O(``pool²``) inner products.

    Attributes
    ----------
    ranker_ : Ranker
    features_ : ndarray, csr_array or JoinedVectors of shape (n_items, dim)
        Unit vectors, whose inner product is the likeness.

    Examples
    --------
    Two items that are alike, and a third that is less relevant but another thing:

    >>> items = np.array([[1.0, 0], [0.99, 0], [0.5, 0.8]], dtype=np.float32)
    >>> query = np.array([[1, 0]], dtype=np.float32)
    >>> MMRRanker(diversity=0).index(items).rank(query, k=3)[0].tolist()
    [[0, 1, 2]]
    >>> MMRRanker(diversity=0.9).index(items).rank(query, k=3)[0].tolist()
    [[0, 2, 1]]
    """

    def __init__(
        self,
        diversity: float = 0.3,
        *,
        ranker: Ranker | str = "dot",
        view: str | None = None,
        pool: int = 100,
    ):
        super().__init__(ranker=ranker, view=view, pool=pool)
        self.diversity = diversity

    def rerank(self, pool: Pool, k: int) -> tuple[Any, DoubleArray]:
        """Choose one item after the other, each against those chosen."""
        rate = exchange_rate(check_number("diversity", self.diversity, 0, 1))
        alike = self.likeness(pool.rows)
        nearest = np.zeros(len(pool.rows))
        left = np.ones(len(pool.rows), dtype=np.bool_)
        order, costs = np.empty(k, dtype=np.int64), np.empty(k)
        for place in range(k):
            chosen = int(np.argmax(np.where(left, pool.relevance - rate * nearest, -np.inf)))
            order[place], costs[place], left[chosen] = chosen, rate * nearest[chosen], False
            np.maximum(nearest, alike[chosen], out=nearest)
        return order, costs
