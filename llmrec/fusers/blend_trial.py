"""Trying weights of views: the NDCG that a blend would have had on events held out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray, IntArray, ViewVectors
from llmrec.fusers.concat import ConcatFuser

__all__ = ["BlendTrial"]

DoubleArray = npt.NDArray[np.float64]

_SCALES = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0)
_OFFSETS = (-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0)
_MIN_ITEM_GAIN = 0.005
_POOL_PER_VIEW = 100
_LEAST_NDCG = 1e-3
_USERS_AT_A_TIME = 256


class BlendTrial:
    """Candidates of the users held out, with each view's z-score, and which of them were right.

    Parameters
    ----------
    scores : ndarray of shape (n_views, n_users, n_candidates)
    hit_users, hit_places : ndarray of shape (n_hits,)
        Where in ``scores`` the right candidates stand.
    n_relevant : ndarray of shape (n_users,)
        How many right items there were, candidates or not.
    buckets : ndarray of shape (n_users, n_candidates)
        Which bucket each candidate belongs to, by its number of events.
    is_open : ndarray of bool, shape (n_users, n_candidates)
        Whether a place holds a candidate, and not one twice or one met before.
    importance : ndarray of shape (n_users,), optional
        How much each user counts in the mean; all alike, if not given.
    parts : ndarray of int, shape (n_users,), optional
        Which users belong together; all, if not given.
    """

    def __init__(
        self,
        scores: FloatArray,
        hit_users: npt.NDArray[np.int64],
        hit_places: npt.NDArray[np.int64],
        n_relevant: npt.NDArray[np.int64],
        buckets: npt.NDArray[np.int64],
        is_open: npt.NDArray[np.bool_],
        importance: npt.NDArray[np.float64] | None = None,
        parts: npt.NDArray[np.integer[Any]] | None = None,
        k: int = 20,
    ):
        self.scores = scores
        self.hit_users = hit_users
        self.hit_places = hit_places
        self.n_relevant = n_relevant
        self.buckets = buckets
        self.is_open = is_open
        self.importance = np.ones(len(n_relevant)) if importance is None else importance
        self.parts = np.zeros(len(n_relevant), dtype=np.int64) if parts is None else parts
        self.discounts = 1 / np.log2(np.arange(2, k + 2))
        self.ideals = np.cumsum(self.discounts)[np.clip(n_relevant, 1, k) - 1]

    @classmethod
    def of(
        cls,
        fuser: ConcatFuser,
        views: Sequence[ViewVectors],
        met: Any,
        relevant: Any,
        buckets: npt.NDArray[np.int64],
        k: int = 20,
    ) -> BlendTrial:
        """Gather the best candidates of each view.

        Parameters
        ----------
        met, relevant : csr_array of shape (n_users, n_items)
            What is no candidate, and what is right.
        buckets : ndarray of shape (n_items,)
        k : int, default 20
            The NDCG is that of the first ``k`` places.
        """
        parts = [
            _pooled(fuser, views, met, relevant, slice(start, start + _USERS_AT_A_TIME))
            for start in range(0, relevant.shape[0], _USERS_AT_A_TIME)
        ]
        pools, scores, hits, is_open = (np.concatenate(one, axis=-2) for one in zip(*parts, strict=True))
        # Views agree on many candidates; places that hold none would cost time in each trial.
        width = max(int(is_open.sum(axis=1).max(initial=0)), 1)
        order = np.argsort(~is_open, axis=1, kind="stable")[:, :width]
        pools, hits, is_open = (np.take_along_axis(one, order, axis=1) for one in (pools, hits, is_open))
        hit_users, hit_places = np.nonzero(hits)
        return cls(
            np.take_along_axis(scores, order[None], axis=2),
            hit_users,
            hit_places,
            np.diff(relevant.indptr),
            buckets[pools],
            is_open,
            k=k,
        )

    def of_users(self, users: npt.NDArray[np.int64]) -> BlendTrial:
        """Return the same trial for some of the users."""
        kept = np.isin(self.hit_users, users)
        hit_users = np.searchsorted(users, self.hit_users[kept])
        return BlendTrial(
            self.scores[:, users],
            hit_users,
            self.hit_places[kept],
            self.n_relevant[users],
            self.buckets[users],
            self.is_open[users],
            self.importance[users],
            self.parts[users],
            len(self.discounts),
        )

    def with_equal_parts(self, parts: npt.NDArray[np.integer[Any]]) -> BlendTrial:
        """Return the same trial where each part of the users counts alike, relative to its best single view.

        What a blend gains on an easy part then weighs no more than what it loses on a hard one.
        """
        importance = np.ones(len(parts))
        for part in np.unique(parts):
            users = np.flatnonzero(parts == part)
            trial = self.of_users(users)
            importance[users] = 1 / (len(users) * max(trial.best_single(), _LEAST_NDCG))
        same = copy.copy(self)
        same.importance = importance * len(parts) / importance.sum()
        same.parts = parts
        return same

    def blended(self, weights: DoubleArray) -> FloatArray:
        """Return the weighted sum of all views' scores, ``(n_users, n_candidates)``."""
        return np.asarray(np.einsum("v,vup->up", weights.astype(np.float32), self.scores))

    def ndcg(self, blended: FloatArray) -> float:
        """Return the mean NDCG of blended scores."""
        return self.mean(self.ndcg_of_users(blended))

    def best_single(self) -> float:
        """Return the mean NDCG of the best view alone."""
        return max(self.ndcg(scores) for scores in self.scores)

    def mean(self, by_user: DoubleArray) -> float:
        """Return the mean over users, each counted by its importance."""
        return float(by_user @ self.importance / self.importance.sum())

    def error_of_mean(self, by_user: DoubleArray) -> float:
        """Return the standard error of :meth:`mean` over a draw of users."""
        parts = by_user * self.importance / self.importance.sum()
        return float(np.sqrt(np.sum((parts - parts.mean()) ** 2)))

    def ndcg_of_parts(self, blended: FloatArray) -> npt.NDArray[np.float64]:
        """Return the mean NDCG of each part."""
        _, places, counts = np.unique(self.parts, return_inverse=True, return_counts=True)
        return np.asarray(np.bincount(places, self.ndcg_of_users(blended)) / counts)

    def ndcg_of_users(self, blended: FloatArray) -> DoubleArray:
        """Return each user's NDCG of blended scores; of equal scores, a right one counts as the last."""
        return self.ndcg_along(blended, blended, (0.0,)).reshape(-1)

    def ndcg_along(self, blended: FloatArray, step: FloatArray, values: Sequence[float]) -> DoubleArray:
        """Return each user's NDCG of ``blended + value * step``, ``(n_values, n_users)``."""
        from llmrec.kernels.hit_gains import gains_along

        hits = self.hit_users, self.hit_places
        gains = gains_along(blended, step, np.asarray(values, dtype=np.float32), hits, self.discounts)
        return np.asarray(gains / self.ideals)

    def item_terms(
        self, weights: FloatArray, groups: Sequence[Sequence[int]], n_buckets: int
    ) -> tuple[FloatArray, FloatArray]:
        """Search how much each group of views counts for items with few events, and what they get on top.

        A change is made only if no part of the users loses by it: which items are wanted shifts more easily
        than which views are right.

        Parameters
        ----------
        weights : ndarray of shape (n_users, n_views)
            Of each user; they stay.
        groups : sequence of sequence of int
            Places of views that are scaled together.
        n_buckets : int
            The last bucket, of the items with most events, is the yardstick.

        Returns
        -------
        scales : ndarray of shape (n_buckets, n_views)
        offsets : ndarray of shape (n_buckets,)
        """
        weighted = self.scores * weights.T[:, :, None]
        scales = np.ones((n_buckets, len(weighted)), dtype=np.float32)
        offsets = np.zeros(n_buckets, dtype=np.float32)
        blended = weighted.sum(axis=0)
        best, by_part = self.ndcg(blended), self.ndcg_of_parts(blended)
        for bucket in range(n_buckets - 1):
            inside = (self.buckets == bucket) & self.is_open
            parts = [np.where(inside, weighted[list(group)].sum(axis=0), 0) for group in groups]
            steps = [*parts, inside.astype(np.float32)]
            grids = [*[_SCALES] * len(parts), _OFFSETS]
            for place, (step, grid) in enumerate(zip(steps, grids, strict=True)):
                tried = dict(zip(grid, map(self.mean, self.ndcg_along(blended, step, grid)), strict=True))
                value = max(tried, key=lambda one: tried[one])
                changed = blended + np.float32(value) * step
                if (
                    tried[value] <= best * (1 + _MIN_ITEM_GAIN)
                    or (self.ndcg_of_parts(changed) < by_part).any()
                ):
                    continue
                best, blended, by_part = tried[value], changed, self.ndcg_of_parts(changed)
                if place < len(parts):
                    scales[bucket, list(groups[place])] += np.float32(value)
                else:
                    offsets[bucket] += np.float32(value)
        return scales, offsets


def _pooled(
    fuser: ConcatFuser, views: Sequence[ViewVectors], met_by: Any, relevant_to: Any, users: slice
) -> tuple[IntArray, FloatArray, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the views' best candidates, ``(users, pool)``, with their z-scores, ``(views, users, pool)``.

    Beside them, ``(users, pool)``: which are right, and which places hold a candidate at all.
    """
    relevant = relevant_to[users].astype(bool).toarray()
    met = met_by[users].astype(bool).toarray()
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
    return pool, scores, np.take_along_axis(relevant, pool, axis=1) & ~left_out, ~left_out


def _best_columns(scores: FloatArray) -> IntArray:
    width = min(_POOL_PER_VIEW, scores.shape[1])
    return np.argpartition(-scores, width - 1, axis=1)[:, :width].astype(np.int32)
