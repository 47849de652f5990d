"""Metrics of texts: the closed forms, and what the learned one knows that no cosine can."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec.cold_items import best_metric
from llmrec.errors import ParameterError
from llmrec.text_metrics import LearnedMetric, RidgeMetric
from llmrec.vectors import unit_rows

GOES_WITH = np.array([3, 4, 5, 0, 1, 2])


def matched_world(seed=0, n_users=300, n_items=240):
    """Six kinds of items; who likes a kind likes its partner kind, whose texts share no word with it."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n_items) % 6
    vectors = rng.normal(scale=0.2, size=(n_items, 12))
    vectors[np.arange(n_items), kind] += 1
    history = np.zeros((n_users, n_items), dtype=np.float32)
    for user in range(n_users):
        first = user % 6
        for liked in (first, GOES_WITH[first]):
            history[user, rng.choice(np.flatnonzero(kind == liked), 5, replace=False)] = 1
    return unit_rows(vectors.astype(np.float32)), sparse.csr_array(history), kind


def test_the_learned_metric_knows_what_goes_with_what():
    vectors, history, kind = matched_world()
    warm = np.flatnonzero(np.arange(240) % 5 != 0).astype(np.int32)
    metric = LearnedMetric.of(vectors, warm, history, 1e6)
    hidden = np.flatnonzero(np.arange(240) % 5 == 0)
    asks = unit_rows(vectors[kind == 0][:1])
    scores = (metric.apply(asks) @ vectors[hidden].T)[0]
    by_kind = np.array([scores[kind[hidden] == one].mean() for one in range(6)])
    assert set(np.argsort(-by_kind)[:2]) == {0, 3}
    cosine = (asks @ vectors[hidden].T)[0]
    assert abs(cosine[kind[hidden] == 3].mean()) < 0.2


def test_the_learned_metric_is_the_closed_form_plus_the_ridge():
    vectors, history, _ = matched_world(n_users=40)
    warm = np.arange(240, dtype=np.int32)
    part = np.random.default_rng(0).integers(4, size=240)
    dense = history.toarray()
    profiles, events, texts = [], [], []
    for one in range(4):
        profiles.append(unit_rows((dense[:, part != one] @ vectors[part != one]).astype(np.float32)))
        texts.append(np.where((part == one)[:, None], vectors, 0))
        events.append(np.where(part == one, dense, 0))
    profile, event, gram = np.vstack(profiles), np.vstack(events), vectors.T @ vectors
    side = profile.T @ profile
    left = np.linalg.inv(side + 0.3 * np.trace(side) / 12 * np.eye(12)) @ profile.T @ event @ vectors
    learned = left @ np.linalg.inv(gram + 0.3 * np.trace(gram) / 12 * np.eye(12))
    whitened = np.linalg.inv(gram + 3.0 * np.eye(12))
    deviations = [np.sqrt(((profile @ one @ vectors.T).var(axis=1)).mean()) for one in (learned, whitened)]
    expected = learned / deviations[0] + whitened / deviations[1]
    found = LearnedMetric.of(vectors, warm, history, 3.0).matrix
    np.testing.assert_allclose(found / found[0, 0], expected / expected[0, 0], rtol=1e-3, atol=1e-3)


def test_the_learned_metric_wins_where_it_can_and_may():
    vectors, history, _ = matched_world()
    warm = np.arange(240, dtype=np.int32)
    assert best_metric(vectors, warm, history, may_learn=True)[0] == "learned"
    assert best_metric(vectors, warm, history, may_learn=False)[0] == "ridge"


def test_without_events_the_ridge_is_left():
    vectors, _, _ = matched_world()
    nothing = sparse.csr_array((5, 240), dtype=np.float32)
    matrix = LearnedMetric.of(vectors, np.arange(240, dtype=np.int32), nothing, 3.0).matrix
    ridge = RidgeMetric.of(vectors, 3.0).inverse
    np.testing.assert_allclose(matrix / matrix[0, 0], ridge / ridge[0, 0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("metric", [RidgeMetric, LearnedMetric])
def test_a_metric_comes_back_from_its_state(metric):
    vectors, history, _ = matched_world()
    made = (
        RidgeMetric.of(vectors, 3.0)
        if metric is RidgeMetric
        else LearnedMetric.of(vectors, np.arange(240, dtype=np.int32), history, 3.0)
    )
    back = metric.from_state(made.get_state())
    np.testing.assert_array_equal(back.apply(vectors), made.apply(vectors))


def test_a_metric_too_wide_is_refused():
    wide = np.zeros((20_001, 1), dtype=np.float32).T
    with pytest.raises(ParameterError, match="metric='learned' would invert a 20001-square matrix"):
        LearnedMetric.of(wide, np.zeros(1, np.int32), sparse.csr_array((1, 1), dtype=np.float32), 1.0)
