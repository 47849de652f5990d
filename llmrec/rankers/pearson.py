"""Pearson ranking: top-k items by the correlation between query and item coordinates."""

from __future__ import annotations

import numpy as np

from llmrec.base import FloatArray, Matrix
from llmrec.rankers.exact import ExactRanker
from llmrec.vectors import JoinedVectors, join_columns, row_norms, row_sums, scale_rows, unit_rows

__all__ = ["PearsonRanker"]


class PearsonRanker(ExactRanker):
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
        """Return centred rows of length 1; rows with a sparse part carry their mean in a last column."""
        if isinstance(vectors, np.ndarray):
            centred = vectors - vectors.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
            # What rounding leaves of a constant row is not a direction.
            centred[np.ptp(vectors, axis=1) == 0] = 0
            return unit_rows(centred)
        width = vectors.shape[1]
        offsets = row_sums(vectors) / np.float32(np.sqrt(width))
        lengths = np.sqrt(np.maximum(row_norms(vectors).astype(np.float64) ** 2 - offsets**2, 0))
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-6).astype(np.float32)
        return join_columns(
            [*_parts(scale_rows(vectors, scale)), (offsets * scale)[:, None].astype(np.float32)]
        )

    def score(self, queries: Matrix, items: Matrix) -> FloatArray:
        """Return the correlations, from -1 to 1."""
        if isinstance(queries, np.ndarray):
            return np.asarray(queries @ items.T, dtype=np.float32)
        # q·v - n·mean(q)·mean(v): the last dense column, counted negatively.
        dense = queries.dense.copy()
        dense[:, -1] *= -1
        product = queries.sparse @ items.sparse.T
        return np.asarray(dense @ items.dense.T + product.toarray(), dtype=np.float32)


def _parts(vectors: Matrix) -> list[Matrix]:
    return [vectors.dense, vectors.sparse] if isinstance(vectors, JoinedVectors) else [vectors]
