"""Views built from plain matrices, for the tests of fusers."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from llmrec.base import ViewVectors
from llmrec.vectors import dot


def view(name, vectors, *, kind="behaviour", support=None, queries=None):
    """Build a view; without ``support`` every row stands on one event."""
    is_sparse = sparse.issparse(vectors)
    vectors = sparse.csr_array(vectors, dtype=np.float32) if is_sparse else np.asarray(vectors, np.float32)
    given = np.ones(vectors.shape[0]) if support is None else support
    return ViewVectors(name, kind, vectors, np.asarray(given, dtype=np.float32), queries)


def fused_scores(fuser, items, queries):
    """Return the ``(n_queries, n_items)`` inner products in the joint space."""
    return dot(fuser.fuse_queries(queries), fuser.fuse_items(items))


def random_sparse(n_rows, dim, seed):
    """Return a ``csr_array`` of word-like counts, two fifths of them above 0."""
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((n_rows, dim)) < 0.4) * rng.uniform(0.5, 2, (n_rows, dim)))
