"""Matrices of row vectors, dense, sparse or both side by side: inner products, norms, growth."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray, IntArray, Matrix

Array = TypeVar("Array", bound="np.ndarray[Any, Any]")

__all__ = [
    "JoinedVectors",
    "column_means",
    "copied",
    "csr_of",
    "distinct",
    "dot",
    "entry_counts",
    "grown",
    "inverse_norms",
    "join_columns",
    "larger_entries",
    "paired_dots",
    "replace_rows",
    "row_norms",
    "row_pieces",
    "row_sums",
    "scale_entries",
    "scale_rows",
    "storable",
    "take_rows",
    "unit_rows",
]


_LARGEST_GATHER = 1 << 21
_FEW_ROWS = 64
# Entries of a sparse matrix at a time, where all at once would take several times the memory of the matrix.
_PIECE = 1 << 20
# So many sparse queries are made dense.
_FEW_QUERIES = 4
# Columns are few if this many times as many are left.
_FEW_COLUMNS = 4


@dataclass(frozen=True)
class JoinedVectors:
    """Row vectors whose first columns are dense and whose last columns are sparse.

    A fused space of word counts and of learned factors has some hundred full columns and many thousand
    nearly empty ones; each part keeps the form in which it is fast.
    """

    dense: FloatArray
    sparse: Any  # a csr_array; of queries, whose words may be many, also an array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, both parts together."""
        return self.dense.shape[0], self.dense.shape[1] + self.sparse.shape[1]

    def __len__(self) -> int:
        return int(self.dense.shape[0])

    def __getitem__(self, rows: Any) -> JoinedVectors:
        return JoinedVectors(self.dense[rows], self.sparse[rows])

    def toarray(self) -> FloatArray:
        """Return one dense array; for small matrices and tests."""
        return np.hstack([self.dense, self.sparse.toarray()])

    def get_state(self) -> dict[str, Any]:
        """Return both parts, for a model folder."""
        return {"dense": self.dense, "sparse": storable(self.sparse)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> JoinedVectors:
        """Build the vectors that gave ``state``."""
        return cls(state["dense"], state["sparse"])


def storable(value: Any) -> Any:
    """Return what a model folder takes: a plain ``csr_array`` for growing rows, all else as it is."""
    return value.plain() if hasattr(value, "plain") and sparse.issparse(value) else value


def csr_of(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> Any:
    """Return a ``csr_array`` of parts that are known to fit.

    SciPy's constructor checks them, which for one query takes longer than what is done with it.

    Parameters
    ----------
    data, indices, indptr : ndarray
        Kept, not copied; ``indices`` and ``indptr`` of one type.

    Examples
    --------
    >>> ends = np.array([0, 1, 2], dtype=np.int32)
    >>> csr_of(np.array([5, 6], dtype=np.float32), ends[1:], ends, (2, 3)).toarray().tolist()
    [[0.0, 5.0, 0.0], [0.0, 0.0, 6.0]]
    """
    made = copy.copy(_empty_csr(shape))
    made.data, made.indices, made.indptr = data, indices, indptr
    return made


@lru_cache(maxsize=256)
def _empty_csr(shape: tuple[int, int]) -> Any:
    return sparse.csr_array(shape, dtype=np.float32)


def copied(vectors: Matrix) -> Matrix:
    """Return a copy that shares no memory."""
    if isinstance(vectors, np.ndarray):
        return vectors.copy()
    if isinstance(vectors, JoinedVectors):
        return JoinedVectors(vectors.dense.copy(), cast(Any, copied(vectors.sparse)))
    return csr_of(vectors.data.copy(), vectors.indices.copy(), vectors.indptr.copy(), vectors.shape)


def join_columns(blocks: Sequence[Matrix], scales: Sequence[FloatArray | None] | None = None) -> Matrix:
    """Put blocks with equal numbers of rows side by side, the dense ones first.

    ``scales`` holds for each block what its rows are multiplied by, ``(n,)``, or None.

    Examples
    --------
    >>> join_columns([np.ones((2, 3), dtype=np.float32), np.zeros((2, 1), dtype=np.float32)]).shape
    (2, 4)
    """
    given = list(zip(blocks, scales or [None] * len(blocks), strict=True))
    dense = [
        block if scale is None else scale_rows(block, scale)
        for block, scale in given
        if not sparse.issparse(block)
    ]
    thin = [(block, scale) for block, scale in given if sparse.issparse(block)]
    dense_part = np.ascontiguousarray(np.hstack(dense)) if dense else None
    sparse_part = _beside(*zip(*thin, strict=True)) if thin else None
    if sparse_part is None:
        if dense_part is None:
            raise ValueError("join_columns needs at least one block.")
        return dense_part
    return sparse_part if dense_part is None else JoinedVectors(dense_part, sparse_part)


def _beside(blocks: Sequence[Any], scales: Sequence[FloatArray | None]) -> Any:
    """Return sparse blocks side by side, with no more copies than that; ``scipy.sparse.hstack`` makes two."""
    if len(blocks) == 1:
        return sparse.csr_array(blocks[0] if scales[0] is None else scale_rows(blocks[0], scales[0]))
    blocks = [sparse.csr_array(block) for block in blocks]
    indptr = np.sum([block.indptr.astype(np.int64) for block in blocks], axis=0)
    index_type = np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64
    data = np.empty(indptr[-1], dtype=np.result_type(*blocks))
    indices = np.empty(indptr[-1], dtype=index_type)
    for some, entries in row_pieces(indptr):
        parts = [
            block[some] if scale is None else scale_rows(block[some], scale[some])
            for block, scale in zip(blocks, scales, strict=True)
        ]
        part = sparse.csr_array(sparse.hstack(parts))
        data[entries], indices[entries] = part.data, part.indices
    shape = (len(indptr) - 1, sum(block.shape[1] for block in blocks))
    return sparse.csr_array((data, indices, indptr.astype(index_type)), shape=shape)


def row_pieces(indptr: npt.NDArray[Any]) -> Iterator[tuple[slice, slice]]:
    """Cut rows into pieces of about equally many entries; yield slices of the rows, and of their entries."""
    n_rows, start = len(indptr) - 1, 0
    while start < n_rows:
        stop = int(np.searchsorted(indptr, indptr[start] + _PIECE, side="right")) - 1
        stop = min(max(stop, start + 1), n_rows)
        yield slice(start, stop), slice(int(indptr[start]), int(indptr[stop]))
        start = stop


def larger_entries(left: Any, right: Any) -> Any:
    """Return entry by entry the larger of two ``csr_array``, with no more copies than that.

    Examples
    --------
    >>> one = sparse.csr_array(np.array([[0.0, 2.0], [3.0, 0.0]], dtype=np.float32))
    >>> larger_entries(one, sparse.csr_array(one.T)).toarray().tolist()
    [[0.0, 3.0], [3.0, 0.0]]
    """
    most = left.nnz + right.nnz
    index_type = np.int32 if most <= np.iinfo(np.int32).max else np.int64
    data, indices = np.empty(most, dtype=np.float32), np.empty(most, dtype=index_type)
    indptr = np.zeros(left.shape[0] + 1, dtype=index_type)
    for some, _ in row_pieces(left.indptr.astype(np.int64) + right.indptr):
        part = left[some].maximum(right[some])
        indptr[some.start + 1 : some.stop + 1] = indptr[some.start] + part.indptr[1:]
        entries = slice(int(indptr[some.start]), int(indptr[some.stop]))
        data[entries], indices[entries] = part.data, part.indices
    # What was never written takes no memory, and what is cut off is given back without a copy.
    for one in (data, indices):
        one.resize(int(indptr[-1]), refcheck=False)
    return sparse.csr_array((data, indices, indptr), shape=left.shape)


def dot(queries: Matrix, items: Matrix) -> FloatArray:
    """Return the ``(n_queries, n_items)`` inner products as a dense float32 array."""
    if isinstance(queries, JoinedVectors):
        return dot(queries.dense, items.dense) + dot(queries.sparse, items.sparse)
    # scipy would copy items.T, all of it, for each call that multiplies a sparse matrix by it.
    if sparse.issparse(queries) and not sparse.issparse(items):
        return _on_used_columns(queries, items)
    if sparse.issparse(queries) and queries.shape[0] <= _FEW_QUERIES:
        return np.ascontiguousarray((items @ queries.toarray().T).T, dtype=np.float32)
    if sparse.issparse(queries):
        from llmrec.kernels.sparse_queries import scores_by_column

        queries, items = sparse.csr_array(queries), sparse.csr_array(items)
        scores = np.zeros((queries.shape[0], items.shape[0]), dtype=np.float32)
        # Some items at a time: turned as a whole, large ones would be there twice.
        for some, _ in row_pieces(items.indptr):
            scores[:, some] = scores_by_column(queries, sparse.csr_array(items[some].T))
        return scores
    product = queries @ items.T
    return np.ascontiguousarray(product, dtype=np.float32)


def _on_used_columns(queries: Any, items: FloatArray) -> FloatArray:
    """Multiply in dense form, over the columns that the queries use where these are few."""
    used = np.unique(queries.indices)
    if len(used) * _FEW_COLUMNS < items.shape[1]:
        queries, items = queries[:, used], items[:, used]
    return np.asarray(queries.toarray() @ items.T, dtype=np.float32)


def paired_dots(queries: Matrix, items: Matrix, rows: IntArray) -> npt.NDArray[np.float64]:
    """Return the inner products of each query with items of its own, in float64.

    Parameters
    ----------
    queries : Matrix of shape (n_queries, dim)
    items : Matrix of shape (n_items, dim)
    rows : ndarray of shape (n_queries, n)
        Item rows for each query.

    Examples
    --------
    >>> items = np.array([[1, 0], [0, 1], [2, 2]], dtype=np.float32)
    >>> paired_dots(np.array([[1, 3]], dtype=np.float32), items, np.array([[2, 0]])).tolist()
    [[8.0, 1.0]]
    """
    if isinstance(queries, JoinedVectors):
        dense = paired_dots(queries.dense, items.dense, rows)
        return dense + paired_dots(queries.sparse, items.sparse, rows)
    if sparse.issparse(items):
        return _paired_sparse_dots(queries, items, rows)
    queries = queries.toarray() if sparse.issparse(queries) else queries
    products = np.empty(rows.shape, dtype=np.float64)
    step = max(1, _LARGEST_GATHER // max(1, rows.shape[1] * items.shape[1]))
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        gathered = items[rows[some]].astype(np.float64)
        products[some] = np.einsum("qd,qnd->qn", queries[some].astype(np.float64), gathered)
    return products


def _paired_sparse_dots(queries: Matrix, items: Any, rows: IntArray) -> npt.NDArray[np.float64]:
    from llmrec.kernels.sparse_queries import paired_products

    if not isinstance(items, sparse.csr_array) or hasattr(items, "slots"):
        # Rows that grow are read one by one, not made an ordinary matrix for it.
        items, places = sparse.csr_array(items[rows.ravel()]), np.arange(rows.size).reshape(rows.shape)
    else:
        places = np.ascontiguousarray(rows, dtype=np.int64)
    return paired_products(sparse.csr_array(queries), items, places)


def row_norms(vectors: Matrix) -> FloatArray:
    """Return the Euclidean length of each row, ``(n,)``."""
    if isinstance(vectors, JoinedVectors):
        return np.hypot(row_norms(vectors.dense), row_norms(vectors.sparse))
    if sparse.issparse(vectors):
        if vectors.shape[0] == 1:
            total = np.square(vectors.data, dtype=np.float64).sum(keepdims=True)
            return np.asarray(np.sqrt(total), dtype=np.float32)
        squares = np.zeros(vectors.shape[0])
        for some, entries in row_pieces(vectors.indptr):
            rows = np.repeat(
                np.arange(some.stop - some.start), np.diff(vectors.indptr[some.start : some.stop + 1])
            )
            squares[some] = np.bincount(
                rows, np.square(vectors.data[entries], dtype=np.float64), some.stop - some.start
            )
        return np.sqrt(squares).astype(np.float32)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors), dtype=np.float32))


def column_means(vectors: Matrix) -> FloatArray:
    """Return the mean of each column, ``(dim,)``, without a copy of a sparse matrix.

    Examples
    --------
    >>> column_means(sparse.csr_array([[1.0, 0.0], [2.0, 4.0]])).tolist()
    [1.5, 2.0]
    """
    if not sparse.issparse(vectors):
        return np.asarray(vectors.mean(axis=0), dtype=np.float32).ravel()
    sums = np.zeros(vectors.shape[1])
    for _, entries in row_pieces(vectors.indptr):
        sums += np.bincount(vectors.indices[entries], vectors.data[entries], len(sums))
    return np.asarray(sums / vectors.shape[0], dtype=np.float32)


def row_sums(vectors: Matrix) -> FloatArray:
    """Return the sum of each row, ``(n,)``."""
    if isinstance(vectors, JoinedVectors):
        return row_sums(vectors.dense) + row_sums(vectors.sparse)
    return np.asarray(vectors.sum(axis=1), dtype=np.float32).ravel()


def scale_rows(vectors: Matrix, scale: FloatArray) -> Matrix:
    """Multiply each row by its own number."""
    if isinstance(vectors, JoinedVectors):
        return JoinedVectors(scale_rows(vectors.dense, scale), scale_rows(vectors.sparse, scale))
    if sparse.issparse(vectors):
        scaled = copied(vectors)
        scale_entries(scaled, scale)
        return scaled
    return vectors * scale[:, None]


def scale_entries(matrix: Any, row_scale: FloatArray, column_scale: FloatArray | None = None) -> None:
    """Multiply each row of a ``csr_array``, and each column, by its own number, in place.

    Examples
    --------
    >>> ones = sparse.csr_array(np.ones((2, 2), dtype=np.float32))
    >>> scale_entries(ones, np.array([1, 2], dtype=np.float32), np.array([1, 3], dtype=np.float32))
    >>> ones.toarray().tolist()
    [[1.0, 3.0], [2.0, 6.0]]
    """
    for some, entries in row_pieces(matrix.indptr):
        each = np.repeat(row_scale[some], np.diff(matrix.indptr[some.start : some.stop + 1]))
        matrix.data[entries] *= each.astype(np.float32, copy=False)
        if column_scale is not None:
            matrix.data[entries] *= column_scale[matrix.indices[entries]]


def entry_counts(columns: npt.NDArray[np.integer[Any]], n_columns: int) -> npt.NDArray[np.int64]:
    """Return how often each number below ``n_columns`` stands in ``columns``, ``(n_columns,)``.

    ``np.bincount`` alone would first turn all of them into int64.

    Examples
    --------
    >>> entry_counts(np.array([2, 0, 2], dtype=np.int32), 4).tolist()
    [1, 0, 2, 0]
    """
    counts = np.zeros(n_columns, dtype=np.int64)
    for start in range(0, len(columns), _PIECE):
        counts += np.bincount(columns[start : start + _PIECE], minlength=n_columns)
    return counts


def unit_rows(vectors: Matrix) -> Matrix:
    """Scale each row to length 1; a row of zeros stays zero.

    Examples
    --------
    >>> unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return scale_rows(vectors, inverse_norms(vectors))


def inverse_norms(vectors: Matrix) -> FloatArray:
    """Return one over the length of each row, 0 for a row of zeros, ``(n,)``."""
    norms = row_norms(vectors)
    return np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)


def grown(array: Array, n_rows: int) -> Array:
    """Return ``array`` with ``n_rows`` rows, new ones zero; at least half of all growths copy nothing.

    The result is a view of a buffer with room to spare; when the buffer is full, one of twice the size
    takes its place. Only buffers made here are grown into: those of a caller may hold rows of theirs.
    """
    n_old = array.shape[0]
    if n_rows <= n_old:
        return array
    room: Any = array.base
    if not (type(room) is _Room and room.latest() is array and len(room) >= n_rows):
        room = _Room((max(n_rows, 2 * n_old, 16), *array.shape[1:]), dtype=array.dtype)
        room[:n_old] = array
        room[n_old:] = 0
    return cast(Array, room.first(n_rows))


class _Room(np.ndarray):
    """A buffer that :func:`grown` made: its rows past those of the latest view belong to nobody else."""

    latest: Callable[[], Any]

    def first(self, n_rows: int) -> Any:
        """Return the first rows as an ordinary array whose base is the buffer itself."""
        rows = np.ndarray((n_rows, *self.shape[1:]), self.dtype, self, strides=self.strides)
        self.latest = weakref.ref(rows)
        return rows


def distinct(rows: npt.NDArray[np.integer[Any]]) -> IntArray:
    """Return row numbers in ascending order, each once.

    Examples
    --------
    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    # Those of one event; np.unique takes several times as long.
    if len(rows) <= _FEW_ROWS:
        return np.array(sorted(set(rows.tolist())), dtype=np.int32)
    return np.unique(rows).astype(np.int32)


def take_rows(vectors: Matrix, rows: IntArray) -> Matrix:
    """Return some rows, as a copy; rows past the end are zero."""
    n_rows = vectors.shape[0]
    if n_rows == 0:
        empty = np.zeros((len(rows), vectors.shape[1]), dtype=np.float32)
        return sparse.csr_array(empty) if sparse.issparse(vectors) else empty
    if rows.max(initial=-1) < n_rows:
        return vectors[rows]
    return scale_rows(vectors[np.minimum(rows, n_rows - 1)], (rows < n_rows).astype(np.float32))


def replace_rows(vectors: Matrix, rows: IntArray, replacements: Matrix) -> Matrix:
    """Return ``vectors`` with some rows replaced; rows past the end extend it.

    A matrix is changed in place where it can be: a dense one as :func:`grown` says, a sparse one once it is
    a :class:`~llmrec.growing_rows.GrowingRows`, which the first call makes of it. Costs O(rows), amortised.
    """
    if isinstance(vectors, JoinedVectors):
        return JoinedVectors(
            replace_rows(vectors.dense, rows, replacements.dense),
            replace_rows(vectors.sparse, rows, replacements.sparse),
        )
    n_rows = max(vectors.shape[0], int(rows.max(initial=-1)) + 1)
    if not sparse.issparse(vectors):
        vectors = grown(vectors, n_rows)
        vectors[rows] = replacements
        return vectors
    from llmrec.growing_rows import GrowingRows

    growing = vectors if isinstance(vectors, GrowingRows) else GrowingRows(vectors, dtype=np.float32)
    growing.replace(rows, replacements)
    return growing
