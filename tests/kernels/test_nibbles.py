"""Half bytes against NumPy: rotation, codes, products, bounds, and the best rows that a scan finds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import block_diag, hadamard

from llmrec.kernels import nibbles
from llmrec.kernels.jit import kernel
from llmrec.kernels.nibbles import best_of_nibbles, best_of_one, encode_queries_for_nibbles, turn
from llmrec.kernels.vectors import (
    GROUP,
    OCTETS,
    has_nibble_products,
    nibble_products,
    nibble_products_of_four,
)
from llmrec.rankers.nibbles import NibbleCodes

pytestmark = pytest.mark.skipif(not has_nibble_products(), reason="AVX-512 VNNI, or no AVX2")


def normal(n_rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, dim)).astype(np.float32)


def decoded(codes):
    """Return the coordinates that half bytes stand for, ``(n_rows, width)``."""
    n_groups, n_octets = codes.shape[:2]
    rows = codes.transpose(0, 2, 1, 3).reshape(n_groups * GROUP, n_octets, 4)
    return np.concatenate([rows & 15, rows >> 4], axis=2).reshape(len(rows), -1) - 7.5


def encoded(made, queries, step):
    """Return what a scan prepares of queries: words, factors and sums."""
    n_tuples = -(-len(queries) // step)
    words = np.zeros((n_tuples, made.codes.shape[1], step, 2, 4), np.int8)
    factors, sums = np.empty((n_tuples * step, 5), np.float32), np.empty((len(queries), 3))
    encode_queries_for_nibbles(queries, made.turning, made.longest, words, factors, sums)
    return words, factors, sums


@kernel
def one_group(codes, words, n_steps, factors, scales, errors, scores, masks):
    """Call the kernel for as many queries as ``masks`` has places."""
    out, hits = np.uintp(scores.ctypes.data), np.uintp(masks.ctypes.data)
    coded, asked, factor = codes.ctypes.data, words.ctypes.data, factors.ctypes.data
    scale, error = np.uintp(scales.ctypes.data), np.uintp(errors.ctypes.data)
    if len(masks) == 1:
        nibble_products(np.uintp(coded), np.uintp(asked), n_steps, np.uintp(factor), scale, error, out, hits)
    else:
        nibble_products_of_four(
            np.uintp(coded), np.uintp(asked), n_steps, np.uintp(factor), scale, error, out, hits
        )


def products_of(codes, words, factors, scales, errors):
    n_queries = words.shape[1]
    scores, masks = np.empty((n_queries, GROUP), np.float32), np.zeros(n_queries, np.uint64)
    one_group(codes, words, len(words) // OCTETS, factors, scales, errors, scores, masks)
    return scores, (masks[:, None] >> np.arange(GROUP, dtype=np.uint64)) & 1 > 0


@pytest.mark.parametrize("n_queries", [1, 4])
@pytest.mark.parametrize("n_octets", [4, 12])
def test_products_and_hits_are_those_of_numpy(n_queries, n_octets):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 256, (n_octets, GROUP, 4), dtype=np.uint8)
    words = rng.integers(-127, 128, (n_octets, n_queries, 2, 4)).astype(np.int8)
    factors = rng.random((n_queries, 5)).astype(np.float32)
    scales, errors = rng.random((2, GROUP)).astype(np.float32)
    scales[60:] = np.nan
    whole = (decoded(codes[None]) + 7.5) @ words.transpose(1, 0, 2, 3).reshape(n_queries, -1).T.astype(float)
    expected = (factors[:, :1] + whole.T) * factors[:, 1:2] * scales
    most = expected + factors[:, 2:3] * errors + factors[:, 3:4] * scales
    factors[:, 4] = np.nanmedian(most, axis=1)
    scores, hits = products_of(codes, words, factors, scales, errors)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert not hits[:, 60:].any()
    is_near = np.isclose(most, factors[:, 4:], rtol=1e-5)
    np.testing.assert_array_equal(hits[~is_near], (most >= factors[:, 4:])[~is_near])


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_do_not_overflow(sign):
    codes, words = np.full((128, GROUP, 4), 255, np.uint8), np.full((128, 1, 2, 4), sign * 127, np.int8)
    factors, ones = np.array([[0, 1, 0, 0, 0]], np.float32), np.ones(GROUP, np.float32)
    assert (products_of(codes, words, factors, ones, ones)[0] == sign * 1024 * 15 * 127).all()


@pytest.mark.parametrize("blocks", [[1], [32], [64, 32], [128, 64, 32]])
def test_the_rotation_keeps_inner_products_and_spreads_one_coordinate(blocks):
    vectors = normal(5, sum(blocks)).astype(np.float64)
    vectors[0] = np.eye(sum(blocks))[0]
    turned = vectors.copy()
    for own in turned:
        turn(own)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-12)
    np.testing.assert_allclose(np.abs(turned[0]), (np.arange(sum(blocks)) < blocks[0]) * blocks[0] ** -0.5)
    whole = block_diag(*[hadamard(size) / size**0.5 for size in blocks])
    np.testing.assert_allclose(turned, vectors @ whole, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 7, 64, 100])
def test_decoded_rows_are_the_rows_within_their_errors(dim):
    vectors = normal(130, dim) * np.logspace(-3, 3, 130, dtype=np.float32)[:, None]
    made = NibbleCodes(vectors)
    centre, order, signs = made.turning
    padded = np.zeros((130, len(order)))
    padded[:, :dim] = vectors.astype(np.float64) - centre[:dim]
    turned = padded[:, order.astype(int)] * signs
    for own in turned:
        turn(own)
    codes = decoded(made.codes)[:130]
    off = np.linalg.norm(turned - codes * made.scales[:130, None].astype(np.float64), axis=1)
    assert (off <= made.errors[:130]).all()
    np.testing.assert_allclose(off, made.errors[:130], rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1).max(), made.longest)
    assert np.isnan(made.scales[130:]).all()


@pytest.mark.parametrize("dim", [1, 5, 64, 131])
def test_scores_are_within_their_bounds_and_these_are_narrow(dim):
    items, queries = 3 + normal(64, dim), normal(4, dim, 1).astype(np.float64)
    made = NibbleCodes(items)
    words, factors, sums = encoded(made, queries, 4)
    scores, _ = products_of(made.codes[0], words[0], factors, made.scales, made.errors)
    lengths = np.linalg.norm(queries, axis=1)
    np.testing.assert_allclose(sums[:, 0], lengths)
    exact = queries / lengths[:, None] @ items.astype(np.float64).T
    room = factors[:, 2:3] * made.errors + factors[:, 3:4] * made.scales
    assert (np.abs(scores + sums[:, 1:2] - exact) <= room + sums[:, 2:]).all()
    length = np.linalg.norm(items - made.turning[0, :dim], axis=1)
    assert np.median(room / length) < 0.16


def best_by_force(items, query, unwanted, allowed, k):
    exact = (items.astype(np.float64) @ query).astype(np.float32)
    left = np.setdiff1d(np.flatnonzero(allowed), unwanted)
    wanted = left[np.argsort(-exact[left], kind="stable")][:k]
    return wanted, exact[wanted]


@pytest.mark.parametrize("n_queries", [1, 2, 3, 6])
@pytest.mark.parametrize("k", [1, 5, 90])
def test_the_best_are_found_and_equal_ones_come_by_row(n_queries, k):
    items, queries = np.repeat(normal(70, 8), 2, axis=0), normal(n_queries, 8, 1).astype(np.float64)
    allowed = np.arange(140) % 7 != 0
    # In any order, and one of them twice.
    unwanted = [np.array([60 + query, 3, 60 + query], np.int32) for query in range(n_queries)]
    found = NibbleCodes(items).best(items, queries, unwanted, allowed, k)
    for query, left_out, own in zip(queries, unwanted, found, strict=True):
        rows, scores = best_by_force(items, query, left_out, allowed, k)
        np.testing.assert_array_equal(own[0], rows)
        np.testing.assert_allclose(own[1], scores, rtol=1e-6)
    assert [own.tolist() for own in unwanted] == [[60 + query, 3, 60 + query] for query in range(n_queries)]


@pytest.mark.parametrize(
    "unwanted", [[], range(0, 140, 3), [139, 2, 2, 63, 64], [-5, -1, 7, 140, 500], range(140), range(135)]
)
def test_one_query_as_it_comes_is_answered_like_any_other(unwanted):
    items, query = np.repeat(normal(70, 8), 2, axis=0), normal(1, 8, 1)
    left_out = np.array(unwanted, np.int32)
    made = NibbleCodes(items)
    rows, scores = made.best_of_one(items, query, left_out, 9)
    wanted = best_by_force(items, query[0].astype(np.float64), left_out, np.ones(140, bool), 9)
    np.testing.assert_array_equal(rows, wanted[0][None])
    np.testing.assert_allclose(scores, wanted[1][None], rtol=1e-6)
    assert left_out.tolist() == list(unwanted)
    beside = made.best(items, query.astype(np.float64), [left_out], np.empty(0, bool), 9)[0]
    np.testing.assert_array_equal([rows[0], scores[0]], beside)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_what_is_beyond_float32_gets_no_answer(value):
    items = normal(100, 8)
    query = np.where(np.arange(8) == 3, np.float32(value), items[:1]).astype(np.float32)
    assert NibbleCodes(items).best_of_one(items, query, np.empty(0, np.int32), 5) is None


def test_more_rows_in_doubt_than_there_is_room_for():
    # Of directions without any pattern, in so many columns, half bytes rule out little.
    items, queries = normal(9000, 768), normal(20, 768, 1).astype(np.float64)
    nothing, everything = [np.empty(0, np.int32)] * 20, np.ones(9000, bool)
    found = NibbleCodes(items).best(items, queries, nothing, everything, 7)
    for query, own in zip(queries, found, strict=True):
        rows, scores = best_by_force(items, query, [], everything, 7)
        np.testing.assert_array_equal(own[0], rows)
        np.testing.assert_allclose(own[1], scores, rtol=1e-6)


def test_replaced_rows_are_found_as_they_are_now():
    items = normal(200, 24)
    made = NibbleCodes(items[:150].copy())
    items[7] = 9
    made.replace(np.array([7, *range(150, 200)], np.int32), items)
    fresh = NibbleCodes(items)
    for codes in (made, fresh):
        found = codes.best(items, np.ones((1, 24)), [np.empty(0, np.int32)], np.empty(0, bool), 200)
        assert found[0][0][0] == 7
        assert sorted(found[0][0].tolist()) == list(range(200))


@pytest.mark.parametrize("share", [0.0, 1e-9, 1.0])
def test_columns_that_are_the_same_in_all_rows_need_no_code(share):
    items, queries = normal(9000, 66), normal(5, 66, 1).astype(np.float64)
    items[:, [0, 40]] = 0, 0.3
    coded = np.ones(66, bool)
    coded[[0, 40]] = False
    queries[:, coded] *= share
    made = NibbleCodes(items)
    assert made.codes.shape[1] == 8
    for _ in range(2):
        unwanted, everything = [np.array([5], np.int32)] * 5, np.ones(9000, bool)
        for query, own in zip(queries, made.best(items, queries, unwanted, everything, 7), strict=True):
            rows, scores = best_by_force(items, query, [5], everything, 7)
            np.testing.assert_array_equal(own[0], rows)
            np.testing.assert_allclose(own[1], scores, rtol=1e-6)
        # Rows that come to differ are found all the same.
        changed = np.array([2, 7000], np.int32)
        items[changed[:, None], [0, 40]] = [[2, 0.3], [0, 0.31]]
        made.replace(changed, items)


def test_every_kernel_is_compiled_by_warm():
    nibbles.warm()
    assert best_of_nibbles.signatures
    assert best_of_one.signatures
