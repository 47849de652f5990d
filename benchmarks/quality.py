"""Quality of the default recommender beside its own halves and plain baselines.

Run with the folder of data sets in LLMREC_DATA:

    LLMREC_DATA=... python benchmarks/quality.py ml-latest-small
    python benchmarks/quality.py movietweetings

Settings were chosen on a validation part split off the fitting part in the same way; this script judges
on the test part.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import llmrec
from llmrec import ALSFactorizer, ItemKNN, Popularity, Recommender, SVDFactorizer, WeightedFuser
from llmrec.datasets import load_movielens, load_movietweetings
from llmrec.evaluation import ndcg_at_k, recall_at_k, split_by_time, split_users_by_time
from llmrec.interactions import Interactions

K = 20


def only(factorizer: object) -> Recommender:
    return Recommender(encoder=None, factorizer=factorizer, fuser="concat")


def systems() -> dict[str, Callable[[], Recommender]]:
    return {
        "popularity, all time": lambda: only(Popularity(half_life=None)),
        "popularity, half-life chosen": lambda: only(Popularity()),
        "item-kNN": lambda: only(ItemKNN()),
        "SVD, 64 factors": lambda: only(SVDFactorizer(64)),
        "ALS, 64 factors": lambda: only(ALSFactorizer(64)),
        "text alone": lambda: Recommender(factorizer=None),
        "behaviour alone": lambda: Recommender(encoder=None),
        "ALS + text, adaptive weighted sum": lambda: Recommender(
            encoder="tfidf", factorizer="als", fuser=WeightedFuser("adaptive")
        ),
        "default": Recommender,
    }


def new_items(train: Interactions, test: Interactions) -> dict[object, set[object]]:
    seen = pairs_by_user(train)
    found = pairs_by_user(test)
    left = {user: items - seen.get(user, set()) for user, items in found.items()}
    return {user: items for user, items in left.items() if items}


def pairs_by_user(interactions: Interactions) -> dict[object, set[object]]:
    by_user: dict[object, set[object]] = {}
    events = interactions.events
    for user, item in zip(events.user_rows.tolist(), events.item_rows.tolist(), strict=True):
        by_user.setdefault(interactions.users[user], set()).add(interactions.items[item])
    return by_user


def evaluate(
    make: Callable[[], Recommender], train: Interactions, test: Interactions, items: object
) -> list[float]:
    start = time.perf_counter()
    rec = make().fit(train, items=items)
    fitted = time.perf_counter() - start
    truth = new_items(train, test)
    answers = rec.recommend(list(truth), k=K)
    ndcg = np.array([ndcg_at_k(one.items, truth[one.user], K) for one in answers])
    recall = np.mean([recall_at_k(one.items, truth[one.user], K) for one in answers])
    return [float(recall), float(ndcg.mean()), float(1.96 * ndcg.std() / np.sqrt(len(ndcg))), fitted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=["ml-latest-small", "movietweetings"])
    name = parser.parse_args().dataset
    llmrec.show_progress(False)
    if name == "movietweetings":
        data = load_movietweetings()
        train, test = split_by_time(Interactions.from_table(data.interactions), days=14)
        template = None
    else:
        data = load_movielens(name)
        train, test = split_users_by_time(Interactions.from_table(data.interactions), share=0.2)
        template = "{title} {genres} {text}"
    print(f"{name}: {train.n_events:,} events to learn from, {test.n_events:,} to be judged by\n")
    print("| system | recall@20 | NDCG@20 | ± | fit, s |\n|---|---:|---:|---:|---:|")
    for label, make in systems().items():
        recall, ndcg, margin, fitted = evaluate(
            lambda make=make: make().set_params(text_template=template), train, test, data.items
        )
        print(f"| {label} | {recall:.4f} | {ndcg:.4f} | {margin:.4f} | {fitted:.1f} |", flush=True)


if __name__ == "__main__":
    main()
