"""Dense item vectors as a scan reads them: bytes where the processor multiplies bytes, else float32.

Both give *bounded* scores: that of a row is off by no more than a slack times the row's scale.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llmrec.kernels.candidates import best_of_codes, encode_queries, encode_rows, scores_of_codes
from llmrec.vectors import grown

if TYPE_CHECKING:
    from llmrec.base import BoolArray, FloatArray, IntArray

__all__ = ["BoundedCodes", "ByteCodes", "Codes", "FloatCodes", "Scan"]

DoubleArray = npt.NDArray[np.float64]

_GROUP = 64
_SAMPLE = 65_536
# Columns that hardly vary are coded as if they did so much, as a share of their mean and of the widest.
_LEAST_SPREAD = 1 / 32
# Float32 rounding of a handful of operations, as a share of the length of what is summed.
_ROUNDING = 2.0**-20
_EPSILON = 2.0**-24
# Vectors longer than this could overflow on the way; their scores are computed in float64.
_LONGEST = 1e30


class Scan(NamedTuple):
    """What is prepared of some queries: the arrays that the kernels read, a row a query.

    Paired queries lie side by side in ``words``; where their number is odd, the last has none beside it.
    ``factors`` holds unit, slack and threshold; ``leeway`` errors that are no row's; ``reach`` is the largest
    absolute score a row of scale 1 can have; ``shared`` is what bounded scores lack, the same for all rows.
    """

    words: npt.NDArray[Any]
    starts: npt.NDArray[np.int32]
    factors: FloatArray
    leeway: DoubleArray
    reach: DoubleArray
    shared: DoubleArray


class Codes(ABC):
    """Dense item vectors prepared for scans.

    Attributes
    ----------
    n_items : int
    scales : ndarray of float32, shape (n,)
        ``n`` is ``n_items`` rounded up to groups of 64; nan past the items.
    """

    n_items: int
    scales: FloatArray

    @abstractmethod
    def replace(self, rows: IntArray, vectors: FloatArray) -> None:
        """Take changed and new rows of ``vectors``, which are all as they are now."""

    @property
    def is_safe(self) -> bool:
        """Whether no score can overflow on the way."""
        return bool(self._largest < _LONGEST)

    _largest: float = 0.0

    def _make_room(self, n_items: int) -> int:
        """Extend the scales; return the number of groups."""
        n_groups = -(-n_items // _GROUP)
        n_old = len(getattr(self, "scales", ()))
        if n_groups * _GROUP > n_old:
            scales = getattr(self, "scales", np.empty(0, dtype=np.float32))
            self.scales = grown(scales, n_groups * _GROUP)
            self.scales[n_old:] = np.nan
        self.n_items = n_items
        return n_groups

    def _note_largest(self, rows: IntArray) -> None:
        self._largest = max(self._largest, float(self.scales[rows].max(initial=0)))


class BoundedCodes(Codes):
    """Vectors of which all bounded scores can be written, for other parts to be added to them."""

    @abstractmethod
    def plan(self, queries: DoubleArray, scale: DoubleArray, *, paired: bool = False) -> Scan:
        """Prepare queries, ``(n, dim)``, divided by ``scale``, to lengths near 1."""

    @abstractmethod
    def write_scores(self, scan: Scan, some: slice, scores: FloatArray) -> None:
        """Write the bounded scores of all rows for some queries, ``(n, len(scales))``."""


class ByteCodes(BoundedCodes):
    r"""One byte a coordinate, one scale a row.

    Coordinate :math:`c` of row :math:`i` is :math:`\mu_c + w_c s_i (x_{ic} + e_{ic})` with whole numbers
    :math:`|x| \le 127` and errors :math:`e`: centred, so that what all items share costs no precision, and
    with columns brought to like widths. Queries have sixteen bits. By Cauchy and Schwarz a score is off by
    no more than

    .. math:: s_i (\lVert w q \rVert \max_i \lVert e_i \rVert + \lVert e_q \rVert \max_i \lVert x_i \rVert)

    with the query's own error :math:`e_q`, beside rounding.

    Centre and width are measured once, on a sample; rows that come later have the same bound.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items, dim)
    """

    def __init__(self, vectors: FloatArray):
        n_items, n_columns = vectors.shape
        sample = vectors[:: max(1, n_items // _SAMPLE)].astype(np.float64)
        self.centre = sample.mean(axis=0)
        spread = sample.std(axis=0)
        least = np.maximum(np.abs(self.centre), spread.max(initial=0)) * _LEAST_SPREAD
        self.width = np.maximum(spread, least)
        self.width[self.width < 1e-30] = 1.0
        # The largest error and the largest length of a row, in units of their scales.
        self.bounds = np.zeros(2)
        self.codes = np.empty((0, -(-n_columns // 4), _GROUP, 4), dtype=np.uint8)
        self.replace(np.arange(n_items, dtype=np.int32), vectors)

    def replace(self, rows: IntArray, vectors: FloatArray) -> None:
        """Take changed and new rows of ``vectors``, which are all as they are now."""
        n_groups = self._make_room(len(vectors))
        n_old = len(self.codes)
        if n_groups > n_old:
            self.codes = grown(self.codes, n_groups)
            self.codes[n_old:] = 128
        slip, length = encode_rows(vectors, rows, self.centre, self.width, self.codes, self.scales)
        self.bounds = np.maximum(self.bounds, [slip, length])
        self._note_largest(rows)

    def plan(self, queries: DoubleArray, scale: DoubleArray, *, paired: bool = False) -> Scan:
        """Prepare queries, divided by ``scale``."""
        step = 2 if paired else 1
        n_tuples = -(-len(queries) // step)
        words = np.zeros((n_tuples, self.codes.shape[1], step, 2, 4), dtype=np.int8)
        starts = np.zeros((n_tuples * step, 2), dtype=np.int32)
        factors = np.zeros((n_tuples * step, 3), dtype=np.float32)
        sums = np.empty((len(queries), 3))
        encode_queries(queries, scale, self.centre, self.width, self.bounds, words, starts, factors, sums)
        return Scan(words, starts, factors, sums[:, 0], sums[:, 1], sums[:, 2])

    def best(
        self,
        vectors: FloatArray,
        query: DoubleArray,
        unwanted: IntArray,
        allowed: BoolArray,
        k: int,
        room: int,
    ) -> tuple[IntArray, FloatArray] | None:
        """Return the best ``k`` rows and scores of one query, ``(1, dim)``; None if candidates are many."""
        rows, scores = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float32)
        count = best_of_codes(
            self.codes, self.scales, vectors, query, self.centre, self.width, self.bounds, unwanted, allowed,
            room, rows, scores,
        )  # fmt: skip
        return None if count < 0 else (rows[:count], scores[:count])

    def write_scores(self, scan: Scan, some: slice, scores: FloatArray) -> None:
        """Write the bounded scores of all rows for some queries, less what the centre adds to each."""
        for words, starts, factors, own in zip(
            scan.words[some, :, 0], scan.starts[some], scan.factors[some], scores, strict=True
        ):
            scores_of_codes(self.codes, self.scales, words, starts, factors, own)


class FloatCodes(BoundedCodes):
    """The vectors as they are; the scale of a row is its length, which bounds what float32 rounds off.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items, dim)
    """

    def __init__(self, vectors: FloatArray):
        self.replace(np.arange(len(vectors), dtype=np.int32), vectors)

    def replace(self, rows: IntArray, vectors: FloatArray) -> None:
        """Take changed and new rows of ``vectors``, which are all as they are now."""
        self._make_room(len(vectors))
        self.vectors = vectors
        doubles = vectors[rows].astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", doubles, doubles))
        with np.errstate(over="ignore"):
            self.scales[rows] = np.nextafter(lengths.astype(np.float32), np.float32(np.inf))
        self._note_largest(rows)

    def plan(self, queries: DoubleArray, scale: DoubleArray, *, paired: bool = False) -> Scan:
        """Prepare queries, ``(n, dim)``, divided by ``scale``, to lengths near 1."""
        queries = queries / scale[:, None]
        n_queries, n_columns = queries.shape
        lengths = np.linalg.norm(queries, axis=1)
        slack = (n_columns + 4) * _EPSILON * lengths * (1 + _ROUNDING)
        factors = np.stack([np.ones(n_queries), slack, np.full(n_queries, -np.inf)], axis=1)
        leeway = np.full(n_queries, 1e-36)
        starts = np.zeros((n_queries, 2), dtype=np.int32)
        shared = np.zeros(n_queries)
        return Scan(queries.astype(np.float32), starts, factors.astype(np.float32), leeway, lengths, shared)

    def write_scores(self, scan: Scan, some: slice, scores: FloatArray) -> None:
        """Write the float32 products of all rows with some queries."""
        np.matmul(scan.words[some], self.vectors.T, out=scores[:, : self.n_items])
