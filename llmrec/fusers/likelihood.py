"""The weights under which what users took is likeliest: what few events cannot mislead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from llmrec.fusers.blend_trial import BlendTrial

__all__ = ["likeliest_weights"]

DoubleArray = npt.NDArray[np.float64]

_START, _MAX_STEPS = 0.3, 60


def likeliest_weights(trial: BlendTrial) -> DoubleArray:
    r"""Return weights of at least 0, the largest 1, that make the right candidates likeliest.

    The probability of a candidate is the softmax of its blended score over all candidates of the user, a
    conditional logit (McFadden, 1974); the mean log-likelihood of a user's right ones is concave in the
    weights. It counts every held-out event, where the NDCG sees those that reach the first 20, and so varies
    less with which events were held out. Returns zeros where no weight helps.

    Returns
    -------
    ndarray of shape (n_views,), float64
    """
    importance = trial.importance / trial.importance.sum()
    of_hits = importance[trial.hit_users] / np.maximum(trial.n_relevant[trial.hit_users], 1)
    of_users = np.bincount(trial.hit_users, of_hits, len(importance))
    scores = np.where(trial.is_open, trial.scores, np.float32(0))
    right = (trial.scores[:, trial.hit_users, trial.hit_places] * of_hits).sum(axis=1, dtype=np.float64)

    def loss(weights: DoubleArray) -> tuple[float, DoubleArray]:
        blended = np.einsum("v,vup->up", weights.astype(np.float32), scores)
        blended = np.where(trial.is_open, blended, -np.inf)
        # A user without any candidate has none that is right, and counts nothing.
        top = np.max(blended, axis=1, keepdims=True, initial=-1e30)
        odds = np.exp(blended - top)
        total = np.maximum(odds.sum(axis=1, keepdims=True), np.float32(1e-30))
        expected = np.einsum("up,vup->v", odds / total * of_users[:, None].astype(np.float32), scores)
        unlikely = (np.log(total) + top)[:, 0].astype(np.float64)
        return float(of_users @ unlikely - weights @ right), expected.astype(np.float64) - right

    start = np.full(len(scores), _START)
    found = minimize(
        loss,
        start,
        jac=True,
        bounds=[(0, None)] * len(start),
        method="L-BFGS-B",
        options={"maxiter": _MAX_STEPS},
    )
    return np.asarray(found.x / max(found.x.max(), 1e-12))
