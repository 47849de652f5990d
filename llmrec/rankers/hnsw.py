"""Approximate ranking through a graph: for catalogues whose exact scan takes too long."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrec.base import FloatArray, IntArray, Matrix
from llmrec.errors import ComponentError, MissingExtraError
from llmrec.rankers.dot import DotRanker
from llmrec.rankers.exact import finite_scores
from llmrec.threads import n_threads
from llmrec.validation import check_integer
from llmrec.vectors import distinct, paired_dots, row_norms

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["HNSWRanker"]

# Asked for beyond what is wanted and left out.
_SPARE = 16
# Where the graph would have to give more than one in so many of the items to be scanned, a scan is faster.
_LARGEST_SHARE = 16

_building = threading.Lock()


class HNSWRanker(DotRanker):
    """Rank items by inner product, approximately, in time that hardly grows with the catalogue.

    Choose it above a million items, and for dense vectors only: below, the exact scan of
    :class:`DotRanker` is as fast, misses nothing and needs no graph. Needs the extra ``hnsw``.

    A hierarchical navigable small world graph (Malkov & Yashunin, TPAMI 2020) proposes candidates, whose
    scores are then exact. Its edges join items of large inner products, so that long vectors are where they
    should be (Morozov & Babenko, "Non-metric similarity graphs for maximum inner product search", NeurIPS
    2018). Excluded items are asked for besides and dropped; where many are, or few are allowed, the list
    comes from an exact scan.

    The graph is built by ``index``, in minutes for a million items. On more than one thread it is not the
    same graph each time; under ``thread_limit(1)`` it is.

    Parameters
    ----------
    connectivity : int, default 32
        Edges an item; memory grows by 8 bytes for each.
    expansion_add, expansion_search : int, default 128 and 256
        How many candidates are kept while the graph is built, and while it is searched: higher finds more,
        and takes longer.
    exact_below : int, default 100000
        Smaller catalogues are ranked exactly, without a graph.
    block_size : int, default 65536
        As in :class:`DotRanker`, for what is ranked exactly.

    Raises
    ------
    MissingExtraError
        By ``index``, if usearch is not installed.
    ComponentError
        By ``index``, if the vectors are sparse or joined.

    Examples
    --------
    >>> ranker = HNSWRanker(exact_below=0).index(np.eye(40, dtype=np.float32))
    >>> rows, scores = ranker.rank(np.eye(40, dtype=np.float32)[[7]] * 2, k=1)
    >>> rows.tolist(), scores.tolist()
    ([[7]], [[2.0]])
    """

    _graph: Any = None

    def __init__(
        self,
        *,
        connectivity: int = 32,
        expansion_add: int = 128,
        expansion_search: int = 256,
        exact_below: int = 100_000,
        block_size: int = 65536,
    ):
        super().__init__(block_size=block_size)
        self.connectivity = connectivity
        self.expansion_add = expansion_add
        self.expansion_search = expansion_search
        self.exact_below = exact_below

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense and finite; build the graph."""
        for name in ("connectivity", "expansion_add", "expansion_search"):
            check_integer(name, getattr(self, name), minimum=1)
        check_integer("exact_below", self.exact_below, minimum=0)
        _usearch()
        super().index(item_vectors)
        if not isinstance(self.items_, np.ndarray):
            del self.items_
            raise ComponentError(
                "HNSWRanker needs dense vectors; for sparse ones or both side by side, take DotRanker."
            )
        self._graph = None
        self._built_graph()
        return self

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``get_state`` gave; the graph is built on first use."""
        super().set_state(state)
        self._graph = None

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items."""
        n_known = self.items_.shape[0] if hasattr(self, "items_") else 0
        super().update(rows, vectors)
        graph = self._graph
        if graph is None or not len(rows):
            return
        new = np.arange(n_known, self.items_.shape[0], dtype=np.int32)
        changed = distinct(np.concatenate([rows, new]))
        known = changed[changed < n_known].astype(np.uint64)
        if len(known):
            graph.remove(known)
        graph.add(changed.astype(np.uint64), self.items_[changed], threads=1)

    def _built_graph(self) -> Any:
        """Return the graph, which is built if need be; None where the catalogue is small."""
        if self.items_.shape[0] < max(self.exact_below, 1):
            return None
        with _building:
            if self._graph is None:
                graph = _usearch().Index(
                    ndim=self.items_.shape[1],
                    metric="ip",
                    dtype="f32",
                    connectivity=self.connectivity,
                    expansion_add=self.expansion_add,
                    expansion_search=self.expansion_search,
                )
                keys = np.arange(self.items_.shape[0], dtype=np.uint64)
                graph.add(keys, self.items_, threads=n_threads())
                self._graph = graph
        return self._graph

    def _rank_some(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allowed: IntArray | None,
        block_size: int,
    ) -> tuple[IntArray, FloatArray]:
        graph, n_items = self._graph or self._built_graph(), self.items_.shape[0]
        share = 1.0 if allowed is None else len(allowed) / n_items
        n_left_out = max((len(one) for one in exclude), default=0) if exclude is not None else 0
        wanted = int((k + n_left_out + _SPARE) / share * (1 if allowed is None else 2)) if share else n_items
        n_scanned = n_items if allowed is None else len(allowed)
        exactly = graph is None or wanted * _LARGEST_SHARE > n_scanned or not isinstance(queries, np.ndarray)
        if exactly:
            return super()._rank_some(queries, k, exclude, allowed, block_size)
        rows, scores = self._proposed(graph, queries, wanted, exclude, allowed)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
        # The graph may not lead to as many as there are; an exact scan does.
        short = np.flatnonzero(np.isneginf(scores).any(axis=1))
        if len(short):
            left_out = None if exclude is None else [exclude[query] for query in short.tolist()]
            return self._with_exact(rows, scores, short, queries, left_out, allowed, block_size)
        return rows.astype(np.int32), scores

    def _proposed(
        self,
        graph: Any,
        queries: FloatArray,
        wanted: int,
        exclude: Sequence[IntArray] | None,
        allowed: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows from the graph with exact scores, -inf for those that a query may not get."""
        lengths = row_norms(queries)[:, None]
        asked = np.divide(queries, lengths, out=np.zeros_like(queries), where=lengths > 0)
        matches = graph.search(asked, wanted, threads=n_threads() if len(asked) > 1 else 1)
        rows = np.atleast_2d(matches.keys).astype(np.int64)
        counts = np.atleast_1d(getattr(matches, "counts", len(matches))).astype(np.int64)
        left = np.arange(rows.shape[1]) < counts[:, None]
        rows = np.where(left, rows, 0)
        if allowed is not None:
            is_allowed = np.zeros(self.items_.shape[0], dtype=np.bool_)
            is_allowed[allowed] = True
            left &= is_allowed[rows]
        if exclude is not None:
            for query, unwanted in enumerate(exclude):
                left[query] &= ~np.isin(rows[query], unwanted)
        exact = paired_dots(queries, self.items_, rows.astype(np.int32))
        return rows.astype(np.int32), finite_scores(np.where(left, exact, -np.inf))

    def _with_exact(
        self,
        rows: IntArray,
        scores: FloatArray,
        short: Any,
        queries: FloatArray,
        exclude: Sequence[IntArray] | None,
        allowed: IntArray | None,
        block_size: int,
    ) -> tuple[IntArray, FloatArray]:
        """Rank the queries ``short`` exactly, and put their lists in place."""
        exact_rows, exact_scores = super()._rank_some(
            queries[short], rows.shape[1], exclude, allowed, block_size
        )
        width = exact_rows.shape[1]
        rows[short], scores[short] = -1, -np.inf
        rows[short, :width], scores[short, :width] = exact_rows, exact_scores
        width = int((rows >= 0).sum(axis=1).max(initial=0))
        return rows[:, :width].astype(np.int32), scores[:, :width]


def _usearch() -> Any:
    try:
        return importlib.import_module("usearch.index")
    except ImportError as error:
        raise MissingExtraError(
            "HNSWRanker needs usearch; install it with: pip install 'llmrec[hnsw]'"
        ) from error
