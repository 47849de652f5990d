"""Pearson ranking: top-k items by the correlation between query and item coordinates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray, Matrix
from llmrec.rankers.inner_product import InnerProductRanker
from llmrec.vectors import JoinedVectors, scale_rows, unit_rows

__all__ = ["PearsonRanker"]

_MIN_SHARE_OF_SPREAD = 1e-12


class PearsonRanker(InnerProductRanker):
    """Rank items by Pearson correlation, exactly: cosine after each vector's own mean is taken off.

    Choose it where vectors carry an offset without meaning, such as the raw states of a language model.
    A vector whose coordinates are all equal scores 0.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time; bounds memory at ``min(n_queries, 256) * block_size * 4`` bytes.

    Examples
    --------
    >>> import numpy as np
    >>> ranker = PearsonRanker().index(np.array([[9, 8, 7], [1, 2, 3]], dtype=np.float32))
    >>> rows, scores = ranker.rank(np.array([[4, 5, 7]], dtype=np.float32), k=2)
    >>> rows.tolist(), scores.round(3).tolist()
    ([[1, 0]], [[0.9819999933242798, -0.9819999933242798]])
    """

    def prepare(self, vectors: Matrix) -> Matrix:
        """Return unit centred rows; rows with a sparse part carry their mean in a dense column."""
        if isinstance(vectors, np.ndarray):
            centred = vectors - vectors.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
            # What rounding leaves of a constant row is not a direction.
            centred[np.ptp(vectors, axis=1) == 0] = 0
            return unit_rows(centred)
        dense, thin = _parts(vectors)
        sums = _row_totals(dense) + _row_totals(thin)
        squares = _row_totals(dense, squared=True) + _row_totals(thin, squared=True)
        offsets = sums / np.sqrt(vectors.shape[1])
        spread = np.maximum(squares - offsets**2, 0)
        # What rounding leaves of a constant row is not a direction.
        varied = spread > _MIN_SHARE_OF_SPREAD * squares
        scale = np.where(varied, 1 / np.sqrt(np.where(varied, spread, 1)), 0)
        front = np.hstack([dense * scale[:, None], (offsets * scale)[:, None]])
        return JoinedVectors(front.astype(np.float32), scale_rows(thin, scale.astype(np.float32)))

    def query_form(self, queries: Matrix) -> Matrix:
        """Return queries whose product with prepared items is the correlation, from -1 to 1."""
        return _signed(queries)


def _signed(queries: Matrix) -> Matrix:
    """Return queries whose column of means counts negatively: q·v - n·mean(q)·mean(v)."""
    if isinstance(queries, np.ndarray):
        return queries
    dense = queries.dense.copy()
    dense[:, -1] *= -1
    return JoinedVectors(dense, queries.sparse)


def _parts(vectors: Matrix) -> tuple[FloatArray, Matrix]:
    if isinstance(vectors, JoinedVectors):
        return vectors.dense, vectors.sparse
    return np.empty((vectors.shape[0], 0), dtype=np.float32), vectors


def _row_totals(part: Matrix, *, squared: bool = False) -> npt.NDArray[np.float64]:
    values = part.astype(np.float64)
    if squared:
        values = values.multiply(values) if sparse.issparse(values) else values * values
    return np.asarray(values.sum(axis=1), dtype=np.float64).ravel()
