"""Singular vectors by block Krylov against NumPy's, where the spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec import decomposition
from llmrec.decomposition import many_right_singular_vectors, right_singular_vectors
from llmrec.threads import thread_limit


@pytest.fixture
def always_krylov(monkeypatch):
    monkeypatch.setattr(decomposition, "_SMALL", 0)
    monkeypatch.setattr(decomposition, "_LARGEST_FOR_ARPACK", -1)
    monkeypatch.setattr(decomposition, "_LARGEST_FOR_SCIPY", 0)


def with_spectrum(n_rows, n_columns, values, seed=0):
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(n_rows, len(values))))[0]
    right = np.linalg.qr(rng.normal(size=(n_columns, len(values))))[0]
    return sparse.csr_array(((left * values) @ right.T).astype(np.float32)), right


@pytest.mark.parametrize("shape", [(400, 300), (300, 400)])
def test_a_steep_spectrum_is_found_exactly(shape, always_krylov):
    values = 100.0 * 0.6 ** np.arange(40)
    matrix, right = with_spectrum(*shape, values)
    found, vectors = right_singular_vectors(matrix, 6, 0)
    np.testing.assert_allclose(found, values[:6], rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.einsum("ij,ij->j", vectors, right[:, :6])), 1, atol=1e-5)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-5)


@pytest.mark.parametrize("shape", [(900, 600), (600, 900)])
def test_a_slow_spectrum_loses_little_energy(shape, always_krylov):
    values = 100.0 / np.sqrt(np.arange(1, 601))
    matrix, _ = with_spectrum(*shape, values)
    found, vectors = right_singular_vectors(matrix, 20, 0)
    energy = np.linalg.norm(matrix @ vectors) ** 2
    assert energy > (1 - 2e-3) * np.sum(values[:20] ** 2)
    np.testing.assert_allclose(np.linalg.norm(matrix @ vectors, axis=0), found, rtol=5e-3)


def test_the_same_vectors_for_any_number_of_threads(always_krylov, monkeypatch):
    monkeypatch.setattr(decomposition, "_ENTRIES_AT_A_TIME", 1000)
    matrix, _ = with_spectrum(400, 300, 1.0 / np.arange(1, 100))
    answers = []
    for n_threads in (1, 3):
        with thread_limit(n_threads):
            answers.append(right_singular_vectors(matrix, 8, 0)[1])
    np.testing.assert_allclose(*answers, atol=1e-5)
    np.testing.assert_array_equal(right_singular_vectors(matrix, 8, 0)[1], answers[0])


@pytest.mark.parametrize("factors", [3, 7])
def test_there_are_no_more_factors_than_the_rank(factors, always_krylov):
    blocks = sparse.csr_array(np.kron(np.diag([1.0, 2.0, 3.0]), np.ones((100, 90))).astype(np.float32))
    values, vectors = right_singular_vectors(blocks, factors, 0)
    root = np.sqrt(9000)
    np.testing.assert_allclose(values, [3 * root, 2 * root, root], rtol=1e-5)
    assert vectors.shape == (270, 3)
    np.testing.assert_allclose(vectors.sum(axis=0), np.sqrt(90), rtol=1e-5)


def test_a_matrix_of_zeros_has_no_factors(always_krylov):
    values, vectors = right_singular_vectors(sparse.csr_array((300, 280), dtype=np.float32), 4, 0)
    assert (values.shape, vectors.shape) == ((0,), (280, 0))


def test_exact_is_exact_where_the_krylov_space_would_be_too_small(always_krylov):
    values = 100.0 / np.sqrt(np.arange(1, 301))
    matrix, right = with_spectrum(400, 300, values)
    found, vectors = right_singular_vectors(matrix, 20, 0, exact=True)
    np.testing.assert_allclose(found, values[:20], rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.einsum("ij,ij->j", vectors, right[:, :20])), 1, atol=1e-4)


@pytest.mark.parametrize("shape", [(1500, 1100), (1100, 1500), (300, 900), (900, 300)])
def test_many_vectors_hold_nearly_what_the_exact_ones_hold(shape):
    rng = np.random.default_rng(0)
    matrix = sparse.random_array(shape, density=0.02, format="csr", rng=rng, dtype=np.float32)
    matrix.data *= rng.lognormal(0, 2, shape[1]).astype(np.float32)[matrix.indices]
    found = many_right_singular_vectors(matrix, 150, 0)
    np.testing.assert_allclose(found.T @ found, np.eye(150), atol=1e-4)
    exact = np.linalg.svd(matrix.toarray(), compute_uv=False)[:150]
    held = np.square((matrix @ found).astype(np.float64)).sum()
    assert held >= np.square(exact.astype(np.float64)).sum() * (1 - 1e-3)
    np.testing.assert_array_equal(many_right_singular_vectors(matrix, 150, 0), found)


def test_many_vectors_are_fewer_where_the_rank_is():
    rng = np.random.default_rng(0)
    thin = rng.normal(size=(1300, 20)) @ (rng.random((20, 1200)) < 0.2)
    found = many_right_singular_vectors(sparse.csr_array(thin), 150, 0)
    assert found.shape == (1200, 20)
    assert np.isfinite(found).all()
