"""A prior for item factors: what an item's text says of it before anybody has met it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from llmrec.base import FloatArray, Matrix

__all__ = ["TextMap", "prior_shares", "support_with_text"]

_LARGEST_GRAM = 4096
_RIDGE = 10.0
# Less than one event, so that an item known by its text alone still counts as one without events.
_TEXT_SUPPORT = 0.5


class TextMap:
    r"""The ridge regression of item factors on text vectors, fitted again and again for other factors.

    .. math:: W = (T^T T + \rho I)^{-1} T^T V

    over the items that have both. Each counts alike, rare ones with their short vectors too: an item without
    events is placed as such an item usually turns out. Weighed by their events the famous would place it
    among themselves. What does not change with the factors is computed once.

    Parameters
    ----------
    content : ndarray or csr_array of shape (n_items, content_dim)
        Text vectors of length 1; zero where an item has no text.
    counts : ndarray of shape (n_items,)
        Events of each item; those without any are not learned from.
    """

    def __init__(self, content: Matrix, counts: npt.NDArray[Any]):
        known = np.flatnonzero(np.asarray(abs(content).sum(axis=1)).ravel() * counts)
        self._known = known
        self._design = content[known].astype(np.float64)
        self._is_wide = self._design.shape[1] > min(len(known), _LARGEST_GRAM)
        gram = self._design @ self._design.T if self._is_wide else self._design.T @ self._design
        gram = gram.toarray() if sparse.issparse(gram) else gram
        gram[np.diag_indices_from(gram)] += _RIDGE
        self._factor = linalg.cho_factor(gram, lower=True, overwrite_a=True)

    def fit(self, item_vectors: FloatArray) -> FloatArray:
        """Return ``W``, ``(content_dim, factors)``."""
        right = item_vectors[self._known].astype(np.float64)
        if self._is_wide:
            solved = self._design.T @ linalg.cho_solve(self._factor, right)
        else:
            solved = linalg.cho_solve(self._factor, self._design.T @ right)
        return np.ascontiguousarray(solved, dtype=np.float32)


def prior_shares(counts: npt.NDArray[Any], prior_events: float) -> FloatArray:
    """Return how much of its prior an item keeps, ``κ / (κ + n)``: all without events, little with many.

    Examples
    --------
    >>> prior_shares(np.array([0, 10, 90]), prior_events=10).round(2).tolist()
    [1.0, 0.5, 0.10000000149011612]
    """
    return np.asarray(prior_events / (prior_events + counts), dtype=np.float32)


def support_with_text(item_counts: FloatArray, has_text: npt.NDArray[Any]) -> FloatArray:
    """Return on how much items stand: their events, or half an event where there is only a text.

    Examples
    --------
    >>> support_with_text(np.array([3, 0, 0], dtype=np.float32), np.array([True, True, False])).tolist()
    [3.0, 0.5, 0.0]
    """
    return np.asarray(np.maximum(item_counts, has_text * np.float32(_TEXT_SUPPORT)), dtype=np.float32)
