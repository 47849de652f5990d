"""Sparse item vectors kept by column, for scans that read only the columns of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from llmrec.vectors import grown

if TYPE_CHECKING:
    from llmrec.base import FloatArray, IntArray

__all__ = ["Postings"]

_LEAST_ROOM = 1024
# What came late is sorted in once it is this share of the bulk.
_LATE_SHARE = 0.25


class Postings:
    """The entries of sparse item vectors by column; changes cost what they change, amortised.

    Parameters
    ----------
    items : csr_array of shape (n_items, dim)
    """

    def __init__(self, items: Any):
        self._sort(items)

    def _sort(self, items: Any) -> None:
        # Not a GrowingRows: by its own conversion it would become an ordinary matrix.
        slots = items.slots()
        places, indptr = slots.entries(slice(None))
        rows = sparse.csr_array((slots.data[places], slots.indices[places], indptr), shape=items.shape)
        by_column = rows.tocsc()
        by_column.sum_duplicates()
        self.indptr = by_column.indptr.astype(np.int64)
        self.rows = by_column.indices.astype(np.int32)
        self.data = by_column.data.astype(np.float32)
        self.heads = np.full(items.shape[1], -1, dtype=np.int64)
        self.links = np.empty(_LEAST_ROOM, dtype=np.int64)
        self.late_rows = np.empty(_LEAST_ROOM, dtype=np.int32)
        self.late_data = np.empty(_LEAST_ROOM, dtype=np.float32)
        self.n_late = 0

    def replace(self, rows: IntArray, old: Any, new: Any, items: Any) -> None:
        """Take changed rows.

        Parameters
        ----------
        rows : ndarray of int32, shape (n,), without repeats
        old, new : csr_array of shape (n, dim)
            What they were, and what they are.
        items : csr_array of shape (n_items, dim)
            All rows as they are now, for the case that it is time to sort them anew.
        """
        from llmrec.kernels.postings import replace_entries

        if self.n_late + new.nnz > max(_LEAST_ROOM, int(_LATE_SHARE * len(self.rows))):
            self._sort(items)
            return
        needed = self.n_late + new.nnz
        self.links, self.late_rows = grown(self.links, needed), grown(self.late_rows, needed)
        self.late_data = grown(self.late_data, needed)
        for place, row in enumerate(rows.tolist()):
            before = slice(int(old.indptr[place]), int(old.indptr[place + 1]))
            after = slice(int(new.indptr[place]), int(new.indptr[place + 1]))
            self.n_late = replace_entries(
                row,
                old.indices[before].astype(np.int32),
                new.indices[after].astype(np.int32),
                new.data[after],
                *self._arrays(),
                self.n_late,
            )

    def add(self, columns: IntArray, values: FloatArray, scores: FloatArray) -> None:
        """Add the products of a query, given by its entries, with all items to ``scores``."""
        from llmrec.kernels.postings import add_columns

        add_columns(columns, values, *self._arrays(), scores)

    def _arrays(self) -> tuple[Any, Any, Any, Any, Any, Any, Any]:
        return self.indptr, self.rows, self.data, self.heads, self.links, self.late_rows, self.late_data
