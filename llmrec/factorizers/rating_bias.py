"""Rating biases: how far each user and each item lies from the mean rating."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.base import FloatArray

__all__ = ["RatingBias", "bias_parts", "damped_means", "with_bias_parts", "with_item_bias", "with_user_bias"]

_MAX_ROUNDS = 100
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class RatingBias:
    """``rating ≈ mean + user bias + item bias``, each bias a damped mean of what the others leave.

    Attributes
    ----------
    mean : float
    user, item : ndarray of float32
    """

    mean: float
    user: FloatArray
    item: FloatArray

    @classmethod
    def of(cls, ratings: Any, damping: float) -> RatingBias:
        """Fit the biases of a users × items ``csr_array``, alternating until neither moves.

        At that point each user's bias is the fold-in of their ratings, and each item's of its own.
        """
        mean = float(ratings.data.mean()) if ratings.nnz else 0.0
        by_item = ratings.T.tocsr()
        user = np.zeros(ratings.shape[0], dtype=np.float32)
        item = np.zeros(ratings.shape[1], dtype=np.float32)
        for _ in range(_MAX_ROUNDS):
            before = user, item
            item = damped_means(by_item, mean, user, damping)
            user = damped_means(ratings, mean, item, damping)
            moved = max(np.abs(user - before[0]).max(initial=0), np.abs(item - before[1]).max(initial=0))
            if moved < _TOLERANCE:
                break
        return cls(mean, user, item)

    def residuals(self, ratings: Any) -> Any:
        """Return the ``csr_array`` of what the biases leave unexplained."""
        left = ratings.copy()
        owners = np.repeat(np.arange(ratings.shape[0]), np.diff(ratings.indptr))
        left.data = ratings.data - np.float32(self.mean) - self.user[owners] - self.item[ratings.indices]
        return left


def damped_means(ratings: Any, mean: float, other: FloatArray, damping: float) -> FloatArray:
    """Return each row's mean of ``rating - mean - other[column]``, with ``damping`` zeros among them."""
    left = ratings.data.astype(np.float64) - mean - other[ratings.indices]
    lengths = np.diff(ratings.indptr)
    sums = np.bincount(np.repeat(np.arange(len(lengths)), lengths), weights=left, minlength=len(lengths))
    counts = lengths + damping
    means = np.divide(sums, counts, out=np.zeros(len(lengths)), where=counts > 0)
    return np.asarray(means, dtype=np.float32)


def bias_parts(ratings: Any, mean: float, other: FloatArray, damping: float) -> FloatArray:
    """Return what each rating adds to the damped mean of its row, ``(nnz,)``."""
    left = ratings.data.astype(np.float64) - mean - other[ratings.indices]
    lengths = np.diff(ratings.indptr)
    return np.asarray(left / (np.repeat(lengths, lengths) + damping), dtype=np.float32)


def with_bias_parts(vectors: FloatArray, biases: FloatArray) -> FloatArray:
    """Append to parts of user vectors their part of the user's bias; the constants are nobody's."""
    nothing = np.zeros((len(vectors), 1), dtype=np.float32)
    return np.hstack([vectors, nothing, biases[:, None]]).astype(np.float32)


def with_user_bias(vectors: FloatArray, bias: FloatArray) -> FloatArray:
    """Append to user vectors a 1, which meets the item's bias, and their own bias."""
    ones = np.ones((len(vectors), 1), dtype=np.float32)
    return np.hstack([vectors, ones, bias[:, None].astype(np.float32)])


def with_item_bias(vectors: FloatArray, bias: FloatArray) -> FloatArray:
    """Append to item vectors their own bias, and a 1, which meets the user's bias."""
    ones = np.ones((len(vectors), 1), dtype=np.float32)
    return np.hstack([vectors, bias[:, None].astype(np.float32), ones])
