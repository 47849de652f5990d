"""Matrices of row vectors: products, joins and growth are those of the dense arrays they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec.vectors import (
    JoinedVectors,
    copied,
    csr_of,
    distinct,
    dot,
    grown,
    join_columns,
    paired_dots,
    replace_rows,
    row_norms,
    row_sums,
    scale_rows,
    take_rows,
    unit_rows,
)

FORMS = {
    "dense": lambda matrix: matrix.copy(),
    "sparse": sparse.csr_array,
    "joined": lambda matrix: JoinedVectors(matrix[:, :2].copy(), sparse.csr_array(matrix[:, 2:])),
}
every_form = pytest.mark.parametrize("form", list(FORMS))


def matrix_of(n_rows, seed=0, dim=5):
    rng = np.random.default_rng(seed)
    matrix = (rng.normal(size=(n_rows, dim)) * (rng.random((n_rows, dim)) < 0.6)).astype(np.float32)
    matrix[-1] = 0
    return matrix


def dense_of(vectors):
    return vectors if isinstance(vectors, np.ndarray) else vectors.toarray()


@every_form
def test_row_sums_norms_scales_and_units_are_those_of_the_dense_array(form):
    matrix = matrix_of(7)
    vectors, scale = FORMS[form](matrix), np.arange(7, dtype=np.float32)
    norms = np.linalg.norm(matrix, axis=1)
    np.testing.assert_allclose(row_sums(vectors), matrix.sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(row_norms(vectors), norms, atol=1e-6)
    np.testing.assert_allclose(dense_of(scale_rows(vectors, scale)), matrix * scale[:, None], atol=1e-6)
    np.testing.assert_allclose(row_norms(unit_rows(vectors)), norms > 0, atol=1e-6)
    np.testing.assert_array_equal(dense_of(vectors), matrix)


@pytest.mark.parametrize("n_queries", [1, 4, 5])
@pytest.mark.parametrize(
    ("query_form", "form"), [*((form, form) for form in FORMS), ("sparse", "dense"), ("dense", "sparse")]
)
def test_dot_is_the_product_of_the_dense_arrays(query_form, form, n_queries):
    one, other = matrix_of(5, 1)[:n_queries], matrix_of(6, 2)
    product = dot(FORMS[query_form](one), FORMS[form](other))
    assert isinstance(product, np.ndarray)
    assert product.dtype == np.float32
    np.testing.assert_allclose(product, one @ other.T, atol=1e-5)


def test_join_puts_dense_blocks_first_and_keeps_each_form():
    one, two, three = (matrix_of(4, seed) for seed in (1, 2, 3))
    joined = join_columns([sparse.csr_array(one), two, sparse.csr_array(three)])
    assert isinstance(joined, JoinedVectors)
    np.testing.assert_array_equal(joined.toarray(), np.hstack([two, one, three]))
    assert joined.shape == (4, 15)
    assert isinstance(join_columns([one, two]), np.ndarray)
    assert sparse.issparse(join_columns([sparse.csr_array(one)]))
    with pytest.raises(ValueError, match="at least one"):
        join_columns([])


@every_form
def test_taken_rows_past_the_end_are_zero(form):
    matrix, rows = matrix_of(4), np.array([3, 0, 4, 9], dtype=np.int32)
    expected = np.vstack([matrix[3], matrix[0], np.zeros((2, 5))])
    np.testing.assert_array_equal(dense_of(take_rows(FORMS[form](matrix), rows)), expected)
    assert take_rows(FORMS[form](matrix), rows[:0]).shape == (0, 5)


@every_form
def test_replaced_rows_may_lie_past_the_end(form):
    matrix, later = matrix_of(4), matrix_of(3, 5)
    rows = np.array([6, 1, 4], dtype=np.int32)
    expected = np.vstack([matrix, np.zeros((3, 5), np.float32)])
    expected[rows] = later
    np.testing.assert_array_equal(
        dense_of(replace_rows(FORMS[form](matrix), rows, FORMS[form](later))), expected
    )


def test_growth_keeps_rows_adds_zeros_and_seldom_copies():
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    copies, current = 0, array
    for n_rows in range(4, 400):
        longer = grown(current, n_rows)
        copies += not np.shares_memory(longer, current)
        current = longer
    assert current.shape == (399, 2)
    np.testing.assert_array_equal(current[:3], array)
    assert not current[3:].any()
    assert copies <= 8
    assert grown(current, 5) is current


def test_growth_writes_to_no_rows_that_were_handed_out():
    shorter = grown(np.ones((3, 2), dtype=np.float32), 5)
    longer = grown(shorter, 6)
    assert np.shares_memory(longer, shorter)
    longer[5] = 7
    for handed_out in (shorter, longer[:4], longer[1:5]):
        other = grown(handed_out, len(handed_out) + 3)
        assert not np.shares_memory(other, longer)
        np.testing.assert_array_equal(other[: len(handed_out)], handed_out)
        assert not other[len(handed_out) :].any()
    assert longer[5].tolist() == [7, 7]


@pytest.mark.parametrize("n", [0, 1, 3, 500])
def test_distinct_rows_are_those_of_numpy(n):
    rows = np.random.default_rng(n).integers(100, size=n)
    found = distinct(rows)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.unique(rows))


def test_growth_leaves_the_rows_of_a_caller_alone():
    buffer = np.ones((10, 2), dtype=np.float32)
    longer = grown(buffer[:5], 8)
    assert longer.shape == (8, 2)
    assert not longer[5:].any()
    longer[5:] = 7
    np.testing.assert_array_equal(buffer, np.ones((10, 2)))


@every_form
@pytest.mark.parametrize("query_form", ["dense", "sparse"])
def test_paired_dots_are_entries_of_the_product(form, query_form, monkeypatch):
    monkeypatch.setattr("llmrec.vectors._LARGEST_GATHER", 40)  # some queries at a time
    one, other = matrix_of(9, 3), matrix_of(6, 4)
    rows = np.random.default_rng(0).integers(0, 6, (9, 4)).astype(np.int32)
    queries = FORMS["joined" if form == "joined" else query_form](one)
    products = paired_dots(queries, FORMS[form](other), rows)
    assert products.dtype == np.float64
    expected = np.take_along_axis(one.astype(np.float64) @ other.T.astype(np.float64), rows, axis=1)
    np.testing.assert_allclose(products, expected, atol=1e-12)
    assert paired_dots(queries, FORMS[form](other), rows[:, :0]).shape == (9, 0)


@every_form
def test_a_copy_shares_nothing(form):
    vectors = FORMS[form](matrix_of(4))
    before, other = dense_of(vectors).copy(), copied(vectors)
    np.testing.assert_array_equal(dense_of(other), before)
    for part in (other.dense, other.sparse.data) if form == "joined" else (other,):
        values = part.data if sparse.issparse(part) else part
        values += 1
    np.testing.assert_array_equal(dense_of(vectors), before)


def test_matrices_of_one_shape_are_independent():
    def row(column):
        ends = np.array([0, 1], dtype=np.int32)
        return csr_of(np.ones(1, np.float32), np.array([column], dtype=np.int32), ends, (1, 3))

    one, other = row(0), row(2)
    one.resize((1, 2))
    assert one.toarray().tolist() == [[1, 0]]
    assert other.toarray().tolist() == [[0, 0, 1]]
    assert (other @ other.T).toarray().tolist() == [[1]]


def test_blocks_are_scaled_as_they_are_joined():
    rng = np.random.default_rng(0)
    one, two, three = (rng.random((5, n)).astype(np.float32) for n in (2, 3, 4))
    scale = rng.random(5).astype(np.float32)
    for blocks in (
        [one, sparse.csr_array(two), sparse.csr_array(three)],
        [one, two],
        [sparse.csr_array(one)],
    ):
        scales = [None, scale, 2 * scale][-len(blocks) :]
        scaled = [
            block if own is None else scale_rows(block, own)
            for block, own in zip(blocks, scales, strict=True)
        ]
        assert dense_of(join_columns(blocks, scales)).tolist() == dense_of(join_columns(scaled)).tolist()
