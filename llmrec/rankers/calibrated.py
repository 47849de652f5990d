"""Calibration: a list that mixes kinds of items as its user's history does."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray, IntArray, ItemFacts, Matrix, Ranker
from llmrec.rankers.reranker import DoubleArray, Pool, Reranker, exchange_rate
from llmrec.validation import check_number
from llmrec.vectors import replace_rows, take_rows

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CalibratedRanker"]

_SMOOTHING = 0.01


class CalibratedRanker(Reranker):
    r"""Re-rank so that the list's mix of categories is that of the history.

    Someone who watched seven dramas and three comedies gets ten dramas by relevance alone; calibrated, about
    seven and three. Each next item :math:`i` is the one that makes the most of

    .. math:: (1 - c) \sum_{j \in L + i} z_j - c \, \mathrm{KL}(p \,\|\, \tilde q_{L + i})

    with relevance :math:`z`, the mix :math:`p` of the history, that of the list :math:`q`, and
    :math:`\tilde q = 0.99 q + 0.01 p` (Steck, "Calibrated recommendations", RecSys 2018). An item of
    several categories counts for each in equal parts.

    Where there is no mix to follow, because no item of the history has a category or the ranker is used
    without a recommender, the list is the inner ranker's.

    Parameters
    ----------
    calibration : float from 0 to 1, default 0.5
        The dial :math:`c`: 0 is the inner ranker's list; at 1 relevance only breaks ties.
    column : str, default "genres"
        The item column of categories: lists, or texts such as ``"Drama|War"``.
    separator : str, default "|"
        What parts the categories of a text.
    ranker : Ranker or str, default "dot"
        Whose lists are re-ranked.
    pool : int, default 100
        How many of the best items to choose from.

    Attributes
    ----------
    ranker_ : Ranker
    categories_ : list of str
    shares_ : csr_array of shape (n_items, n_categories)
        Each item's categories in equal parts; a row adds up to 1, or to 0 for an item without any.

    Examples
    --------
    Of five items, the last two are comedies; the history holds one of each kind:

    >>> from llmrec.base import ItemFacts
    >>> from llmrec.interactions import Histories
    >>> vectors = np.array([[5], [4], [3], [2], [1]], dtype=np.float32)
    >>> genres = {"genres": ["drama", "drama", "drama|war", "comedy", "comedy"]}
    >>> ranker = CalibratedRanker(0.7).index(vectors)
    >>> ranker.describe(ItemFacts(np.arange(5, dtype=np.int32), np.ones(5), [], genres))
    >>> query = np.ones((1, 1), dtype=np.float32)
    >>> ranker.rank(query, k=2)[0].tolist()                      # no history, no mix to follow
    [[0, 1]]
    >>> ranker.rank_for(Histories.of([[0, 4]], n_columns=5), query, k=2, exclude=[[0, 4]])[0].tolist()
    [[1, 3]]
    """

    categories_: list[str]
    shares_: Matrix

    def __init__(
        self,
        calibration: float = 0.5,
        *,
        column: str = "genres",
        separator: str = "|",
        ranker: Ranker | str = "dot",
        pool: int = 100,
    ):
        super().__init__(ranker=ranker, pool=pool)
        self.calibration = calibration
        self.column = column
        self.separator = separator

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense, sparse or joined, finite."""
        super().index(item_vectors)
        self.categories_ = []
        self.shares_ = sparse.csr_array((item_vectors.shape[0], 0), dtype=np.float32)
        return self

    def describe(self, facts: ItemFacts) -> None:
        """Take the categories of items.

        Raises
        ------
        MissingColumnError
            If the items have no such column.
        """
        super().describe(facts)
        place_of = {name: place for place, name in enumerate(self.categories_)}
        owners, places, values = [], [], []
        for owner, value in enumerate(facts.column(self.column)):
            own = _categories(value, self.separator)
            for name in own:
                owners.append(owner)
                places.append(place_of.setdefault(name, len(place_of)))
                values.append(1 / len(own))
        self.categories_ = list(place_of)
        entries = (np.array(values, dtype=np.float32), (owners, places))
        changed = sparse.csr_array(entries, shape=(len(facts.rows), len(place_of)))
        self.shares_ = replace_rows(_widened(self.shares_, len(place_of)), facts.rows, changed)

    def mix(self, rows: IntArray, weights: FloatArray | None = None) -> DoubleArray:
        """Return the categories of some items in parts of 1, ``(n_categories,)``; zeros if none has any."""
        shares = take_rows(self.shares_, rows).toarray().astype(np.float64)
        total = shares.sum(axis=0) if weights is None else weights.astype(np.float64) @ shares
        return np.asarray(total / max(float(total.sum()), 1e-12))

    def rerank(self, pool: Pool, k: int) -> tuple[Any, DoubleArray]:
        """Choose one item after the other, each by its relevance and the mix that it makes."""
        rate = exchange_rate(check_number("calibration", self.calibration, 0, 1))
        wanted = self.mix(pool.seen, pool.seen_weights) if len(pool.seen) else np.zeros(0)
        if not wanted.any():
            return np.arange(len(pool.rows)), np.zeros(len(pool.rows))
        shares = take_rows(self.shares_, pool.rows).toarray().astype(np.float64)
        total, reached = np.zeros(len(wanted)), float(divergence(wanted, np.zeros((1, len(wanted))))[0])
        left = np.ones(len(pool.rows), dtype=np.bool_)
        order, costs = np.empty(k, dtype=np.int64), np.empty(k)
        for place in range(k):
            masses = total + shares
            after = divergence(wanted, masses / np.maximum(masses.sum(axis=1, keepdims=True), 1e-12))
            against = rate * (after - reached)
            chosen = int(np.argmax(np.where(left, pool.relevance - against, -np.inf)))
            order[place], costs[place], left[chosen] = chosen, against[chosen], False
            total, reached = masses[chosen], float(after[chosen])
        return order, costs


def divergence(wanted: DoubleArray, mixes: DoubleArray) -> npt.NDArray[np.float64]:
    """Return ``KL(wanted || mix)`` of each row of ``mixes``, smoothed by a hundredth of ``wanted``."""
    held = wanted > 0
    smoothed = (1 - _SMOOTHING) * mixes[:, held] + _SMOOTHING * wanted[held]
    return np.asarray(np.sum(wanted[held] * np.log(wanted[held] / smoothed), axis=1))


def _categories(value: Any, separator: str) -> list[str]:
    """Return the different categories of a column's value."""
    if value is None:
        return []
    if isinstance(value, str):
        listed: Collection[Any] = value.split(separator) if separator else [value]
    else:
        listed = value if isinstance(value, Collection) else [value]
    named = (str(one).strip() for one in listed if one is not None)
    return [name for name in dict.fromkeys(named) if name]


def _widened(matrix: Any, n_columns: int) -> Any:
    return sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], n_columns))
