"""The online engine beside river and implicit: one event, a batch, and newcomers to a large catalogue.

The environment is that of ``benchmarks/timing.py``. Steps of SGD are compared with ``learn_one`` of river,
both from ids; implicit solves a user's row anew in ``partial_fit_users``, which no single step does. Then a
model of 10,000 users and items and one of a million meet new users and new items in turns: what an event
costs must not depend on how many there are.

    OPENBLAS_NUM_THREADS=1 python benchmarks/engines_online.py --json online.json
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from timing import Times, arguments, latencies, report

from llmrec import ALSFactorizer
from llmrec.base import OnlineState
from llmrec.catalogue import Catalogue
from llmrec.factorizers import Popularity, SequenceRules, UserKNN
from llmrec.fusers import WeightedFuser
from llmrec.interactions import Events, IdTable, Interactions
from llmrec.live_model import LiveModel
from llmrec.rankers import DotRanker
from llmrec.tables import EventTable
from llmrec.updaters import SGDUpdater
from llmrec.vectors import replace_rows
from llmrec.views import FactorView

_DAY = 86_400.0
_USERS, _ITEMS = 6040, 3706
_STREAM = 500


def world(n_users: int, n_items: int, n_events: int, seed: int = 0) -> Interactions:
    """Draw events of users with ids ``"u0"``, … and items ``"i0"``, …, a minute apart."""
    rng = np.random.default_rng(seed)
    users, items = (rng.integers(n, size=n_events).astype(np.int32) for n in (n_users, n_items))
    times = 60.0 * np.arange(n_events)
    tables = (IdTable(f"{letter}{row}" for row in range(n)) for letter, n in (("u", n_users), ("i", n_items)))
    return Interactions(*tables, Events(users, items, np.ones(n_events, np.float32), None, times))


def fitted(interactions: Interactions, factors: int) -> ALSFactorizer:
    """Fit a model for a sweep: what its vectors are matters little here."""
    return ALSFactorizer(factors=factors, sweeps=1, progress=False).fit(interactions)


def single_events(interactions: Interactions, factors: int, repeats: int) -> list[dict[str, Any]]:
    """Time one event with ids, in turns with the peers."""
    rng = np.random.default_rng(1)
    users = [f"u{row}" for row in rng.integers(interactions.n_users, size=repeats + 600)]
    items = [f"i{row}" for row in rng.integers(interactions.n_items, size=repeats + 600)]
    state = OnlineState(fitted(interactions, factors), interactions)
    row_of_user, row_of_item = interactions.users.row, interactions.items.row
    one = np.ones(1, dtype=np.float32)

    def updated(updater: SGDUpdater, turn: int) -> None:
        user, item = row_of_user(users[turn]), row_of_item(items[turn])
        updater.update(state, Events(np.array([user], np.int32), np.array([item], np.int32), one))

    def learned(updater: SGDUpdater, turn: int) -> None:
        updater.learn_one(state, row_of_user(users[turn]), row_of_item(items[turn]))

    bare, usual = SGDUpdater(negatives=0), SGDUpdater()
    calls: dict[str, Callable[[int], Any]] = {
        "llmrec SGDUpdater.learn_one, no negatives": lambda turn: learned(bare, turn),
        "llmrec SGDUpdater.update, no negatives": lambda turn: updated(bare, turn),
        "llmrec SGDUpdater.update, 5 negatives": lambda turn: updated(usual, turn),
        **_river(users, items, factors),
    }
    streams = {name: _stream(call) for name, call in calls.items()}
    timed = latencies(streams, repeats // _STREAM, 500 // _STREAM)
    return _rows(timed, f"one event, in streams of {_STREAM}", 1e6 / _STREAM)


def _stream(call: Callable[[int], Any]) -> Callable[[int], Any]:
    """Call for some events one after the other; in turns after each one they would time the cold caches."""

    def run(turn: int) -> None:
        for event in range(turn * _STREAM, (turn + 1) * _STREAM):
            call(event)

    return run


def _river(users: list[str], items: list[str], factors: int) -> dict[str, Callable[[int], Any]]:
    try:
        from river.reco import BiasedMF, FunkMF
    except ImportError:
        return {}
    calls = {}
    for name, model in (
        ("river FunkMF", FunkMF(n_factors=factors)),
        ("river BiasedMF", BiasedMF(n_factors=factors)),
    ):
        calls[f"{name}.learn_one"] = lambda turn, model=model: model.learn_one(
            user=users[turn], item=items[turn], y=1.0
        )
    return calls


def implicit_users(interactions: Interactions, factors: int, repeats: int) -> list[dict[str, Any]]:
    """Time implicit's new solution of one user's row."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        return []
    matrix = sparse.csr_matrix(interactions.matrix)
    model = AlternatingLeastSquares(factors, iterations=1, num_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(matrix, show_progress=False)
    calls = {"implicit partial_fit_users": lambda turn: model.partial_fit_users([turn], matrix[turn])}
    return _rows(latencies(calls, repeats, 20), "one user's row")


def batches(interactions: Interactions, factors: int, n_events: int) -> list[dict[str, Any]]:
    """Time the last events as one batch, and the kernel alone."""
    from llmrec.kernels.sgd import take_steps

    model = fitted(interactions, factors)
    state, known = OnlineState(model, interactions), interactions.n_events
    events = interactions.events.take(slice(known - n_events, known))
    rates = np.full((2, factors), 0.05, dtype=np.float32)
    p, q = model.user_vectors_.copy(), model.item_vectors_.copy()
    calls: dict[str, Callable[[int], Any]] = {
        "kernel": lambda _: take_steps(events.user_rows, events.item_rows, events.weights, p, q, rates, 0.01),
        "update, no negatives": lambda _: SGDUpdater(negatives=0).update(state, events),
        "update, 5 negatives": lambda _: SGDUpdater().update(state, events),
    }
    return [
        {
            "case": f"batch of {n_events}",
            "engine": f"llmrec SGD {name}",
            "million_events_per_cpu_s": round(n_events / float(np.median(times.cpu)) / 1e6, 2),
        }
        for name, times in latencies(calls, 9, 2).items()
    ]


class Newcomers:
    """A model of ``n`` users, items and events, and each part's work for a new user or a new item."""

    def __init__(self, n: int, factors: int):
        self.n = n
        self.interactions = world(n, n, 2 * n)
        als = fitted(self.interactions, factors)
        self.popularity = Popularity(half_life=30).fit(self.interactions)
        self.rules = SequenceRules().fit(self.interactions)
        self.neighbours = UserKNN(weighting="bm25").fit(self.interactions)
        self.texts = np.random.default_rng(2).standard_normal((n, factors), dtype=np.float32)
        self.updater = SGDUpdater()
        self.live = LiveModel(
            interactions=self.interactions,
            catalogue=Catalogue(),
            texts=[],
            factors=[FactorView("als", als, self.updater), FactorView("popular", self.popularity)],
            hidden_popularity=None,
            fuser=WeightedFuser(),
            ranker=DotRanker(),
        )
        self.live.fit_fuser()
        self.live.build_index()
        self.model = als
        self.times: dict[str, Times] = {}

    def meet(self, turn: int, has_new_item: bool) -> None:
        """Take one event part by part, of a new user with a known item or a known user with a new item."""
        who, what = ("known", "new") if has_new_item else ("new", "known")
        kind = f"{who} user, {what} item"
        user = f"u{7 * turn}" if has_new_item else f"a{turn}"
        item = f"b{turn}" if has_new_item else f"i{7 * turn}"
        interactions, events = self.interactions, self._timed(kind, "ids", lambda: self._event(user, item))
        self._timed(kind, "Interactions.append", lambda: interactions.append(events))
        self._timed(kind, "Popularity", lambda: self.popularity.partial_fit(interactions, events))
        self._timed(kind, "UserKNN", lambda: self.neighbours.partial_fit(interactions, events))
        self._timed(kind, "SGD", lambda: self._step(events))
        if has_new_item:
            self._timed(kind, "text vector", self._extend)
        table = EventTable(
            [user + "'"], [item + "'" if has_new_item else item], None, None, events.timestamps
        )
        self._timed(kind, "LiveModel.learn", lambda: self.live.learn(table, None, [], []))
        # Last, for it moves so much that the others would find cold caches.
        self._timed(kind, "SequenceRules", lambda: self.rules.partial_fit(interactions, events))

    def _event(self, user: str, item: str) -> Events:
        rows = [self.interactions.users.add(user)], [self.interactions.items.add(item)]
        last = np.array([self.interactions.last_timestamp])
        return Events(*(np.array(one, dtype=np.int32) for one in rows), np.ones(1, np.float32), None, last)

    def _step(self, events: Events) -> None:
        self.model.resize(self.interactions.n_users, self.interactions.n_items)
        self.updater.update(OnlineState(self.model, self.interactions), events)

    def _extend(self) -> None:
        row = np.array([len(self.texts)], dtype=np.int32)
        self.texts = replace_rows(self.texts, row, np.ones((1, self.texts.shape[1]), dtype=np.float32))

    def _timed(self, kind: str, part: str, call: Callable[[], Any]) -> Any:
        return self.times.setdefault(f"{kind}: {part}", Times()).add(call)


def newcomers(sizes: tuple[int, ...], factors: int, repeats: int) -> list[dict[str, Any]]:
    """Time newcomers at each size, in turns; the medians leave out the few events that move a full buffer."""
    worlds = [Newcomers(n, factors) for n in sizes]
    for turn in range(repeats + 20):
        if turn == 20:
            for one in worlds:
                one.times.clear()
        for has_new_item in (False, True):
            for one in worlds:
                one.meet(turn, has_new_item)
    rows = []
    for part in worlds[0].times:
        cpu = [1e6 * float(np.median(one.times[part].cpu)) for one in worlds]
        row: dict[str, Any] = {"case": part}
        row |= {f"cpu_us_at_{one.n}": round(value, 1) for one, value in zip(worlds, cpu, strict=True)}
        rows.append({**row, "ratio": round(cpu[-1] / cpu[0], 2)})
    return rows


def _rows(timed: dict[str, Times], case: str, scale: float = 1e6) -> list[dict[str, Any]]:
    return [{"case": case, "engine": name, **times.row(scale, "us")} for name, times in timed.items()]


def main() -> None:
    """Run what the options say."""
    given = arguments(
        __doc__, factors=64, repeats=20_000, batch=20_000, sizes=(10_000, 1_000_000), growth_factors=16
    )
    started = time.perf_counter()
    interactions = world(_USERS, _ITEMS, 200_000)
    rows = single_events(interactions, given.factors, given.repeats)
    rows += implicit_users(interactions, given.factors, min(given.repeats, 400))
    rows += batches(interactions, given.factors, given.batch)
    rows += newcomers(tuple(given.sizes), given.growth_factors, min(given.repeats, 300))
    report("engines_online", rows, given.json, peers=("river", "implicit"))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
