"""Gains of hits along a step: equal to those of sorted candidates."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.kernels.hit_gains import gains_along


def gains_by_sorting(base, step, values, hits, discounts):
    gains = np.zeros((len(values), len(base)))
    for place, value in enumerate(values):
        scores = base + value * step
        for row, column in zip(*hits, strict=True):
            others = np.sort(np.delete(scores[row], column))[::-1]
            # Where the hit goes if it is the last of its equals.
            ahead = int(np.searchsorted(-others, -scores[row, column], side="right"))
            gains[place, row] += discounts[ahead] if ahead < len(discounts) else 0
    return gains


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), n_users=st.integers(0, 5), width=st.integers(1, 40), k=st.integers(1, 50)
)
def test_gains_are_those_of_sorted_candidates(seed, n_users, width, k):
    rng = np.random.default_rng(seed)
    # Few different whole numbers: many are equal, and sums are exact.
    base, step = rng.integers(-3, 4, size=(2, n_users, width)).astype(np.float32)
    values = rng.integers(-2, 3, size=4).astype(np.float32)
    hits = np.nonzero(rng.random((n_users, width)) < 0.2)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    expected = gains_by_sorting(base, step, values, hits, discounts)
    np.testing.assert_allclose(gains_along(base, step, values, hits, discounts), expected, atol=1e-12)


def test_a_hit_is_the_last_of_its_equals():
    scores, hits = np.zeros((1, 3), dtype=np.float32), (np.array([0]), np.array([0]))
    assert gains_along(scores, scores, np.zeros(1, np.float32), hits, np.array([3.0, 2.0, 1.0])).tolist() == [
        [1.0]
    ]
    assert gains_along(scores, scores, np.zeros(1, np.float32), hits, np.array([3.0, 2.0])).tolist() == [
        [0.0]
    ]
