"""Keeping the largest entries of rows: against sorting each row, equal entries included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec.factorizers.similarity import largest_of_rows


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("digits", [0, 1, 6])
def test_largest_of_rows_is_a_stable_sort_of_each(k, digits):
    rng = np.random.default_rng(digits)
    values = (np.round(rng.uniform(0, 3, (50, 30)), digits) * (rng.random((50, 30)) < 0.7)).astype(np.float32)
    expected = np.zeros_like(values)
    for row, entries in enumerate(values):
        best = np.argsort(-entries, kind="stable")[:k]
        expected[row, best] = entries[best]
    found = largest_of_rows(sparse.csr_array(values), k)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_sorted_indices


def test_rows_without_entries_stay_empty():
    assert largest_of_rows(sparse.csr_array((3, 4), dtype=np.float32), 2).nnz == 0
    assert largest_of_rows(sparse.csr_array((0, 4), dtype=np.float32), 2).shape == (0, 4)
