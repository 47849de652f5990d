"""The metric of texts is chosen on items whose events are hidden."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from llmrec import Recommender, TextView, TfidfEncoder
from llmrec.cold_items import best_metric
from llmrec.vectors import unit_rows


def world(common, seed=0, n_items=200, n_users=150, dim=20):
    """Items of ten kinds, whose vectors share a direction of that length; each user likes one kind."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n_items) % 10
    vectors = rng.normal(scale=0.3, size=(n_items, dim))
    vectors[np.arange(n_items), kind] += 1
    vectors[:, -1] += common * rng.random(n_items)
    history = np.zeros((n_users, n_items), dtype=np.float32)
    for user in range(n_users):
        liked = np.flatnonzero(kind == user % 10)
        history[user, rng.choice(liked, 10, replace=False)] = 1
    return unit_rows(vectors.astype(np.float32)), sparse.csr_array(history)


def ndcg_of(ridge, vectors, history):
    """Score by the definition, on the items that the choice hides."""
    warm = np.arange(len(vectors))
    hidden = np.sort(np.random.default_rng(0).permutation(len(warm))[: len(warm) // 5])
    shown = np.setdiff1d(warm, hidden)
    profiles = unit_rows((history.toarray()[:, shown] @ vectors[shown]).astype(np.float32))
    inverse = np.linalg.inv(vectors[shown].T @ vectors[shown] + ridge * np.eye(vectors.shape[1]))
    scores, relevant = profiles @ inverse @ vectors[hidden].T, history.toarray()[:, hidden] > 0
    total = []
    for own, right in zip(scores, relevant, strict=True):
        if right.any():
            hits = right[np.argsort(-own, kind="stable")[:100]]
            gains = 1 / np.log2(np.arange(2, 102))
            total.append((hits * gains[: len(hits)]).sum() / gains[: right.sum()].sum())
    return np.mean(total)


def test_the_best_of_the_candidates_is_taken():
    vectors, history = world(common=6.0)
    chosen = best_metric(vectors, np.arange(200, dtype=np.int32), history, may_learn=False)[1]
    reached = {ridge: ndcg_of(ridge, vectors, history) for ridge in (3.0, 10.0, 30.0, 100.0, 300.0)}
    assert reached[chosen] == max(reached.values())
    assert chosen < 300
    assert reached[chosen] > reached[300.0] + 0.02


def test_too_few_users_leave_the_usual_ridge():
    vectors, history = world(common=6.0, n_users=40)
    assert best_metric(vectors, np.arange(200, dtype=np.int32), history, may_learn=False) is None


def test_a_view_chooses_where_it_can_and_keeps_what_it_is_told():
    rng = np.random.default_rng(1)
    texts = {
        item: f"kind{item % 8} " + " ".join(f"w{n}" for n in rng.integers(0, 40, 6)) for item in range(160)
    }
    events = [(user, int(item)) for user in range(80) for item in rng.choice(np.arange(user % 8, 160, 8), 9)]
    auto = Recommender(encoder=TfidfEncoder(components=16), factorizer=None).fit(events, items=texts)
    chosen = auto.views_["tfidf"]
    assert chosen.metric_ in ("ridge", "learned")
    assert chosen.ridge_ in (3.0, 10.0, 30.0, 100.0, 300.0)
    told = TextView(TfidfEncoder(components=16), ridge=7.0, name="told")
    told = Recommender(encoder=told, factorizer=None).fit(events, items=texts)
    assert told.views_["told"].ridge_ == 7.0
    nobody = Recommender(encoder=TfidfEncoder(components=16)).fit(items=texts)
    assert nobody.views_["tfidf"].ridge_ == 10.0
