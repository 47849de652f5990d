"""The product of a sparse and a dense matrix against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec import decomposition
from llmrec.kernels.spmm import LANES, multiply_rows
from llmrec.threads import thread_limit


def random_sparse(n_rows, n_columns, density, seed):
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < density)
    return sparse.csr_array(dense.astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 20), st.sampled_from([0.0, 0.2, 1.0]), st.integers(0, 99))
def test_rows_are_those_of_numpy(n_rows, n_columns, density, seed):
    matrix = random_sparse(n_rows, n_columns, density, seed)
    table = np.random.default_rng(seed).normal(size=(n_columns, LANES)).astype(np.float32)
    out = np.full((n_rows, LANES), np.nan, dtype=np.float32)
    multiply_rows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data, table, out, 0, n_rows)
    np.testing.assert_allclose(out, matrix.toarray() @ table, atol=1e-4)


def test_other_rows_are_left_alone_and_columns_met_twice_count_twice():
    indptr, columns = np.array([0, 1, 4, 4], dtype=np.int64), np.array([0, 1, 1, 0], dtype=np.int32)
    table = np.repeat(np.array([[1.0], [10.0]], dtype=np.float32), LANES, axis=1)
    out = np.full((3, LANES), -1, dtype=np.float32)
    multiply_rows(indptr, columns, np.ones(4, dtype=np.float32), table, out, 1, 2)
    assert out[:, 0].tolist() == [-1, 21, -1]


@pytest.mark.parametrize("width", [1, LANES, LANES + 3])
def test_wide_products_are_those_of_scipy_for_any_number_of_threads(width, monkeypatch):
    monkeypatch.setattr(decomposition, "_LARGEST_FOR_SCIPY", 0)
    monkeypatch.setattr(decomposition, "_ENTRIES_AT_A_TIME", 50)
    matrix = random_sparse(80, 60, 0.2, 0)
    dense = np.random.default_rng(1).normal(size=(60, width)).astype(np.float32)
    products = []
    for n_threads in (1, 3):
        with thread_limit(n_threads):
            products.append(decomposition.multiply(matrix, dense))
    np.testing.assert_allclose(products[0], matrix @ dense, atol=1e-4)
    np.testing.assert_array_equal(*products)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 60))
def test_chunks_are_all_rows_once_in_order(work, size):
    chunks = decomposition.row_chunks(np.append(0, np.cumsum(np.array(work, dtype=np.int64))), size)
    covered = [row for chunk in chunks for row in range(chunk.start, chunk.stop)]
    assert covered == list(range(len(work)))
    assert all(chunk.stop > chunk.start for chunk in chunks)
