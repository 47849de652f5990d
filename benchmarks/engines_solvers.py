"""Singular vectors, item neighbours, EASE beside their peers: time in turns, and how good the vectors are.

    python benchmarks/engines_solvers.py --shape ml20m --json solvers.json

``--parts`` runs some of: svd, neighbours, ease, fit, fit-memory. An energy gap is how much less of the sum
of squares of the matrix the vectors hold than those of ARPACK, which ``--exact`` computes first; without it,
than the best in the table. ``fit`` times the default recommender on the data sets of ``--datasets`` below
``LLMREC_DATA``, beside its views alone. ``fit-memory`` fits recommenders on the events of ``--shape``,
without texts, in a process of its own each: a sparse matrix, or Interactions whose items each have a time of
their own from which on they are met. The peak holds events and library too.
How to make an environment for all peers stands in ``timing.py``; add scikit-learn.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from events import kept
from scipy import linalg, sparse
from sklearn.base import clone
from timing import Times, arguments, latencies, peak_memory, report

import llmrec
from llmrec.datasets import load_dataset
from llmrec.decomposition import right_singular_vectors
from llmrec.factorizers import EASE, GraphFilter, ItemKNN, SequenceRules
from llmrec.interactions import Events, IdTable, Interactions

NEIGHBOURS = 100
FILM = "{title} {genres} {text}"
_TIMED, _DRAW = "Recommender(), with times", "draw times"


def svd(shape: str, factors: int, repeats: int, exact: bool) -> list[dict[str, Any]]:
    """Compare with scikit-learn's TruncatedSVD as it comes."""
    from sklearn.decomposition import TruncatedSVD

    matrix = kept(shape).astype(np.float32)
    vectors: dict[str, Any] = {}
    if exact:
        vectors["ARPACK"] = right_singular_vectors(matrix, factors, 0, exact=True)[1]

    def ours(_: int) -> None:
        vectors["llmrec"] = right_singular_vectors(matrix, factors, 0)[1]

    def theirs(_: int) -> None:
        vectors["TruncatedSVD"] = TruncatedSVD(factors, random_state=0).fit(matrix).components_.T

    times = latencies({"llmrec": ours, "TruncatedSVD": theirs}, repeats, warm=0)
    energies = {name: _energy(matrix, one) for name, one in vectors.items()}
    best = max(energies.values())
    rows = _rows(f"svd {shape} {factors}", times, "TruncatedSVD")
    return [{**row, "energy_gap": float(f"{1 - energies[row['engine']] / best:.2g}")} for row in rows]


def neighbours(shape: str, repeats: int) -> list[dict[str, Any]]:
    """Compare with implicit's nearest neighbours, and time what has no peer."""
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    matrix = kept(shape).astype(np.float32)
    if shape == "ml20m":
        # A quarter of the users: five million events.
        matrix = matrix[::4]
    events, counts = _interactions(matrix), sparse.csr_matrix(matrix)
    plain = {"shrinkage": 0.0}
    rows = []
    groups: dict[str, tuple[str, dict[str, Callable[[], Any]]]] = {
        "cosine": (
            "implicit",
            {
                "llmrec": lambda: ItemKNN(NEIGHBOURS, **plain).fit(events),
                "llmrec, shrinkage 10": lambda: ItemKNN(NEIGHBOURS).fit(events),
                "implicit": lambda: CosineRecommender(K=NEIGHBOURS).fit(counts, show_progress=False),
            },
        ),
        "bm25": (
            "implicit",
            {
                "llmrec": lambda: ItemKNN(NEIGHBOURS, similarity="dot", weighting="bm25", **plain).fit(
                    events
                ),
                "implicit": lambda: BM25Recommender(K=NEIGHBOURS).fit(counts, show_progress=False),
            },
        ),
        "others": (
            "",
            {
                "graph filter": lambda: GraphFilter().fit(events),
                "sequence rules": lambda: SequenceRules().fit(events),
            },
        ),
    }
    for name, (peer, calls) in groups.items():
        rows += _rows(f"{name} {matrix.nnz / 1e6:.1f}M", _timed(calls, repeats), peer)
    return rows


def ease(shape: str, repeats: int) -> list[dict[str, Any]]:
    """Compare a fit with the inverse of a dense matrix of the same size alone."""
    events = _interactions(kept(shape))
    gram = np.asarray((events.matrix.T @ events.matrix).toarray(), dtype=np.float64)
    gram[np.diag_indices_from(gram)] += 500
    calls = {"llmrec": lambda: EASE(max_gigabytes=32).fit(events), "scipy inv": lambda: linalg.inv(gram)}
    return _rows(f"ease {len(gram)} items", _timed(calls, repeats), "scipy inv")


def fits(name: str) -> list[dict[str, Any]]:
    """Time the default recommender on one data set, and each of its views alone."""
    data = load_dataset(name)
    table, items = data.interactions, data.items
    whole = llmrec.Recommender(text_template=FILM if name.startswith("ml-") else None)
    # Once without a clock: texts and events are in the caches then, and kernels are compiled.
    whole.fit(table, items=items)
    alone = {view: _alone(whole, view) for view in whole.views_}
    times = {view: Times() for view in ("Recommender()", *alone)}
    times["Recommender()"].add(lambda: whole.fit(table, items=items))
    for view, (one, needs_items) in alone.items():
        own = items if needs_items else None
        times[view].add(lambda one=one, own=own: one.fit(table, items=own))
    rows = _rows(f"fit {name}", times, "")
    for kind in ("wall", "cpu"):
        slowest = max(row[f"{kind}_s"] for row in rows[1:])
        rows[0][f"times_slowest_view_{kind}"] = round(rows[0][f"{kind}_s"] / slowest, 2)
    return rows


def _alone(whole: llmrec.Recommender, name: str) -> tuple[llmrec.Recommender, bool]:
    """Return a recommender of one of the views, and whether it needs the items."""
    view, template = clone(whole.views_[name]), whole.text_template
    if isinstance(view, llmrec.TextView):
        return llmrec.Recommender(encoder=view, factorizer=None, text_template=template), True
    return llmrec.Recommender(encoder=None, factorizer=view), False


def fit_memory(shape: str) -> list[dict[str, Any]]:
    """Fit whole recommenders, each in a process of its own: the peak of resident memory and the times."""
    kept(shape)
    rows = []
    for engine in ("Recommender()", _TIMED, "Recommender(factorizer='als')"):
        command = [sys.executable, __file__, "--shape", shape, "--fit-once", engine]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append({"part": f"fit-memory {shape}", **json.loads(done.stdout.splitlines()[-1])})
    return rows


def fit_once(engine: str, shape: str) -> dict[str, Any]:
    """Fit one recommender; return what it took."""
    llmrec.show_progress(False)
    events = _timed_events(shape) if engine == _TIMED else kept(shape)
    before, cpu, wall = peak_memory(), time.process_time(), time.perf_counter()
    recommender = llmrec.Recommender() if "als" not in engine else llmrec.Recommender(factorizer="als")
    recommender.fit(events)
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return {"engine": engine, **spent, "peak_mib": peak_memory(), "peak_before_mib": before}


def _timed_events(shape: str) -> Interactions:
    """Return events in the order of their times, read from a file that another process writes."""
    path = Path(tempfile.gettempdir()) / "llmrec-benchmarks" / f"{shape}-timed.npz"
    if not path.exists():
        # Sorting them takes more memory than a fit may.
        subprocess.run([sys.executable, __file__, "--shape", shape, "--fit-once", _DRAW], check=True)
    read = np.load(path)
    n_users, n_items = read["shape"].tolist()
    times = read["times"].astype(np.float64)
    events = Events(read["users"], read["items"], np.ones(len(times), np.float32), None, times)
    return Interactions(IdTable(range(n_users)), IdTable(range(n_items)), events)


def _draw_times(shape: str) -> None:
    """Give each item a time of its own, and its events times from then on; store the events in order."""
    matrix, rng = kept(shape), np.random.default_rng(0)
    users = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    items = matrix.indices.astype(np.int32)
    starts = rng.random(matrix.shape[1], dtype=np.float32)
    times = ((starts[items] + 0.3 * rng.random(len(items), dtype=np.float32)) * 1e8).astype(np.float32)
    order = np.argsort(times, kind="stable")
    columns = {"users": users[order], "items": items[order], "times": times[order]}
    path = Path(tempfile.gettempdir()) / "llmrec-benchmarks" / f"{shape}-timed.npz"
    np.savez(path, shape=matrix.shape, **columns)


def _timed(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Times]:
    return latencies({name: lambda _, call=call: call() for name, call in calls.items()}, repeats, warm=0)


def _rows(part: str, times: Mapping[str, Times], peer: str) -> list[dict[str, Any]]:
    """Return a row an engine, with how many times as long as it the peer takes."""
    rows = []
    for engine, one in times.items():
        wall, cpu = float(np.median(one.wall)), float(np.median(one.cpu))
        row = {"part": part, "engine": engine, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3)}
        if peer and engine != peer:
            row["times_faster_wall"] = round(float(np.median(times[peer].wall)) / wall, 2)
            row["times_faster_cpu"] = round(float(np.median(times[peer].cpu)) / cpu, 2)
        rows.append(row)
    return rows


def _energy(matrix: Any, vectors: Any) -> float:
    orthonormal = np.linalg.qr(vectors.astype(np.float64))[0].astype(np.float32)
    return float(np.square(matrix @ orthonormal, dtype=np.float64).sum())


def _interactions(matrix: Any) -> Interactions:
    pairs = matrix.tocoo()
    return Interactions.from_table({"user": pairs.coords[0], "item": pairs.coords[1]})


def main() -> None:
    """Run the parts asked for."""
    options = arguments(
        __doc__,
        shape="ml1m",
        factors=64,
        repeats=3,
        exact=False,
        parts=("svd", "neighbours", "ease"),
        datasets=("ml-100k", "ml-latest-small", "amazon-beauty", "movietweetings"),
        fit_once="",
    )
    if options.fit_once == _DRAW:
        _draw_times(options.shape)
        return
    if options.fit_once:
        print(json.dumps(fit_once(options.fit_once, options.shape)))
        return
    started = time.perf_counter()
    llmrec.warmup()
    print(f"kernels ready after {time.perf_counter() - started:.1f} s")
    run = {
        "svd": lambda: svd(options.shape, options.factors, options.repeats, options.exact),
        "neighbours": lambda: neighbours(options.shape, options.repeats),
        "ease": lambda: ease(options.shape, options.repeats),
        "fit": lambda: [row for name in options.datasets for row in fits(name)],
        "fit-memory": lambda: fit_memory(options.shape),
    }
    rows = [row for part in options.parts for row in run[part]()]
    report("solvers", rows, options.json, ("scikit-learn", "implicit"))


if __name__ == "__main__":
    main()
