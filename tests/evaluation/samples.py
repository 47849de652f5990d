"""Events and lists at random, and metrics computed slowly, one user at a time."""

from __future__ import annotations

import math

import numpy as np

from llmrec.evaluation import RankedLists
from llmrec.interactions import Interactions


def random_events(n_users=40, n_items=30, n_events=600, seed=0, timed=True):
    rng = np.random.default_rng(seed)
    rows = []
    for time in range(n_events):
        user = int(rng.integers(n_users))
        item = int(n_items * rng.random() ** 2)
        rows.append((f"u{user}", f"i{item}", 1, float(time)) if timed else (f"u{user}", f"i{item}"))
    return Interactions.from_table(rows)


def random_lists(n_users=50, n_items=30, width=12, seed=0):
    """Return lists of ids, sets of relevant ids, and both as RankedLists over all items."""
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(n_items)[: rng.integers(0, width + 1)].tolist() for _ in range(n_users)]
    relevant = [set(rng.permutation(n_items)[: rng.integers(1, 15)].tolist()) for _ in range(n_users)]
    return lists, relevant, RankedLists.of(lists, relevant, catalogue=range(n_items))


class Slow:
    """Metrics of one list, written down as their definitions read."""

    @staticmethod
    def precision(items, relevant, k):
        return len([one for one in items[:k] if one in relevant]) / k

    @staticmethod
    def recall(items, relevant, k):
        return len(set(items[:k]) & relevant) / len(relevant)

    @staticmethod
    def capped_recall(items, relevant, k):
        return len(set(items[:k]) & relevant) / min(k, len(relevant))

    @staticmethod
    def hit_rate(items, relevant, k):
        return float(any(one in relevant for one in items[:k]))

    @staticmethod
    def ndcg(items, relevant, k):
        gained = sum(1 / math.log2(place + 2) for place, one in enumerate(items[:k]) if one in relevant)
        return gained / sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))

    @staticmethod
    def _precisions(items, relevant, k):
        return [
            Slow.precision(items, relevant, place)
            for place in range(1, min(k, len(items)) + 1)
            if items[place - 1] in relevant
        ]

    @staticmethod
    def average_precision(items, relevant, k):
        return sum(Slow._precisions(items, relevant, k)) / len(relevant)

    @staticmethod
    def capped_average_precision(items, relevant, k):
        return sum(Slow._precisions(items, relevant, k)) / min(k, len(relevant))

    @staticmethod
    def reciprocal_rank(items, relevant, k):
        return next((1 / place for place, one in enumerate(items[:k], 1) if one in relevant), 0.0)
