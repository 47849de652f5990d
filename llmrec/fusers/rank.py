"""Reciprocal rank fusion: views that agree on the order, whatever their scores are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmrec.base import Ranker
from llmrec.fusers.concat import ConcatFuser
from llmrec.validation import check_integer

__all__ = ["RankFusion"]


class RankFusion(ConcatFuser):
    r"""Fuse the views by the ranks that they give, not by their scores.

    Choose it where nothing is known of how the views' scores compare and there are too few events to learn
    it: an item that several views have near the top wins over one that a single view is sure of. The
    score of an item is

    .. math:: \sum_m \frac{w_m}{60 + r_m}

    over the views, with its rank :math:`r_m` among what view :math:`m` knows and may give, from 1
    (Cormack, Clarke & Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009). Equal scores all have the rank of the last of them. An item that a view does not
    know, or has behind its first ``depth``, gets nothing from it.

    A rank is no inner product: each view has an index of its own, with the recommender's ranker, and a
    request takes about as long as one for each view. Re-rankers re-rank the fused list. The fused
    vectors themselves are those of :class:`ConcatFuser`.

    Parameters
    ----------
    weights : mapping of view name to number, sequence of numbers, or None
        As in :class:`ConcatFuser`.
    depth : int, default 1000
        Of how many items each view says where they stand; of as many as are asked for, if these are more.

    Attributes
    ----------
    weights_ : dict of str to float

    Examples
    --------
    Both views have ``"heat"`` second; each has another one first:

    >>> from llmrec import Popularity, Recommender, TextView, TfidfEncoder
    >>> events = [("ann", "alien"), ("ann", "gravity"), ("bob", "gravity"), ("bob", "heat"), ("eve", "gravity")]
    >>> rec = Recommender(encoder=None, factorizer=["item-knn", "popularity"], fuser=RankFusion())
    >>> answer = rec.fit(events).recommend("eve", k=2)
    >>> answer.items, (1 / answer.scores).round(1).tolist()
    (['alien', 'heat'], [31.0, 31.0])
    """

    def __init__(self, weights: Mapping[str, float] | Sequence[float] | None = None, *, depth: int = 1000):
        super().__init__(weights)
        self.depth = depth

    def ranker_over(self, ranker: Ranker) -> Ranker:
        """Return a ranker that fuses the ranks which ``ranker`` gives in each view."""
        return self._by_ranks(ranker, check_integer("depth", self.depth, minimum=1))
