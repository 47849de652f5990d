"""Sparse matrices a piece at a time."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from llmrec import vectors as vectors_module
from llmrec.vectors import column_means, dot, join_columns, larger_entries, row_norms


def test_pieces_of_sparse_matrices_add_up(monkeypatch):
    monkeypatch.setattr(vectors_module, "_PIECE", 7)
    rng = np.random.default_rng(0)
    blocks = [
        sparse.random_array((30, width), density=0.2, format="csr", rng=rng, dtype=np.float32)
        for width in (9, 1, 20)
    ]
    joined = join_columns(blocks)
    np.testing.assert_array_equal(joined.toarray(), np.hstack([block.toarray() for block in blocks]))
    assert joined.indices.dtype == np.int32
    np.testing.assert_allclose(row_norms(joined), np.linalg.norm(joined.toarray(), axis=1), rtol=1e-6)
    np.testing.assert_allclose(column_means(joined), joined.toarray().mean(axis=0), rtol=1e-6)
    assert row_norms(sparse.csr_array((3, 2), dtype=np.float32)).tolist() == [0, 0, 0]


def test_the_larger_entries_are_found_piece_by_piece(monkeypatch):
    left, right = (
        sparse.random_array((40, 30), density=0.2, rng=seed, dtype=np.float32, format="csr")
        for seed in (0, 1)
    )
    monkeypatch.setattr("llmrec.vectors._PIECE", 16)
    found = larger_entries(left, right)
    assert found.toarray().tolist() == np.maximum(left.toarray(), right.toarray()).tolist()
    assert found.nnz == np.count_nonzero(found.toarray())


def test_sparse_scores_do_not_depend_on_the_pieces_of_items(monkeypatch):
    queries, items = (
        sparse.random_array((n, 30), density=0.2, rng=n, dtype=np.float32, format="csr") for n in (9, 50)
    )
    whole = dot(queries, items)
    monkeypatch.setattr("llmrec.vectors._PIECE", 16)
    assert dot(queries, items).tolist() == whole.tolist()
