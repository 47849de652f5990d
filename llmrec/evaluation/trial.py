"""A trial: one recommender, fitted on the training part and asked about every user of the task."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from llmrec.base import FloatArray, IntArray
from llmrec.errors import ComponentError, DataError
from llmrec.evaluation.metric_names import Metric
from llmrec.evaluation.ranked_lists import RankedLists
from llmrec.evaluation.resources import PeakMemory, model_bytes
from llmrec.evaluation.task import RankingTask
from llmrec.interactions import IdTable
from llmrec.recommendations import Recommendations

__all__ = ["Costs", "Trial", "fit_on_train", "run_trial"]


_DEFAULT_LENGTH = 10


@dataclass(frozen=True)
class Costs:
    """What a recommender costs beside how good it is.

    Attributes
    ----------
    fit_seconds : float
        NaN where it came fitted.
    request_ms : float
        The median of calls of ``recommend`` for a single user; NaN where none was timed.
    model_mb : float
        What the fitted object holds, its events and ids included.
    peak_mb : float
        How far the memory of the process rose during ``fit``; NaN where the system does not say.
    """

    fit_seconds: float = float("nan")
    request_ms: float = float("nan")
    model_mb: float = float("nan")
    peak_mb: float = float("nan")


@dataclass(frozen=True)
class Trial:
    """What one recommender answered, and how that is judged.

    Attributes
    ----------
    values : ndarray of shape (n_metrics,)
        Means over users, or the one number of a metric that has no value for each user.
    user_values : ndarray of shape (n_users, n_metrics)
        NaN in the columns of metrics without a value for each user.
    lists : RankedLists
        The lists, as long as the longest metric with an ``@k`` reads.
    costs : Costs
    """

    values: npt.NDArray[np.float64]
    user_values: npt.NDArray[np.float64]
    lists: RankedLists
    costs: Costs


def run_trial(
    recommender: Any,
    task: RankingTask,
    metrics: Sequence[Metric],
    *,
    columns: Mapping[str, str] | None = None,
    refit: bool = True,
    batch_size: int = 1024,
    n_timed: int = 0,
    advance: Callable[[int], Any] = lambda n_users: None,
) -> Trial:
    """Fit a copy of a recommender, ask it about all users, batch by batch, and judge its lists."""
    costs: dict[str, float] = {}
    if refit:
        recommender, costs = fit_on_train(recommender, task, columns)
    judged = _Judged(task, metrics)
    for start in range(0, len(task.users), batch_size):
        users = np.arange(start, min(start + batch_size, len(task.users)))
        judged.take(users, _ask(recommender, task, users, judged.depth))
        advance(len(users))
    costs["model_mb"] = model_bytes(recommender) / 1e6
    costs["request_ms"] = _request_ms(recommender, task, judged.kept, n_timed)
    return judged.trial(Costs(**costs))


def fit_on_train(
    recommender: Any, task: RankingTask, columns: Mapping[str, str] | None = None
) -> tuple[Any, dict[str, float]]:
    """Fit a copy on the training part alone; return it with what that cost."""
    if not callable(getattr(recommender, "fit", None)):
        raise ComponentError(
            f"{type(recommender).__name__} has no method fit; pass refit=False to judge it as it is."
        )
    fresh = clone(recommender) if hasattr(recommender, "get_params") else copy.deepcopy(recommender)
    known = {"items": task.items, "columns": columns}
    options = {name: value for name, value in known.items() if value is not None and _takes(fresh.fit, name)}
    start = time.perf_counter()
    with PeakMemory() as memory:
        fitted = fresh.fit(task.split.train, **options)
    seconds = time.perf_counter() - start
    return fresh if fitted is None else fitted, {"fit_seconds": seconds, "peak_mb": memory.megabytes}


class _Judged:
    """Lists as they come in; those of the whole catalogue are judged at once and then cut."""

    def __init__(self, task: RankingTask, metrics: Sequence[Metric]):
        self.task = task
        self.metrics = metrics
        self.kept = max((metric.k for metric in metrics if metric.k is not None), default=_DEFAULT_LENGTH)
        self.whole = [column for column, metric in enumerate(metrics) if metric.k is None]
        self.depth = max(self.kept, task.background.n_catalogue) if self.whole else self.kept
        self.user_values = np.full((len(task.users), len(metrics)), np.nan)
        self.items: list[IntArray] = []
        self.scores: list[FloatArray | None] = []

    def take(self, users: npt.NDArray[np.int64], lists: RankedLists) -> None:
        for column in self.whole:
            self.user_values[users, column] = self.metrics[column].measure(lists, self.task.background)
        self.items.append(lists.items[:, : self.kept])
        self.scores.append(None if lists.scores is None else lists.scores[:, : self.kept])

    def trial(self, costs: Costs) -> Trial:
        scores = [part for part in self.scores if part is not None]
        lists = RankedLists(
            np.vstack(self.items),
            self.task.relevant,
            np.vstack(scores) if len(scores) == len(self.scores) else None,
            self.task.n_candidates,
        )
        values = np.full(len(self.metrics), np.nan)
        for column, metric in enumerate(self.metrics):
            if not metric.per_user:
                values[column] = metric.measure(lists, self.task.background)
                continue
            if metric.k is not None:
                self.user_values[:, column] = metric.measure(lists, self.task.background)
            if np.isfinite(self.user_values[:, column]).any():
                values[column] = np.nanmean(self.user_values[:, column])
        return Trial(values, self.user_values, lists, costs)


def _ask(recommender: Any, task: RankingTask, users: npt.NDArray[np.int64], k: int) -> RankedLists:
    answers = _recommend(recommender, task, users.tolist(), k)
    table = task.background.items
    items = np.full((len(users), k), -1, dtype=np.int32)
    scores: FloatArray | None = np.full((len(users), k), -np.inf, dtype=np.float32)
    for place, answer in enumerate(answers):
        rows = _rows(answer, table)[:k]
        items[place, : len(rows)] = rows
        if scores is not None and isinstance(answer, Recommendations):
            scores[place, : len(rows)] = answer.scores[:k]
        else:
            scores = None
    return RankedLists(items, task.relevant[users], scores, task.n_candidates[users])


def _recommend(recommender: Any, task: RankingTask, users: Sequence[int], k: int) -> Any:
    """Return a list for each of some users of the task: by their ids at once, or one by one by histories."""
    # Left out where it is the default, for recommenders that know no such option.
    options = {} if task.exclude_seen else {"exclude_seen": False}
    by_id = [row for row in users if task.histories[row] is None]
    known = recommender.recommend([task.users[row] for row in by_id], k, **options) if by_id else []
    if len(known) != len(by_id):
        raise DataError(f"recommend answered {len(by_id)} users with {len(known)} lists.")
    if len(by_id) == len(users):
        return known
    if not _takes(recommender.recommend, "history"):
        raise ComponentError(
            f"{type(recommender).__name__}.recommend takes no history=, by which the split asks about users "
            "that were not fitted on; compare it on a split without shown=."
        )
    asked, answers = iter(known), []
    for row in users:
        history = task.histories[row]
        answers.append(
            next(asked) if history is None else recommender.recommend(history=history, k=k, **options)
        )
    return answers


def _takes(method: Any, name: str) -> bool:
    known = inspect.signature(method).parameters
    return name in known or any(one.kind is one.VAR_KEYWORD for one in known.values())


def _rows(answer: Any, table: IdTable) -> IntArray:
    items: Sequence[Hashable] = answer.items if isinstance(answer, Recommendations) else answer
    try:
        rows = [table.get(one) for one in items]
    except TypeError as error:
        raise DataError(f"recommend must answer with lists of item ids; got {answer!r}.") from error
    if None in rows:
        stranger = items[rows.index(None)]
        raise DataError(
            f"recommend gave the item {stranger!r}, which is neither in the split nor in items=."
            f"{table.hint(stranger)}"
        )
    return np.array(rows, dtype=np.int32)


def _request_ms(recommender: Any, task: RankingTask, k: int, n_timed: int) -> float:
    """Return the median time of single requests for users spread over the task."""
    if n_timed == 0:
        return float("nan")
    step = max(1, len(task.users) // n_timed)
    asked = range(0, len(task.users), step)[:n_timed]
    _recommend(recommender, task, asked[:1], k)  # warm caches
    seconds = []
    for user in asked:
        start = time.perf_counter()
        _recommend(recommender, task, [user], k)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))
