"""Determinantal point process: the list whose relevance and spread together are likeliest, greedily."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.base import Ranker
from llmrec.rankers.likeness import LikenessReranker
from llmrec.rankers.reranker import DoubleArray, Pool, exchange_rate
from llmrec.validation import check_number

__all__ = ["DPPRanker"]

# Below this share of its length, what an item adds to the space of those above is rounding error.
_LEAST_VARIANCE = 1e-6


class DPPRanker(LikenessReranker):
    r"""Re-rank by a determinantal point process: relevant lists that span as much as they can.

    Each next item is the one that adds most to

    .. math:: (1 - d) \sum_{i \in L} z_i + d \, \log \det S_L

    with relevance :math:`z` and the matrix :math:`S_L` of likeness within the list. The determinant is the
    squared volume that the items' vectors span, so an item that several above it explain *together* counts
    as known, which :class:`MMRRanker` does not see. It is the kernel :math:`L_{ij} = q_i S_{ij} q_j` with
    :math:`q = e^{\theta z}`, :math:`\theta = (1 - d) / 2d`, maximised greedily by an incremental Cholesky
    factorisation in O(``k² · pool``) (Chen, Zhang & Zhou, "Fast greedy MAP inference for determinantal
    point process to improve recommendation diversity", NeurIPS 2018).

    Once the list spans all there is, what is left comes by relevance.

    Parameters
    ----------
    diversity : float from 0 to 1, default 0.3
        The dial: 0 is the inner ranker's list; at 1 relevance only breaks ties.
    ranker : Ranker or str, default "dot"
        Whose lists are re-ranked.
    view : str, optional
        The one view that likeness is read from; all but popularity, if not given.
    pool : int, default 100
        How many of the best items to choose from.

    Attributes
    ----------
    ranker_ : Ranker
    features_ : ndarray, csr_array or JoinedVectors of shape (n_items, dim)
        Unit vectors, whose inner product is the likeness.

    Examples
    --------
    The third item lies between the first two, and so adds least beside them:

    >>> items = np.array([[1, 0, 0], [0.9, 0.9, 0], [0.9, 0.5, 0], [0.1, 0, 1]], dtype=np.float32)
    >>> query = np.array([[1, 0.2, 0.1]], dtype=np.float32)
    >>> DPPRanker(diversity=0).index(items).rank(query, k=4)[0].tolist()
    [[1, 0, 2, 3]]
    >>> DPPRanker(diversity=0.5).index(items).rank(query, k=4)[0].tolist()
    [[1, 0, 3, 2]]
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
        """Choose one item after the other, each by what it adds to the log-determinant."""
        rate = exchange_rate(check_number("diversity", self.diversity, 0, 1))
        alike = self.likeness(pool.rows)
        n_items = len(pool.rows)
        # Row by row the Cholesky factor of the chosen items against all, and what it leaves of each.
        factor, variance = np.zeros((k, n_items)), np.ones(n_items)
        left = np.ones(n_items, dtype=np.bool_)
        order, costs = np.empty(k, dtype=np.int64), np.empty(k)
        for place in range(k):
            against = -rate * np.log(np.maximum(variance, _LEAST_VARIANCE))
            chosen = int(np.argmax(np.where(left, pool.relevance - against, -np.inf)))
            order[place], costs[place], left[chosen] = chosen, against[chosen], False
            if variance[chosen] > _LEAST_VARIANCE:
                explained = factor[:place, chosen] @ factor[:place]
                factor[place] = (alike[chosen] - explained) / np.sqrt(variance[chosen])
                variance -= factor[place] ** 2
        return order, costs
