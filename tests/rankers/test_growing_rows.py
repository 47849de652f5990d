"""Rows of a sparse matrix replaced one by one: what a dense matrix would hold, at a cost of what changed."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec.growing_rows import GrowingRows
from llmrec.vectors import replace_rows, take_rows


def thin(n_rows, seed, dim=6):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_rows, dim)) * (rng.random((n_rows, dim)) < 0.4)).astype(np.float32)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 12), max_size=4),
            st.sampled_from(["none", "data", "rows", "resize", "widen", "cut", "copy"]),
        ),
        max_size=25,
    )
)
def test_any_replacements_give_what_a_dense_matrix_holds(steps):
    dense = thin(5, 0)
    matrix = sparse.csr_array(dense)
    for seed, (rows, then) in enumerate(steps):
        new = thin(len(rows), seed)
        matrix = replace_rows(matrix, np.array(rows, dtype=np.int32), sparse.csr_array(new))
        missing = max([len(dense) - 1, *rows]) + 1 - len(dense)
        dense = np.vstack([dense, np.zeros((missing, dense.shape[1]), np.float32)])
        dense[rows] = new
        if then == "data":
            np.testing.assert_array_equal(np.sort(matrix.data), np.sort(dense[dense != 0]))
        elif then == "rows":
            asked = np.array([len(dense) - 1, 0, -2, 0])
            np.testing.assert_array_equal(matrix[asked].toarray(), dense[asked])
        elif then == "resize":
            matrix.resize((len(dense) + 1, dense.shape[1]))
            dense = np.vstack([dense, np.zeros((1, dense.shape[1]), np.float32)])
        elif then == "widen":
            # Rows to place next have as many columns as the first ones.
            matrix.resize(len(dense) + 2, dense.shape[1] + 3)
            np.testing.assert_array_equal(matrix.toarray(), np.pad(dense, [(0, 2), (0, 3)]))
            matrix.resize(len(dense) + 2, dense.shape[1])
            dense = np.pad(dense, [(0, 2), (0, 0)])
        elif then == "cut":
            matrix.resize((max(1, len(dense) - 1), dense.shape[1]))
            dense = dense[: max(1, len(dense) - 1)]
        elif then == "copy":
            matrix = copy.deepcopy(matrix)
        assert matrix.shape == dense.shape
        assert matrix.dtype == np.float32
    np.testing.assert_array_equal(take_rows(matrix, np.arange(len(dense), dtype=np.int32)).toarray(), dense)
    np.testing.assert_array_equal(matrix.toarray(), dense)
    np.testing.assert_allclose((matrix @ matrix.T).toarray(), dense @ dense.T, atol=1e-5)


def test_the_matrix_that_rows_were_taken_from_stays_as_it_was():
    before = sparse.csr_array(thin(5, 1))
    kept = before.toarray()
    after = replace_rows(before, np.array([0, 1]), sparse.csr_array(thin(2, 2)))
    after.replace(np.array([3]), sparse.csr_array(thin(1, 3)))
    np.testing.assert_array_equal(before.toarray(), kept)


def test_rows_taken_before_a_replacement_stay_as_they_were():
    matrix = GrowingRows(sparse.csr_array(thin(5, 1)))
    matrix.replace(np.array([1]), sparse.csr_array(thin(1, 2)))
    taken = matrix[np.arange(5)]
    before = taken.toarray()
    for seed in range(200):
        matrix.replace(np.array([1, 2]), sparse.csr_array(thin(2, seed)))
    np.testing.assert_array_equal(taken.toarray(), before)


def test_growing_moves_no_entry():
    matrix = GrowingRows(sparse.csr_array(thin(5, 1)))
    matrix.replace(np.array([1]), sparse.csr_array(thin(1, 2)))
    before = matrix.toarray()
    matrix.replace(np.array([1]), sparse.csr_array(thin(1, 2)))
    slots = matrix.slots()
    matrix.resize(7, 9)
    assert np.shares_memory(matrix.slots().data, slots.data)
    np.testing.assert_array_equal(matrix.toarray(), np.pad(before, [(0, 2), (0, 3)]))


def test_dead_entries_are_given_up():
    matrix = GrowingRows(sparse.csr_array(np.ones((4, 10), np.float32)))
    for _ in range(1000):
        matrix.replace(np.array([2]), sparse.csr_array(np.ones((1, 10), np.float32)))
    assert len(matrix.slots().data) <= 400
    assert matrix.nnz == 40


@pytest.mark.parametrize("rows", [[5], [-6]])
def test_rows_outside_are_an_index_error(rows):
    matrix = GrowingRows(sparse.csr_array(thin(5, 1)))
    matrix.replace(np.array([0]), sparse.csr_array(thin(1, 2)))
    with pytest.raises(IndexError):
        matrix[np.array(rows)]


def test_what_is_stored_is_a_plain_matrix():
    matrix = GrowingRows(sparse.csr_array(thin(5, 1)))
    matrix.replace(np.array([0]), sparse.csr_array(thin(1, 2)))
    assert type(matrix.plain()) is sparse.csr_array


def test_replacing_costs_the_same_in_a_large_matrix():
    def cost(n_rows):
        entries = np.tile(np.arange(8, dtype=np.int32), n_rows)
        matrix = GrowingRows(
            sparse.csr_array(
                (np.ones(8 * n_rows, np.float32), entries, np.arange(0, 8 * n_rows + 1, 8)), (n_rows, 8)
            )
        )
        row = sparse.csr_array(np.ones((1, 8), np.float32))
        matrix.replace(np.array([0]), row)
        times = []
        for place in range(300):
            start = time.thread_time()
            matrix.replace(np.array([place * 7]), row)
            times.append(time.thread_time() - start)
        return float(np.median(times))

    # The bound is loose, for busy machines: what it refuses is time in proportion to the rows.
    assert cost(300_000) < 5 * cost(3_000)
