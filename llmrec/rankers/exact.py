"""Exact ranking: score the catalogue block by block and keep the best k of each query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmrec.base import BoolArray, FloatArray, IntArray, Matrix, Ranker
from llmrec.errors import DataError
from llmrec.validation import check_fitted, check_integer, check_matrix
from llmrec.vectors import JoinedVectors, replace_rows

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ExactRanker"]

_QUERIES_AT_A_TIME = 256
# Candidates beyond the k asked for, among which exact scores settle what rounding could have swapped.
_SPARE_CANDIDATES = 8
# Where these do not settle it, so many times as many are tried.
_MORE_SPARE = 8
_TIES = 2.0**-22
_LARGEST_SCORE = float(np.finfo(np.float32).max)


class ExactRanker(Ranker):
    """Base of the exact rankers: a subclass says how to score, this class finds the best.

    It never holds more than 256 × ``block_size`` scores. An item that one query must not get costs
    nothing beside its score; with ``allow``, only the allowed items are scored.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time; bounds memory at ``min(n_queries, 256) * block_size * 4`` bytes.
    """

    def __init__(self, *, block_size: int = 65536):
        self.block_size = block_size

    @abstractmethod
    def prepare(self, vectors: Matrix) -> Matrix:
        """Return what is kept of item vectors and used of query vectors; a copy, one row a row."""

    @abstractmethod
    def score(self, queries: Matrix, items: Matrix) -> FloatArray:
        """Return the ``(n_queries, n_items)`` scores of prepared queries and items."""

    def rescore(self, queries: Matrix, rows: IntArray) -> npt.NDArray[np.float64] | None:
        """Return exact scores of the items in ``rows``, ``(n_queries, n)``; None if :meth:`score` is exact.

        Called with a few more than ``k`` candidates for each query; ``queries`` are prepared.
        """
        return None

    def rounding(self, queries: Matrix) -> npt.NDArray[np.float64] | None:
        """Return how far :meth:`score` may be off, ``(n_queries,)``; None, the default, if not known."""
        return None

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense, sparse or joined, finite."""
        vectors = check_vectors(item_vectors, "item_vectors")
        self.items_ = self.prepare(vectors)
        self.width_ = int(vectors.shape[1])
        return self

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items."""
        check_fitted(self, "items_", "index")
        vectors = self._check_width(check_vectors(vectors, "vectors"), "vectors")
        self.items_ = replace_rows(self.items_, rows, self.prepare(vectors))

    def rank(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and scores of the best ``k`` for each query; see :meth:`llmrec.base.Ranker.rank`."""
        check_fitted(self, "items_", "index")
        k = check_integer("k", k, minimum=1)
        block_size = check_integer("block_size", self.block_size, minimum=1)
        queries = self._check_width(check_vectors(queries, "queries"), "queries")
        n_queries = queries.shape[0]
        if exclude is not None and len(exclude) != n_queries:
            raise DataError(f"exclude has {len(exclude)} entries for {n_queries} queries.")
        allowed = None if allow is None else self._check_allowed(allow)
        if 0 < n_queries <= _QUERIES_AT_A_TIME:
            return self._rank_some(self.prepare(queries), k, exclude, allowed, block_size)
        parts = []
        for start in range(0, n_queries, _QUERIES_AT_A_TIME):
            some = slice(start, start + _QUERIES_AT_A_TIME)
            unwanted = None if exclude is None else exclude[some]
            parts.append(self._rank_some(self.prepare(queries[some]), k, unwanted, allowed, block_size))
        return _stacked(parts)

    def _check_width(self, vectors: Matrix, name: str) -> Matrix:
        # Not against items_: prepared vectors may have another width than those that came.
        if vectors.shape[1] != self.width_:
            raise DataError(f"{name} have {vectors.shape[1]} columns, the items {self.width_}.")
        return vectors

    def _check_allowed(self, allow: IntArray) -> IntArray:
        rows = np.asarray(allow, dtype=np.int32)
        # To sort a whole catalogue would take longer than to search it.
        if not (rows[1:] > rows[:-1]).all():
            rows = np.unique(rows)
        n_items = self.items_.shape[0]
        if len(rows) and not 0 <= rows[0] <= rows[-1] < n_items:
            raise DataError(
                f"allow must hold item rows from 0 to {n_items - 1}; got {rows[0]} to {rows[-1]}."
            )
        return rows

    def _rank_some(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allowed: IntArray | None,
        block_size: int,
    ) -> tuple[IntArray, FloatArray]:
        rows, scores, left = self._scored(queries, k, exclude, allowed, block_size)
        rows = np.where(left, rows, np.iinfo(np.int32).max)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
        left = scores > -np.inf
        width = int(left.sum(axis=1).max(initial=0))
        return np.where(left, rows, -1)[:, :width].astype(np.int32), scores[:, :width]

    def _scored(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allowed: IntArray | None,
        block_size: int,
    ) -> tuple[IntArray, FloatArray, BoolArray]:
        """Return the best ``k`` and some more with their exact scores, and which places are taken."""
        spare = _SPARE_CANDIDATES
        while True:
            rows, scores = self._candidates(queries, k + spare, exclude, allowed, block_size)
            left = scores > -np.inf
            exact = self.rescore(queries, np.where(left, rows, 0))
            if exact is None:
                return rows, scores, left
            settled = finite_scores(np.where(left, exact, -np.inf))
            if rows.shape[1] < k + spare or self._is_settled(queries, scores[:, -1], settled, k):
                return rows, settled, left
            spare *= _MORE_SPARE

    def _is_settled(self, queries: Matrix, last: FloatArray, exact: FloatArray, k: int) -> bool:
        """Whether nothing behind the last candidate can be among the best ``k``."""
        doubt = self.rounding(queries)
        if doubt is None:
            return True
        worst = -np.partition(-exact, k - 1, axis=1)[:, k - 1].astype(np.float64)
        return bool(np.all((last < worst - doubt - _TIES * np.abs(worst)) | (last == -np.inf)))

    def _candidates(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allowed: IntArray | None,
        block_size: int,
    ) -> tuple[IntArray, FloatArray]:
        n_queries = queries.shape[0]
        best_rows = np.empty((n_queries, 0), dtype=np.int32)
        best_scores = np.empty((n_queries, 0), dtype=np.float32)
        for rows, items in self._blocks(allowed, block_size):
            scores = self.score(queries, items)
            if exclude is not None:
                _mask_excluded(scores, rows, exclude)
            columns, scores = top_columns(scores, k)
            best_rows = np.hstack([best_rows, rows[columns]])
            best_scores = np.hstack([best_scores, scores])
            columns, best_scores = top_columns(best_scores, k)
            best_rows = np.take_along_axis(best_rows, columns, axis=1)
        return best_rows, best_scores

    def _blocks(self, allowed: IntArray | None, block_size: int) -> Iterator[tuple[IntArray, Any]]:
        rows = np.arange(self.items_.shape[0], dtype=np.int32) if allowed is None else allowed
        if allowed is None and 0 < len(rows) <= block_size:
            yield rows, self.items_
            return
        for start in range(0, len(rows), block_size):
            block = rows[start : start + block_size]
            yield block, self.items_[start : start + block_size] if allowed is None else self.items_[block]


def check_vectors(vectors: Any, name: str) -> Matrix:
    if isinstance(vectors, JoinedVectors):
        return JoinedVectors(
            check_matrix(vectors.dense, f"the dense part of {name}"),
            check_matrix(vectors.sparse, f"the sparse part of {name}"),
        )
    return check_matrix(vectors, name)


def finite_scores(scores: npt.NDArray[np.float64]) -> FloatArray:
    """Return float32 scores; -inf marks what is excluded."""
    check_range(scores.max(initial=-np.inf))
    return scores.astype(np.float32)


def check_range(best: float) -> None:
    """Refuse a best score that float32 cannot hold."""
    if best > _LARGEST_SCORE:
        raise DataError(f"a score of {best:.3g} is beyond the range of float32; scale the item vectors down.")


def _mask_excluded(scores: FloatArray, rows: IntArray, exclude: Sequence[IntArray]) -> None:
    """Set the scores of excluded items to -inf; ``rows`` are sorted."""
    for query, unwanted in enumerate(exclude):
        if len(unwanted):
            columns = np.minimum(np.searchsorted(rows, unwanted), len(rows) - 1)
            scores[query, columns[rows[columns] == unwanted]] = -np.inf


def top_columns(scores: FloatArray, k: int) -> tuple[Any, FloatArray]:
    """Return the columns and values of the ``k`` largest scores of each row, equal scores by column.

    Examples
    --------
    >>> columns, values = top_columns(np.array([[1, 3, 3, 2]], dtype=np.float32), k=2)
    >>> columns.tolist()
    [[1, 2]]
    """
    n_columns = scores.shape[1]
    if k < n_columns:
        # From the low end: from the high one numpy is twenty times slower where most scores are equal.
        columns = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        lowest = np.take_along_axis(scores, columns, axis=1).min(axis=1, keepdims=True)
        tied = np.flatnonzero((scores >= lowest).sum(axis=1) > k)
        for row in tied:
            # argpartition keeps any of the items that tie for the last place: take the first ones.
            above = np.flatnonzero(scores[row] > lowest[row])
            equal = np.flatnonzero(scores[row] == lowest[row])[: k - len(above)]
            columns[row] = np.concatenate([above, equal])
    else:
        columns = np.broadcast_to(np.arange(n_columns), scores.shape)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.lexsort((columns, -values), axis=1)
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _stacked(parts: list[tuple[IntArray, FloatArray]]) -> tuple[IntArray, FloatArray]:
    if not parts:
        return np.empty((0, 0), dtype=np.int32), np.empty((0, 0), dtype=np.float32)
    width = max(rows.shape[1] for rows, _ in parts)
    pads = [((0, 0), (0, width - rows.shape[1])) for rows, _ in parts]
    rows = [np.pad(rows, pad, constant_values=-1) for (rows, _), pad in zip(parts, pads, strict=True)]
    scores = [np.pad(one, pad, constant_values=-np.inf) for (_, one), pad in zip(parts, pads, strict=True)]
    return np.vstack(rows), np.vstack(scores)
