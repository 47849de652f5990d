"""Cold items, simulated: what a text metric would have done for items whose events are hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray, IntArray
from llmrec.text_metrics import LearnedMetric
from llmrec.vectors import unit_rows

__all__ = ["best_metric"]

_CANDIDATES = (3.0, 10.0, 30.0, 100.0, 300.0)
_SHARE = 0.2
_MIN_USERS = 50
_MAX_USERS = 1000
_K = 100


def best_metric(
    vectors: FloatArray, warm: IntArray, history: Any, *, may_learn: bool
) -> tuple[str, float] | None:
    """Return the text metric that ranks hidden items best, ``"ridge"`` or ``"learned"``, and its ridge.

    A fifth of the items with events is hidden; each user's profile is made of the others, the hidden ones are
    ranked by it, and the mean NDCG@100 of those that the user had met decides. The same are hidden each time.

    Parameters
    ----------
    vectors : ndarray of shape (n_items, dim)
        Of length 1.
    warm : ndarray of int32
        Items with events.
    history : csr_array of shape (n_users, n_items)
        Of a sample of the users; a thousand of them are ranked for.
    may_learn : bool
        Whether the learned metric competes.

    Returns
    -------
    (str, float), or None
        None where fewer than 50 users have met both kinds of items.
    """
    drawn = np.random.default_rng(0).permutation(len(warm))
    hidden = np.sort(warm[drawn[: int(len(warm) * _SHARE)]])
    shown = np.setdiff1d(warm, hidden)
    judges = history[:: max(1, -(-history.shape[0] // _MAX_USERS))]
    relevant = judges[:, hidden].toarray() > 0
    profiles = unit_rows(np.asarray(judges[:, shown] @ vectors[shown], dtype=np.float32))
    users = np.flatnonzero(relevant.any(axis=1) & profiles.any(axis=1))
    if len(users) < _MIN_USERS:
        return None
    values, basis = np.linalg.eigh(vectors[shown].astype(np.float64).T @ vectors[shown])
    asked, offered = profiles[users] @ basis, vectors[hidden] @ basis
    reached = {
        ridge: _ndcg((asked / (np.maximum(values, 0) + ridge)) @ offered.T, relevant[users])
        for ridge in _CANDIDATES
    }
    ridge = max(reached, key=lambda one: reached[one])
    if not may_learn:
        return "ridge", ridge
    learned = LearnedMetric.of(vectors, shown, history, ridge)
    ndcg = _ndcg(learned.apply(profiles[users]) @ vectors[hidden].T, relevant[users])
    return "learned" if ndcg > reached[ridge] else "ridge", ridge


def _ndcg(scores: npt.NDArray[np.floating[Any]], relevant: npt.NDArray[np.bool_]) -> float:
    k = min(_K, scores.shape[1])
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideals = np.cumsum(discounts)[np.minimum(relevant.sum(axis=1), k) - 1]
    return float(np.mean(np.take_along_axis(relevant, top, axis=1) @ discounts / ideals))
