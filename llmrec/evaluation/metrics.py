r"""Metrics of ranked lists: one value a user, for all users at once.

:math:`T` is the set of relevant items of a user, and :math:`h_p` is 1 where place :math:`p` of their list
holds one, else 0. All functions return a float64 array of shape ``(n_users,)``; its mean is the figure
that papers give. ``k=None`` reads the whole lists.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
import numpy.typing as npt

from llmrec.errors import ParameterError
from llmrec.evaluation.ranked_lists import RankedLists
from llmrec.validation import check_integer

__all__ = [
    "auc",
    "average_precision",
    "capped_average_precision",
    "capped_recall",
    "hit_rate",
    "ndcg",
    "ndcg_at_k",
    "precision",
    "recall",
    "recall_at_k",
    "reciprocal_rank",
]

UserValues = npt.NDArray[np.float64]


def precision(lists: RankedLists, k: int) -> UserValues:
    r"""Return the share of the first ``k`` places that hold a relevant item, :math:`\sum_{p \le k} h_p / k`.

    A list shorter than ``k`` is judged as if its missing places were wrong.

    Examples
    --------
    >>> precision(RankedLists.of([["a", "b"]], [{"b", "z"}]), k=2).tolist()
    [0.5]
    """
    return np.asarray(lists.hits_at(k).sum(axis=1) / k)


def recall(lists: RankedLists, k: int | None = None) -> UserValues:
    r"""Return the share of the relevant items that are found, :math:`\sum_{p \le k} h_p / |T|`.

    Where there are more relevant items than ``k`` it cannot reach 1; :func:`capped_recall` can.

    Examples
    --------
    >>> recall(RankedLists.of([["a", "b"]], [{"b", "z"}]), k=1).tolist()
    [0.0]
    """
    return np.asarray(lists.hits_at(k).sum(axis=1) / lists.n_relevant)


def capped_recall(lists: RankedLists, k: int) -> UserValues:
    r"""Return the share of what could be found, :math:`\sum_{p \le k} h_p / \min(k, |T|)`.

    The "recall" of the papers on variational autoencoders (Liang et al., WWW 2018).

    Examples
    --------
    >>> capped_recall(RankedLists.of([["b", "a"]], [{"b", "z"}]), k=1).tolist()
    [1.0]
    """
    return np.asarray(lists.hits_at(k).sum(axis=1) / np.minimum(lists.n_relevant, k))


def hit_rate(lists: RankedLists, k: int | None = None) -> UserValues:
    """Return 1 for each user with a relevant item among the first ``k``, else 0.

    Examples
    --------
    >>> hit_rate(RankedLists.of([["a", "b"], ["a"]], [{"b"}, {"c"}]), k=2).tolist()
    [1.0, 0.0]
    """
    return np.asarray(lists.hits_at(k).any(axis=1), dtype=np.float64)


def ndcg(lists: RankedLists, k: int | None = None) -> UserValues:
    r"""Return the normalised discounted cumulative gain, with gains of 0 and 1.

    A hit at place :math:`p` counts :math:`1 / \log_2(p + 1)`; the sum is divided by that of the best
    list of ``k`` places (Järvelin & Kekäläinen, ACM TOIS 2002).

    Examples
    --------
    >>> ndcg(RankedLists.of([["a", "b", "c"]], [{"b"}]), k=3).round(4).tolist()
    [0.6309]
    """
    hits = lists.hits_at(k)
    longest = int(lists.n_relevant.max(initial=0)) if k is None else k
    discounts = 1 / np.log2(np.arange(2, max(longest, hits.shape[1]) + 2))
    ideal = np.cumsum(discounts)[np.minimum(lists.n_relevant, longest) - 1]
    return np.asarray(hits @ discounts[: hits.shape[1]] / ideal)


def average_precision(lists: RankedLists, k: int | None = None) -> UserValues:
    r"""Return :math:`\sum_{p \le k} h_p \, \mathrm{precision}_p / |T|`, whose mean is MAP, as TREC has it.

    Examples
    --------
    >>> average_precision(RankedLists.of([["b", "a", "c"]], [{"b", "c"}]), k=3).round(4).tolist()
    [0.8333]
    """
    return np.asarray(_precision_sum(lists, k) / lists.n_relevant)


def capped_average_precision(lists: RankedLists, k: int) -> UserValues:
    r"""Return :math:`\sum_{p \le k} h_p \, \mathrm{precision}_p / \min(k, |T|)`: 1 is always in reach.

    Examples
    --------
    >>> capped_average_precision(RankedLists.of([["b"]], [{"b", "c"}]), k=1).tolist()
    [1.0]
    """
    return np.asarray(_precision_sum(lists, k) / np.minimum(lists.n_relevant, k))


def reciprocal_rank(lists: RankedLists, k: int | None = None) -> UserValues:
    """Return 1 over the place of the first relevant item, 0 if there is none; the mean is MRR.

    Examples
    --------
    >>> reciprocal_rank(RankedLists.of([["a", "b", "c"]], [{"b", "c"}])).tolist()
    [0.5]
    """
    hits = lists.hits_at(k)
    if not hits.shape[1]:
        return np.zeros(len(lists))
    return np.asarray(np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0))


def auc(lists: RankedLists, k: int | None = None) -> UserValues:
    """Return the probability that a relevant item stands above an irrelevant one; a tie counts a half.

    What the first ``k`` places do not hold is tied at the end. Items with equal scores are tied, too. A
    user to whom all candidates are relevant has no such pair: their value is NaN.

    Examples
    --------
    >>> lists = RankedLists.of([["a", "b", "c"]], [{"b"}], scores=[[0.9, 0.5, 0.5]])
    >>> auc(lists).tolist()
    [0.25]
    """
    hits = lists.hits_at(k)
    listed = lists.items[:, : hits.shape[1]] >= 0
    n_candidates = np.full(len(lists), lists.n_items) if lists.n_candidates is None else lists.n_candidates
    if np.any(listed.sum(axis=1) > n_candidates):
        raise ParameterError("a list is longer than its number of candidates.")
    ranks = _mid_ranks(lists, hits.shape[1])
    n_found, n_listed = hits.sum(axis=1), listed.sum(axis=1)
    # Unlisted candidates share the mean of the places left over.
    rank_at_end = (n_listed + 1 + n_candidates) / 2
    rank_sum = (ranks * hits).sum(axis=1) + (lists.n_relevant - n_found) * rank_at_end
    n_wrong = n_candidates - lists.n_relevant
    # The Mann-Whitney statistic: places lost to irrelevant items, over all pairs.
    lost = rank_sum - lists.n_relevant * (lists.n_relevant + 1) / 2
    pairs = lists.n_relevant * n_wrong
    share_lost = np.divide(lost, pairs, out=np.full(len(lists), np.nan), where=pairs > 0)
    return np.asarray(1 - share_lost)


def recall_at_k(recommended: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """Return :func:`recall` of one list: the share of the relevant items that are among the first ``k``.

    Raises
    ------
    ParameterError
        If nothing is relevant: leave such users out.

    Examples
    --------
    >>> recall_at_k(["a", "b", "c"], {"b", "z"}, k=2)
    0.5
    """
    check_integer("k", k, minimum=1)
    return float(recall(RankedLists.of([recommended[:k]], [relevant]), k)[0])


def ndcg_at_k(recommended: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """Return :func:`ndcg` of one list.

    Raises
    ------
    ParameterError
        If nothing is relevant: leave such users out.

    Examples
    --------
    >>> round(ndcg_at_k(["a", "b", "c"], {"b"}, k=3), 4)
    0.6309
    """
    check_integer("k", k, minimum=1)
    return float(ndcg(RankedLists.of([recommended[:k]], [relevant]), k)[0])


def _precision_sum(lists: RankedLists, k: int | None) -> UserValues:
    hits = lists.hits_at(k)
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((precisions * hits).sum(axis=1))


def _mid_ranks(lists: RankedLists, width: int) -> npt.NDArray[np.float64]:
    """Return the places 1, 2, …; those of equal scores share their mean."""
    places = np.broadcast_to(np.arange(1.0, width + 1), (len(lists), width))
    if lists.scores is None or not width:
        return places
    scores = lists.scores[:, :width]
    starts = np.ones(scores.shape, dtype=np.bool_)
    starts[:, 1:] = scores[:, 1:] != scores[:, :-1]
    groups = np.cumsum(starts.ravel()) - 1  # a new user starts a new group
    means = np.bincount(groups, weights=places.ravel()) / np.bincount(groups)
    return np.asarray(means[groups].reshape(scores.shape))
