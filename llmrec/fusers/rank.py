"""Reciprocal rank fusion: views that agree on the order, whatever their scores are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmrec.base import Ranker
from llmrec.fusers.concat import ConcatFuser
from llmrec.fusers.ranks import DEPTH
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
    The first item is the best in one view and the second best in the other:

    >>> import numpy as np
    >>> from llmrec import DotRanker
    >>> from llmrec.base import ViewVectors
    >>> one = np.ones(3, dtype=np.float32)
    >>> als = ViewVectors("als", "behaviour", np.array([[9], [4], [3]], dtype=np.float32), one)
    >>> hits = ViewVectors("hits", "popularity", np.array([[7], [6], [8]], dtype=np.float32), one)
    >>> fuser = RankFusion().fit([als, hits], None)
    >>> ranker = fuser.ranker_over(DotRanker()).index(fuser.fuse_items([als, hits]))
    >>> query = [ViewVectors(view.name, view.kind, one[:1, None], one[:1]) for view in (als, hits)]
    >>> rows, scores = ranker.rank(fuser.fuse_queries(query), k=2)
    >>> rows.tolist(), bool(np.isclose(scores[0, 0], 1 / 61 + 1 / 62))
    ([[0, 2]], True)
    """

    def __init__(self, weights: Mapping[str, float] | Sequence[float] | None = None, *, depth: int = DEPTH):
        super().__init__(weights)
        self.depth = depth

    def ranker_over(self, ranker: Ranker) -> Ranker:
        """Return a ranker that fuses the ranks which ``ranker`` gives in each view."""
        return self._by_ranks(ranker, check_integer("depth", self.depth, minimum=1))
