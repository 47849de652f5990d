"""Euclidean ranking: top-k items by their distance from the query vector."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from llmrec.base import FloatArray, Matrix
from llmrec.rankers.exact import ExactRanker
from llmrec.vectors import JoinedVectors, copied

__all__ = ["EuclideanRanker"]


class EuclideanRanker(ExactRanker):
    """Rank items by Euclidean distance, exactly; the score is the negative distance.

    Choose it for vectors trained with a distance. For factors it favours short vectors, rarely met items.
    Distances are computed in float64, since those of near neighbours are small differences of large squares.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time; bounds memory at ``min(n_queries, 256) * block_size * 8`` bytes.

    Examples
    --------
    >>> import numpy as np
    >>> ranker = EuclideanRanker().index(np.array([[0, 0], [3, 4]], dtype=np.float32))
    >>> rows, scores = ranker.rank(np.array([[3, 3]], dtype=np.float32), k=2)
    >>> rows.tolist(), (-scores).round().tolist()
    ([[1, 0]], [[1.0, 4.0]])
    """

    def prepare(self, vectors: Matrix) -> Matrix:
        """Return a copy: the index does not share memory with the caller."""
        return copied(vectors)

    def score(self, queries: Matrix, items: Matrix) -> FloatArray:
        """Return the negative distances."""
        squares = np.zeros((queries.shape[0], items.shape[0]))
        for query_part, item_part in zip(_doubles(queries), _doubles(items), strict=True):
            product = query_part @ item_part.T
            squares -= 2 * (product.toarray() if sparse.issparse(product) else product)
            squares += _squares(query_part)[:, None] + _squares(item_part)
        return -np.sqrt(np.maximum(squares, 0)).astype(np.float32)


def _doubles(vectors: Matrix) -> list[Matrix]:
    parts = [vectors.dense, vectors.sparse] if isinstance(vectors, JoinedVectors) else [vectors]
    return [part.astype(np.float64) for part in parts]


def _squares(part: Matrix) -> np.ndarray:
    if sparse.issparse(part):
        return np.asarray(part.multiply(part).sum(axis=1)).ravel()
    return np.asarray(np.einsum("ij,ij->i", part, part))
