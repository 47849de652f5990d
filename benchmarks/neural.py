"""Factorizers trained by gradients beside plain ones, on MovieLens 100k split as in published tables.

Run with the folder of data sets in LLMREC_DATA:

    LLMREC_DATA=... python benchmarks/neural.py

A random quarter of each user's ratings is the test part, all ratings count as positive, items of the fitting
part are not ranked, k is 10, the mean of three splits: the protocol of the table of Microsoft Recommenders,
which has nDCG@10 0.396 for NCF and 0.475 for BiVAE. Settings are the library's defaults; they were chosen on
a validation part split off the fitting part.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import llmrec
from llmrec import ALSFactorizer, ItemKNN, LinearAutoencoder, NeuralCF, Popularity, TwoTower
from llmrec.base import Factorizer
from llmrec.interactions import Histories, IdTable, Interactions
from llmrec.vectors import dot

K = 10
SEEDS = (0, 1, 2)

Scores = Callable[[Interactions], np.ndarray]


def folded(make: Callable[[int], Factorizer]) -> Callable[[int], Scores]:
    def with_seed(seed: int) -> Scores:
        def scores(train: Interactions) -> np.ndarray:
            model = make(seed).fit(train)
            return dot(model.query_vectors(train.histories()), model.item_vectors())

        return scores

    return with_seed


def trained(seed: int) -> Scores:
    def scores(train: Interactions) -> np.ndarray:
        return NeuralCF(random_state=seed).fit(train).trained_scores(np.arange(train.n_users))

    return scores


SYSTEMS: dict[str, Callable[[int], Scores]] = {
    "popularity": folded(lambda seed: Popularity(half_life=None)),
    "item-kNN": folded(lambda seed: ItemKNN()),
    "ALS, 64 factors": folded(lambda seed: ALSFactorizer(random_state=seed)),
    "ALS, 32 factors": folded(lambda seed: ALSFactorizer(32, random_state=seed)),
    "neural CF, embeddings as trained": trained,
    "neural CF, histories folded in": folded(lambda seed: NeuralCF(random_state=seed)),
    "linear autoencoder": folded(lambda seed: LinearAutoencoder(random_state=seed)),
    "two towers, no texts": folded(lambda seed: TwoTower(random_state=seed)),
}


def split(seed: int) -> tuple[Interactions, Histories]:
    """Return the fitting part over all ids, and each user's held-out items."""
    pairs = pd.read_csv(Path(os.environ["LLMREC_DATA"]) / "ml-100k" / "interactions.csv.gz")[["user", "item"]]
    users, items = (IdTable(sorted(pairs[name].unique().tolist())) for name in ("user", "item"))
    shuffled = pairs.sample(frac=1, random_state=seed)
    sizes = shuffled.groupby("user")["item"].transform("size")
    is_test = (shuffled.groupby("user").cumcount() < (0.25 * sizes).round()).to_numpy()
    every = Interactions.from_table(
        list(shuffled.itertuples(index=False, name=None)), users=users, items=items
    )
    return every.subset(~is_test), every.subset(is_test).histories()


def measured(scores: np.ndarray, train: Interactions, test: Histories) -> list[float]:
    """Return nDCG, recall and precision of the best ten."""
    seen = train.histories()
    scores = scores.astype(np.float64)
    scores[seen.owners, seen.columns] = -np.inf
    is_wanted = test.weight_matrix().toarray() > 0
    is_hit = np.take_along_axis(is_wanted, np.argsort(-scores, axis=1, kind="stable")[:, :K], axis=1)
    discounts = 1 / np.log2(np.arange(2, K + 2))
    n_wanted = is_wanted.sum(axis=1)
    ideal = np.cumsum(discounts)[np.minimum(n_wanted, K) - 1]
    return [
        float(np.mean(is_hit @ discounts / ideal)),
        float(np.mean(is_hit.sum(axis=1) / n_wanted)),
        float(is_hit.mean()),
    ]


def main() -> None:
    llmrec.show_progress(False)
    splits = [split(seed) for seed in SEEDS]
    print("| system | nDCG@10 | recall@10 | precision@10 | nDCG of each split | fit, s |")
    print("|---|---:|---:|---:|---|---:|")
    for label, make in SYSTEMS.items():
        start = time.perf_counter()
        found = np.array(
            [
                measured(make(seed)(train), train, test)
                for seed, (train, test) in zip(SEEDS, splits, strict=True)
            ]
        )
        seconds = (time.perf_counter() - start) / len(SEEDS)
        means = " | ".join(f"{value:.4f}" for value in found.mean(axis=0))
        each = ", ".join(f"{value:.4f}" for value in found[:, 0])
        print(f"| {label} | {means} | {each} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
