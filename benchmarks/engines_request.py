"""One request from ids to answer, one process an engine: this library, implicit, LensKit and LightFM.

Run with an interpreter that has the peers:
``pip install . implicit==0.7.3 lenskit==2025.8.1 rectools-lightfm``.
Set OPENBLAS_NUM_THREADS=1, as implicit asks. The engines take turns, ``--rounds`` times. For this library
``scan_p50_us`` is what its ranker alone takes for the same users, given the fused query and the items seen.

``--part threads`` measures this library alone: how many requests a second several threads answer together,
and how long one takes, with and without another thread that calls ``partial_fit``, an event at a time.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

ENGINES = ("llmrec", "implicit", "lightfm", "lenskit")
K = 10
THREADS = (1, 2, 8, 40)


class Request(NamedTuple):
    """How an engine answers one user and several; ``scan`` prepares the search alone for a user."""

    one: Callable[[int], Any]
    many: Callable[[Any], Any]
    scan: Callable[[int], Callable[[], Any]] | None = None


def events(n_users: int, n_items: int) -> Any:
    """Return users × items: some ten to thousands of events a user, over items of Zipf's popularity."""
    random = np.random.default_rng(0)
    degrees = np.clip(np.exp(random.normal(4.25, 1.0, n_users)), 20, 5000).astype(int)
    weights = 1 / np.arange(1, n_items + 1) ** 0.9
    cumulated = np.cumsum(weights / weights.sum())
    users = np.repeat(np.arange(n_users), degrees)
    items = np.searchsorted(cumulated, random.random(len(users))).clip(0, n_items - 1)
    matrix = sparse.coo_matrix((np.ones(len(users), np.float32), (users, items)), (n_users, n_items)).tocsr()
    matrix.data[:] = 1
    return matrix


def _recommender(matrix: Any, factors: int) -> Any:
    from llmrec import ALSFactorizer, Recommender

    return Recommender(encoder=None, factorizer=ALSFactorizer(factors, sweeps=2, progress=False)).fit(matrix)


def llmrec(matrix: Any, factors: int) -> Request:
    from llmrec.base import ViewVectors

    rec = _recommender(matrix, factors)
    als, ranker, ones = rec.views_["als"], rec.ranker_, np.ones(1, np.float32)

    def scan(user: int) -> Callable[[], Any]:
        rows = np.array([user], np.int32)
        view = ViewVectors("als", "behaviour", als.known_query_vectors(rows), ones)
        query, seen = rec.fuser_.fuse_queries([view]), rec.interactions_.histories(rows).columns
        return lambda: ranker.rank(query, K, [seen])

    return Request(
        lambda user: rec.recommend(user, k=K), lambda users: rec.recommend(users.tolist(), k=K), scan
    )


def implicit(matrix: Any, factors: int) -> Request:
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors, iterations=2)
    model.fit(matrix, show_progress=False)
    return Request(
        lambda user: model.recommend(user, matrix[user], N=K),
        lambda users: model.recommend(users, matrix[users], N=K),
    )


def lightfm(matrix: Any, factors: int) -> Request:
    from lightfm import LightFM

    model = LightFM(factors, loss="warp")
    model.fit(matrix, epochs=1)
    items = np.arange(matrix.shape[1])

    def one(user: int) -> Any:
        scores = model.predict(user, items)
        scores[matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]] = -np.inf
        best = np.argpartition(scores, -K)[-K:]
        return best[np.argsort(-scores[best])]

    return Request(one, lambda users: [one(int(user)) for user in users])


def lenskit(matrix: Any, factors: int) -> Request:
    import pandas as pd
    from lenskit import recommend
    from lenskit.als import ImplicitMFScorer
    from lenskit.batch import recommend as recommend_batch
    from lenskit.data import from_interactions_df
    from lenskit.pipeline import topn_pipeline

    entries = matrix.tocoo()
    known = from_interactions_df(pd.DataFrame({"user_id": entries.row, "item_id": entries.col}))
    pipeline = topn_pipeline(ImplicitMFScorer(embedding_size=factors, epochs=2))
    pipeline.train(known)
    return Request(
        lambda user: recommend(pipeline, user, n=K),
        lambda users: recommend_batch(pipeline, users, n=K, n_jobs=1),
    )


def measure(engine: str, n_users: int, n_items: int, factors: int, n_requests: int) -> dict[str, Any]:
    """Return one engine's figures: microseconds a request, and users a second of processor time."""
    matrix = events(n_users, n_items)
    request: Request = globals()[engine](matrix, factors)
    asked = np.random.default_rng(1).choice(n_users, 1000)
    wall, cpu, scanned = [], [], []
    for user in [*asked[:20], *asked[:n_requests]]:
        start, cpu_start = time.perf_counter(), time.process_time()
        request.one(int(user))
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - start)
        if request.scan is not None:
            search = request.scan(int(user))
            start = time.perf_counter()
            search()
            scanned.append(time.perf_counter() - start)
    micros = {name: np.array(times[20:]) * 1e6 for name, times in (("wall", wall), ("cpu", cpu))}
    several = asked[:100] if engine == "lenskit" else asked
    request.many(several)
    cpu_start = time.process_time()
    request.many(several)
    return {
        "engine": engine,
        **{
            f"{name}_p{q}_us": round(float(np.percentile(micros[name], q)), 1)
            for name in micros
            for q in (50, 99)
        },
        **({"scan_p50_us": round(float(np.median(scanned[20:])) * 1e6, 1)} if scanned else {}),
        "users_per_cpu_second": round(len(several) / (time.process_time() - cpu_start)),
    }


def measure_threads(n_users: int, n_items: int, factors: int, seconds: float) -> list[dict[str, Any]]:
    """Return requests a second and their latencies for several numbers of threads."""
    rec = _recommender(events(n_users, n_items), factors)
    rows = []
    for is_learning in (False, True):
        for n_threads in THREADS:
            before = os.getloadavg()[0]
            times, n_events = serve(rec, n_users, n_items, n_threads, seconds, is_learning)
            row = {
                "threads": n_threads,
                "partial_fit a second": round(n_events / seconds),
                "requests_per_second": round(len(times) / seconds),
                "wall_p50_us": round(float(np.percentile(times, 50)) * 1e6, 1),
                "wall_p99_us": round(float(np.percentile(times, 99)) * 1e6, 1),
                "load": before,
            }
            rows.append(row)
            print(row, flush=True)
    return rows


def serve(
    rec: Any, n_users: int, n_items: int, n_threads: int, seconds: float, is_learning: bool
) -> tuple[list[float], int]:
    """Let threads ask for some seconds; return how long each request took, and how many events came."""
    times: list[list[float]] = [[] for _ in range(n_threads)]
    started = threading.Barrier(n_threads + is_learning + 1)
    is_over = threading.Event()

    def ask(own: list[float], seed: int) -> None:
        asked = np.random.default_rng(seed).integers(n_users, size=1000).tolist()
        started.wait()
        while not is_over.is_set():
            user = asked[len(own) % len(asked)]
            start = time.perf_counter()
            rec.recommend(user, k=K)
            own.append(time.perf_counter() - start)

    n_events = [0]

    def learn() -> None:
        rng = np.random.default_rng(0)
        started.wait()
        while not is_over.is_set():
            rec.partial_fit([(int(rng.integers(n_users)), int(rng.integers(n_items)))])
            n_events[0] += 1

    threads = [threading.Thread(target=ask, args=(own, seed)) for seed, own in enumerate(times)]
    threads += [threading.Thread(target=learn)] if is_learning else []
    for thread in threads:
        thread.start()
    started.wait()
    time.sleep(seconds)
    is_over.set()
    for thread in threads:
        thread.join()
    return [one for own in times for one in own], n_events[0]


def main() -> None:
    """Run each engine in a process of its own, in turns, or the threads of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=26_744)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--part", choices=("engines", "threads"), default="engines")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of threads")
    parser.add_argument("--json")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sizes = asked.users, asked.items, asked.factors, asked.requests
    if asked.alone:
        print(json.dumps(measure(asked.alone, *sizes)))
        return
    if asked.part == "threads":
        write(asked.json, "request threads", measure_threads(*sizes[:3], asked.seconds))
        return
    rows = []
    options = [f"--{n}={v}" for n, v in zip(("users", "items", "factors", "requests"), sizes, strict=True)]
    for turn in range(asked.rounds):
        for engine in asked.engines:
            command = [sys.executable, __file__, *options, "--alone", engine]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{engine} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            row = {
                "round": turn,
                **json.loads(done.stdout.strip().splitlines()[-1]),
                "load": os.getloadavg()[0],
            }
            rows.append(row)
            print(row, flush=True)
    write(asked.json, "request", rows)


def write(path: str | None, name: str, rows: list[dict[str, Any]]) -> None:
    """Write what was measured, and on what, to a file if one is named."""
    if path is None:
        return
    installed = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    names = ("numpy", "scipy", "numba", "implicit", "lenskit", "rectools-lightfm")
    report = {
        "name": name,
        "command": " ".join(sys.argv),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg(),
        "versions": {name: installed.get(name) for name in names},
        "rows": rows,
    }
    with Path(path).open("w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)


if __name__ == "__main__":
    main()
