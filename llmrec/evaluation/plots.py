"""Plots of a comparison: who is served well, what is found, and at which price in variety."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.errors import ParameterError
from llmrec.evaluation.comparison import Comparison
from llmrec.evaluation.intervals import bootstrap_interval
from llmrec.plotting import axes_or_new
from llmrec.validation import check_integer

__all__ = ["plot_accuracy_against", "plot_by_history_length", "plot_by_item_popularity"]


def plot_by_history_length(
    comparison: Comparison, metric: str, *, n_groups: int = 5, axes: Any = None
) -> Any:
    """Plot a metric by the number of training events of the users, with its bootstrap intervals.

    Users without training events are a group of their own; the others are cut into groups of about equal
    size, as far as equal lengths allow.

    Parameters
    ----------
    comparison : Comparison
    metric : str
        One that has a value for each user.
    n_groups : int, default 5
    axes : matplotlib Axes, optional
        Where to plot; a new figure, if not given.

    Returns
    -------
    matplotlib Axes
    """
    column = comparison.column(metric)
    if not comparison.metrics[column].per_user:
        raise ParameterError(f"{metric!r} has no value for each user, so there is none by history length.")
    axes = axes_or_new(axes)
    groups, labels = _groups(comparison.task.history_lengths, n_groups)
    places = np.arange(len(labels))
    for offset, name in zip(_offsets(comparison), comparison.names, strict=True):
        values = comparison.trials[name].user_values[:, column]
        means, low, high = np.transpose([_mean_and_bounds(values[groups == one]) for one in places])
        axes.errorbar(places + offset, means, [means - low, high - means], marker="o", capsize=3, label=name)
    return _labelled(axes, places, labels, "training events of the user", metric)


def plot_by_item_popularity(
    comparison: Comparison, k: int | None = None, *, n_groups: int = 5, axes: Any = None
) -> Any:
    """Plot the share of the relevant items that are found, by the items' number of training events.

    Items without training events are a group of their own; the others are cut into groups with about
    equally many relevant pairs of user and item.

    Parameters
    ----------
    comparison : Comparison
    k : int, optional
        How much of the lists counts; as much as the metrics read, if not given.
    n_groups : int, default 5
    axes : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    axes = axes_or_new(axes)
    relevant = comparison.task.relevant
    groups, labels = _groups(comparison.task.background.item_counts[relevant.indices], n_groups)
    n_relevant = np.bincount(groups, minlength=len(labels))
    places = np.arange(len(labels))
    for name in comparison.names:
        found = np.isin(_keys(relevant), _keys(comparison.trials[name].lists.indicator(k)))
        shares = np.bincount(groups, weights=found, minlength=len(labels)) / n_relevant
        axes.plot(places, shares, marker="o", label=name)
    return _labelled(axes, places, labels, "training events of the item", "share found")


def plot_accuracy_against(
    comparison: Comparison, metric: str, other: str = "coverage@10", *, axes: Any = None
) -> Any:
    """Plot each recommender as a point: a metric against another one, such as coverage.

    Parameters
    ----------
    comparison : Comparison
    metric : str
        On the vertical axis, with its interval.
    other : str, default "coverage@10"
        On the horizontal axis.
    axes : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    row, column = comparison.column(metric), comparison.column(other)
    axes = axes_or_new(axes)
    for place, name in enumerate(comparison.names):
        x, y = comparison.values[place, column], comparison.values[place, row]
        bounds = [[y - comparison.low[place, row]], [comparison.high[place, row] - y]]
        axes.errorbar([x], [y], np.nan_to_num(bounds), marker="o", capsize=3, linestyle="none", label=name)
        axes.annotate(name, (x, y), xytext=(6, 4), textcoords="offset points")
    axes.set_xlabel(other)
    axes.set_ylabel(metric)
    return axes


def _groups(amounts: npt.NDArray[np.int64], n_groups: int) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Cut amounts into groups of about equal size, zero apart; return each one's group, and labels."""
    n_groups = check_integer("n_groups", n_groups, minimum=1)
    positive = amounts[amounts > 0]
    starts: list[int] = [0] if len(positive) < len(amounts) else []
    if len(positive):
        quantiles = np.quantile(positive, np.arange(n_groups) / n_groups, method="higher")
        starts += np.unique(quantiles).astype(int).tolist()
    groups = np.searchsorted(starts, amounts, side="right") - 1
    ends = [int(amounts[groups == group].max()) for group in range(len(starts))]
    labels = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return groups, labels


def _mean_and_bounds(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    if not np.isfinite(values).any():
        return (float("nan"),) * 3
    low, high = bootstrap_interval(values)
    return float(np.nanmean(values)), float(low), float(high)


def _offsets(comparison: Comparison) -> npt.NDArray[np.float64]:
    """Move the points of one group apart, so that no interval hides another."""
    n_names = len(comparison.names)
    return np.asarray((np.arange(n_names) - (n_names - 1) / 2) * min(0.08, 0.5 / n_names), dtype=np.float64)


def _keys(pairs: Any) -> npt.NDArray[np.int64]:
    """Return one number for each stored pair of user and item."""
    owners = np.repeat(np.arange(pairs.shape[0], dtype=np.int64), np.diff(pairs.indptr))
    return np.asarray(owners * pairs.shape[1] + pairs.indices)


def _labelled(axes: Any, places: Any, labels: list[str], x: str, y: str) -> Any:
    axes.set_xticks(places, labels)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend()
    return axes
