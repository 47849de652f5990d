"""Sparse products of which only the largest entries of rows, or only a triangle, are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray
from llmrec.decomposition import row_chunks
from llmrec.threads import map_threads
from llmrec.vectors import entry_counts

__all__ = ["add_gram", "chunked_rows", "is_much_work", "largest_products", "products_of_rows"]

# Multiplications that scipy does in less time than the kernels take to load.
_LITTLE_WORK = 20_000_000
_WORK_AT_A_TIME = 1 << 25
_ENTRIES_AT_A_TIME = 1 << 20
# To sort one neighbour costs as much as so many multiplications.
_WORK_A_NEIGHBOUR = 8


def products_of_rows(left: Any, lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return how many multiplications each row of a product takes.

    ``left`` is a ``csr_array``; ``lengths`` holds how many entries each row of the other factor has.
    """
    products = np.zeros(left.shape[0], dtype=np.int64)
    for rows in row_chunks(left.indptr, _ENTRIES_AT_A_TIME):
        ends = left.indptr[rows.start : rows.stop + 1]
        cumulated = np.append(0, np.cumsum(lengths[left.indices[ends[0] : ends[-1]]], dtype=np.int64))
        products[rows] = np.diff(cumulated[ends - ends[0]])
    return products


def is_much_work(products: npt.NDArray[np.int64]) -> bool:
    """Whether so many multiplications are worth a kernel."""
    return int(products.sum()) > _LITTLE_WORK


def largest_products(
    left: Any,
    right: Any,
    k: int,
    products: npt.NDArray[np.int64],
    *,
    skip_self: bool = False,
    jaccard: bool = False,
    shrinkage: float = 0.0,
) -> Any:
    """Return the ``k`` largest positive entries of each row of ``left @ right``; of equal ones the first.

    The product is never there as a whole: a thread holds one row of it, and what is kept of some.

    Parameters
    ----------
    left : csr_array of shape (n, m)
    right : csr_array of shape (m, n_others)
        The caller's no more: its columns are numbered anew in place.
    k : int
    products : ndarray of shape (n,)
        What :func:`products_of_rows` returns for them.
    skip_self : bool, default False
        Whether the diagonal is left out.
    jaccard : bool, default False
        Whether the sums, then of ones, are divided by the number of columns that either row fills.
    shrinkage : float, default 0.0
        Entries are multiplied by ``s / (s + shrinkage)``, for ``s`` columns in common.

    Returns
    -------
    csr_array of shape (n, n_others)
        Columns of a row ascend.
    """
    from llmrec.kernels.neighbours import COSINE, JACCARD, nearest

    n_others = right.shape[1]
    k = max(min(k, n_others), 1)
    # With the columns most met side by side, most sums are of a few that stay in the nearest cache.
    met = entry_counts(right.indices, n_others)
    names = np.argsort(-met, kind="stable").astype(np.int32)
    places = np.empty_like(names)
    places[names] = np.arange(n_others, dtype=np.int32)
    for start in range(0, right.nnz, _ENTRIES_AT_A_TIME):
        some = slice(start, start + _ENTRIES_AT_A_TIME)
        right.indices[some] = places[right.indices[some]]
    sizes = np.diff(left.indptr).astype(np.float32), met[names].astype(np.float32)
    operands, kind = (_parts(left), _parts(right)), JACCARD if jaccard else COSINE
    own = places if skip_self else places[:0]

    def keep(chunk: slice) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], FloatArray]:
        n_rows = chunk.stop - chunk.start
        columns, values = np.empty((n_rows, k), dtype=np.int32), np.empty((n_rows, k), dtype=np.float32)
        counts = np.zeros(n_rows, dtype=np.int64)
        nearest(
            *operands,
            chunk.start,
            chunk.stop,
            own,
            kind,
            float(shrinkage),
            sizes,
            names,
            columns,
            values,
            counts,
        )
        filled = np.arange(k) < counts[:, None]
        return counts, columns[filled], values[filled]

    work = products + n_others // 4 + _WORK_A_NEIGHBOUR * k
    return chunked_rows(keep, work, (left.shape[0], n_others))


def add_gram(rows: Any, gram: npt.NDArray[np.float64]) -> None:
    """Add ``rows.T @ rows`` of a float64 ``csr_array`` to a dense matrix, to its upper triangle at least."""
    by_item = sparse.csr_array(rows.T)
    work = products_of_rows(by_item, np.diff(rows.indptr))
    if not is_much_work(work):
        gram += (by_item @ rows).toarray()
        return
    from llmrec.kernels.neighbours import upper_products

    rows = rows.sorted_indices()
    left, right = (
        (one.indptr.astype(np.int64), one.indices.astype(np.int32, copy=False).view(np.uint32), one.data)
        for one in (by_item, rows)
    )
    chunks = row_chunks(np.append(0, np.cumsum(work)), _WORK_AT_A_TIME)
    map_threads(lambda chunk: upper_products(left, right, chunk.start, chunk.stop, gram), chunks)


def chunked_rows(keep: Any, work: npt.NDArray[np.int64], shape: tuple[int, int]) -> Any:
    """Return the ``csr_array`` of rows that ``keep`` makes of chunks with about equal work, on all threads.

    ``keep`` returns for a slice of rows how many entries each has, their columns and their values.
    """
    chunks = row_chunks(np.append(0, np.cumsum(work)), _WORK_AT_A_TIME)
    if not shape[0]:
        return sparse.csr_array(shape, dtype=np.float32)

    def sorted_rows(chunk: slice) -> Any:
        counts, columns, values = keep(chunk)
        indptr = np.append(0, np.cumsum(counts))
        rows = sparse.csr_array((values, columns, indptr.astype(np.int32)), shape=(len(counts), shape[1]))
        rows.sort_indices()
        return rows

    return _stacked(map_threads(sorted_rows, chunks))


def _stacked(parts: list[Any]) -> Any:
    """Return sparse rows one below the other, and empty the list: each part goes when it has been copied."""
    indptr = np.append(0, np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts]), dtype=np.int64))
    small = indptr[-1] <= np.iinfo(np.int32).max
    indices = np.empty(indptr[-1], dtype=np.int32 if small else np.int64)
    data = np.empty(indptr[-1], dtype=np.float32)
    n_columns, end = parts[0].shape[1], len(data)
    while parts:
        part = parts.pop()
        start = end - part.nnz
        indices[start:end], data[start:end] = part.indices, part.data
        end = start
    shape = (len(indptr) - 1, n_columns)
    return sparse.csr_array((data, indices, indptr.astype(indices.dtype)), shape=shape)


def _parts(matrix: Any) -> tuple[Any, Any, FloatArray]:
    return (
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False).view(np.uint32),
        matrix.data.astype(np.float32, copy=False),
    )
