"""Ranks or scores where no weights can be learned: what the learned fuser falls back to.

Run with the folder of data sets in LLMREC_DATA:

    LLMREC_DATA=... python benchmarks/rank_fusion.py ml-100k

Draws a few users of the fitting part of a data set, holds out the last fifth of each history (a random fifth
where events have no times), fits the default views to the rest, and compares the sum of z-scores with
reciprocal rank fusion, both with the weights that hold where nothing was learned. The test part is never
looked at.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import llmrec
from llmrec import LearnedFuser, Recommender
from llmrec.datasets import load_dataset, load_movietweetings
from llmrec.evaluation import ndcg_at_k, split_by_time, split_users_at_random, split_users_by_time
from llmrec.interactions import Interactions

K, SIZES, DRAWS, LEAST_EVENTS = 20, (15, 30, 45), 8, 5
FILM = "{title} {genres} {text}"


def fitting_part(name: str) -> tuple[Interactions, Any, str | None]:
    if name == "movietweetings":
        data = load_movietweetings()
        return split_by_time(Interactions.from_table(data.interactions), days=14).train, data.items, None
    data = load_dataset(name)
    if name == "ml-100k":
        train = split_users_at_random(data.interactions, share=0.25, random_state=0).train
    else:
        train = split_users_by_time(data.interactions, share=0.2).train
    return train, data.items, FILM


def draws(events: Interactions, n_users: int) -> Iterator[tuple[Interactions, dict[Any, set[Any]]]]:
    """Give the events of a few users to fit on, and what each of them met later and not before."""
    known = np.flatnonzero(events.user_counts >= LEAST_EVENTS)
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).choice(known, n_users, replace=False)
        some = events.subset(np.isin(events.events.user_rows, drawn))
        if some.events.timestamps is None:
            train, test = split_users_at_random(some, share=0.2, random_state=seed)
        else:
            train, test = split_users_by_time(some, share=0.2)
        before, after = met_by_user(train), met_by_user(test)
        news = {user: items - before.get(user, set()) for user, items in after.items()}
        yield train, {user: items for user, items in news.items() if items}


def met_by_user(part: Interactions) -> dict[Any, set[Any]]:
    met: dict[Any, set[Any]] = {}
    for user, item in zip(part.events.user_rows.tolist(), part.events.item_rows.tolist(), strict=True):
        met.setdefault(part.users[user], set()).add(part.items[item])
    return met


def judged(recommender: Recommender, by_rank: bool, truth: dict[Any, set[Any]]) -> float:
    recommender.fuser_.by_rank_ = by_rank
    recommender._model.build_index()
    answers = recommender.recommend(list(truth), k=K)
    return float(np.mean([ndcg_at_k(one.items, truth[one.user], K) for one in answers]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=["ml-latest-small", "ml-100k", "movietweetings"])
    name = parser.parse_args().dataset
    llmrec.show_progress(False)
    warnings.simplefilter("ignore")
    events, items, template = fitting_part(name)
    print(f"{name}, NDCG@{K}, means of {DRAWS} draws\n")
    print("| users | sum of z-scores | ranks | ranks ahead in |\n|---|---:|---:|---:|")
    for n_users in SIZES:
        found = []
        for train, truth in draws(events, n_users):
            # So many users nobody has: the weights stay those that hold where nothing was learned.
            fuser = LearnedFuser(min_users=10**9)
            rec = Recommender(fuser=fuser, text_template=template).fit(train, items=items)
            found.append([judged(rec, by_rank, truth) for by_rank in (False, True)])
        by_sum, by_rank = np.mean(found, axis=0)
        ahead = sum(ranks > scores for scores, ranks in found)
        print(f"| {n_users} | {by_sum:.4f} | {by_rank:.4f} | {ahead} of {DRAWS} |", flush=True)


if __name__ == "__main__":
    main()
