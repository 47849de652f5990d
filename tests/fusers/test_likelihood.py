"""The likeliest weights against a likelihood written out, and against what is known of softmaxes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from llmrec.fusers.blend_trial import BlendTrial
from llmrec.fusers.likelihood import likeliest_weights


def trial_of(scores, hits, is_open=None):
    users, places = np.nonzero(hits)
    is_open = np.ones(hits.shape, dtype=np.bool_) if is_open is None else is_open
    n_relevant = hits.sum(axis=1)
    return BlendTrial(scores, users, places, n_relevant, np.zeros(hits.shape, dtype=np.int64), is_open)


def drawn(weights, seed=0, n_users=400, n_candidates=30):
    """Return scores of views, and one candidate a user drawn from the softmax of their blend."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(len(weights), n_users, n_candidates)).astype(np.float32)
    blended = np.einsum("v,vup->up", np.asarray(weights), scores) + rng.gumbel(size=scores.shape[1:])
    hits = np.zeros(blended.shape, dtype=np.bool_)
    hits[np.arange(n_users), blended.argmax(axis=1)] = True
    return scores, hits


def likelihood(weights, scores, hits):
    blended = np.einsum("v,vup->up", np.asarray(weights), scores.astype(np.float64))
    return float((log_softmax(blended, axis=1) * hits).sum())


def test_the_weights_that_drew_the_candidates_are_found():
    found = likeliest_weights(trial_of(*drawn([2.0, 1.0, 0.0], n_users=3000)))
    np.testing.assert_allclose(found, [1, 0.5, 0], atol=0.05)


def test_no_other_weights_are_likelier():
    scores, hits = drawn([1.5, 0.5])
    found = likeliest_weights(trial_of(scores, hits))
    scale = max(np.linspace(0.5, 3, 200), key=lambda one: likelihood(one * found, scores, hits))
    best = likelihood(scale * found, scores, hits)
    for change in ([0.05, 0], [-0.05, 0], [0, 0.05], [0, -0.05]):
        assert likelihood(scale * found + change, scores, hits) < best


def test_a_view_that_points_the_wrong_way_counts_nothing():
    scores, hits = drawn([2.0])
    found = likeliest_weights(trial_of(np.concatenate([scores, -scores]), hits))
    assert found.tolist() == pytest.approx([1, 0], abs=1e-6)


def test_closed_places_have_no_say():
    scores, hits = drawn([2.0, 1.0])
    wide = np.concatenate([scores, np.full_like(scores[:, :, :5], 50)], axis=2)
    hits_too = np.hstack([hits, np.zeros((len(hits), 5), dtype=np.bool_)])
    is_open = np.hstack([np.ones_like(hits), np.zeros((len(hits), 5), dtype=np.bool_)])
    expected = likeliest_weights(trial_of(scores, hits))
    np.testing.assert_allclose(likeliest_weights(trial_of(wide, hits_too, is_open)), expected, atol=1e-5)


def test_users_without_candidates_or_hits_change_nothing():
    scores, hits = drawn([2.0, 1.0])
    expected = likeliest_weights(trial_of(scores, hits))
    more = np.concatenate([scores, np.zeros_like(scores[:, :2])], axis=1)
    none = np.vstack([hits, np.zeros_like(hits[:2])])
    is_open = np.vstack([np.ones_like(hits), np.zeros_like(hits[:1]), np.ones_like(hits[:1])])
    np.testing.assert_allclose(likeliest_weights(trial_of(more, none, is_open)), expected, atol=1e-3)


def test_where_nothing_helps_all_weights_are_zero():
    scores, hits = drawn([2.0])
    assert likeliest_weights(trial_of(-scores, hits)).tolist() == [0.0]
