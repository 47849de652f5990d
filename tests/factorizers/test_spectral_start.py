"""The vectors that alternating least squares starts from."""

import numpy as np
import pytest
from scipy import sparse

from llmrec.factorizers.gradient_rows import SparseRows
from llmrec.factorizers.spectral_start import spectral_start


def start_of(weights, unobserved_weight=0.3, factors=4):
    rows = SparseRows.of(sparse.csr_array(weights.astype(np.float32)), None)
    return spectral_start(rows, rows.transposed(), unobserved_weight, factors, 0)


def test_is_the_largest_part_of_the_weights_relative_to_the_masses():
    groups = np.repeat(np.arange(3), [10, 20, 30])
    weights = (groups[:, None] == groups) * np.outer(np.linspace(1, 3, 60), np.linspace(2, 1, 60))
    users, items = start_of(weights, factors=3)
    mass = [weights.sum(axis=axis) + 0.3 * 60 for axis in (1, 0)]
    left, values, right = np.linalg.svd(weights / np.sqrt(np.outer(*mass)))
    largest = (left[:, :3] * values[:3]) @ right[:3]
    expected = mass[0].sum() * largest / np.sqrt(np.outer(*mass))
    error = np.linalg.norm(users @ items.T - expected) / np.linalg.norm(expected)
    assert error < 1e-4
    assert np.vdot(users, users) == pytest.approx(np.vdot(items, items), rel=1e-4)


@pytest.mark.parametrize("unobserved_weight", [0.0, 1.0])
def test_factors_beyond_the_rank_and_blank_rows_are_0(unobserved_weight):
    weights = np.zeros((6, 5))
    weights[:4, :3] = np.arange(1, 13).reshape(4, 3)
    users, items = start_of(weights, unobserved_weight, factors=16)
    for vectors in (users, items):
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        assert np.linalg.matrix_rank(vectors, tol=1e-3) <= 3
    assert not users[4:].any()
    assert not items[3:].any()


def test_no_events_at_all():
    users, items = start_of(np.zeros((2, 3)), 0.0)
    assert not users.any()
    assert not items.any()
