"""The search's kernels against NumPy: codes, bounded scores, candidates, exact scores, postings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec.growing_rows import GrowingRows
from llmrec.kernels.candidates import candidates_of_scores, encode_queries, encode_rows, exact_scores
from llmrec.kernels.vectors import GROUP, has_byte_products
from llmrec.rankers.codes import ByteCodes, FloatCodes
from llmrec.rankers.postings import Postings

CODES = [
    pytest.param(
        ByteCodes,
        marks=pytest.mark.skipif(not has_byte_products(), reason="neither AVX-512 VNNI nor AVX2"),
        id="bytes",
    ),
    pytest.param(FloatCodes, id="floats"),
]


def normal(n_rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, dim)).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 4, 7, 70])
def test_decoded_rows_are_the_rows_within_the_error_returned(dim):
    vectors = normal(130, dim) * np.logspace(-3, 3, 130, dtype=np.float32)[:, None]
    centre, width = vectors.mean(axis=0, dtype=np.float64), np.linspace(0.5, 2, dim)
    codes, scales = np.full((3, -(-dim // 4), GROUP, 4), 128, np.uint8), np.zeros(3 * GROUP, np.float32)
    slip, length = encode_rows(vectors, np.arange(130, dtype=np.int32), centre, width, codes, scales)
    whole = codes.transpose(0, 2, 1, 3).reshape(3 * GROUP, -1)[:130, :dim].astype(np.int64) - 128
    wanted = (vectors.astype(np.float64) - centre) / width / scales[:130, None].astype(np.float64)
    assert np.abs(whole).max() == 127
    np.testing.assert_allclose(np.linalg.norm(wanted - whole, axis=1).max(), slip, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1).max(), length, rtol=1e-9)
    assert np.abs(wanted - whole).max() < 0.501


@pytest.mark.parametrize("step", [1, 2])
def test_queries_are_sixteen_bits_in_two_bytes(step):
    queries, width, centre = normal(3, 6).astype(np.float64), np.linspace(1, 2, 6), np.arange(6.0)
    words = np.zeros((-(-3 // step), 2, step, 2, 4), np.int8)
    starts, factors = np.zeros((4, 2), np.int32), np.zeros((4, 3), np.float32)
    sums = np.empty((3, 3))
    encode_queries(queries, np.full(3, 2.0), centre, width, np.ones(2), words, starts, factors, sums)
    planes = words.transpose(0, 2, 3, 1, 4).reshape(-1, 2, 8)[:3].astype(np.int64)
    whole = 128 * planes[:, 0] + planes[:, 1]
    np.testing.assert_allclose(whole[:, :6] * factors[:3, :1], queries / 2 * width, atol=1e-4)
    np.testing.assert_array_equal(starts[:3], -128 * planes.sum(axis=2))
    np.testing.assert_allclose(sums[:, 2], queries / 2 @ centre)


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("dim", [1, 5, 64, 131])
def test_bounded_scores_are_within_their_bounds(codes, dim):
    items, queries = 3 + normal(200, dim), normal(5, dim, 1).astype(np.float64)
    made = codes(items)
    scan = made.plan(queries, np.full(5, 2.0))
    scores = np.empty((5, len(made.scales)), np.float32)
    made.write_scores(scan, slice(0, 5), scores)
    exact = queries / 2 @ items.astype(np.float64).T
    room = scan.factors[:5, 1:2] * made.scales[:200] + scan.leeway[:, None]
    errors = np.abs(scores[:, :200] + scan.shared[:, None] - exact)
    assert (errors <= room).all()
    # A bound that is far too wide would be no use.
    assert np.median(room) < 0.2 * (exact - scan.shared[:, None]).std()
    assert np.isnan(made.scales[200:]).all()


def test_candidates_are_those_whose_upper_end_reaches_the_kth_lower_end():
    rng = np.random.default_rng(2)
    n_items, k, slack = 1000, 5, 0.3
    scores, scales = np.zeros(1024, np.float32), np.full(1024, np.nan, np.float32)
    scores[:n_items], scales[:n_items] = rng.normal(size=n_items), rng.random(n_items)
    unwanted = np.sort(np.argsort(-scores[:n_items])[:6]).astype(np.int32)
    allowed = rng.random(n_items) < 0.5
    rows, found = np.empty(1000, np.int32), np.empty(1000, np.float32)
    factors = np.array([1, slack, -np.inf], np.float32)
    heap = np.full(k, -np.inf, np.float32)
    count = candidates_of_scores(scores, scales, n_items, factors, 0.0, unwanted, allowed, heap, rows, found)
    left = np.setdiff1d(np.flatnonzero(allowed), unwanted)
    threshold = np.sort(scores[left] - slack * scales[left])[-k]
    expected = left[scores[left] + slack * scales[left] >= threshold]
    np.testing.assert_array_equal(rows[:count], expected)
    np.testing.assert_array_equal(found[:count], scores[expected])


def test_too_many_candidates_are_told():
    scores, scales = np.ones(1024, np.float32), np.ones(1024, np.float32)
    factors = np.array([1, 0.1, -np.inf], np.float32)
    room = (np.empty(64, np.int32), np.empty(64, np.float32))
    nothing, heap = (np.empty(0, np.int32), np.empty(0, np.bool_)), np.full(3, -np.inf, np.float32)
    assert candidates_of_scores(scores, scales, 1024, factors, 0.0, *nothing, heap, *room) == -1


def test_exact_scores_are_float64_products_of_both_parts():
    dense, thin = normal(50, 9), sparse.csr_array(np.where(normal(50, 12) > 0.5, normal(50, 12, 1), 0))
    query, columns = normal(1, 9, 2)[0].astype(np.float64), np.array([3, 11, 0, 3], np.int32)
    values, spread = normal(1, 4, 3)[0], np.zeros(12)
    thin_query = np.bincount(columns, values, 12)
    rows, scores = np.array([7, 0, 49, 7], np.int32), np.empty(4)
    exact_scores(dense, query, *GrowingRows(thin).slots(), columns, values, spread, rows, scores)
    assert not spread.any()
    expected = dense.astype(np.float64) @ query + thin.astype(np.float64) @ thin_query
    np.testing.assert_allclose(scores, expected[rows], rtol=1e-13)


def test_postings_add_up_to_the_product_after_any_changes():
    rng = np.random.default_rng(4)

    def thin(n_rows):
        return np.where(rng.random((n_rows, 20)) < 0.3, rng.normal(size=(n_rows, 20)), 0).astype(np.float32)

    items = GrowingRows(sparse.csr_array(thin(300)))
    postings = Postings(items)
    for _ in range(120):
        rows = np.unique(rng.integers(0, items.shape[0], 7)).astype(np.int32)
        before, new = items[rows.astype(np.int64)], sparse.csr_array(thin(len(rows)))
        items.replace(rows, new)
        postings.replace(rows, before, new, items)
        query, scores = thin(1)[0], np.zeros(300, np.float32)
        columns = np.flatnonzero(query).astype(np.int32)
        postings.add(columns, query[columns], scores)
        np.testing.assert_allclose(scores, items.plain() @ query, atol=1e-5)


@pytest.mark.skipif(not has_byte_products(), reason="neither AVX-512 VNNI nor AVX2")
@pytest.mark.parametrize("k", [1, 5, 90])
def test_one_call_finds_and_sorts_the_best_of_one_query(k):
    items = np.repeat(normal(70, 8), 2, axis=0)
    query, unwanted = normal(1, 8, 1).astype(np.float64), np.array([3, 60], np.int32)
    allowed = np.arange(140) % 7 != 0
    found = ByteCodes(items).best(items, query, unwanted, allowed, k, 140)
    exact = (items.astype(np.float64) @ query[0]).astype(np.float32)
    left = np.setdiff1d(np.flatnonzero(allowed), unwanted)
    wanted = left[np.argsort(-exact[left], kind="stable")][:k]
    np.testing.assert_array_equal(found[0], wanted)
    np.testing.assert_allclose(found[1], exact[wanted], rtol=1e-6)
    assert ByteCodes(items).best(items, query, unwanted, allowed, k, 1) is None or k == 1


@pytest.mark.skipif(not has_byte_products(), reason="neither AVX-512 VNNI nor AVX2")
def test_the_largest_sums_do_not_overflow():
    # As wide as any processor takes, and each product as large as can be.
    items = np.where(np.arange(64)[:, None] % 2 == 0, 1, -1) * np.ones((64, 1024), np.float32)
    made = ByteCodes(items)
    scan = made.plan(np.ones((1, 1024)), np.ones(1))
    scores = np.empty((1, len(made.scales)), np.float32)
    made.write_scores(scan, slice(0, 1), scores)
    np.testing.assert_allclose(scores[0, :64] + scan.shared[0], items.sum(axis=1), rtol=1e-3)
