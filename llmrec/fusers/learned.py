"""Learned blend: the weights of the views are chosen on events that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray, IntArray, ViewVectors
from llmrec.fusers.concat import ConcatFuser
from llmrec.validation import check_integer

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories, Interactions

__all__ = ["LearnedFuser"]

_GRID = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_PRIOR = {"text": 0.5, "behaviour": 1.0, "popularity": 0.3}
_POOL_PER_VIEW = 100
_USERS_AT_A_TIME = 256
_MAX_PASSES = 4
_MIN_GAIN = 0.002
_MIN_BUCKET_GAIN = 0.01


class LearnedFuser(ConcatFuser):
    r"""Blend the views' z-scores with weights learned from what users did next.

    The best choice where there are events to learn from, and the default: which of text, behaviour and
    popularity should lead differs from data set to data set by an order of magnitude. The recommender
    fits the views on the earlier part of the events first; this fuser then searches, coordinate by
    coordinate, the weights with the best NDCG@20 on the later part, for all users together and then for
    users with few, some and many events apart, where these are enough to tell. Then the views are fitted
    on everything.

    Without enough events the weights are 1 for behaviour, 0.5 for text and 0.3 for popularity.

    Parameters
    ----------
    min_users : int, default 50
        Weights of a group of users are learned only if it has this many with held-out events.

    Attributes
    ----------
    weights_ : dict of str to float
        By view name, for users in general.
    bucket_weights_ : list of (int, dict)
        Weights for users with at least so many events, ascending; the last entry that fits counts.
    validation_ndcg_ : float or None
        NDCG@20 of ``weights_`` on the later part; None if nothing was learned.

    Examples
    --------
    >>> from llmrec import Recommender
    >>> from llmrec.datasets import load_movietweetings
    >>> films = load_movietweetings()
    >>> rec = Recommender(encoder="tfidf", factorizer=["svd", "popularity"], fuser=LearnedFuser())
    >>> rec = rec.fit(films.interactions, items=films.items)
    >>> max(rec.fuser_.weights_, key=rec.fuser_.weights_.get)      # new films rule this set
    'popularity'
    """

    needs_held_out: ClassVar[bool] = True
    history_buckets: ClassVar[tuple[int, ...]] = (1, 5, 20)

    def __init__(self, *, min_users: int = 50):
        self.min_users = min_users

    def fit(self, views: Sequence[ViewVectors], interactions: Interactions | None) -> Self:
        """Measure each view's mean and spread; keep the weights that :meth:`tune` found for these views."""
        learned = getattr(self, "weights_", None)
        self._measure(views)
        if learned is None or set(learned) != {view.name for view in views}:
            self.weights_ = {view.name: _PRIOR[view.kind] for view in views}
            self.bucket_weights_: list[tuple[int, dict[str, float]]] = []
            self.validation_ndcg_: float | None = None
        return self

    def tune(self, views: Sequence[ViewVectors], seen: Histories, held_out: Histories) -> None:
        """Choose the weights by the NDCG@20 on held-out events.

        Parameters
        ----------
        views : sequence of ViewVectors
            Of all items, fitted on the earlier events, with the ``queries`` of the users held out.
        seen, held_out : Histories
            The earlier and the later events of these users.
        """
        minimum = check_integer("min_users", self.min_users, minimum=1)
        self._measure(views)
        self.weights_ = {view.name: _PRIOR[view.kind] for view in views}
        self.bucket_weights_ = []
        self.validation_ndcg_ = None
        if len(held_out) < minimum or len(views) < 2:
            return
        trial = _Trial.of(self, views, seen, held_out)
        names = [view.name for view in views]
        weights, self.validation_ndcg_ = trial.best_weights([_PRIOR[view.kind] for view in views])
        self.weights_ = dict(zip(names, weights.tolist(), strict=True))
        for least, most in zip(self.history_buckets, (*self.history_buckets[1:], np.inf), strict=True):
            group = np.flatnonzero((seen.lengths >= least) & (seen.lengths < most))
            if len(group) >= minimum:
                own = trial.of_users(group).refined(weights)
                self.bucket_weights_.append((least, dict(zip(names, own.tolist(), strict=True))))

    def weights_for(self, n_events: float) -> dict[str, float]:
        """Return the weights for a user with so many events."""
        fitting = [weights for least, weights in self.bucket_weights_ if least <= n_events]
        return fitting[-1] if fitting else self.weights_

    def _query_weights(self, views: Sequence[ViewVectors]) -> FloatArray:
        behaviour = [view.support for view in views if view.kind == "behaviour"]
        own = behaviour or [view.support for view in views if view.kind == "text"]
        n_events = np.max(own, axis=0) if own else np.zeros(len(views[0].support))
        chosen = [self.weights_for(n) for n in n_events.tolist()]
        return np.array([[one[view.name] for view in views] for one in chosen], np.float32).reshape(
            len(chosen), len(views)
        )


class _Trial:
    """Candidates of the users held out, with each view's z-score, and which of them were right.

    Parameters
    ----------
    scores : ndarray of shape (n_views, n_users, n_candidates)
    hit_users, hit_places : ndarray of shape (n_hits,)
        Where in ``scores`` the right candidates stand.
    n_relevant : ndarray of shape (n_users,)
        How many right items there were, candidates or not.
    """

    def __init__(
        self,
        scores: FloatArray,
        hit_users: npt.NDArray[np.int64],
        hit_places: npt.NDArray[np.int64],
        n_relevant: npt.NDArray[np.int64],
        k: int = 20,
    ):
        self.scores = scores
        self.hit_users = hit_users
        self.hit_places = hit_places
        self.n_relevant = n_relevant
        self.k = min(k, scores.shape[2])
        self.discounts = 1 / np.log2(np.arange(2, k + 2))
        self.ideals = np.cumsum(self.discounts)[np.clip(n_relevant, 1, k) - 1]

    @classmethod
    def of(
        cls, fuser: ConcatFuser, views: Sequence[ViewVectors], seen: Histories, held_out: Histories
    ) -> _Trial:
        parts = [
            _pooled(fuser, views, seen, held_out, slice(start, start + _USERS_AT_A_TIME))
            for start in range(0, len(held_out), _USERS_AT_A_TIME)
        ]
        scores = np.concatenate([one for one, _ in parts], axis=1)
        hit_users, hit_places = np.nonzero(np.concatenate([hits for _, hits in parts]))
        return cls(scores, hit_users, hit_places, held_out.lengths)

    def of_users(self, users: npt.NDArray[np.int64]) -> _Trial:
        kept = np.isin(self.hit_users, users)
        hit_users = np.searchsorted(users, self.hit_users[kept])
        return _Trial(self.scores[:, users], hit_users, self.hit_places[kept], self.n_relevant[users])

    def blended(self, weights: npt.NDArray[np.float64]) -> FloatArray:
        return np.asarray(np.einsum("v,vup->up", weights.astype(np.float32), self.scores))

    def ndcg(self, blended: FloatArray) -> float:
        """Return the mean NDCG of blended scores; of equal scores, a right one counts as the last."""
        start = blended.shape[1] - self.k
        top = np.partition(blended, start, axis=1)[:, start:]
        own = blended[self.hit_users, self.hit_places]
        ahead = np.sum(top[self.hit_users] >= own[:, None], axis=1) - 1
        gains = np.where(own >= top[self.hit_users].min(axis=1), self.discounts[np.maximum(ahead, 0)], 0)
        return float(np.mean(np.bincount(self.hit_users, gains, len(self.ideals)) / self.ideals))

    def best_weights(self, prior: Sequence[float]) -> tuple[npt.NDArray[np.float64], float]:
        """Search from the prior and from the best single view; return the better end."""
        single = max(np.eye(len(prior)), key=lambda alone: self.ndcg(self.blended(alone)))
        found = [self._climb(start, _MIN_GAIN) for start in (np.asarray(prior, dtype=np.float64), single)]
        return max(found, key=lambda one: one[1])

    def refined(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return weights for these users, near those for all unless it pays to leave them."""
        return self._climb(weights, _MIN_BUCKET_GAIN)[0]

    def _climb(
        self, start: npt.NDArray[np.float64], min_gain: float
    ) -> tuple[npt.NDArray[np.float64], float]:
        best = start / start.max()
        score = self.ndcg(self.blended(best))
        for _ in range(_MAX_PASSES):
            before = score
            for view in range(len(best)):
                others = best.copy()
                others[view] = 0
                rest = self.blended(others)
                for value in _GRID if others.any() else _GRID[1:]:
                    reached = self.ndcg(rest + np.float32(value) * self.scores[view])
                    if reached > score * (1 + min_gain):
                        best, score = others + value * np.eye(len(best))[view], reached
            if score <= before:
                break
        return best / best.max(), score


def _pooled(
    fuser: ConcatFuser, views: Sequence[ViewVectors], seen: Histories, held_out: Histories, users: slice
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return z-scores ``(views, users, pool)`` and hits ``(users, pool)`` of each view's best candidates."""
    relevant = held_out.weight_matrix()[users].astype(bool).toarray()
    met = seen.weight_matrix()[users].astype(bool).toarray()
    by_view = [fuser.view_scores(position, view, users) for position, view in enumerate(views)]
    n_items = by_view[0].shape[1]
    pool = np.hstack([_best_columns(np.where(met, -np.inf, scores)) for scores in by_view])
    pool.sort(axis=1)
    repeated = np.zeros(pool.shape, dtype=np.bool_)
    repeated[:, 1:] = pool[:, 1:] == pool[:, :-1]
    left_out = repeated | np.take_along_axis(met, pool, axis=1)
    scores = np.stack([np.take_along_axis(one, pool, axis=1) for one in by_view])
    # A score that no weight can lift back: far below any z-score of n_items items.
    scores[:, left_out] = -np.float32(10 * np.sqrt(n_items))
    return scores, np.take_along_axis(relevant, pool, axis=1) & ~left_out


def _best_columns(scores: FloatArray) -> IntArray:
    width = min(_POOL_PER_VIEW, scores.shape[1])
    return np.argpartition(-scores, width - 1, axis=1)[:, :width].astype(np.int32)
