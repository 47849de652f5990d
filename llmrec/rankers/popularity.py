"""Control of popularity: hold against an item, or for it, how many have taken it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmrec.base import IntArray, ItemFacts, Matrix, Ranker
from llmrec.rankers.reranker import DoubleArray, Pool, Reranker
from llmrec.validation import check_number
from llmrec.vectors import grown

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PopularityRanker"]


class PopularityRanker(Reranker):
    r"""Re-rank by :math:`z_i - b \log(1 + n_i)`: relevance less what popularity is held to explain.

    Choose it to bring the long tail up without a new fit (cf. Abdollahpouri, Burke & Mobasher, "Managing
    popularity bias in recommender systems with personalized re-ranking", FLAIRS 2019). Lists lose accuracy
    as measured on what people took anyway, since that is popular.

    Without a recommender no counts are known, and the list is the inner ranker's.

    Parameters
    ----------
    strength : float, default 0.2
        The dial :math:`b`, in standard deviations of the pool's scores for each e-fold of events: 0 is the
        inner ranker's list, below 0 favours what is popular.
    ranker : Ranker or str, default "dot"
        Whose lists are re-ranked.
    pool : int, default 100
        How many of the best items to choose from.

    Attributes
    ----------
    ranker_ : Ranker
    counts_ : ndarray of int64, shape (n_items,)
        Number of events of each item.

    Examples
    --------
    >>> from llmrec.base import ItemFacts
    >>> ranker = PopularityRanker(strength=1).index(np.array([[1.0], [0.9], [0.1]], dtype=np.float32))
    >>> ranker.describe(ItemFacts(np.arange(3, dtype=np.int32), np.array([500, 3, 1]), [], {}))
    >>> ranker.rank(np.ones((1, 1), dtype=np.float32), k=3)[0].tolist()
    [[1, 2, 0]]
    """

    counts_: npt.NDArray[np.int64]

    def __init__(self, strength: float = 0.2, *, ranker: Ranker | str = "dot", pool: int = 100):
        super().__init__(ranker=ranker, pool=pool)
        self.strength = strength

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense, sparse or joined, finite."""
        super().index(item_vectors)
        self.counts_ = np.zeros(item_vectors.shape[0], dtype=np.int64)
        return self

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items, which nobody has taken."""
        super().update(rows, vectors)
        self.counts_ = grown(self.counts_, int(rows.max(initial=-1)) + 1)

    def describe(self, facts: ItemFacts) -> None:
        """Take the numbers of events of items."""
        super().describe(facts)
        self.counts_ = grown(self.counts_, int(facts.rows.max(initial=-1)) + 1)
        self.counts_[facts.rows] = facts.counts

    def rerank(self, pool: Pool, k: int) -> tuple[Any, DoubleArray]:
        """Sort the pool by what popularity leaves of the relevance."""
        strength = check_number("strength", self.strength)
        costs = strength * np.log1p(self.counts_[pool.rows])
        order = np.argsort(costs - pool.relevance, kind="stable")
        return order, costs[order]
