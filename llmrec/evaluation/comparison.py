"""Comparison: several recommenders side by side on one split, with intervals, tests and costs."""

from __future__ import annotations

import html
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.errors import LLMRecWarning, ParameterError, UnknownNameError, nearest
from llmrec.evaluation.intervals import bootstrap_interval, paired_test
from llmrec.evaluation.metric_names import Metric, resolve_metric
from llmrec.evaluation.splits import Split
from llmrec.evaluation.task import RankingTask
from llmrec.evaluation.trial import Costs, Trial, run_trial
from llmrec.progress import progress_bar
from llmrec.recommendations import frame_of
from llmrec.validation import check_integer, check_number

__all__ = ["Comparison", "compare"]

_METRICS = ("ndcg@10", "recall@10", "coverage@10")
_FEW_EARLIER = 0.05
_COSTS = {
    "fit_seconds": "fit, s",
    "request_ms": "ms a request",
    "model_mb": "model, MB",
    "peak_mb": "peak, MB",
}

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What :func:`compare` found: a row for each recommender, a column for each metric.

    Attributes
    ----------
    names : list of str
        The recommenders, the first of which is the reference of all tests.
    metrics : list of Metric
    trials : dict of str to Trial
        By recommender: the values of each user, the lists, the costs.
    task : RankingTask
        Who was asked about (``users``, ``history_lengths``), and what was right.
    low, high : ndarray of shape (n_names, n_metrics)
        Bounds of the bootstrap interval over users; NaN for metrics of all lists together, such as
        coverage, which a resample of the users does not estimate.
    p_values : ndarray of shape (n_names, n_metrics)
        Of the difference from the first row, each for itself: among many rows some are small by chance.
    level : float
        Of the intervals.
    """

    names: list[str]
    metrics: list[Metric]
    trials: dict[str, Trial]
    task: RankingTask
    low: Values
    high: Values
    p_values: Values
    level: float
    n_resamples: int
    random_state: int

    @property
    def values(self) -> Values:
        """The table itself, ``(n_names, n_metrics)``."""
        return np.array([self.trials[name].values for name in self.names])

    @property
    def costs(self) -> dict[str, Costs]:
        """Time and memory of each recommender."""
        return {name: trial.costs for name, trial in self.trials.items()}

    def value(self, name: str, metric: str) -> float:
        """Return one value of the table."""
        return float(self.values[self._row(name), self.column(metric)])

    def difference(self, name: str, metric: str, reference: str | None = None) -> tuple[float, float, float]:
        """Return by how much ``name`` is above ``reference``, and the bounds of the bootstrap interval.

        The first row is the reference, if none is named.
        """
        column = self.column(metric)
        if not self.metrics[column].per_user:
            raise ParameterError(
                f"{metric!r} has no value for each user, so the interval of a difference is not known."
            )
        mine, theirs = (
            self.trials[self.names[row]].user_values[:, column]
            for row in (self._row(name), 0 if reference is None else self._row(reference))
        )
        low, high = bootstrap_interval(
            mine - theirs, level=self.level, n_resamples=self.n_resamples, random_state=self.random_state
        )
        return float(np.nanmean(mine - theirs)), float(low), float(high)

    def column(self, metric: str) -> int:
        """Return the column of a metric.

        Raises
        ------
        UnknownNameError
            If it was not measured; the message says the nearest one that was.
        """
        known = [one.name for one in self.metrics]
        if metric not in known:
            raise UnknownNameError(
                f"{metric!r} was not measured here; there are {', '.join(known)}.{nearest(metric, known)}"
            )
        return known.index(metric)

    def to_frame(self, backend: str | None = None) -> Any:
        """Return a frame with one row a recommender.

        For each metric ``m`` there are the columns ``m``, ``m low``, ``m high`` and ``m p``; then those of
        :class:`~llmrec.evaluation.Costs`.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            The library of the frame; the first of these that is installed, if not given.
        """
        columns: dict[str, Any] = {"recommender": self.names}
        tables = {"": self.values, " low": self.low, " high": self.high, " p": self.p_values}
        for place, metric in enumerate(self.metrics):
            columns |= {metric.name + suffix: table[:, place] for suffix, table in tables.items()}
        columns |= {name: [getattr(self.costs[one], name) for one in self.names] for name in _COSTS}
        return frame_of(columns, backend)

    def __repr__(self) -> str:
        table = self._cells()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for row in table:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        head, *rows = [[html.escape(cell) for cell in row] for row in self._cells()]
        shown = "".join(f"<tr><th>{row[0]}</th><td>{'</td><td>'.join(row[1:])}</td></tr>" for row in rows)
        return (
            f"<table><caption>{html.escape(self._title())}</caption>"
            f"<tr><th>{'</th><th>'.join(head)}</th></tr>{shown}</table>"
        )

    def _title(self) -> str:
        left_out = [
            f"{count:,} {why}"
            for count, why in (
                (self.task.n_nothing_new, "who met nothing new"),
                (self.task.n_strangers, "without training events"),
            )
            if count
        ]
        return (
            f"{len(self.names)} recommenders, {len(self.task.users):,} users, "
            + (f"{self.task.n_shown:,} of them asked about by their history, " if self.task.n_shown else "")
            + f"{self.task.n_new_users:,} of them without training events"
            + (f"; left out: {' and '.join(left_out)}" if left_out else "")
            + f". [{100 * self.level:g} % interval], p against {self.names[0]!r}"
        )

    def _cells(self) -> list[list[str]]:
        values = self.values
        rows = [["", *(metric.name for metric in self.metrics), *_COSTS.values()]]
        for row, name in enumerate(self.names):
            cells = [self._cell(values, row, column) for column in range(len(self.metrics))]
            rows.append([name, *cells, *(f"{getattr(self.costs[name], cost):.3g}" for cost in _COSTS)])
        return rows

    def _cell(self, values: Values, row: int, column: int) -> str:
        shown = f"{values[row, column]:.4f}"
        if np.isfinite(self.low[row, column]):
            shown += f" [{self.low[row, column]:.4f}, {self.high[row, column]:.4f}]"
        if np.isfinite(self.p_values[row, column]):
            shown += f" p={self.p_values[row, column]:.3f}"
        return shown

    def _row(self, name: str) -> int:
        if name not in self.names:
            raise UnknownNameError(
                f"no recommender {name!r} in this comparison; there are {', '.join(self.names)}."
                f"{nearest(name, self.names)}"
            )
        return self.names.index(name)


def compare(
    recommenders: Mapping[str, Any],
    split: Split,
    metrics: Sequence[str | Metric] = _METRICS,
    *,
    items: Any = None,
    columns: Mapping[str, str] | None = None,
    refit: bool = True,
    exclude_seen: bool = True,
    new_users: str = "judge",
    item_vectors: Any = "tfidf",
    batch_size: int = 1024,
    n_timed: int = 50,
    level: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> Comparison:
    """Fit recommenders on the training part of a split, and judge each by the test part.

    A copy of each is fitted: those that are passed stay as they are, and what they may have learned from
    the test part does not count.

    Parameters
    ----------
    recommenders : mapping of str to Recommender
        Or to anything with ``fit(interactions)`` and ``recommend(list_of_users, k)``, which answers with
        a list of item ids for each user. Users whose histories the split shows are asked about one by one, by
        ``recommend(history=…, k=…)``, which answers with one list. ``items`` and ``columns`` are passed on to
        a ``fit`` that has arguments of these names. The first is the one that all are tested against.
    split : Split
    metrics : sequence of str or Metric
        Names such as ``"ndcg@20"``; see :func:`~llmrec.evaluation.resolve_metric`.
    items : table, optional
        Items with their texts, passed on to ``fit``. All of them can be recommended and count for coverage.
    columns : mapping, optional
        Column names of ``items`` by ours.
    refit : bool, default True
        False judges the recommenders as they are. It is up to you that they have not met the test part.
    exclude_seen : bool, default True
        Whether items of the history are neither recommended nor relevant.
    new_users : {"judge", "leave out"}, default "judge"
        What becomes of test users without training events. The title of the table says how many there are.
    item_vectors : Encoder, str, or mapping of item to vector, default "tfidf"
        What ``diversity`` compares items by; an encoder reads the column ``text`` of ``items``.
    batch_size : int, default 1024
        Users to ask about at a time.
    n_timed : int, default 50
        How many requests for single users are timed; 0 times none.
    level : float, default 0.95
        Of the bootstrap intervals over users.
    n_resamples : int, default 1000
        Of the intervals, and of the tests.
    random_state : int, default 0

    Raises
    ------
    UnknownNameError
        If no metric goes by a name.
    DataError
        If there is nothing to learn from, or nobody to judge by.

    Examples
    --------
    >>> from llmrec import Popularity, Recommender
    >>> from llmrec.evaluation import compare, leave_one_out
    >>> events = [(user, item) for user in range(12) for item in range(user % 3, 8, 2)]
    >>> popular = Recommender(encoder=None, factorizer=Popularity(), fuser="concat")
    >>> neighbours = Recommender(encoder=None, factorizer="item-knn", fuser="concat")
    >>> found = compare({"popular": popular, "item-kNN": neighbours}, leave_one_out(events), ["ndcg@3"])
    >>> found.value("item-kNN", "ndcg@3") >= found.value("popular", "ndcg@3")
    True
    """
    if not isinstance(recommenders, Mapping) or not recommenders:
        raise ParameterError('recommenders must be a mapping of names, such as {"als": Recommender()}.')
    if isinstance(metrics, str) or not metrics:
        raise ParameterError(f"metrics must be a list of at least one name, got {metrics!r}.")
    batch_size = check_integer("batch_size", batch_size, minimum=1)
    n_timed = check_integer("n_timed", n_timed, minimum=0)
    check_number("level", level, 0, 1, above=True)
    resolved = [resolve_metric(metric) for metric in metrics]
    task = RankingTask.of(
        split,
        items,
        columns=columns,
        exclude_seen=exclude_seen,
        new_users=new_users,
        item_vectors=item_vectors,
    )
    if any(getattr(one, "histories", None) == "auto" for one in recommenders.values()):
        _warn_of_earlier_events(split)
    trials = {}
    with progress_bar(description="Comparing", total=len(recommenders) * len(task.users)) as bar:
        for name, recommender in recommenders.items():
            bar.set_postfix_str(str(name), refresh=False)
            trials[str(name)] = run_trial(
                recommender,
                task,
                resolved,
                columns=columns,
                refit=refit,
                batch_size=batch_size,
                n_timed=n_timed,
                advance=bar.update,
            )
    sampling = {"n_resamples": n_resamples, "random_state": random_state}
    bounds = [bootstrap_interval(trial.user_values, level=level, **sampling) for trial in trials.values()]
    return Comparison(
        names=list(trials),
        metrics=resolved,
        trials=trials,
        task=task,
        low=np.array([low for low, _ in bounds]),
        high=np.array([high for _, high in bounds]),
        p_values=_p_values(list(trials.values()), resolved, sampling),
        level=level,
        **sampling,
    )


def _warn_of_earlier_events(split: Split) -> None:
    """Say so where what is asked for lies between events that have times: not what comes next."""
    share = split.share_of_earlier_events()
    if share > _FEW_EARLIER:
        warnings.warn(
            f"{share:.0%} of the test events happened before the last training event of their user, and the "
            "parts have times: a recommender that learns from their order what comes next is asked here for "
            'what is missing. Pass Recommender(histories="sets"), or leave the times out, as '
            "split_users_at_random and split_k_fold do.",
            LLMRecWarning,
            stacklevel=3,
        )


def _p_values(trials: list[Trial], metrics: list[Metric], sampling: dict[str, int]) -> Values:
    reference = trials[0].user_values
    rows = [np.full(len(metrics), np.nan)]
    per_user = np.array([metric.per_user for metric in metrics])
    for trial in trials[1:]:
        tested = paired_test(trial.user_values, reference, **sampling)
        rows.append(np.where(per_user, tested, np.nan))
    return np.array(rows)
