"""Metrics of what lists are made of, right or wrong: popularity, variety, fit to a user's own mix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import Matrix
from llmrec.errors import DataError
from llmrec.evaluation.metrics import UserValues
from llmrec.evaluation.ranked_lists import RankedLists
from llmrec.validation import check_integer, check_number
from llmrec.vectors import JoinedVectors, row_norms, unit_rows

__all__ = [
    "calibration_error",
    "coverage",
    "gini",
    "intra_list_diversity",
    "mean_popularity",
    "novelty",
]

_USERS_AT_A_TIME = 1024


def coverage(lists: RankedLists, k: int | None = None, n_items: int | None = None) -> float:
    """Return the share of the catalogue that stands in at least one list.

    Parameters
    ----------
    lists : RankedLists
    k : int, optional
    n_items : int, optional
        Size of the catalogue: its items are the rows up to ``n_items``; all rows, if not given.

    Examples
    --------
    >>> coverage(RankedLists.of([["a", "b"], ["b", "a"]], [{"c"}, {"d"}]), k=2)
    0.5
    """
    counts = _list_counts(lists, k, n_items)
    return float(np.count_nonzero(counts) / len(counts))


def gini(lists: RankedLists, k: int | None = None, n_items: int | None = None) -> float:
    r"""Return how unevenly lists share out their places: 0 if all items get the same, near 1 if one gets all.

    :math:`\sum_i (2i - n - 1)\, c_{(i)} / (n \sum_i c_i)` over the :math:`n` items of the catalogue, with
    :math:`c_{(i)}` the number of lists that hold the :math:`i`-th rarest one.

    Examples
    --------
    >>> gini(RankedLists.of([["a"], ["b"]], [{"a"}, {"b"}]))
    0.0
    >>> gini(RankedLists.of([["a"], ["a"]], [{"a"}, {"b"}]))
    0.5
    """
    counts = np.sort(_list_counts(lists, k, n_items))
    total = counts.sum()
    if not total:
        return float("nan")
    places = 2 * np.arange(1, len(counts) + 1) - len(counts) - 1
    return float((places * counts).sum() / (len(counts) * total))


def mean_popularity(lists: RankedLists, item_counts: Any, k: int | None = None) -> UserValues:
    """Return the mean number of training events of the items in each list; NaN for an empty list.

    Parameters
    ----------
    lists : RankedLists
    item_counts : array of shape (n_items,)
    k : int, optional

    Examples
    --------
    >>> lists = RankedLists.of([["a", "b"]], [{"a"}], catalogue=["a", "b"])
    >>> mean_popularity(lists, item_counts=[10, 2]).tolist()
    [6.0]
    """
    return _list_means(lists, k, _check_counts(lists, item_counts))


def novelty(lists: RankedLists, item_counts: Any, n_users: int, k: int | None = None) -> UserValues:
    r"""Return the mean surprise of each list in bits, :math:`-\log_2 (c_i / n)`; NaN for an empty list.

    :math:`c_i` of the :math:`n` users have met item :math:`i` (Zhou et al., PNAS 2010). An item that
    nobody has met counts as met by one.

    Parameters
    ----------
    lists : RankedLists
    item_counts : array of shape (n_items,)
        Number of users who met each item.
    n_users : int
    k : int, optional

    Examples
    --------
    >>> lists = RankedLists.of([["a", "b"]], [{"a"}], catalogue=["a", "b"])
    >>> novelty(lists, item_counts=[8, 2], n_users=8).tolist()
    [1.0]
    """
    n_users = check_integer("n_users", n_users, minimum=1)
    counts = np.maximum(_check_counts(lists, item_counts), 1)
    return _list_means(lists, k, np.log2(n_users) - np.log2(counts))


def intra_list_diversity(lists: RankedLists, item_vectors: Matrix, k: int | None = None) -> UserValues:
    """Return 1 - the mean cosine over the pairs of items in each list; NaN for a list of fewer than two.

    An item whose vector is zero is like no other (Ziegler et al., WWW 2005, with the cosine).

    Parameters
    ----------
    lists : RankedLists
    item_vectors : ndarray or csr_array of shape (n_items, dim)
    k : int, optional

    Examples
    --------
    >>> lists = RankedLists.of([["a", "b", "c"]], [{"a"}], catalogue=["a", "b", "c"])
    >>> vectors = np.array([[1, 0], [2, 0], [0, 1]], dtype=np.float32)
    >>> intra_list_diversity(lists, vectors).round(4).tolist()
    [0.6667]
    """
    if item_vectors.shape[0] != lists.n_items:
        raise DataError(f"there are {lists.n_items} items, and {item_vectors.shape[0]} item vectors.")
    units = unit_rows(item_vectors)
    listed = lists.indicator(k)
    own = (listed @ (row_norms(units).astype(np.float64) ** 2)).ravel()
    total = np.concatenate(
        [
            _squared_sums(listed[start : start + _USERS_AT_A_TIME], units)
            for start in range(0, len(lists), _USERS_AT_A_TIME)
        ]
        or [np.empty(0)]
    )
    n_listed = np.diff(listed.indptr)
    pairs = n_listed * (n_listed - 1.0)
    cosines = np.divide(total - own, pairs, out=np.full(len(lists), np.nan), where=pairs > 0)
    return np.asarray(1 - cosines)


def calibration_error(
    lists: RankedLists, profiles: Any, categories: Any, k: int | None = None, smoothing: float = 0.01
) -> UserValues:
    r"""Return how far the mix of each list is from that of the user's history: 0 where they agree.

    The divergence :math:`\sum_g p_g \log (p_g / \tilde q_g)` in nats, with :math:`p` the mix of categories
    in the history, :math:`q` in the list, :math:`\tilde q = (1 - \alpha) q + \alpha p` (Steck, RecSys
    2018). NaN for a user whose history names no category. A list that names none counts as
    :math:`q = 0`.

    Parameters
    ----------
    lists : RankedLists
    profiles : csr_array of shape (n_users, n_items)
        How much each item counts in each user's history.
    categories : csr_array of shape (n_items, n_categories)
        An item with several has a share of each; rows add up to 1, or to 0 where nothing is known.
    k : int, optional
    smoothing : float, default 0.01
        The :math:`\alpha` of the formula.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> lists = RankedLists.of([["a", "b"]], [{"a"}], catalogue=["a", "b"])
    >>> histories = csr_array(np.array([[3.0, 3.0]]))
    >>> calibration_error(lists, histories, categories=csr_array(np.eye(2))).round(4).tolist()
    [0.0]
    """
    alpha = check_number("smoothing", smoothing, 0, 1, above=True)
    wanted = _mix(profiles @ categories)
    given = _mix(lists.indicator(k) @ categories)
    smoothed = (1 - alpha) * given + alpha * wanted
    is_wanted = wanted > 0
    ratios = np.divide(wanted, smoothed, out=np.ones_like(wanted), where=is_wanted)
    divergence = (wanted * np.log(ratios)).sum(axis=1)
    return np.asarray(np.where(is_wanted.any(axis=1), divergence, np.nan))


def _list_counts(lists: RankedLists, k: int | None, n_items: int | None) -> npt.NDArray[np.float64]:
    """Return in how many lists each item of the catalogue stands."""
    counts = np.asarray(lists.indicator(k).sum(axis=0), dtype=np.float64).ravel()
    if n_items is None:
        return counts
    return counts[: check_integer("n_items", n_items, minimum=1)]


def _check_counts(lists: RankedLists, item_counts: Any) -> npt.NDArray[np.float64]:
    counts = np.asarray(item_counts, dtype=np.float64)
    if counts.shape != (lists.n_items,):
        raise DataError(f"item_counts must have shape ({lists.n_items},), got {counts.shape}.")
    return counts


def _list_means(lists: RankedLists, k: int | None, values: npt.NDArray[np.float64]) -> UserValues:
    listed = lists.indicator(k)
    n_listed = np.diff(listed.indptr)
    sums = (listed.astype(np.float64) @ values).ravel()
    return np.asarray(np.divide(sums, n_listed, out=np.full(len(lists), np.nan), where=n_listed > 0))


def _squared_sums(listed: Any, units: Matrix) -> npt.NDArray[np.float64]:
    """Return the squared length of each list's sum of vectors."""
    if isinstance(units, JoinedVectors):
        return _squared_sums(listed, units.dense) + _squared_sums(listed, units.sparse)
    return np.asarray(row_norms(listed @ units), dtype=np.float64) ** 2


def _mix(amounts: Any) -> npt.NDArray[np.float64]:
    """Scale rows to add up to 1; a row of zeros stays."""
    dense = np.asarray(amounts.toarray() if sparse.issparse(amounts) else amounts, dtype=np.float64)
    sums = dense.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(dense, sums, out=np.zeros_like(dense), where=sums > 0))
