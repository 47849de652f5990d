"""Ranking by an inner product: one scan in float32, and the best few scored again in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray, IntArray, Matrix
from llmrec.rankers.exact import ExactRanker
from llmrec.vectors import dot, paired_dots

__all__ = ["InnerProductRanker"]


class InnerProductRanker(ExactRanker):
    """Base of the rankers whose score is the inner product of prepared vectors.

    A scan in float32 finds the candidates; their scores are then computed anew in float64. A blend of
    views may be a small difference of large products, whose rounding would otherwise depend on how many
    queries are asked at once.

    Parameters
    ----------
    block_size : int, default 65536
        Items scored at a time; bounds memory at ``min(n_queries, 256) * block_size * 4`` bytes.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A subclass with a score of its own must not get inner products back for its best items.
        if "score" in vars(cls) and "rescore" not in vars(cls):
            cls.rescore = ExactRanker.rescore  # type: ignore[assignment, method-assign]

    def score(self, queries: Matrix, items: Any) -> FloatArray:
        """Return the inner products."""
        return dot(queries, items)

    def rescore(self, queries: Matrix, rows: IntArray) -> npt.NDArray[np.float64]:
        """Return the inner products with the items in ``rows``, ``(n_queries, n)``, in float64."""
        return paired_dots(queries, self.items_, rows)
