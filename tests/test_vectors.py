"""Sparse matrices a piece at a time."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from llmrec import vectors as vectors_module
from llmrec.vectors import column_means, join_columns, row_norms


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
