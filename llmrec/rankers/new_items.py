"""Room for new items: some places of a list kept for what hardly anybody has met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray, IntArray, ItemFacts, Matrix, Ranker
from llmrec.rankers.outer import OuterRanker
from llmrec.validation import check_fitted, check_integer, check_number
from llmrec.vectors import grown

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories

__all__ = ["NewItemsRanker"]


class NewItemsRanker(OuterRanker):
    """Keep a share of the places for the best of the new items.

    Choose it where new items must be seen to get their first events. By score alone they hardly ever reach a
    first page: what is known of them, a text, tells less than the events of others, so a list that is right
    as often as possible leaves them out. Here at least ``floor(share * p)`` of the first ``p`` places are
    theirs, for every ``p``: with a share of 0.1 the tenth place, the twentieth, and so on, unless as many
    are on the list before by their own scores. Each list has the best new items for its query.

    The score of an item that is moved up lies halfway between those of its neighbours. Without a
    recommender no counts are known, and all items are new.

    Parameters
    ----------
    share : float, default 0.1
        The dial, from 0, the inner ranker's list, to 1, new items alone as long as there are any.
    max_events : int, default 4
        An item with more events is not new.
    ranker : Ranker or str, default "dot"
        Whose lists they join; it is copied, not changed.

    Attributes
    ----------
    ranker_ : Ranker
        The copy, which holds the index.
    counts_ : ndarray of int64, shape (n_items,)
        Number of events of each item.

    Examples
    --------
    >>> from llmrec.base import ItemFacts
    >>> ranker = NewItemsRanker(share=0.5).index(np.array([[0.9], [0.8], [0.7], [0.1]], dtype=np.float32))
    >>> ranker.describe(ItemFacts(np.arange(4, dtype=np.int32), np.array([50, 30, 20, 0]), [], {}))
    >>> ranker.rank(np.ones((1, 1), dtype=np.float32), k=3)[0].tolist()
    [[0, 3, 1]]
    """

    counts_: npt.NDArray[np.int64]

    def __init__(self, share: float = 0.1, *, max_events: int = 4, ranker: Ranker | str = "dot"):
        super().__init__(ranker=ranker)
        self.share = share
        self.max_events = max_events

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense, sparse or joined, finite."""
        super().index(item_vectors)
        self.counts_ = np.zeros(item_vectors.shape[0], dtype=np.int64)
        return self

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items, which nobody has met."""
        super().update(rows, vectors)
        self.counts_ = grown(self.counts_, int(rows.max(initial=-1)) + 1)

    def describe(self, facts: ItemFacts) -> None:
        """Take the numbers of events of items, and hand the facts to the inner ranker."""
        super().describe(facts)
        self.counts_ = grown(self.counts_, int(facts.rows.max(initial=-1)) + 1)
        self.counts_[facts.rows] = facts.counts

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
        share = check_number("share", self.share, minimum=0, maximum=1)
        is_new = self.counts_ <= check_integer("max_events", self.max_events, minimum=0)

        rows, scores = self._inner(histories, queries, k, exclude, allow)
        quotas = _quotas(share, rows.shape[1])
        if not rows.shape[1] or not quotas[-1]:
            return rows, scores
        new = np.flatnonzero(is_new).astype(np.int32) if allow is None else allow[is_new[allow]]
        if not len(new):
            return rows, scores
        new_rows, _ = self._inner(histories, queries, int(quotas[-1]), exclude, new)
        rows, scores = rows.copy(), scores.copy()
        for query in range(len(rows)):
            n_found = int(np.sum(rows[query] >= 0))
            if not n_found:
                continue
            own, best_new = rows[query, :n_found], new_rows[query][new_rows[query] >= 0]
            joined = _joined(own.tolist(), is_new[own].tolist(), best_new.tolist(), quotas.tolist())
            scores[query, :n_found] = _scores_of(joined, own.tolist(), scores[query, :n_found].tolist())
            rows[query, :n_found] = list(joined)
        return rows, scores


def _quotas(share: float, k: int) -> npt.NDArray[np.int64]:
    """Return how many of the first places, one and more, are for new items."""
    # What is short of a whole place by rounding alone is one: ten times a tenth.
    quotas: npt.NDArray[np.int64] = np.floor(share * np.arange(1, k + 1) + 1e-9).astype(np.int64)
    return quotas


def _joined(own: list[int], is_new: list[bool], new: list[int], quotas: list[int]) -> dict[int, bool]:
    """Return a list as long as ``own``, in which new items have their places, and which were moved up."""
    joined: dict[int, bool] = {}
    n_new, rest, waiting = 0, zip(own, is_new, strict=True), list(reversed(new))
    while len(joined) < len(own):
        while waiting and waiting[-1] in joined:
            waiting.pop()
        is_owed = n_new < quotas[len(joined)] and bool(waiting)
        row, counts = (waiting.pop(), True) if is_owed else next(one for one in rest if one[0] not in joined)
        joined[row] = is_owed
        n_new += counts
    return joined


def _scores_of(joined: dict[int, bool], own: list[int], scores: list[float]) -> list[float]:
    """Return the inner scores, and for an item moved up one halfway between those of its neighbours."""
    known = dict(zip(own, scores, strict=True))
    below, above = scores[-1], scores[0]
    lower, values = [], []
    for row, is_moved in reversed(joined.items()):
        below = below if is_moved else known[row]
        lower.append(below)
    for (row, is_moved), below in zip(joined.items(), reversed(lower), strict=True):
        above = (above + below) / 2 if is_moved else known[row]
        values.append(above)
    return values
