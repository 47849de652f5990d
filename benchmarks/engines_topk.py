"""Top-k beside its peers: one query and a batch of 1,000, over vectors made of real texts.

The vectors are those of latent semantic analysis (TF-IDF, then a truncated SVD to ``--dim`` columns) of
the texts in the folders of ``--data`` (default: the variable LLMREC_DATA), each with an ``items.csv.gz`` that
has a column ``text`` or ``title``. More items than texts are blends of two texts' vectors with noise, by
seed. Queries are such vectors, too; each leaves out 100 items, every other one of its best 200.

``--parts graph`` sets HNSWRanker beside DotRanker on each catalogue: how long it takes to build and
how much memory it adds, queries that leave out items or may get some only, how many of the best 10 it
finds, and updates. `timing.py` says how to make the environment for the peers, which are left out where they
are missing.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 peers/bin/python benchmarks/engines_topk.py --data FOLDER
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import os
import sys
import time
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits
from timing import Times, arguments, interleaved, latencies, memory_now, report

import llmrec
from llmrec import DotRanker, TfidfEncoder
from llmrec.rankers import HNSWRanker
from llmrec.vectors import JoinedVectors

K, N_SEEN, CANDIDATES = 10, 100, 64


def texts_of(folder):
    """Return the distinct texts of all data sets in a folder."""
    texts = {}
    for path in sorted(Path(folder).glob("*/items.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                text = " ".join(row.get(name) or "" for name in ("title", "text")).strip()
                if text:
                    texts[text] = None
    return list(texts)


def text_vectors(folder, dim, seed=0):
    """Return unit vectors of the texts, ``(n_texts, dim)``."""
    texts = texts_of(folder)
    if not texts:
        sys.exit(f"no items.csv.gz with texts under {folder!r}; name a folder by --data or LLMREC_DATA.")
    words = TfidfEncoder(max_features=50_000).fit(texts).encode(texts)
    vectors, values, _ = randomized_svd(words, dim, n_iter=2, random_state=seed)
    return unit(vectors * values)


def unit(vectors):
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0).astype(np.float32)


def spread(vectors, n, seed):
    """Return ``n`` vectors: those given, in random order, and then blends of two of them with noise."""
    rng = np.random.default_rng(seed)
    own = vectors[rng.permutation(len(vectors))[:n]]
    parts = [own]
    deviation = vectors.std(axis=0)
    for start in range(len(own), n, 100_000):
        size = min(100_000, n - start)
        share = rng.uniform(0.5, 1, (size, 1)).astype(np.float32)
        one, other = vectors[rng.integers(len(vectors), size=(2, size))]
        noise = 0.3 * deviation * rng.standard_normal((size, vectors.shape[1]), dtype=np.float32)
        parts.append(unit(share * one + (1 - share) * other + noise))
    return np.ascontiguousarray(np.concatenate(parts))


def best(scores, k):
    rows = np.argpartition(scores, -k)[-k:]
    return rows[np.argsort(-scores[rows])]


def seen_by(items, queries):
    """Return 100 of the best 200 items of each query, and the score of the tenth of the others."""
    seen, truth = [], []
    for start in range(0, len(queries), 50):
        for own in queries[start : start + 50] @ items.T:
            top = best(own, 200 + K)
            seen.append(np.sort(top[:200:2]).astype(np.int32))
            left = top[~np.isin(top, seen[-1])]
            truth.append(float(own[left[K - 1]]))
    return seen, truth


def engines(items, queries, seen):
    """Return one function a query for each engine, which gives the rows of the best."""
    ranker = DotRanker().index(items)

    def ours(place):
        return ranker.rank(queries[place : place + 1], K, [seen[place]])[0][0]

    def with_numpy(place):
        scores = items @ queries[place]
        scores[seen[place]] = -np.inf
        return best(scores, K)

    found = {"llmrec": ours, "numpy": with_numpy}
    if importlib.util.find_spec("torch"):
        found["torch"] = torch_engine(items, queries, seen)
    if importlib.util.find_spec("implicit"):
        found["implicit"] = implicit_engine(items, queries, seen)
    if importlib.util.find_spec("faiss"):
        found |= faiss_engines(items, queries, seen)
    return found


def torch_engine(items, queries, seen):
    import torch

    torch.set_num_threads(1)
    vectors = torch.from_numpy(items)

    def call(place):
        scores = torch.mv(vectors, torch.from_numpy(queries[place]))
        scores[torch.from_numpy(seen[place]).long()] = -torch.inf
        return torch.topk(scores, K)[1].numpy()

    return call


def implicit_engine(items, queries, seen):
    from implicit.cpu.topk import topk

    def call(place):
        own = seen[place]
        entries = (np.ones(len(own), np.float32), own, np.array([0, len(own)], np.int32))
        taken = sparse.csr_matrix(entries, shape=(1, len(items)))
        return topk(items, queries[place : place + 1], K, filter_query_items=taken, num_threads=1)[0][0]

    return call


def faiss_engines(items, queries, seen):
    import faiss

    faiss.omp_set_num_threads(1)
    dim = items.shape[1]
    flat = faiss.IndexFlatIP(dim)
    flat.add(items)
    bytes_ = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    bytes_.train(items[:50_000])
    bytes_.add(items)

    def with_flat(place):
        rows = flat.search(queries[place : place + 1], K + N_SEEN)[1][0]
        return rows[~np.isin(rows, seen[place])][:K]

    def with_bytes(place):
        rows = bytes_.search(queries[place : place + 1], CANDIDATES + N_SEEN)[1][0]
        rows = rows[~np.isin(rows, seen[place])][:CANDIDATES]
        return rows[best(items[rows] @ queries[place], K)]

    return {"faiss Flat": with_flat, "faiss SQ8 + re-rank": with_bytes}


def one_query(vectors, n_items, repeats, n_recall):
    """Time one query at a time, in turns, on one thread; recall is over ``n_recall`` queries."""
    items = spread(vectors, n_items, seed=1)
    queries = spread(vectors, len(vectors) + n_recall, seed=2)[-n_recall:]
    seen, truth = seen_by(items, queries)
    calls = engines(items, queries, seen)
    times = latencies(calls, repeats, warm=3)
    ours = times["llmrec"]
    rows = []
    for name, call in calls.items():
        asked = range(n_recall if name == "llmrec" else repeats)
        hits = 0
        for place in asked:
            found = np.unique(np.setdiff1d(np.asarray(call(place)), seen[place]))
            # Equal texts have equal vectors, of which any will do.
            hits += int(np.sum(items[found] @ queries[place] >= truth[place] - 1e-6))
        rows.append(
            {
                "case": f"one query, {n_items:,} x {items.shape[1]}",
                "engine": name,
                **times[name].row(1e3, "ms"),
                "slower than llmrec": ratio(times[name], ours),
                "recall@10": hits / (K * len(asked)),
                "queries": len(asked),
            }
        )
    return rows


def batch(vectors, n_items, dim, n_threads, repeats):
    """Time 1,000 queries at once; nothing is left out."""
    items = np.ascontiguousarray(unit(spread(vectors, n_items, seed=1)[:, :dim]))
    queries = np.ascontiguousarray(unit(spread(vectors, len(vectors) + 1000, seed=2)[-1000:, :dim]))
    ranker = DotRanker().index(items)
    calls = {"llmrec": lambda: ranker.rank(queries, K), "numpy": lambda: numpy_batch(items, queries)}
    if importlib.util.find_spec("implicit"):
        from implicit.cpu.topk import topk

        calls["implicit"] = lambda: topk(items, queries, K, num_threads=n_threads)
    if importlib.util.find_spec("faiss"):
        import faiss

        faiss.omp_set_num_threads(n_threads)
        flat = faiss.IndexFlatIP(dim)
        flat.add(items)
        calls["faiss Flat"] = lambda: flat.search(queries, K)
    with llmrec.thread_limit(n_threads):
        times = interleaved(calls, repeats)
    return [
        {
            "case": f"1,000 queries, {n_items:,} x {dim}, {n_threads} threads",
            "engine": name,
            **own.row(1e3, "ms"),
            "slower than llmrec": ratio(own, times["llmrec"]),
        }
        for name, own in times.items()
    ]


def numpy_batch(items, queries):
    for start in range(0, len(queries), 64):
        np.argpartition(queries[start : start + 64] @ items.T, -K, axis=1)[:, -K:]


def joined_query(vectors, n_items, repeats, seed=3):
    """Time one query of a space as a default recommender has it, beside plain NumPy and SciPy."""
    rng = np.random.default_rng(seed)
    near = rng.zipf(1.3, (n_items, 50)) % n_items
    indptr = np.arange(0, n_items * 50 + 1, 50)
    thin = sparse.csr_array((rng.random(n_items * 50, np.float32), near.ravel(), indptr), (n_items, n_items))
    items = JoinedVectors(spread(vectors, n_items, seed=1), thin)
    dense = spread(vectors, len(vectors) + repeats, seed=2)[-repeats:]
    places = rng.integers(0, n_items, (repeats, 60))
    entries = (np.full(repeats * 60, 0.1, np.float32), places.ravel(), np.arange(0, repeats * 60 + 1, 60))
    queries = JoinedVectors(dense, sparse.csr_array(entries, (repeats, n_items)))
    seen = [np.unique(own).astype(np.int32) for own in places]
    ranker, by_column = DotRanker().index(items), sparse.csr_array(thin.T)
    asked = [queries[place : place + 1] for place in range(repeats)]

    def plain(place):
        own = asked[place]
        scores = items.dense @ own.dense[0] + (own.sparse @ by_column).toarray()[0]
        scores[seen[place]] = -np.inf
        return best(scores, K)

    calls = {"llmrec": lambda place: ranker.rank(asked[place], K, [seen[place]]), "numpy and scipy": plain}
    times = latencies(calls, repeats - 3, warm=3)
    return [
        {
            "case": f"one query, {n_items:,} x ({vectors.shape[1]} dense + {n_items:,} sparse)",
            "engine": name,
            **own.row(1e3, "ms"),
            "slower than llmrec": ratio(own, times["llmrec"]),
        }
        for name, own in times.items()
    ]


def update_cost(vectors, n_items, repeats=200):
    """Time one changed item in a joined index; the medians of a large and a small catalogue should agree."""
    thin = sparse.random_array((n_items, 1000), density=0.02, format="csr", dtype=np.float32, rng=4)
    ranker = DotRanker().index(JoinedVectors(spread(vectors, n_items, seed=1), sparse.csr_array(thin)))
    start = time.perf_counter()
    ranker.rank(JoinedVectors(vectors[:1], thin[[0]]), K)
    first = time.perf_counter() - start
    row = JoinedVectors(vectors[:1], sparse.csr_array(thin[[1]]))
    times = Times()
    for place in range(repeats):
        times.add(lambda place=place: ranker.update(np.array([place * 31 % n_items], np.int32), row))
    return {
        "case": f"update of one item, {n_items:,}",
        "engine": "llmrec",
        **times.row(1e3, "ms"),
        "first rank s": round(first, 3),
    }


def graph(vectors, n_items, repeats, n_queries):
    """Set the graph beside the exact scan: building, queries with and without restrictions, updates."""
    items = spread(vectors, n_items, seed=1)
    queries = spread(vectors, len(vectors) + n_queries, seed=2)[-n_queries:]
    shape = f"{n_items:,} x {items.shape[1]}"
    rankers, rows = {}, []
    for name, ranker in (("exact", DotRanker()), ("graph", HNSWRanker())):
        before, times = memory_now(), Times()
        rankers[name] = ranker
        # With a query, for the bytes that the exact scan reads are made by the first.
        times.add(lambda ranker=ranker: ranker.index(items).rank(queries[:1], K))
        spent = {"wall_s": times.wall[0], "cpu_s": times.cpu[0], "mib": round(memory_now() - before)}
        rows.append({"case": f"index, {shape}", "engine": name, **spent})
    seen, _ = seen_by(items, queries)
    rng = np.random.default_rng(5)
    cases = {"nothing": (None, None), f"{N_SEEN} left out": (seen, None)}
    for share in (0.1, 0.01):
        allowed = np.flatnonzero(rng.random(n_items) < share).astype(np.int32)
        cases[f"{share:.0%} allowed"] = (None, allowed)
    for case, (left_out, allowed) in cases.items():
        found = graph_queries(rankers, queries, left_out, allowed, repeats)
        rows += [{"case": f"one query, {shape}, {case}", **row} for row in found]
    return rows + graph_updates(rankers, items, min(repeats, 50))


def graph_queries(rankers, queries, left_out, allowed, repeats):
    """Time single queries in turns, and count how many of the best 10 each ranker finds."""

    def ask(ranker, place):
        own = None if left_out is None else [left_out[place]]
        return ranker.rank(queries[place : place + 1], K, own, allowed)[0][0]

    calls = {name: lambda place, ranker=ranker: ask(ranker, place) for name, ranker in rankers.items()}
    times = latencies(calls, repeats, warm=3)
    lists = {name: [call(place) for place in range(len(queries))] for name, call in calls.items()}
    truth = np.array(lists["exact"])
    return [
        {
            "engine": name,
            **times[name].row(1e3, "ms"),
            "recall@10": float(np.mean([np.isin(*pair).mean() for pair in zip(truth, found, strict=True)])),
            "times_as_fast": None if name == "exact" else ratio(times["exact"], times[name]),
        }
        for name, found in lists.items()
    ]


def graph_updates(rankers, items, repeats):
    """Time an item that takes the place and the vector of another, and is found by it afterwards."""
    rows = []
    for name, ranker in rankers.items():
        times, n_found = Times(), 0
        for turn in range(-1, repeats):
            changed = np.array([turn * 7919 % len(items)], np.int32)
            new = unit(items[[turn * 104729 % len(items)]] + items[changed])
            measured = times if turn >= 0 else Times()
            measured.add(lambda how=(changed, new), ranker=ranker: ranker.update(*how))
            n_found += turn >= 0 and changed[0] in ranker.rank(new, K)[0]
        row = {"case": f"update of one item, {len(items):,}", "engine": name, **times.row(1e3, "ms")}
        rows.append({**row, "recall@10": n_found / repeats})
    return rows


def ratio(other, ours):
    return round(float(np.median(other.wall) / np.median(ours.wall)), 2)


def exact(vectors, options):
    """Run what is exact: single queries, batches, joined spaces, updates."""
    rows = []
    for n_items in options.items:
        rows += one_query(vectors, n_items, options.repeats, options.queries)
    for dim in (64, 128):
        rows += batch(vectors, 27_000, dim, options.threads, 5)
    rows += joined_query(vectors, 27_000, options.repeats)
    return rows + [update_cost(vectors, n_items) for n_items in (10_000, max(options.items))]


def main():
    options = arguments(
        __doc__,
        data=os.environ.get("LLMREC_DATA", ""),
        items=(27_000, 200_000, 1_000_000),
        dim=128,
        repeats=60,
        queries=1000,
        threads=1,
        parts=("exact",),
    )
    vectors = text_vectors(options.data, options.dim)
    llmrec.warmup()
    rows = []
    with threadpool_limits(1):
        if "graph" in options.parts:
            for n_items in options.items:
                rows += graph(vectors, n_items, options.repeats, options.queries)
        if "exact" in options.parts:
            rows += exact(vectors, options)
    report("top-k", rows, options.json, ("torch", "implicit", "faiss-cpu", "usearch"))


if __name__ == "__main__":
    main()
