"""Metrics by name: ``"ndcg@20"`` for the NDCG of the first 20 places."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmrec.errors import ParameterError, UnknownNameError, nearest
from llmrec.evaluation import beyond_accuracy, metrics
from llmrec.evaluation.background import Background
from llmrec.evaluation.ranked_lists import RankedLists
from llmrec.validation import check_integer

__all__ = ["Metric", "available_metrics", "resolve_metric"]

Measure = Callable[[RankedLists, Background], Any]


@dataclass(frozen=True)
class Metric:
    """A metric with a name, ready to measure lists.

    Attributes
    ----------
    name : str
    measure : callable
        From ranked lists and the background to one value a user, ``(n_users,)``; or to one number, if not
        ``per_user``.
    k : int or None
        How long the lists have to be; None for all that can be recommended.
    per_user : bool
        Whether there is a value for each user, and with it an interval and a test.
    higher_is_better : bool

    Examples
    --------
    A metric of your own:

    >>> first = Metric("first place right", lambda lists, background: lists.hits_at(1).any(axis=1), k=1)
    >>> resolve_metric(first).k
    1
    """

    name: str
    measure: Measure
    k: int | None
    per_user: bool = True
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if self.k is None and not self.per_user:
            raise ParameterError(f"the metric {self.name!r} of all lists together needs a length of list, k.")


@dataclass(frozen=True)
class _Kind:
    """A family of named metrics: a measure that is still to be told ``k`` and perhaps an item column."""

    measure: Callable[[RankedLists, Background, Any, str], Any]
    needs_k: bool = True
    needs_column: bool = False
    per_user: bool = True
    higher_is_better: bool = True


_KINDS = {
    "auc": _Kind(lambda lists, _, k, column: metrics.auc(lists, k), needs_k=False),
    "calibration": _Kind(
        lambda lists, known, k, column: beyond_accuracy.calibration_error(
            lists, known.profiles, known.categories(column), k
        ),
        needs_column=True,
        higher_is_better=False,
    ),
    "capped_map": _Kind(lambda lists, _, k, column: metrics.capped_average_precision(lists, k)),
    "capped_recall": _Kind(lambda lists, _, k, column: metrics.capped_recall(lists, k)),
    "coverage": _Kind(
        lambda lists, known, k, column: beyond_accuracy.coverage(lists, k, known.n_catalogue), per_user=False
    ),
    "diversity": _Kind(
        lambda lists, known, k, column: beyond_accuracy.intra_list_diversity(lists, known.item_vectors, k)
    ),
    "gini": _Kind(
        lambda lists, known, k, column: beyond_accuracy.gini(lists, k, known.n_catalogue),
        per_user=False,
        higher_is_better=False,
    ),
    "hit_rate": _Kind(lambda lists, _, k, column: metrics.hit_rate(lists, k)),
    "map": _Kind(lambda lists, _, k, column: metrics.average_precision(lists, k), needs_k=False),
    "mrr": _Kind(lambda lists, _, k, column: metrics.reciprocal_rank(lists, k), needs_k=False),
    "ndcg": _Kind(lambda lists, _, k, column: metrics.ndcg(lists, k), needs_k=False),
    "novelty": _Kind(
        lambda lists, known, k, column: beyond_accuracy.novelty(lists, known.audience_sizes, known.n_users, k)
    ),
    "popularity": _Kind(
        lambda lists, known, k, column: beyond_accuracy.mean_popularity(lists, known.item_counts, k),
        higher_is_better=False,
    ),
    "precision": _Kind(lambda lists, _, k, column: metrics.precision(lists, k)),
    "recall": _Kind(lambda lists, _, k, column: metrics.recall(lists, k)),
}

_FORM = re.compile(r"(?P<kind>[^@()]+)(\((?P<column>[^()]+)\))?(@(?P<k>\d+))?")


def available_metrics() -> list[str]:
    """Return the names of metrics, without the ``@k`` behind them.

    Examples
    --------
    >>> "ndcg" in available_metrics()
    True
    """
    return list(_KINDS)


def resolve_metric(metric: str | Metric) -> Metric:
    """Return the metric of a name such as ``"ndcg@20"``, ``"auc"`` or ``"calibration(genres)@10"``.

    Without ``@k``, which ``auc``, ``map``, ``mrr`` and ``ndcg`` allow, the whole catalogue is ranked.

    Raises
    ------
    UnknownNameError
        If no metric goes by the name; the message says the nearest one.
    ParameterError
        If the name lacks its ``@k`` or its column, or has one that it cannot have.

    Examples
    --------
    >>> resolve_metric("ndgc@20")
    Traceback (most recent call last):
        ...
    llmrec.errors.UnknownNameError: no metric 'ndgc@20'; ... Did you mean 'ndcg@20'?
    """
    if isinstance(metric, Metric):
        return metric
    found = _FORM.fullmatch(metric) if isinstance(metric, str) else None
    if found is None or found["kind"] not in _KINDS:
        raise UnknownNameError(_unknown(metric, found))
    kind, column = _KINDS[found["kind"]], found["column"] or ""
    k = None if found["k"] is None else check_integer(f"the k of {metric!r}", int(found["k"]), minimum=1)
    if k is None and kind.needs_k:
        raise ParameterError(f"{metric!r} needs a length of list; write {metric + '@10'!r}.")
    if kind.needs_column != bool(column):
        example = f"{found['kind']}{'(genres)' if kind.needs_column else ''}@{k or 10}"
        what = "needs an item column" if kind.needs_column else "takes no item column"
        raise ParameterError(f"{metric!r} {what}; write {example!r}.")
    return Metric(
        metric,
        lambda lists, known: kind.measure(lists, known, k, column),
        k,
        kind.per_user,
        kind.higher_is_better,
    )


def _unknown(metric: Any, found: re.Match[str] | None) -> str:
    if metric in ("rmse", "mae"):
        return f"{metric!r} judges predicted ratings, not lists; call llmrec.evaluation.{metric} on these."
    tail = "" if found is None or found["k"] is None else f"@{found['k']}"
    known = [name + tail for name in _KINDS]
    hint = nearest(metric, known)
    return f"no metric {metric!r}; there are {', '.join(_KINDS)}, most with a length such as '@20'.{hint}"
