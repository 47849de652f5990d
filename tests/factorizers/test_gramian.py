"""A Gramian under changes of vectors: equal to one made anew, whatever the order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrec.factorizers.gramian import Gramian, gram
from llmrec.vectors import grown


def random_vectors(n, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 5, 5000])
def test_gram_is_the_product(n):
    vectors = random_vectors(n, 7)
    doubles = vectors.astype(np.float64)
    np.testing.assert_allclose(gram(vectors), doubles.T @ doubles, rtol=1e-12, atol=1e-12)


def test_its_parts_make_up_the_matrix():
    vectors = random_vectors(30, 5)
    gramian = Gramian(vectors)
    np.testing.assert_allclose(gramian.matrix(), gram(vectors), atol=1e-10)
    values, basis = gramian.spectrum(0.5)
    np.testing.assert_allclose(basis @ np.diag(values) @ basis.T, 0.5 * gram(vectors), atol=1e-10)
    turned = vectors @ gramian.basis
    squares = np.sum(vectors**2, axis=1)
    np.testing.assert_allclose(gramian.moments, squares @ turned**2 / squares.sum(), rtol=1e-5)


changes = st.lists(
    st.tuples(
        st.lists(st.integers(0, 19), min_size=1, max_size=4, unique=True),
        st.integers(0, 2**16),
        st.sampled_from([0.0, 0.01, 1.0, 30.0]),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(changes=changes, dim=st.sampled_from([1, 3, 16, 20]))
def test_any_changes_leave_it_that_of_the_vectors(changes, dim):
    vectors = random_vectors(20, dim + 2)
    gramian = Gramian(vectors, dim)
    for rows, seed, scale, grows in changes:
        if grows:
            vectors = grown(vectors, len(vectors) + 1)
            gramian.follow(vectors)
        new = scale * random_vectors(len(rows), dim + 2, seed)
        gramian.replace(np.array(rows), vectors[rows], new)
        vectors[rows] = new
        if gramian.is_worn:
            gramian = Gramian(vectors, dim)
    expected = gram(vectors[:, :dim])
    tolerance = 1e-9 * max(1.0, np.abs(expected).max()) + 1e-6
    np.testing.assert_allclose(gramian.matrix(), expected, atol=tolerance)
    values, basis = gramian.spectrum(1.0)
    np.testing.assert_allclose(basis @ np.diag(values) @ basis.T, expected, atol=tolerance)
    turned = vectors[:, :dim].astype(np.float64) @ gramian.basis
    np.testing.assert_allclose(gramian.turned[:, :dim], turned, rtol=1e-6, atol=1e-6)
    assert not gramian.turned[:, dim:].any()


def test_it_describes_its_own_array_until_worn():
    vectors = random_vectors(6, 3)
    gramian = Gramian(vectors)
    assert gramian.describes(vectors)
    assert not gramian.describes(vectors.copy())
    assert not gramian.describes(vectors[:])
    for _ in range(6):
        assert gramian.describes(vectors)
        gramian.replace(np.array([0]), vectors[:1], vectors[:1])
    gramian.replace(np.array([0]), vectors[:1], vectors[:1])
    assert gramian.is_worn
    assert not gramian.describes(vectors)


def test_a_copy_of_one_in_use_holds_no_compiled_code():
    vectors = random_vectors(5, 3)
    gramian = Gramian(vectors)
    assert gramian.fold_in is gramian.fold_in
    again = pickle.loads(pickle.dumps(gramian))
    assert "fold_in" not in vars(again)
    np.testing.assert_array_equal(again.turned, gramian.turned)
