"""Exact search over many item vectors: a bounded scan names the candidates, float64 decides among them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.growing_rows import GrowingRows, RowSlots
from llmrec.kernels.candidates import candidates_of_codes, candidates_of_scores, exact_scores
from llmrec.kernels.vectors import has_byte_products, has_nibble_products
from llmrec.rankers.codes import BoundedCodes, ByteCodes, FloatCodes, Scan
from llmrec.rankers.exact import check_range, finite_scores
from llmrec.rankers.nibbles import NibbleCodes
from llmrec.rankers.postings import Postings
from llmrec.threads import map_threads
from llmrec.vectors import JoinedVectors

if TYPE_CHECKING:
    from llmrec.base import BoolArray, FloatArray, IntArray, Matrix

__all__ = ["Found", "ItemSearch"]

DoubleArray = npt.NDArray[np.float64]

_QUERIES_A_PART = 64
_QUERIES_A_PRODUCT = 16
# With so small a share of the items allowed, each of them is scored; with more, all are scanned.
_FEW_ALLOWED = 16
# Where k is so large a share of the items, there is nothing to skip.
_MOST_WANTED = 4
_LEAST_ROOM = 1024
_ROOM_SHARE = 16
_EPSILON = 2.0**-24
_TIES = 2.0**-22
_HUGE = 1e30

_FEW_CANDIDATES = 64
# On vectors without any pattern, half bytes are 1.4 times as fast as bytes at 128 columns, as fast at 256 and
# half as fast at 512. On those of texts, single queries are faster by them throughout.
_WIDEST_NIBBLES = 256

_FLOAT, _INT = np.dtype(np.float32), np.dtype(np.int32)

_scratch = threading.local()
# In place of a sparse part, where there is none.
_NO_ROWS = RowSlots(
    np.empty(0, dtype=np.int64),
    np.empty(0, dtype=np.int64),
    np.empty(0, dtype=np.int32),
    np.empty(0, dtype=np.float32),
)
_NOTHING = np.empty(0, dtype=np.int32)
_NO_ENTRIES = (_NOTHING, np.empty(0, dtype=np.float32))
# The mask of allowed rows, where all are.
_EVERYTHING = np.empty(0, dtype=np.bool_)

Found = tuple["IntArray", "FloatArray"]
"""The best rows of one query and their scores, best first and equal scores by row."""


class _Asked(NamedTuple):
    """Queries as the search uses them; ``thin`` holds columns and values of each, if any are sparse."""

    dense: DoubleArray
    thin: list[tuple[IntArray, FloatArray]] | None
    k: int
    unwanted: list[IntArray]
    allowed: BoolArray

    def some(self, part: slice) -> _Asked:
        thin = None if self.thin is None else self.thin[part]
        return _Asked(self.dense[part], thin, self.k, self.unwanted[part], self.allowed)


class ItemSearch:
    """The best items for inner products with dense, sparse or joined vectors.

    Dense vectors are scanned as :class:`NibbleCodes`, :class:`ByteCodes` or :class:`FloatCodes`, the dense
    part of joined ones as one of the latter two, the sparse part by column as :class:`Postings`. An item is
    passed over only where its score cannot reach the best ``k``, whatever was rounded, so lists are those of
    float64; scores are rounded to float32 and equal ones are ordered by row.

    Parameters
    ----------
    items : ndarray of float32, GrowingRows, or JoinedVectors of both; of shape (n_items, dim)
        Kept, not copied.
    """

    def __init__(self, items: Matrix):
        self._take(items)
        self.codes: NibbleCodes | BoundedCodes = codes_of(self.dense, self.thin is None)
        self.brief = self._brief()
        self.postings = None if self.thin is None else Postings(self.thin)
        self.longest_thin = 0.0
        if self.thin is not None:
            self._note_longest(self.thin)

    def _take(self, items: Matrix) -> None:
        self.items = items
        joined = isinstance(items, JoinedVectors)
        self.thin: GrowingRows | None = None
        if joined or sparse.issparse(items):
            self.thin = items.sparse if joined else items
        self.slots = _NO_ROWS if self.thin is None else self.thin.slots()
        dense = items.dense if joined else items
        self.dense: FloatArray = (
            np.zeros((items.shape[0], 0), dtype=np.float32) if sparse.issparse(dense) else dense
        )

    def _brief(self) -> NibbleCodes | None:
        """Return the codes if one kernel does all for a query."""
        return self.codes if isinstance(self.codes, NibbleCodes) and self.codes.is_safe else None

    def _note_longest(self, thin: Any) -> None:
        squares = np.add.reduceat(
            np.append(thin.data.astype(np.float64) ** 2, 0), np.minimum(thin.indptr[:-1], thin.nnz)
        )
        lengths = np.where(np.diff(thin.indptr) > 0, squares, 0)
        self.longest_thin = max(self.longest_thin, float(np.sqrt(lengths.max(initial=0))))

    def rows_of(self, rows: IntArray) -> Any:
        """Return the sparse part of some rows, those past the end empty; None without a sparse part."""
        if self.thin is None:
            return None
        known = rows[rows < self.thin.shape[0]]
        taken = sparse.csr_array(self.thin[known])
        indptr = np.append(taken.indptr, np.full(len(rows) - len(known), taken.indptr[-1]))
        return sparse.csr_array((taken.data, taken.indices, indptr), shape=(len(rows), self.thin.shape[1]))

    def update(self, items: Matrix, rows: IntArray, before: Any) -> None:
        """Take changed vectors.

        Parameters
        ----------
        items : Matrix
            All vectors as they are now.
        rows : ndarray of int32
            Which have changed, ascending and without repeats, all new ones included.
        before : csr_array or None
            What :meth:`rows_of` said of these rows before.
        """
        self._take(items)
        self.codes.replace(rows, self.dense)
        self.brief = self._brief()
        if self.postings is not None and self.thin is not None:
            after = self.thin[rows.astype(np.int64)]
            self._note_longest(after)
            self.postings.replace(rows, before, after, self.thin)

    # -- queries -------------------------------------------------------------------------------------------

    def best_of_one(self, query: Any, k: int, exclude: Sequence[IntArray] | None) -> Found | None:
        """Return rows and scores of one query's best ``k``, ``(1, k)`` or narrower, by a single kernel.

        In a process that does other things as well, each line of Python takes microseconds, for its code is
        in no cache. So what is not plain is left to :meth:`best`, errors too, and None is returned.
        """
        codes, dense = self.brief, self.dense
        if codes is None or not _is_plain(query, _FLOAT) or query.shape != (1, dense.shape[1]):
            return None
        if type(k) is not int or not 0 < k * _MOST_WANTED < len(dense):
            return None
        unwanted = _NOTHING
        if exclude is not None:
            if len(exclude) != 1 or not _is_plain(exclude[0], _INT) or exclude[0].ndim != 1:
                return None
            unwanted = exclude[0]
        return codes.best_of_one(dense, query, unwanted, k)

    def best(
        self, queries: Matrix, k: int, exclude: Sequence[IntArray] | None, allowed: IntArray | None
    ) -> list[Found]:
        """Return rows and scores of each query's best ``k``.

        ``allowed`` is ascending, without repeats and within the catalogue.
        """
        n_queries, n_items = queries.shape[0], self.items.shape[0]
        # Half bytes order them on the way.
        ordered = np.asarray if isinstance(self.codes, NibbleCodes) else _ordered
        unwanted = [_NOTHING] * n_queries if exclude is None else [ordered(one) for one in exclude]
        asked = _Asked(*_parts(queries, self.dense.shape[1]), k, unwanted, _EVERYTHING)
        safe = self.codes.is_safe and self.longest_thin < _HUGE
        if allowed is not None and (len(allowed) * _FEW_ALLOWED <= n_items or not safe):
            return [self._all_of(asked, query, allowed) for query in range(n_queries)]
        if not safe or k * _MOST_WANTED >= n_items:
            rows = np.arange(n_items, dtype=np.int32) if allowed is None else allowed
            return [self._all_of(asked, query, rows) for query in range(n_queries)]
        if allowed is not None:
            asked = asked._replace(allowed=np.zeros(n_items, dtype=np.bool_))
            asked.allowed[allowed] = True
        if n_queries == 1:
            return self._some(asked)
        parts = [slice(start, start + _QUERIES_A_PART) for start in range(0, n_queries, _QUERIES_A_PART)]
        found = map_threads(lambda part: self._some(asked.some(part)), parts)
        return [one for part in found for one in part]

    def _all_of(self, asked: _Asked, query: int, rows: IntArray) -> Found:
        """Score each of some rows that the query may get."""
        left = rows[~np.isin(rows, asked.unwanted[query])] if len(asked.unwanted[query]) else rows
        return self._sorted(asked, query, left)

    def _some(self, asked: _Asked) -> list[Found]:
        """Answer some queries: by half bytes all in a single call, by bytes one that has few candidates."""
        codes = self.codes
        if isinstance(codes, NibbleCodes):
            lists = codes.best(self.dense, asked.dense, asked.unwanted, asked.allowed, asked.k)
            for _, scores in lists:
                if len(scores):
                    check_range(float(scores[0]))
            return lists
        if len(asked.dense) == 1 and isinstance(codes, ByteCodes) and self.postings is None:
            room = max(2 * asked.k + _FEW_CANDIDATES, _LEAST_ROOM)
            found = codes.best(self.dense, asked.dense, asked.unwanted[0], asked.allowed, asked.k, room)
            if found is not None:
                check_range(max(found[1][:1].tolist(), default=-np.inf))
                return [found]
        return self._scan(asked, codes)

    def _scan(self, asked: _Asked, codes: BoundedCodes) -> list[Found]:
        # Lengths near 1, so that nothing under- or overflows; exact scores are those of the queries as given.
        scale = np.sqrt(np.einsum("ij,ij->i", asked.dense, asked.dense))
        if asked.thin is not None:
            scale += [float(np.abs(values).max(initial=0)) for _, values in asked.thin]
        scale[scale == 0] = 1.0
        by_codes = isinstance(codes, ByteCodes) and self.postings is None
        scan = codes.plan(asked.dense, scale, paired=by_codes and len(scale) > 1)
        room = max(_LEAST_ROOM, 8 * asked.k, codes.n_items // _ROOM_SHARE)
        rows = np.empty((len(scale), room), dtype=np.int32)
        scores = np.empty((len(scale), room), dtype=np.float32)
        heaps = np.full((len(scale), asked.k), -np.inf, dtype=np.float32)
        if isinstance(codes, ByteCodes) and by_codes:
            counts = self._scan_codes(asked, codes, scan, heaps, rows, scores)
        else:
            counts = self._scan_scores(asked, codes, scan, scale, heaps, rows, scores)
        found = []
        for query, count in enumerate(counts.tolist()):
            if count < 0:
                everything = np.arange(codes.n_items, dtype=np.int32)
                allowed = everything[asked.allowed] if len(asked.allowed) else everything
                found.append(self._all_of(asked, query, allowed))
            else:
                own = (rows[query, :count], scores[query, :count])
                found.append(self._settled(asked, scan, query, *own, float(scale[query])))
        return found

    def _scan_codes(
        self,
        asked: _Asked,
        codes: ByteCodes,
        scan: Scan,
        heaps: FloatArray,
        rows: IntArray,
        scores: FloatArray,
    ) -> npt.NDArray[np.int64]:
        counts = np.zeros(len(heaps), dtype=np.int64)
        bounds = np.concatenate([[0], np.cumsum([len(one) for one in asked.unwanted])]).astype(np.int64)
        candidates_of_codes(
            codes.codes, codes.scales, codes.n_items, scan.words, scan.starts, scan.factors, 2 * scan.leeway,
            np.concatenate(asked.unwanted), bounds, asked.allowed, heaps, rows, scores, counts,
        )  # fmt: skip
        return counts

    def _scan_scores(
        self,
        asked: _Asked,
        codes: BoundedCodes,
        scan: Scan,
        scale: DoubleArray,
        heaps: FloatArray,
        rows: IntArray,
        scores: FloatArray,
    ) -> npt.NDArray[np.int64]:
        n_queries, n_rows = len(heaps), len(codes.scales)
        counts = np.zeros(n_queries, dtype=np.int64)
        buffer = _buffer("scores", min(n_queries, _QUERIES_A_PRODUCT) * n_rows, np.float32)
        for query in range(n_queries):
            place = query % _QUERIES_A_PRODUCT
            if place == 0:
                some = slice(query, min(query + _QUERIES_A_PRODUCT, n_queries))
                block = buffer[: (some.stop - query) * n_rows].reshape(-1, n_rows)
                codes.write_scores(scan, some, block)
            if asked.thin is not None and self.postings is not None:
                columns, values = asked.thin[query]
                values = (values / scale[query]).astype(np.float32)
                self.postings.add(columns, values, block[place])
                # Each addition may round off a share of all that has been added up.
                share = (len(columns) + 4) * _EPSILON
                scan.factors[query, 1] += share * float(scan.reach[query])
                total = float(np.abs(values).sum(dtype=np.float64))
                scan.leeway[query] += share * total * self.longest_thin
            counts[query] = candidates_of_scores(
                block[place], codes.scales, codes.n_items, scan.factors[query],
                2 * scan.leeway[query], asked.unwanted[query], asked.allowed, heaps[query], rows[query],
                scores[query],
            )  # fmt: skip
        return counts

    def _settled(
        self, asked: _Asked, scan: Scan, query: int, rows: IntArray, scores: FloatArray, scale: float
    ) -> Found:
        """Score the likeliest candidates, and then those others that could still be better."""
        if len(rows) <= 2 * asked.k + _FEW_CANDIDATES:
            return self._sorted(asked, query, rows)
        kept = np.zeros(len(rows), dtype=np.bool_)
        kept[np.argpartition(-scores, asked.k - 1)[: asked.k]] = True
        worst = float(self._exact(asked, query, rows[kept]).min()) / scale
        room = float(scan.factors[query, 1]) * self.codes.scales[rows].astype(np.float64)
        most = scores + room + float(scan.shared[query] + scan.leeway[query])
        kept |= most >= worst - _TIES * abs(worst)
        return self._sorted(asked, query, rows[kept])

    def _sorted(self, asked: _Asked, query: int, rows: IntArray) -> Found:
        """Return the best of some rows, which are ascending."""
        scores = finite_scores(self._exact(asked, query, rows))
        order = np.argsort(-scores, kind="stable")[: asked.k]
        return rows[order], scores[order]

    def _exact(self, asked: _Asked, query: int, rows: IntArray) -> DoubleArray:
        """Return the scores of some rows in float64; a row's does not depend on the rows beside it."""
        scores = np.empty(len(rows))
        columns, values = _NO_ENTRIES if asked.thin is None else asked.thin[query]
        spread = _buffer("query", 0 if self.thin is None else self.thin.shape[1], np.float64)
        exact_scores(self.dense, asked.dense[query], *self.slots, columns, values, spread, rows, scores)
        return scores


def codes_of(vectors: FloatArray, is_alone: bool) -> NibbleCodes | BoundedCodes:
    """Return the fastest form that the processor has instructions for; ``is_alone`` without a sparse part.

    Scores in half bytes are too rough to be added to others, and in many columns, where the lengths of errors
    grow beside the spread of scores: too many rows would stay in doubt.
    """
    n_columns = vectors.shape[1]
    if is_alone and 0 < n_columns <= _WIDEST_NIBBLES and has_nibble_products():
        return NibbleCodes(vectors)
    return ByteCodes(vectors) if n_columns and has_byte_products(n_columns) else FloatCodes(vectors)


def _is_plain(array: Any, dtype: Any) -> bool:
    """Whether an array is one that kernels are compiled for."""
    return type(array) is np.ndarray and array.dtype is dtype and array.flags.carray


def _buffer(name: str, size: int, dtype: Any) -> npt.NDArray[Any]:
    """Return this thread's buffer of at least that size, cut to it; a new one holds zeros."""
    held = getattr(_scratch, name, None)
    if held is None or len(held) < size:
        held = np.zeros(size, dtype=dtype)
        setattr(_scratch, name, held)
    return held[:size]


def _ordered(rows: IntArray) -> IntArray:
    ordered = np.array(rows, dtype=np.int32)
    ordered.sort()
    return ordered


def _parts(queries: Matrix, n_dense: int) -> tuple[DoubleArray, list[tuple[IntArray, FloatArray]] | None]:
    """Return the dense part in float64, and each query's entries in the sparse part, by column."""
    if n_dense and isinstance(queries, np.ndarray):
        return queries.astype(np.float64), None
    if isinstance(queries, JoinedVectors):
        return queries.dense.astype(np.float64), _entries(queries.sparse)
    if n_dense:
        dense = queries.toarray() if sparse.issparse(queries) else queries
        return dense.astype(np.float64), None
    return np.zeros((queries.shape[0], 0)), _entries(queries)


def _entries(queries: Any) -> list[tuple[IntArray, FloatArray]]:
    if not sparse.issparse(queries):
        columns = [np.flatnonzero(own).astype(np.int32) for own in queries]
        return [(own, row[own]) for own, row in zip(columns, queries, strict=True)]
    ends = zip(queries.indptr[:-1].tolist(), queries.indptr[1:].tolist(), strict=True)
    return [(queries.indices[start:end].astype(np.int32), queries.data[start:end]) for start, end in ends]
