"""Text views on items that nobody has met: recall@20 among the cold items of citeulike-a.

LLMREC_DATA=... python benchmarks/text_views.py
"""

from __future__ import annotations

import numpy as np

import llmrec
from llmrec import ALSFactorizer, ConcatFuser, Recommender, TextView, TfidfEncoder, WeightedFuser
from llmrec.datasets import load_dataset
from llmrec.evaluation import recall_at_k
from llmrec.interactions import Interactions

K = 20


def main() -> None:
    llmrec.show_progress(False)
    data = load_dataset("citeulike-a")
    train = Interactions.from_table(data.splits["train_cold"])
    cold = data.splits["cold_test_items"]["item"].tolist()
    truth: dict[object, set[object]] = {}
    test = data.splits["test_cold"]
    for user, item in zip(test["user"].tolist(), test["item"].tolist(), strict=True):
        truth.setdefault(user, set()).add(item)
    users = [user for user in truth if user in train.users]

    words = TextView(TfidfEncoder(), metric="cosine", name="words")
    topics = TextView(TfidfEncoder(components=1000), metric="ridge", ridge=100.0, name="topics")
    flat = TextView(TfidfEncoder(components=1000), metric="cosine", name="topics by cosine")
    blend = ConcatFuser()
    systems = {
        "TF-IDF, cosine": Recommender(encoder=words, factorizer=None, fuser=blend),
        "1,000 topics, cosine": Recommender(encoder=flat, factorizer=None, fuser=blend),
        "1,000 topics, ridge metric": Recommender(encoder=topics, factorizer=None, fuser=blend),
        "both, z-blend": Recommender(encoder=[words, topics], factorizer=None, fuser=blend),
        "text mapped to ALS factors": Recommender(
            encoder=topics, factorizer=ALSFactorizer(64), fuser=WeightedFuser("adaptive")
        ),
    }
    print(f"citeulike-a, {len(cold):,} cold items, {len(users):,} users\n")
    print("| text view | recall@20 |\n|---|---:|")
    for name, rec in systems.items():
        answers = rec.fit(train, items=data.items).recommend(users, k=K, candidates=cold)
        recall = np.mean([recall_at_k(one.items, truth[one.user], K) for one in answers])
        print(f"| {name} | {recall:.4f} |", flush=True)


if __name__ == "__main__":
    main()
