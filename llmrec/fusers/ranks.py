"""Ranking by several views at once: each ranks for itself, and what counts is where an item stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import clone

from llmrec.base import BoolArray, FloatArray, IntArray, ItemFacts, Matrix, Ranker
from llmrec.errors import DataError
from llmrec.validation import check_fitted, check_integer
from llmrec.vectors import JoinedVectors, grown, row_norms

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories

__all__ = ["DEPTH", "Block", "RanksOfViews"]

DoubleArray = npt.NDArray[np.float64]

DEPTH = 1000
"""Of how many items each view says where they stand, unless another number is asked for."""

_OFFSET = 60
_QUERIES_AT_A_TIME = 256


@dataclass(frozen=True)
class Block:
    """Where one view's vectors stand among fused ones.

    Attributes
    ----------
    known : int
        The dense column that is 0 for an item of which the view knows nothing.
    is_sparse : bool
    start, stop : int
        Its columns, counted in the dense or in the sparse part.
    """

    known: int
    is_sparse: bool
    start: int
    stop: int

    def of(self, vectors: Matrix) -> Matrix:
        """Return the view's own vectors."""
        part = _dense_part(vectors)
        if self.is_sparse:
            part = vectors.sparse
            if sparse.issparse(part):
                return sparse.csr_array(part[:, self.start : self.stop])
        return np.ascontiguousarray(part[:, self.start : self.stop])


class RanksOfViews(Ranker):
    """Score items by their ranks in the views: reciprocal rank fusion.

    Each view has an index of its own, and ranks the items that it knows among those that may be given. A
    query that says nothing in a view, zeros, gets nothing from it.

    Parameters
    ----------
    ranker : Ranker
        What ranks in each view; it is copied, not changed.
    blocks : sequence of Block
        Where the vectors of each view stand.
    weights : sequence of float
        How much each view counts, at least 0.
    depth : int
        Of how many items each view says where they stand.

    Attributes
    ----------
    rankers_ : list of Ranker
        The copies, one a view.
    known_ : ndarray of bool, shape (n_items, n_views)
        Which items each view knows.
    """

    rankers_: list[Ranker]
    known_: BoolArray

    def __init__(self, ranker: Ranker, *, blocks: Sequence[Block], weights: Sequence[float], depth: int):
        self.ranker = ranker
        self.blocks = blocks
        self.weights = weights
        self.depth = depth

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, the views side by side."""
        self.rankers_ = [
            cast(Ranker, clone(self.ranker)).index(block.of(item_vectors)) for block in self.blocks
        ]
        self.known_ = self._known(item_vectors)
        self._known_rows: list[IntArray | None] | None = None
        return self

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items."""
        check_fitted(self, "rankers_", "index")
        for ranker, block in zip(self.rankers_, self.blocks, strict=True):
            ranker.update(rows, block.of(vectors))
        self.known_ = grown(self.known_, int(rows.max(initial=-1)) + 1)
        self.known_[rows] = self._known(vectors)
        self._known_rows = None

    def describe(self, facts: ItemFacts) -> None:
        """Hand the facts to the rankers of the views."""
        check_fitted(self, "rankers_", "index")
        for ranker in self.rankers_:
            ranker.describe(facts)

    def rank(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and fused scores of the best ``k``; see :meth:`llmrec.base.Ranker.rank`."""
        return self._rank(None, queries, k, exclude, allow)

    def rank_for(
        self,
        histories: Histories,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Do the same with each query's history at hand."""
        if len(histories) != queries.shape[0]:
            raise DataError(f"there are {len(histories)} histories for {queries.shape[0]} queries.")
        return self._rank(histories, queries, k, exclude, allow)

    def view_shares(self, query: Matrix, row: int, exclude: IntArray) -> DoubleArray:
        """Return what each view adds to the score of one item, ``(n_views,)``."""
        check_fitted(self, "rankers_", "index")
        shares = np.zeros(len(self.blocks))
        for place, (rows, added) in self._lists(None, query, self.depth, [exclude], None)[0]:
            shares[place] = added[rows == row].sum()
        return shares

    def _rank(
        self,
        histories: Histories | None,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allow: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        check_fitted(self, "rankers_", "index")
        k = check_integer("k", k, minimum=1)
        depth = max(k, check_integer("depth", self.depth, minimum=1))
        found = []
        for start in range(0, queries.shape[0], _QUERIES_AT_A_TIME):
            some = np.arange(start, min(start + _QUERIES_AT_A_TIME, queries.shape[0]), dtype=np.int32)
            own = None if histories is None else histories.take(some)
            left_out = None if exclude is None else exclude[start : start + _QUERIES_AT_A_TIME]
            lists = self._lists(own, queries[some], depth, left_out, allow)
            found += [_best(own_lists, k) for own_lists in lists]
        width = max((len(rows) for rows, _ in found), default=0)
        best_rows = np.full((len(found), width), -1, dtype=np.int32)
        best_scores = np.full((len(found), width), -np.inf, dtype=np.float32)
        for query, (rows, scores) in enumerate(found):
            best_rows[query, : len(rows)], best_scores[query, : len(rows)] = rows, scores
        return best_rows, best_scores

    def _lists(
        self,
        histories: Histories | None,
        queries: Matrix,
        depth: int,
        exclude: Sequence[IntArray] | None,
        allow: IntArray | None,
    ) -> list[list[tuple[int, tuple[IntArray, DoubleArray]]]]:
        """Return for each query, and each view that has a say, the view's best items and what they get."""
        lists: list[list[tuple[int, tuple[IntArray, DoubleArray]]]] = [[] for _ in range(queries.shape[0])]
        for place, (ranker, block, weight) in enumerate(
            zip(self.rankers_, self.blocks, self.weights, strict=True)
        ):
            own = block.of(queries)
            asked = np.flatnonzero(row_norms(own) > 0).astype(np.int32)
            if not len(asked) or not weight:
                continue
            left_out = None if exclude is None else [exclude[query] for query in asked.tolist()]
            # One more than counts tells whether the last ones are tied with what stands behind them.
            wanted = own[asked], depth + 1, left_out, self._allowed(place, allow)
            if histories is None:
                rows, scores = ranker.rank(*wanted)
            else:
                rows, scores = ranker.rank_for(histories.take(asked), *wanted)
            for query, own_rows, own_scores in zip(asked.tolist(), rows, scores, strict=True):
                is_item = own_rows >= 0
                shares = weight * _reciprocals(own_scores[is_item], depth)
                lists[query].append((place, (own_rows[is_item][:depth], shares)))
        return lists

    def _allowed(self, place: int, allow: IntArray | None) -> IntArray | None:
        """Return the items that a view may rank, None for all: those that it knows."""
        if allow is not None:
            kept: IntArray = allow[self.known_[allow, place]]
            return kept
        # Made on the first request after an update, and at once, for requests come on many threads.
        known = self._known_rows
        if known is None:
            by_view = [np.flatnonzero(one).astype(np.int32) for one in self.known_.T]
            known = [None if len(rows) == len(self.known_) else rows for rows in by_view]
            self._known_rows = known
        return known[place]

    def _known(self, vectors: Matrix) -> BoolArray:
        return np.asarray(_dense_part(vectors)[:, [block.known for block in self.blocks]] != 0)


def _dense_part(vectors: Matrix) -> Any:
    return vectors.dense if isinstance(vectors, JoinedVectors) else vectors


def _reciprocals(scores: FloatArray, depth: int) -> DoubleArray:
    """Return one over 60 plus the rank of each of the first ``depth`` scores, which fall.

    Equal scores all have the rank of the last of them, so that no order among them matters. What is tied with
    items behind the first ``depth`` gets 0, as these do.
    """
    ranks = np.searchsorted(-scores, -scores[:depth], side="right")
    return np.where(ranks <= depth, 1 / (_OFFSET + ranks), 0.0)


def _best(lists: Sequence[tuple[int, tuple[IntArray, DoubleArray]]], k: int) -> tuple[IntArray, FloatArray]:
    """Add up what the views give; return the best ``k``, equal ones by row."""
    if not lists:
        return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    rows = np.concatenate([own for _, (own, _) in lists])
    by_row = np.argsort(rows, kind="stable")
    rows = rows[by_row]
    starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1])[: len(rows)])
    shares = np.concatenate([own for _, (_, own) in lists])[by_row]
    rows, scores = rows[starts], np.add.reduceat(shares, starts) if len(starts) else shares
    order = np.argsort(-scores, kind="stable")[:k]
    return rows[order].astype(np.int32), scores[order].astype(np.float32)
