"""Re-ranking: another ranker gives a pool of the best items, a re-ranker says which of them come first."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray, IntArray, Matrix, Ranker
from llmrec.rankers.outer import OuterRanker
from llmrec.validation import check_fitted, check_integer

if TYPE_CHECKING:
    from llmrec.interactions import Histories

__all__ = ["Pool", "Reranker"]

DoubleArray = npt.NDArray[np.float64]

# Scores whose deviation is a smaller share of them than this differ by rounding alone.
_NEGLIGIBLE_SPREAD = 1e-6
# A dial at 1 would leave relevance without any weight; this much lets it break ties.
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class Pool:
    """The candidates of one query, best first by the inner ranker.

    Attributes
    ----------
    rows : ndarray of int32, shape (n,)
    relevance : ndarray of float64, shape (n,)
        The inner ranker's scores, less their mean, in their standard deviations over the pool.
    seen : ndarray of int32
        The items of the query's history; empty where none is known.
    seen_weights : ndarray of float32
        How much each counts.
    """

    rows: IntArray
    relevance: DoubleArray
    seen: IntArray
    seen_weights: FloatArray


class Reranker(OuterRanker):
    """Base of the re-rankers: a subclass orders a pool, this class asks for it and fills up behind it.

    The inner ranker gives the best ``pool`` items, :meth:`rerank` puts them into another order, and items
    past the pool follow as the inner ranker has them. So a short list is the head of a long one.

    The score of an item is the inner ranker's, less what the re-ranking holds against the item, on the
    same scale: one unit of relevance is one standard deviation of the pool's scores. A score is
    never above that of the item before. With its dial at the neutral end a re-ranker gives the
    inner ranker's lists and scores, to the last bit.

    Parameters
    ----------
    ranker : Ranker or str, default "dot"
        Whose lists are re-ranked; it is copied, not changed. May be a re-ranker itself.
    pool : int, default 100
        How many of its best items to choose from.

    Attributes
    ----------
    ranker_ : Ranker
        The copy, which holds the index.
    """

    def __init__(self, *, ranker: Ranker | str = "dot", pool: int = 100):
        super().__init__(ranker=ranker)
        self.pool = pool

    @abstractmethod
    def rerank(self, pool: Pool, k: int) -> tuple[Any, DoubleArray]:
        """Return the places in the pool of at least the first ``k``, in their new order, and what each costs.

        A cost is what the re-ranking holds against the item at its place, in units of ``pool.relevance``;
        0 throughout at the neutral end.
        """

    def _rank(
        self,
        histories: Histories | None,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allow: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        check_fitted(self, "ranker_", "index")
        k = check_integer("k", k, minimum=1)
        size = check_integer("pool", self.pool, minimum=1)
        rows, scores = self._inner(histories, queries, max(k, size), exclude, allow)
        width = min(k, rows.shape[1])
        new_rows = np.full((rows.shape[0], width), -1, dtype=np.int32)
        new_scores = np.full((rows.shape[0], width), -np.inf, dtype=np.float32)
        for query in range(rows.shape[0]):
            n_found = int(np.sum(rows[query] >= 0))
            n_pool, n_wanted = min(n_found, size), min(n_found, width)
            if n_found:
                own_rows, own_scores = rows[query, :n_found], scores[query, :n_found]
                seen = _history(histories, query)
                order, values = self._ordered(own_rows[:n_pool], own_scores[:n_pool], seen, width)
                order = np.concatenate([order, np.arange(n_pool, n_found)])[:n_wanted]
                values = np.concatenate([values, own_scores[n_pool:]])[:n_wanted]
                new_rows[query, :n_wanted] = own_rows[order]
                new_scores[query, :n_wanted] = np.minimum.accumulate(values)
        return new_rows, new_scores

    def _ordered(
        self, rows: IntArray, scores: FloatArray, seen: tuple[IntArray, FloatArray], k: int
    ) -> tuple[Any, DoubleArray]:
        """Return the places of the pool in their new order, and their scores."""
        doubles = scores.astype(np.float64)
        deviation = float(doubles.std())
        if deviation <= _NEGLIGIBLE_SPREAD * float(np.abs(doubles).max()):
            relevance, deviation = np.zeros(len(doubles)), 1.0
        else:
            relevance = (doubles - doubles.mean()) / deviation
        order, costs = self.rerank(Pool(rows, relevance, *seen), min(k, len(rows)))
        return order, doubles[order] - deviation * costs


def exchange_rate(dial: float) -> float:
    """Return what one unit beside relevance weighs, where relevance has the weight ``1 - dial``."""
    return dial / max(1 - dial, _LEAST_WEIGHT)


def _history(histories: Histories | None, query: int) -> tuple[IntArray, FloatArray]:
    if histories is None:
        return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    own = slice(int(histories.indptr[query]), int(histories.indptr[query + 1]))
    return histories.columns[own], histories.weights[own]
