"""A sparse matrix whose rows can be replaced one by one: what changes is paid for, what stays is not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.vectors import csr_of, grown

__all__ = ["GrowingRows", "RowSlots", "row_bounds"]

_LEAST_ROOM = 64


class RowSlots(NamedTuple):
    """Where the rows of a matrix lie: row ``i`` has ``lengths[i]`` entries from ``starts[i]`` on."""

    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    data: npt.NDArray[np.float32]

    def entries(self, rows: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the places of the entries of some rows, in order, and the ``indptr`` over them."""
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return np.arange(indptr[-1]) + np.repeat(self.starts[rows] - indptr[:-1], lengths), indptr


def row_bounds(matrix: Any, rows: Any) -> tuple[Any, Any, Any, Any]:
    """Return where the entries of some rows start and stop, and the columns and values of all rows.

    In time of these rows, also while a :class:`GrowingRows` grows.

    Examples
    --------
    >>> starts, stops, indices, data = row_bounds(sparse.csr_array([[0.0, 5.0], [6.0, 7.0]]), np.array([1]))
    >>> starts.tolist(), stops.tolist(), indices.tolist(), data.tolist()
    ([1], [3], [1, 0, 1], [5.0, 6.0, 7.0])
    """
    slots = getattr(matrix, "_slots", None)
    if slots is None:
        return matrix.indptr[rows], matrix.indptr[rows + 1], matrix.indices, matrix.data
    starts = slots.starts[rows]
    return starts, starts + slots.lengths[rows], slots.indices, slots.data


class GrowingRows(sparse.csr_array):  # type: ignore[misc]
    """A ``csr_array`` of float32 with :meth:`replace`, in place, in time of the replaced rows.

    A replaced row is written behind all others, in a buffer that doubles; once half of the buffer is dead,
    the rows are moved together. ``matrix[rows]`` reads just these rows. Whatever else asks for ``data``,
    ``indices`` or ``indptr`` makes it an ordinary matrix again, in time of all entries, until the next
    replacement. Readers may do so at once from many threads; replacing needs a writer's lock.

    Examples
    --------
    >>> matrix = GrowingRows(sparse.csr_array(np.eye(2, dtype=np.float32)))
    >>> matrix.replace(np.array([0, 3]), sparse.csr_array(np.array([[5, 6], [7, 0]], dtype=np.float32)))
    >>> matrix.toarray().tolist()
    [[5.0, 6.0], [0.0, 1.0], [0.0, 0.0], [7.0, 0.0]]
    """

    _slots: RowSlots | None = None
    _used: int = 0
    _live: int = 0

    @property
    def data(self) -> Any:
        """The values, row by row."""
        self._settle()
        return self._data

    @data.setter
    def data(self, values: Any) -> None:
        self._settle()
        self._data = values

    @property
    def indices(self) -> Any:
        """The columns, row by row."""
        self._settle()
        return self._indices

    @indices.setter
    def indices(self, values: Any) -> None:
        self._settle()
        self._indices = values

    @property
    def indptr(self) -> Any:
        """Where rows begin, and the last one ends."""
        self._settle()
        return self._indptr

    @indptr.setter
    def indptr(self, values: Any) -> None:
        self._settle()
        self._indptr = values

    @property
    def dtype(self) -> Any:
        """The type of the values."""
        slots = self._slots
        return self._data.dtype if slots is None else slots.data.dtype

    def _settle(self) -> None:
        """Become an ordinary matrix. Two threads that meet here write equal arrays."""
        slots = self._slots
        if slots is None:
            return
        places, indptr = slots.entries(slice(None))
        self._data, self._indices, self._indptr = slots.data[places], slots.indices[places], indptr
        self._slots = None

    def slots(self) -> RowSlots:
        """Return where the rows lie now; a replacement makes it stale."""
        slots = self._slots
        if slots is None:
            indptr = self._indptr.astype(np.int64)
            slots = RowSlots(
                indptr[:-1],
                np.diff(indptr),
                np.asarray(self._indices, dtype=np.int32),
                np.asarray(self._data, dtype=np.float32),
            )
        return slots

    def __getitem__(self, key: Any) -> Any:
        slots = self._slots
        if slots is None or not isinstance(key, np.ndarray) or key.ndim != 1 or key.dtype.kind not in "iu":
            return super().__getitem__(key)
        rows = np.where(key < 0, key + self.shape[0], key)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise IndexError(f"there are rows outside 0 to {self.shape[0] - 1}.")
        places, indptr = slots.entries(rows)
        indices = slots.indices[places]
        return csr_of(slots.data[places], indices, indptr.astype(indices.dtype), (len(rows), self.shape[1]))

    def plain(self) -> Any:
        """Return it as a ``csr_array``, which a model folder takes."""
        return sparse.csr_array((self.data, self.indices, self.indptr), shape=self.shape)

    def resize(self, *shape: Any) -> None:
        """Take another shape, ``resize(n_rows, n_columns)``; to grow costs O(new rows), amortised."""
        n_rows, n_columns = shape[0] if len(shape) == 1 else shape
        if self._slots is None or n_rows < self.shape[0] or n_columns < self.shape[1]:
            super().resize(*shape)
            return
        self._with_room(n_rows, 0)
        self._shape = (n_rows, n_columns)

    def replace(self, rows: Any, replacements: Any) -> None:
        """Replace some rows; those past the end extend it. Of a row that comes twice the last counts."""
        is_ready = type(replacements) is sparse.csr_array and replacements.dtype == np.float32
        added = replacements if is_ready else sparse.csr_array(replacements, dtype=np.float32)
        last = dict(zip(np.asarray(rows).tolist(), range(len(rows)), strict=True))
        places, sources = np.array(list(last), dtype=np.int64), np.array(list(last.values()), dtype=np.int64)
        slots = self._with_room(max(self.shape[0], max(last, default=-1) + 1), added.nnz)
        begin, self._used = self._used, self._used + added.nnz
        slots.data[begin : self._used], slots.indices[begin : self._used] = added.data, added.indices
        lengths = np.diff(added.indptr).astype(np.int64)[sources]
        self._live += int(lengths.sum() - slots.lengths[places].sum())
        slots.starts[places] = begin + added.indptr[:-1].astype(np.int64)[sources]
        slots.lengths[places] = lengths

    def _with_room(self, n_rows: int, n_more: int) -> RowSlots:
        """Return slots of so many rows, with room for so many more entries behind those used."""
        slots = self.slots()
        if self._slots is None:
            self._used = self._live = int(self._indptr[-1])
        elif self._used > max(2 * self._live, _LEAST_ROOM):
            # No place is given up that a reader of today could still want: it has its own slots.
            entries, indptr = slots.entries(slice(None))
            slots = RowSlots(indptr[:-1], slots.lengths, slots.indices[entries], slots.data[entries])
            self._used = self._live = len(entries)
        needed = max(self._used + n_more, _LEAST_ROOM)
        slots = RowSlots(
            grown(slots.starts, n_rows),
            grown(slots.lengths, n_rows),
            grown(slots.indices, needed),
            grown(slots.data, needed),
        )
        self._slots = slots
        self._shape = (n_rows, self.shape[1])
        for remembered in ("_has_sorted_indices", "_has_canonical_format"):
            self.__dict__.pop(remembered, None)
        self._data, self._indices, self._indptr = slots.data[:0], slots.indices[:0], slots.starts[:0]
        return slots
