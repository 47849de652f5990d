"""Tuning: the best settings of a recommender, chosen on a validation part of the training events."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from llmrec.errors import DataError, MissingExtraError, ParameterError
from llmrec.evaluation.metric_names import Metric, resolve_metric
from llmrec.evaluation.parameter_paths import set_parameter
from llmrec.evaluation.splits import Split, split_users_at_random, split_users_by_time
from llmrec.evaluation.task import RankingTask
from llmrec.evaluation.trial import run_trial
from llmrec.interactions import Interactions
from llmrec.progress import progress_bar
from llmrec.recommendations import frame_of
from llmrec.validation import check_integer, check_number

__all__ = ["Tuning", "tune"]


@dataclass(frozen=True, eq=False)
class Tuning:
    """What :func:`tune` found.

    Attributes
    ----------
    best : Recommender
        Not fitted, with the best settings: fit it on all training events.
    best_params : dict
        The best settings by path.
    best_value : float
        On the validation part. As the best of many it is too high: judge ``best`` by the test part.
    metric : str
    trials : list of dict
        In order: the settings by path, ``value`` and ``seconds``.
    """

    best: Any
    best_params: dict[str, Any]
    best_value: float
    metric: str
    trials: list[dict[str, Any]]

    def to_frame(self, backend: str | None = None) -> Any:
        """Return the trials as a frame.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            The library of the frame; the first of these that is installed, if not given.
        """
        columns = {name: [_plain(trial[name]) for trial in self.trials] for name in self.trials[0]}
        return frame_of(columns, backend)

    def __repr__(self) -> str:
        chosen = ", ".join(f"{path}={value!r}" for path, value in self.best_params.items())
        return f"Tuning({self.metric} {self.best_value:.4f}, best of {len(self.trials)}: {chosen})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def tune(
    recommender: Any,
    space: Mapping[str, Any],
    train: Any,
    budget: int = 30,
    *,
    metric: str | Metric = "ndcg@10",
    items: Any = None,
    columns: Mapping[str, str] | None = None,
    seconds: float | None = None,
    validate: Callable[[Interactions], Split] | None = None,
    exclude_seen: bool = True,
    random_state: int = 0,
) -> Tuning:
    """Search for the settings of a recommender that do best on a validation part.

    The search is that of optuna (a tree of Parzen estimators; Bergstra et al., NeurIPS 2011): it tries at
    random first and then near what did well. Settings met twice are fitted once.

    Parameters
    ----------
    recommender : Recommender
        Copies of it are fitted; it stays as it is.
    space : mapping of str to list or range
        What to try, by path: ``{"factorizer__factors": [32, 64], "factorizer__alpha": (0.1, 100, "log")}``.
        A list holds choices. A tuple ``(low, high)`` or ``(low, high, "log")`` is a range, of whole
        numbers where both bounds are. A path leads through lists and names, too:
        ``"factorizer__als__factors"``.
    train : Interactions, any table of events, or Split
        What to learn from. Of a split, its validation part is used if it has one; its test part is never.
    budget : int, default 30
        How many settings to try.
    metric : str or Metric, default "ndcg@10"
    items : table, optional
        Items with their texts, passed on to ``fit``.
    columns : mapping, optional
        Column names of ``items`` by ours.
    seconds : float, optional
        Start no further trial after that time. What is found then depends on the speed of the machine.
    validate : callable, optional
        From the training events to the :class:`Split` to choose by. By default the last fifth of each
        history is split off, or a random fifth where the events have no times.
    exclude_seen : bool, default True
    random_state : int, default 0

    Raises
    ------
    ParameterError
        If a path or a range is not usable. No trial has run then.
    MissingExtraError
        If optuna is not installed.

    Examples
    --------
    >>> from llmrec import Recommender
    >>> events = [(user, item) for user in range(20) for item in range(user % 4, 24, 2)]
    >>> rec = Recommender(encoder=None, factorizer="item-knn", fuser="concat")
    >>> found = tune(rec, {"factorizer": ["item-knn", "popularity"]}, events, budget=2)
    >>> len(found.trials), found.best.factorizer == found.best_params["factorizer"]
    (2, True)
    """
    optuna = _optuna()
    budget = check_integer("budget", budget, minimum=1)
    limit = np.inf if seconds is None else check_number("seconds", seconds, 0, above=True)
    measured = resolve_metric(metric)
    ranges = _check_space(recommender, space)
    split = _validation_split(train, validate)
    task = RankingTask.of(split, items, columns=columns, exclude_seen=exclude_seen)
    known: dict[str, float] = {}

    def value_of(params: dict[str, Any]) -> float:
        key = repr(params)
        if key not in known:
            trial = run_trial(_with_params(recommender, params), task, [measured], columns=columns)
            known[key] = float(trial.values[0])
            if not np.isfinite(known[key]):
                raise ParameterError(f"{measured.name!r} has no value here, so there is nothing to tune by.")
        return known[key]

    trials: list[dict[str, Any]] = []
    start = time.perf_counter()
    with (
        _quiet(optuna),
        progress_bar(description=f"Tuning {measured.name}", total=budget) as bar,
    ):
        study = optuna.create_study(
            direction="maximize" if measured.higher_is_better else "minimize",
            sampler=optuna.samplers.TPESampler(seed=check_integer("random_state", random_state, minimum=0)),
        )
        while len(trials) < budget and (not trials or time.perf_counter() - start < limit):
            asked, began = study.ask(), time.perf_counter()
            params = {path: suggest(asked) for path, suggest in ranges.items()}
            value = value_of(params)
            study.tell(asked, value)
            trials.append({**params, "value": value, "seconds": time.perf_counter() - began})
            bar.set_postfix_str(f"best {study.best_value:.4f}", refresh=False)
            bar.update()
    best = trials[study.best_trial.number]
    best_params = {path: best[path] for path in ranges}
    return Tuning(
        _with_params(recommender, best_params), best_params, float(best["value"]), measured.name, trials
    )


def _validation_split(train: Any, validate: Callable[[Interactions], Split] | None) -> Split:
    """Return the training events in two parts; a test part is not looked at."""
    if isinstance(train, Split):
        if train.validation is not None:
            if validate is not None:
                raise ParameterError("the split has a validation part; pass it without one, or no validate=.")
            return Split(train.train, train.validation, shown=train.shown)
        train = train.train
    events = train if isinstance(train, Interactions) else Interactions.from_table(train)
    if validate is not None:
        return validate(events)
    is_timed = events.events.timestamps is not None
    split = (split_users_by_time if is_timed else split_users_at_random)(events, share=0.2)
    if not split.test.n_events:
        raise DataError(
            "no user has five events, so the last fifth of each history is empty; "
            "pass validate=leave_one_out, or a split of your own."
        )
    return split


def _with_params(recommender: Any, params: Mapping[str, Any]) -> Any:
    copied = clone(recommender)
    for path, value in params.items():
        set_parameter(copied, path, clone(value, safe=False))
    return copied


def _check_space(recommender: Any, space: Mapping[str, Any]) -> dict[str, Callable[[Any], Any]]:
    """Return for each path how a value is drawn; every path is tried out on a copy."""
    if not isinstance(space, Mapping) or not space:
        raise ParameterError('space must be a mapping, such as {"factorizer__factors": [32, 64]}.')
    ranges = {path: _suggestion(path, values) for path, values in space.items()}
    firsts = {path: values[0] for path, values in space.items()}
    _with_params(recommender, firsts)
    return ranges


def _suggestion(path: str, values: Any) -> Callable[[Any], Any]:
    if isinstance(values, list) and values:
        # By place: choices may be components, and optuna draws plain values alone.
        places = list(range(len(values)))
        return lambda trial: values[trial.suggest_categorical(path, places)]
    is_range = isinstance(values, tuple) and len(values) in (2, 3) and values[2:] in ((), ("log",))
    if not is_range:
        raise ParameterError(
            f"the space of {path!r} must be a list of choices, (low, high) or (low, high, 'log'); "
            f"got {values!r}."
        )
    low = check_number(f"the low end of {path!r}", values[0])
    high = check_number(f"the high end of {path!r}", values[1])
    is_log = len(values) == 3
    if low >= high or (is_log and low <= 0):
        bound = " and above 0" if is_log else ""
        raise ParameterError(f"the range of {path!r} must rise{bound}; got {values!r}.")
    if isinstance(values[0], int) and isinstance(values[1], int):
        return lambda trial: trial.suggest_int(path, int(low), int(high), log=is_log)
    return lambda trial: trial.suggest_float(path, low, high, log=is_log)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else repr(value)


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep optuna from writing a line a trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("tune needs optuna; install it with: pip install 'llmrec[tune]'") from error
    return optuna
