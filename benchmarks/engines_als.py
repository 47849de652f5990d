"""Alternating least squares beside implicit's: time a sweep, losses, time to a ranking, memory, fold-in.

    OPENBLAS_NUM_THREADS=1 python benchmarks/engines_als.py --shape ml20m --json als.json

``--parts`` runs some of: sweep, loss, ranking, memory, fold-in. Both minimise implicit's objective:
confidence 1 + alpha on what happened and 1 on what did not, plain L2. Ours weighs errors of w = alpha and 1,
which is the same objective for scores and a regularization that are smaller by w / (w + 1).
implicit runs its default, three steps of conjugate gradients, on two threads. How to make an environment
with both stands in ``timing.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from events import kept
from scipy import sparse
from timing import Times, arguments, latencies, peak_memory, report

from llmrec import ALSFactorizer
from llmrec.factorizers.gradient_rows import Ridge, SparseRows, descend_rows, fold_in_rows
from llmrec.factorizers.gramian import Gramian
from llmrec.factorizers.least_squares import solve_rows
from llmrec.factorizers.spectral_start import spectral_start
from llmrec.interactions import Histories, Interactions
from llmrec.kernels import spmm

THREADS = 2
K = 20


class Ours:
    """Our engine by the sweep: users, then items, as implicit does; momentum is dropped where losses rise."""

    def __init__(self, pairs: Any, alpha: float, regularization: float, factors: int, momentum: float = 0.7):
        self.rows = SparseRows.of(_valued(pairs, alpha), None)
        self.columns = self.rows.transposed()
        self.shrink = alpha / (1 + alpha)
        self.ridge = regularization * self.shrink
        self.momentum = np.float32(momentum)
        spent = time.process_time()
        self.users, self.items = spectral_start(self.rows, self.columns, 1.0, factors, 0)
        self.start_s = time.process_time() - spent
        self.before: Any = None
        self.loss = np.inf

    def sweep(self) -> None:
        now = self.items.copy()
        if self.before is not None and self.momentum:
            self.items += self.momentum * (self.items - self.before)
        loss = self._solve(self.rows, self.items, self.users) + self.ridge * np.vdot(self.items, self.items)
        if loss > self.loss:
            self.items = now.copy()
            loss = self._solve(self.rows, self.items, self.users) + self.ridge * np.vdot(now, now)
        self.before, self.loss = now, loss
        self._solve(self.columns, self.users, self.items)

    def _solve(self, rows: SparseRows, vectors: Any, start: Any) -> float:
        return descend_rows(rows, vectors, 1.0, np.full(len(start), self.ridge), start)

    def factors(self) -> tuple[Any, Any]:
        """Return the vectors in the scale of implicit's scores."""
        return self.users / np.sqrt(self.shrink), self.items / np.sqrt(self.shrink)


class Theirs:
    """implicit's engine by the sweep, from its own start or from ours."""

    def __init__(self, pairs: Any, alpha: float, regularization: float, factors: int, own_start: bool = True):
        from implicit.cpu import _als

        self.solve = _als.least_squares_cg
        self.rows = _spmatrix(_valued(pairs, 1 + alpha))
        self.columns = self.rows.T.tocsr()
        self.regularization = regularization
        sizes = [(n, factors) for n in pairs.shape]
        if own_start:
            spent, rng = time.process_time(), np.random.default_rng(0)
            self.users, self.items = (rng.random(size, dtype=np.float32) * np.float32(0.01) for size in sizes)
            self.start_s = time.process_time() - spent
        else:
            ours = Ours(pairs, alpha, regularization, factors)
            scale = np.float32(1 / np.sqrt(ours.shrink))
            self.users, self.items, self.start_s = ours.users * scale, ours.items * scale, ours.start_s

    def sweep(self) -> None:
        for rows, solved, fixed in (
            (self.rows, self.users, self.items),
            (self.columns, self.items, self.users),
        ):
            self.solve(rows, solved, fixed, self.regularization, num_threads=THREADS, cg_steps=3)

    def factors(self) -> tuple[Any, Any]:
        return self.users, self.items


ENGINES = {
    "llmrec": Ours,
    "llmrec, no momentum": lambda *how: Ours(*how, momentum=0),
    "implicit": Theirs,
    "implicit, our start": lambda *how: Theirs(*how, own_start=False),
}


def sweeps(shape: str, widths: tuple[int, ...], n_sweeps: int) -> list[dict[str, Any]]:
    """Time sweeps in turns, at each number of factors."""
    rows = []
    for factors in widths:
        engines = {name: ENGINES[name](kept(shape), 10.0, 1.0, factors) for name in ("llmrec", "implicit")}
        _warm(factors)
        times = {name: Times() for name in engines}
        for _ in range(n_sweeps):
            for name, engine in engines.items():
                times[name].add(engine.sweep)
        ratio = {kind: _ratio(times, kind) for kind in ("wall", "cpu")}
        for name, engine in engines.items():
            loss = objective(kept(shape), *engine.factors(), 10.0, 1.0)
            row = {"part": "sweep", "factors": factors, "engine": name, **times[name].row(), "loss": loss}
            rows.append(row if name == "implicit" else {**row, **{f"{k}_ratio": ratio[k] for k in ratio}})
    return rows


def losses(shape: str, factors: int) -> list[dict[str, Any]]:
    """Compare losses a pair after equally many sweeps."""
    pairs = kept(shape)
    _warm(factors)
    rows = []
    for alpha in (2.0, 10.0, 40.0):
        for regularization in (0.1, 1.0, 10.0):
            engines = {name: make(pairs, alpha, regularization, factors) for name, make in ENGINES.items()}
            for sweep in range(1, 16):
                for engine in engines.values():
                    engine.sweep()
                if sweep in (2, 4, 8, 15):
                    lost = {
                        name: objective(pairs, *engine.factors(), alpha, regularization)
                        for name, engine in engines.items()
                    }
                    excess = lost["llmrec"] / min(lost["implicit"], lost["implicit, our start"]) - 1
                    row = {"part": "loss", "alpha": alpha, "regularization": regularization, "sweeps": sweep}
                    rows.append({**row, **lost, "never_above": excess <= 1e-5, "excess": excess})
    return rows


def ranking(shape: str, factors: int, n_sweeps: int) -> list[dict[str, Any]]:
    """Follow NDCG@20 on a held-out fifth of the events against CPU time, that of the start included."""
    pairs = kept(shape)
    is_seen = np.random.default_rng(1).random(pairs.nnz) < 0.8
    seen, held_out = (_chosen(pairs, mask) for mask in (is_seen, ~is_seen))
    asked = np.random.default_rng(2).choice(pairs.shape[0], min(3000, pairs.shape[0]), replace=False)
    _warm(factors)
    rows = []
    engines = {name: make(seen, 10.0, 10.0, factors) for name, make in ENGINES.items()}
    spent = {name: engine.start_s for name, engine in engines.items()}
    for sweep in range(1, n_sweeps + 1):
        for name, engine in engines.items():
            start = time.process_time()
            engine.sweep()
            spent[name] += time.process_time() - start
            quality = ndcg(*engine.factors(), seen, held_out, asked)
            rows.append(
                {"part": "ranking", "engine": name, "sweeps": sweep, "cpu_s": spent[name], "ndcg@20": quality}
            )
    for name in ("implicit", "implicit, our start"):
        rows.append(_to_equal(rows, name))
    return rows


def _to_equal(rows: list[dict[str, Any]], peer: str) -> dict[str, Any]:
    """Compare the CPU time to within 0.5 % of the best that the peer reaches."""
    enough = 0.995 * max(row["ndcg@20"] for row in rows if row.get("engine") == peer)
    taken = {
        name: next((row["cpu_s"] for row in rows if row["engine"] == name and row["ndcg@20"] >= enough), None)
        for name in ("llmrec", peer)
    }
    ratio = None if taken["llmrec"] is None else taken[peer] / taken["llmrec"]
    return {
        "part": "ranking",
        "engine": f"llmrec against {peer}",
        "cpu_s": taken["llmrec"],
        "ndcg@20": enough,
        "peer_cpu_s": taken[peer],
        "cpu_ratio": ratio,
    }


def memory(shape: str, factors: int) -> list[dict[str, Any]]:
    """Fit in a process of its own each; the peak of resident memory and the times."""
    kept(shape)
    rows = []
    for engine in ("implicit", "llmrec", "llmrec events"):
        command = [
            sys.executable,
            __file__,
            "--shape",
            shape,
            "--factors",
            str(factors),
            "--fit-once",
            engine,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append({"part": "memory", **json.loads(done.stdout.splitlines()[-1])})
    return rows


def fit_once(engine: str, shape: str, factors: int) -> dict[str, Any]:
    """Fit three sweeps of one engine; print what it took."""
    pairs = kept(shape)
    before = peak_memory()
    cpu, wall = time.process_time(), time.perf_counter()
    if engine == "implicit":
        from implicit.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(factors, use_gpu=False, iterations=3, num_threads=THREADS)
        model.fit(_spmatrix(_valued(pairs, 10.0)), show_progress=False)
    elif engine == "llmrec":
        ours = Ours(pairs, 10.0, 1.0, factors)
        del pairs
        for _ in range(3):
            ours.sweep()
    else:
        events = Interactions.from_table(pairs)
        del pairs
        before = peak_memory()
        cpu, wall = time.process_time(), time.perf_counter()
        ALSFactorizer(factors, sweeps=3, tolerance=0, solver="cg").fit(events)
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return {"engine": engine, "peak_mib": peak_memory(), "peak_before_mib": before, **spent}


def fold_ins(shape: str, factors: int, repeats: int) -> list[dict[str, Any]]:
    """Fold in users of 10, 100 and 1000 items; rows are integers, no validation on either side."""
    from implicit.cpu.als import AlternatingLeastSquares

    pairs = kept(shape)
    ours = Ours(pairs, 10.0, 1.0, factors)
    for _ in range(5):
        ours.sweep()
    theirs = AlternatingLeastSquares(factors, regularization=1.0, num_threads=1)
    theirs.user_factors, theirs.item_factors = (side.astype(np.float32) for side in ours.factors())
    theirs.YtY  # noqa: B018  (it is made on the first use, and kept)
    items, ridge = ours.items, Ridge(ours.ridge, 1.0, 0.0)
    gramian, model = Gramian(items), _model(ours)
    rows = []
    for n in (10, 100, 1000):
        some = _histories(pairs, n)
        theirs_some = [
            _spmatrix(sparse.csr_array((one.weights + 1, one.columns, one.indptr), shape=(1, pairs.shape[1])))
            for one in some
        ]
        calls = {
            "implicit": lambda turn, some=theirs_some: theirs.recalculate_user(0, some[turn % len(some)]),
            "llmrec": lambda turn, some=some: fold_in_rows(
                some[turn % len(some)], None, items, gramian, ridge
            ),
            "llmrec, query_vectors": lambda turn, some=some: model.query_vectors(some[turn % len(some)]),
        }
        times = latencies(calls, repeats)
        errors = [_error(ours, one, calls["llmrec"](turn)) for turn, one in enumerate(some)]
        for name in calls:
            row = {"part": "fold-in", "events": n, "engine": name, **times[name].row(1e6, "us")}
            if name != "implicit":
                row["cpu_ratio"] = np.median(times["implicit"].cpu) / np.median(times[name].cpu)
                row["largest_error"] = max(errors)
            rows.append(row)
    return rows


def _model(ours: Ours) -> ALSFactorizer:
    model = ALSFactorizer(regularization=ours.ridge, unobserved_weight=1.0, frequency_exponent=0.0)
    model.user_vectors_, model.item_vectors_ = ours.users, ours.items
    model.unobserved_weight_, model.solver_, model.content_, model.text_map_ = 1.0, "cg", None, None
    model.usual_rating_, model.regularization_ = 1.0, ours.ridge
    return model


def _histories(pairs: Any, n: int, n_histories: int = 50) -> list[Histories]:
    """Draw items as users meet them, ``n`` different ones each."""
    rng = np.random.default_rng(n)
    histories = []
    for _ in range(n_histories):
        drawn_items = rng.choice(pairs.indices, 4 * n)
        others = rng.permutation(pairs.shape[1]).astype(drawn_items.dtype)
        chosen = list(dict.fromkeys([*drawn_items.tolist(), *others.tolist()]))[:n]
        histories.append(Histories.of([sorted(chosen)], pairs.shape[1], weights=[[10.0] * n]))
    return histories


def _error(ours: Ours, history: Histories, found: Any) -> float:
    items = ours.items.astype(np.float64)
    spectrum = np.linalg.eigh(items.T @ items)
    exact = solve_rows(history.weight_matrix(), None, ours.items, spectrum, np.array([ours.ridge]))
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def objective(pairs: Any, users: Any, items: Any, alpha: float, regularization: float) -> float:
    """Return implicit's objective, divided by the number of pairs that happened."""
    doubles = [side.astype(np.float64) for side in (users, items)]
    total = float(np.sum((doubles[0].T @ doubles[0]) * (doubles[1].T @ doubles[1])))
    total += regularization * sum(float(np.sum(side**2)) for side in doubles)
    owners = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    for start in range(0, pairs.nnz, 1 << 19):
        part = slice(start, start + (1 << 19))
        scores = np.einsum("nd,nd->n", users[owners[part]], items[pairs.indices[part]]).astype(np.float64)
        total += float(np.sum((1 + alpha) * (1 - scores) ** 2 - scores**2))
    return total / pairs.nnz


def ndcg(users: Any, items: Any, seen: Any, held_out: Any, asked: Any) -> float:
    """Return the mean NDCG@20 of some users over the items that they have not seen."""
    discounts = 1 / np.log2(np.arange(2, K + 2))
    gains = []
    for start in range(0, len(asked), 500):
        some = asked[start : start + 500]
        scores = users[some] @ items.T
        for row, user in enumerate(some):
            wanted = held_out.indices[held_out.indptr[user] : held_out.indptr[user + 1]]
            if not len(wanted):
                continue
            scores[row, seen.indices[seen.indptr[user] : seen.indptr[user + 1]]] = -np.inf
            best = np.argpartition(-scores[row], K)[:K]
            best = best[np.argsort(-scores[row, best])]
            gains.append((np.isin(best, wanted) @ discounts) / discounts[: len(wanted)].sum())
    return float(np.mean(gains))


def _valued(pairs: Any, value: float) -> Any:
    data = np.full(pairs.nnz, value, dtype=np.float32)
    return sparse.csr_array((data, pairs.indices, pairs.indptr), shape=pairs.shape)


def _spmatrix(array: Any) -> Any:
    return sparse.csr_matrix((array.data, array.indices, array.indptr.astype(np.int32)), shape=array.shape)


def _chosen(pairs: Any, mask: Any) -> Any:
    ends = np.concatenate([[0], np.cumsum(mask)])[pairs.indptr].astype(np.int32)
    return sparse.csr_array((pairs.data[mask], pairs.indices[mask], ends), shape=pairs.shape)


def _warm(factors: int) -> None:
    spmm.warm()
    tiny = sparse.csr_array(np.eye(3, dtype=np.float32))
    Ours(tiny, 10.0, 1.0, factors).sweep()


def _ratio(times: dict[str, Times], kind: str) -> float:
    return float(np.median(getattr(times["implicit"], kind)) / np.median(getattr(times["llmrec"], kind)))


def main() -> None:
    everything = ("sweep", "loss", "ranking", "memory", "fold-in")
    how = arguments(
        __doc__,
        shape="small",
        factors=64,
        widths=(64, 128),
        sweeps=5,
        repeats=500,
        parts=everything,
        fit_once="",
    )
    if how.fit_once:
        print(json.dumps(fit_once(how.fit_once, how.shape, how.factors)))
        return
    parts = {
        "sweep": lambda: sweeps(how.shape, how.widths, how.sweeps),
        "loss": lambda: losses(how.shape, how.factors),
        "ranking": lambda: ranking(how.shape, how.factors, 3 * how.sweeps),
        "memory": lambda: memory(how.shape, how.factors),
        "fold-in": lambda: fold_ins(how.shape, how.factors, how.repeats),
    }
    rows = [row for part in how.parts for row in parts[part]()]
    report(Path(__file__).stem, rows, how.json, peers=("implicit",))


if __name__ == "__main__":
    main()
