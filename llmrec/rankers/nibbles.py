"""Dense item vectors as half bytes, for processors that multiply these faster than whole ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llmrec.kernels.nibbles import best_of_nibbles, best_of_one, encode_rows_in_nibbles
from llmrec.kernels.vectors import GROUP, OCTETS
from llmrec.rankers.codes import Codes
from llmrec.vectors import grown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmrec.base import BoolArray, FloatArray, IntArray

__all__ = ["NibbleCodes"]

DoubleArray = npt.NDArray[np.float64]

_STEP = 8 * OCTETS
_SAMPLE = 65_536


class NibbleCodes(Codes):
    r"""Half a byte a coordinate, a scale and an error a row: an eighth of the vectors' bytes.

    Row :math:`i`, less the centre and rotated, is :math:`s_i x_i + e_i` with coordinates of :math:`x` from
    -7.5 to 7.5. By Cauchy and Schwarz a score is off by no more than

    .. math:: \lVert q \rVert \lVert e_i \rVert + s_i \lVert e_q \rVert \max_j \lVert x_j \rVert

    with the error :math:`e_q` of the query, whose coordinates are whole bytes, beside rounding. Rows that
    could be among the best within that are scored exactly.

    The rotation spreads what a few columns hold over all of them: on vectors of texts, it leaves a quarter of
    the rows in doubt that unrotated half bytes leave. Columns are padded to a multiple of 32. Those that are
    the same in all rows, such as one that says which items a view knows, are in the centre and need no code.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items, dim)
    """

    def __init__(self, vectors: FloatArray):
        n_items, n_columns = vectors.shape
        sample = vectors[:: max(1, n_items // _SAMPLE)]
        is_same = (sample == sample[:1]).all(axis=0)
        centre = np.where(is_same, sample[0], sample.mean(axis=0, dtype=np.float64))
        width = max(-(-int(np.sum(~is_same)) // _STEP), 1) * _STEP
        # Those that vary come first, and past the last column none.
        places = np.append(np.argsort(is_same, kind="stable"), np.arange(n_columns, width))
        # Any order and signs do: they keep what is alike in all rows from being one coordinate's.
        rng = np.random.default_rng(0)
        order, signs = rng.permutation(places[:width]), rng.choice([-1.0, 1.0], len(places))
        # In one array, for each that a kernel takes costs time.
        self.turning: DoubleArray = np.stack(
            [np.pad(centre, (0, len(places) - n_columns)), np.append(order, places[width:]), signs]
        )
        self.longest = 0.0
        self.codes = np.empty((0, width // 8, GROUP, 4), dtype=np.uint8)
        self.errors = np.empty(0, dtype=np.float32)
        self.replace(np.arange(n_items, dtype=np.int32), vectors)

    def replace(self, rows: IntArray, vectors: FloatArray) -> None:
        """Take changed and new rows of ``vectors``, which are all as they are now."""
        n_groups = self._make_room(len(vectors))
        self.codes = grown(self.codes, n_groups)
        self.errors = grown(self.errors, n_groups * GROUP)
        longest = encode_rows_in_nibbles(vectors, rows, self.turning, self.codes, self.scales, self.errors)
        self.longest = max(self.longest, longest)
        self._note_largest(rows)

    def best_of_one(
        self, vectors: FloatArray, query: FloatArray, unwanted: IntArray, k: int
    ) -> tuple[IntArray, FloatArray] | None:
        """Return the best ``k`` rows and scores of one query, ``(1, dim)``, as rows of two matrices.

        None if the query is not finite, or a score is beyond float32. Arrays are of the library's types,
        contiguous and writeable: for others, the kernel would be compiled anew.
        """
        rows, scores = np.empty((1, k), dtype=np.int32), np.empty((1, k), dtype=np.float32)
        count = best_of_one(
            self.codes, self.scales, self.errors, self.turning, self.longest, vectors, query, unwanted,
            scores, rows,
        )  # fmt: skip
        if count == k:
            return rows, scores
        return None if count < 0 else (rows[:, :count], scores[:, :count])

    def best(
        self,
        vectors: FloatArray,
        queries: DoubleArray,
        unwanted: Sequence[IntArray],
        allowed: BoolArray,
        k: int,
    ) -> list[tuple[IntArray, FloatArray]]:
        """Return the best ``k`` rows and scores of each query, ``(n, dim)``."""
        n_queries = len(queries)
        if n_queries == 1:
            joined, ends = np.array(unwanted[0], dtype=np.int32), np.array([0, len(unwanted[0])])
        else:
            joined = np.concatenate(unwanted, dtype=np.int32, casting="unsafe")
            ends = np.zeros(n_queries + 1, dtype=np.int64)
            np.cumsum([len(one) for one in unwanted], out=ends[1:])
        rows, scores = np.empty((n_queries, k), dtype=np.int32), np.empty((n_queries, k), dtype=np.float32)
        counts = best_of_nibbles(
            self.codes, self.scales, self.errors, self.turning, self.longest, vectors, queries, joined, ends,
            allowed, scores, rows,
        )  # fmt: skip
        ordered = zip(rows, scores, counts.tolist(), strict=True)
        return [(own[:count], its_scores[:count]) for own, its_scores, count in ordered]
