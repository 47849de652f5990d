"""Learned blend: the weights of the views are chosen on events that they have not seen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray, IntArray, Ranker, ViewVectors
from llmrec.fusers.blend_trial import BlendTrial
from llmrec.fusers.concat import ConcatFuser
from llmrec.fusers.likelihood import likeliest_weights
from llmrec.fusers.ranks import DEPTH
from llmrec.plotting import axes_or_new
from llmrec.validation import check_fitted, check_integer

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories, Interactions

__all__ = ["LearnedFuser"]

DoubleArray = npt.NDArray[np.float64]

_GRID = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_PRIOR = {"text": 0.5, "behaviour": 1.0, "popularity": 0.3}
_ENOUGH_ITEMS = 1000
_MAX_PASSES = 4
_MIN_GAIN = 0.002
_MIN_BUCKET_GAIN = 0.01
_LEAST_TEXT = 0.02
_BAGS, _BAG_SHARE = 6, 0.34
_COLD_K = 100
# Standard errors.
_SURE = 1.5
_FAIR = 0.9
_MIXES = np.linspace(0, 1, 21)


class LearnedFuser(ConcatFuser):
    r"""Blend the views' z-scores with weights learned from what users did next.

    The best choice where there are events to learn from, and the default: which of text, behaviour and
    popularity should lead differs from data set to data set by an order of magnitude. The recommender
    fits the views on the earlier part of the events first; this fuser then searches, coordinate by
    coordinate, the weights with the best NDCG@20 on the later part: for all users, as the mean over several
    thirds of them, then for users with few, some and many events apart, where these are enough to tell,
    and last for items with no, few and some events. Where histories are sets, a weight changes only if that
    gains more than chance would, and the weights under which the later part is likeliest count as much as
    those found; should one way of holding events out fare far worse by them than by a view alone, the
    weights of both ways are mixed so that neither does. Then the views are fitted on everything.

    Without enough events the weights are 1 for behaviour, 0.5 for text and 0.3 for popularity, shared among
    the views of a kind. In a catalogue of a thousand items and more they then weigh the ranks of the views,
    as in :class:`RankFusion`: a sum of scores that nobody has weighed is too much at the mercy of one view.
    Among fewer items ranks say too little.

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
    item_scales_ : ndarray of shape (4, n_views)
        How much each view counts, times its weight, for items with 0, 1 to 4, 5 to 19 and more events.
    item_offsets_ : ndarray of shape (4,)
        What such items get on top, in standard deviations.
    by_rank_ : bool
        Whether ranks are fused, for nothing was learned.
    validation_ndcg_ : float or None
        NDCG@20 of ``weights_`` on the later part, its kinds weighed alike; None if nothing was learned.

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
    _has_offsets: ClassVar[bool] = True
    history_buckets: ClassVar[tuple[int, ...]] = (1, 5, 20)
    item_buckets: ClassVar[tuple[int, ...]] = (1, 5, 20)

    def __init__(self, *, min_users: int = 50):
        self.min_users = min_users

    def fit(self, views: Sequence[ViewVectors], interactions: Interactions | None) -> Self:
        """Measure each view's mean and spread; keep the weights that :meth:`tune` found for these views."""
        learned = getattr(self, "weights_", None)
        self._measure(views)
        if learned is None or set(learned) != {view.name for view in views}:
            self._forget(views)
        return self

    def _forget(self, views: Sequence[ViewVectors]) -> None:
        """Take the weights that hold where nothing was learned."""
        self.weights_ = dict(zip((view.name for view in views), _prior(views), strict=True))
        self.bucket_weights_: list[tuple[int, dict[str, float]]] = []
        self.item_scales_ = np.ones((self._n_item_buckets, len(views)), dtype=np.float32)
        self.item_offsets_ = np.zeros(self._n_item_buckets, dtype=np.float32)
        self.by_rank_ = len(views) > 1 and len(views[0].support) >= _ENOUGH_ITEMS
        self.validation_ndcg_: float | None = None

    def ranker_over(self, ranker: Ranker) -> Ranker:
        """Return the ranker itself, or where nothing was learned one that fuses its ranks in each view."""
        check_fitted(self, "weights_")
        return self._by_ranks(ranker, DEPTH) if self.by_rank_ else ranker

    def tune(
        self,
        views: Sequence[ViewVectors],
        seen: Histories,
        held_out: Histories,
        parts: IntArray | None = None,
    ) -> None:
        """Choose the weights by the NDCG@20 on held-out events.

        Parameters
        ----------
        views : sequence of ViewVectors
            Of all items, fitted on the earlier events, with the ``queries`` of the users held out.
        seen, held_out : Histories
            The earlier and the later events of these users.
        parts : ndarray of int, shape (n_users,), optional
            Users to be weighed part by part, each part alike; given where histories are sets.
        """
        minimum = check_integer("min_users", self.min_users, minimum=1)
        self._measure(views)
        self._forget(views)
        if len(held_out) < minimum or len(views) < 2:
            return
        met, relevant = seen.weight_matrix(), held_out.weight_matrix()
        trial = BlendTrial.of(self, views, met, relevant, self._item_buckets(views))
        if parts is not None:
            trial = trial.with_equal_parts(parts)
        names = [view.name for view in views]
        is_text = np.array([_reads_texts(view) for view in views])
        self.by_rank_ = False
        search, errors = (_mean_of_bags, 0.0) if parts is None else (_weights_for_parts, _SURE)
        weights, self.validation_ndcg_ = search(trial, _prior(views), minimum)
        weights = _with_least_text(weights, is_text)
        self.weights_ = dict(zip(names, weights.tolist(), strict=True))
        for least, most in zip(self.history_buckets, (*self.history_buckets[1:], np.inf), strict=True):
            group = np.flatnonzero((seen.lengths >= least) & (seen.lengths < most))
            if len(group) >= minimum:
                directions = _directions(weights, is_text)
                own, _ = _climb(trial.of_users(group), weights, _MIN_BUCKET_GAIN, directions, errors)
                own = np.where(is_text, np.maximum(own, _LEAST_TEXT * weights), own)
                self.bucket_weights_.append((least, dict(zip(names, own.tolist(), strict=True))))
        kinds = [view.kind for view in views]
        groups = [[place for place, one in enumerate(kinds) if one == kind] for kind in dict.fromkeys(kinds)]
        own_weights = np.array(self._weights_of_users(views, seen.lengths), dtype=np.float32)
        self.item_scales_, self.item_offsets_ = trial.item_terms(own_weights, groups, self._n_item_buckets)

    def tune_cold(self, views: Sequence[ViewVectors], relevant: Any) -> None:
        """Choose how much each view that places items without events counts for those, on hidden ones.

        By their likelihood and their NDCG@100, since of new items more than twenty may be good. The best of
        them stand as high as before; what needs events has no say. A view that counts for nothing elsewhere
        counts for nothing here.
        """
        if relevant.shape[0] < check_integer("min_users", self.min_users, minimum=1) or len(views) < 2:
            return
        nothing = sparse.csr_array(relevant.shape, dtype=np.float32)
        among_texts = ConcatFuser().fit(views, None)
        buckets = np.zeros(relevant.shape[1], dtype=np.int64)
        trial = BlendTrial.of(among_texts, views, nothing, relevant, buckets, k=_COLD_K)
        alone, _ = _weights_for_sets(trial, _prior(views), self.min_users)
        names = list(self.weights_)
        places = [names.index(view.name) for view in views]
        usual = np.array([self.weights_[view.name] for view in views])
        wanted = np.where(usual > 0, alone, 0)
        # One view alone strays further than the mean of several, and would lift new items above known ones.
        height, usual_height = (_height(trial.blended(weights)) for weights in (wanted, usual))
        if height > 0 and usual_height > 0:
            shares = wanted * usual_height / height
            self.item_scales_[0, places] *= np.divide(shares, usual, out=np.ones_like(usual), where=usual > 0)

    def weights_for(self, n_events: float) -> dict[str, float]:
        """Return the weights for a user with so many events."""
        fitting = [weights for least, weights in self.bucket_weights_ if least <= n_events]
        return fitting[-1] if fitting else self.weights_

    def shares(self) -> dict[str, dict[str, float]]:
        """Return how much each view counts, of 1 in all: for users in general, and by their events.

        Examples
        --------
        >>> fuser = LearnedFuser()
        >>> fuser.weights_ = {"text": 1.0, "als": 3.0}
        >>> fuser.bucket_weights_ = [(20, {"text": 0.0, "als": 1.0})]
        >>> fuser.shares()
        {'all users': {'text': 0.25, 'als': 0.75}, '20 events or more': {'text': 0.0, 'als': 1.0}}
        """
        check_fitted(self, "weights_")
        labelled = [("all users", self.weights_)]
        limits = [least for least, _ in self.bucket_weights_]
        for (least, weights), more in zip(self.bucket_weights_, [*limits[1:], None], strict=True):
            label = f"{least} events or more" if more is None else f"{least} to {more - 1} events"
            labelled.append((label, weights))
        return {
            label: {name: weight / (sum(weights.values()) or 1.0) for name, weight in weights.items()}
            for label, weights in labelled
        }

    def plot_weights(self, axes: Any = None) -> Any:
        """Draw the shares of the views, a bar for each group of users.

        Parameters
        ----------
        axes : matplotlib Axes, optional
            Where to draw; a new figure, if not given.

        Returns
        -------
        matplotlib Axes
        """
        shares = self.shares()
        axes = axes_or_new(axes)
        starts = np.zeros(len(shares))
        for name in self.weights_:
            widths = np.array([one[name] for one in shares.values()])
            axes.barh(list(shares), widths, left=starts, label=name)
            starts += widths
        axes.invert_yaxis()
        axes.set_xlabel("share of the weights")
        axes.legend()
        return axes

    def _query_weights(self, views: Sequence[ViewVectors]) -> list[list[float]]:
        if not self.bucket_weights_:
            return super()._query_weights(views)
        behaviour = [view.support for view in views if view.kind == "behaviour"]
        own = behaviour or [view.support for view in views if view.kind == "text"]
        n_events = reduce(np.maximum, own) if own else np.zeros(len(views[0].support))
        return self._weights_of_users(views, n_events)

    def _weights_of_users(
        self, views: Sequence[ViewVectors], n_events: npt.NDArray[Any]
    ) -> list[list[float]]:
        choices = [self.weights_, *(weights for _, weights in self.bucket_weights_)]
        limits = [least for least, _ in self.bucket_weights_]
        # Each user's weights are those of the last bucket that they reach, as in weights_for.
        reached = [bisect_right(limits, n) for n in n_events.tolist()] or [0]
        rows = {place: [choices[place][view.name] for view in views] for place in set(reached)}
        return [rows[place] for place in reached]

    @property
    def _n_item_buckets(self) -> int:
        return len(self.item_buckets) + 1

    def _item_buckets(self, views: Sequence[ViewVectors]) -> npt.NDArray[np.int64]:
        """Return the bucket of each item, by its events; the last one where no view counts events."""
        counts = [view.support for view in views if view.kind == "behaviour"]
        if not counts:
            return np.full(len(views[0].support), len(self.item_buckets))
        places = np.searchsorted(self.item_buckets, reduce(np.maximum, counts), side="right")
        return np.asarray(places, dtype=np.int64)

    def _item_terms(self, views: Sequence[ViewVectors]) -> tuple[FloatArray, FloatArray | None]:
        buckets = self._item_buckets(views)
        return self.item_scales_[buckets], self.item_offsets_[buckets]


def _prior(views: Sequence[ViewVectors]) -> list[float]:
    """Return the weights that hold where nothing was learned: each kind's, shared among its views."""
    kinds = [view.kind for view in views]
    return [_PRIOR[kind] / kinds.count(kind) for kind in kinds]


def _height(blended: FloatArray) -> float:
    """Return how high the best candidates of users stand, on average."""
    return float(blended.max(axis=1).mean())


def _reads_texts(view: ViewVectors) -> bool:
    """Whether the view knows items without events: a text view, or one that places them by their texts."""
    return view.kind == "text" or (
        view.kind == "behaviour" and bool(np.any((view.support > 0) & (view.support < 1)))
    )


def _with_least_text(weights: DoubleArray, is_text: npt.NDArray[np.bool_]) -> DoubleArray:
    """Leave no view that reads texts without any weight: for items without events they are all there is."""
    return np.where(is_text, np.maximum(weights, _LEAST_TEXT * weights.max()), weights)


def _directions(weights: DoubleArray, is_text: npt.NDArray[np.bool_]) -> DoubleArray:
    """Return the directions in which weights of some users may differ from the general ones.

    Views that read texts move together, so that what is learned of their shares, for items without events
    above all, holds for all users.
    """
    alone = np.eye(len(weights))[~is_text]
    if not is_text.any():
        return alone
    together = np.where(is_text, weights, 0)
    return np.vstack([together / together.max(), alone])


def _weights_for_sets(trial: BlendTrial, prior: Sequence[float], min_users: int) -> tuple[DoubleArray, float]:
    """Return the mean of the likeliest weights and of those found by the NDCG, and its NDCG.

    Where what is held out is a draw from the same sets, the likelihood, which counts all of it, tells views
    apart that the NDCG of a few events confuses.
    """
    searched, _ = _mean_of_bags(trial, prior, min_users, _SURE)
    likeliest = likeliest_weights(trial)
    mean = searched / searched.sum() + likeliest / max(likeliest.sum(), 1e-12)
    mean = mean / mean.max()
    return mean, trial.ndcg(trial.blended(mean))


def _weights_for_parts(
    trial: BlendTrial, prior: Sequence[float], min_users: int
) -> tuple[DoubleArray, float]:
    """Return weights for all parts, unless one is then worse off than with its best single view.

    Then the best weights of either part are mixed so that the part worse off is as well off as can be. What
    comes next and what is missing from a set may be told by different views altogether, and nothing says
    which the recommender will be asked for.
    """
    pooled, reached = _weights_for_sets(trial, prior, min_users)
    parts = [trial.of_users(np.flatnonzero(trial.parts == part)) for part in np.unique(trial.parts)]
    if len(parts) != 2 or _least_relative(parts, pooled) >= _FAIR:
        return pooled, reached
    first, second = (_weights_for_sets(part, prior, min_users)[0] for part in parts)
    first, second = first / first.sum(), second / second.sum()
    mixes = [first + (second - first) * share for share in _MIXES]
    best = max(mixes, key=lambda weights: _least_relative(parts, weights))
    return best / best.max(), trial.ndcg(trial.blended(best))


def _least_relative(parts: Sequence[BlendTrial], weights: DoubleArray) -> float:
    """Return the least NDCG of the parts, each relative to that of its best single view."""
    return min(part.ndcg(part.blended(weights)) / max(part.best_single(), 1e-12) for part in parts)


def _mean_of_bags(
    trial: BlendTrial, prior: Sequence[float], min_users: int, errors: float = 0.0
) -> tuple[DoubleArray, float]:
    """Search on several thirds of the users; return the mean of the weights and its NDCG.

    One search takes what suits its users by chance; the mean of several keeps what suits them all.
    """
    n_users = len(trial.ideals)
    rng = np.random.default_rng(0)
    size = max(min_users, int(n_users * _BAG_SHARE))
    bags = [np.sort(rng.permutation(n_users)[:size]) for _ in range(_BAGS)] if size < n_users else []
    trials = [trial.of_users(bag) for bag in bags] or [trial]
    found = np.array([_best_weights(one, prior, errors)[0] for one in trials])
    mean = (found / found.sum(axis=1, keepdims=True)).mean(axis=0)
    mean = mean / mean.max()
    return mean, trial.ndcg(trial.blended(mean))


def _best_weights(trial: BlendTrial, prior: Sequence[float], errors: float) -> tuple[DoubleArray, float]:
    """Search from the prior and from the best single view; return the better end and its NDCG."""
    single = max(np.eye(len(prior)), key=lambda alone: trial.ndcg(trial.blended(alone)))
    starts = (np.asarray(prior, dtype=np.float64), single)
    return max((_climb(trial, start, _MIN_GAIN, errors=errors) for start in starts), key=lambda one: one[1])


def _climb(
    trial: BlendTrial,
    start: DoubleArray,
    min_gain: float,
    directions: DoubleArray | None = None,
    errors: float = 0.0,
) -> tuple[DoubleArray, float]:
    """Change one weight at a time while that pays, or the weights along one direction.

    A change pays if the NDCG grows by the share ``min_gain``, and by so many standard errors of its growth.
    """
    best = start / start.max()
    reached = trial.ndcg_of_users(trial.blended(best))
    for _ in range(_MAX_PASSES):
        before = best
        for direction in np.eye(len(best)) if directions is None else directions:
            others = np.where(direction > 0, 0, best)
            rest, step = trial.blended(others), trial.blended(direction)
            grid = _GRID if others.any() else _GRID[1:]
            tried = dict(zip(grid, trial.ndcg_along(rest, step, grid), strict=True))
            value = max(grid, key=lambda one: trial.mean(tried[one]))
            gains = tried[value] - reached
            least = max(min_gain * trial.mean(reached), errors * trial.error_of_mean(gains))
            if trial.mean(gains) > least:
                best, reached = others + value * direction, tried[value]
        if best is before:
            break
    return best / best.max(), trial.mean(reached)
