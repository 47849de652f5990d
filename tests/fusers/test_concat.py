"""ConcatFuser against z-scores computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec.errors import NotFittedError, ParameterError
from llmrec.fusers import ConcatFuser
from tests.fusers.views import fused_scores, random_sparse, view

N_ITEMS, N_QUERIES = 40, 6


def dense_of(vectors):
    return vectors.toarray() if sparse.issparse(vectors) else vectors


def z_scores(items, queries):
    """Return one view's z-scores over the items it knows, 0 for the others."""
    known = items.support > 0
    scores = dense_of(queries.vectors).astype(float) @ dense_of(items.vectors).astype(float).T
    mean = scores[:, known].mean(axis=1, keepdims=True)
    deviation = scores[:, known].std(axis=1, keepdims=True)
    usable = (queries.support > 0)[:, None] & (deviation > 1e-9)
    standard = np.divide(scores - mean, deviation, out=np.zeros_like(scores), where=usable)
    return np.where(known, standard, 0)


def three_views(n_rows, seed, support=None):
    rng = np.random.default_rng(seed)
    return [
        view("als", rng.normal(2, 1, (n_rows, 5)), support=support),
        view("words", random_sparse(n_rows, 12, seed + 1), kind="text"),
        view("hits", rng.uniform(1, 9, (n_rows, 1)), kind="popularity"),
    ]


WEIGHTS = {"als": 1.0, "words": 0.4, "hits": 2.0}


@pytest.mark.parametrize(
    "names", [["als"], ["words"], ["als", "hits"], ["als", "words"], ["words", "als", "hits"]]
)
def test_scores_are_weighted_sums_of_z_scores(names):
    support = np.arange(N_ITEMS) % 3
    items = [one for one in three_views(N_ITEMS, 0, support) if one.name in names]
    queries = [one for one in three_views(N_QUERIES, 9) if one.name in names]
    items.sort(key=lambda one: names.index(one.name))
    queries.sort(key=lambda one: names.index(one.name))
    weights = {name: WEIGHTS[name] for name in names}
    fuser = ConcatFuser(weights=weights).fit(items, None)
    expected = sum(
        weights[one.name] * z_scores(one, query) for one, query in zip(items, queries, strict=True)
    )
    np.testing.assert_allclose(fused_scores(fuser, items, queries), expected, atol=2e-4)


def test_an_item_that_a_view_does_not_know_gets_its_mean():
    items = [view("als", [[1.0], [2.0], [6.0], [0.0]], support=[1, 1, 1, 0])]
    fuser = ConcatFuser().fit(items, None)
    scores = fused_scores(fuser, items, [view("als", [[2.0], [-1.0]])])
    np.testing.assert_allclose(scores[:, 3], 0, atol=1e-6)
    np.testing.assert_allclose(scores[:, :3].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(scores[:, :3].std(axis=1), 1, atol=1e-5)


def test_vectors_of_unknown_items_have_no_part_in_mean_or_score():
    known, wild = [[1.0], [2.0], [6.0], [0.0]], [[1.0], [2.0], [6.0], [999.0]]
    queries = [view("als", [[2.0]])]
    scores = [
        fused_scores(ConcatFuser().fit(items, None), items, queries)
        for items in ([view("als", matrix, support=[1, 1, 1, 0])] for matrix in (known, wild))
    ]
    np.testing.assert_array_equal(*scores)


def test_wide_dense_views_are_measured_on_a_sample_alike(monkeypatch):
    monkeypatch.setattr("llmrec.fusers.concat._WIDEST_COVARIANCE", 2)
    items, queries = three_views(N_ITEMS, 0)[:1], three_views(N_QUERIES, 9)[:1]
    fuser = ConcatFuser().fit(items, None)
    assert fuser.samples_[0].shape == items[0].vectors.shape
    expected = z_scores(items[0], queries[0])
    np.testing.assert_allclose(fused_scores(fuser, items, queries), expected, atol=1e-4)


def test_a_query_that_a_view_does_not_know_leaves_the_others_to_rank():
    items, queries = three_views(N_ITEMS, 0)[::2], three_views(N_QUERIES, 9)[::2]
    queries[0] = view("als", queries[0].vectors, support=np.zeros(N_QUERIES))
    fuser = ConcatFuser().fit(items, None)
    expected = z_scores(items[1], queries[1])
    np.testing.assert_allclose(fused_scores(fuser, items, queries), expected, atol=1e-4)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_view_in_which_all_items_are_alike_says_nothing(form):
    alike = view("flat", form(np.full((N_ITEMS, 3), 0.7)))
    other = three_views(N_ITEMS, 0)[2]
    queries = [view("flat", form(np.full((1, 3), 1.3))), view("hits", [[1.0]], kind="popularity")]
    fuser = ConcatFuser().fit([alike, other], None)
    scores = fused_scores(fuser, [alike, other], queries)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, z_scores(other, queries[1]), atol=1e-4)


def test_a_view_without_a_known_item_says_nothing():
    empty = view("als", np.zeros((N_ITEMS, 3)), support=np.zeros(N_ITEMS))
    other = three_views(N_ITEMS, 0)[2]
    queries = [view("als", [[1.0, 1.0, 1.0]]), view("hits", [[1.0]], kind="popularity")]
    fuser = ConcatFuser().fit([empty, other], None)
    expected = z_scores(other, queries[1])
    np.testing.assert_allclose(fused_scores(fuser, [empty, other], queries), expected, atol=1e-4)


def test_scores_do_not_depend_on_a_views_scale():
    items, queries = three_views(N_ITEMS, 0), three_views(N_QUERIES, 9)
    scaled = [view(one.name, one.vectors * np.float32(1000), kind=one.kind) for one in items]
    plain, larger = (fused_scores(ConcatFuser().fit(some, None), some, queries) for some in (items, scaled))
    np.testing.assert_allclose(plain, larger, atol=1e-3)


def test_new_items_are_fused_by_the_measures_of_the_fit():
    items, queries = three_views(N_ITEMS, 0), three_views(N_QUERIES, 9)
    fuser = ConcatFuser().fit(items, None)
    rows = np.array([7, 3], dtype=np.int32)
    some = fused_scores(fuser, [one.take(rows) for one in items], queries)
    np.testing.assert_allclose(some, fused_scores(fuser, items, queries)[:, rows], atol=1e-5)


def test_large_sparse_views_are_measured_on_a_sample_near_the_truth():
    items, queries = [view("words", random_sparse(9000, 12, 0))], [view("words", random_sparse(3, 12, 1))]
    fuser = ConcatFuser().fit(items, None)
    assert fuser.samples_[0].shape[0] <= 4096
    scores = fused_scores(fuser, items, queries)
    np.testing.assert_allclose(scores.std(axis=1), 1, atol=0.05)
    np.testing.assert_allclose(scores.mean(axis=1), 0, atol=1e-3)


def test_queries_given_dense_to_a_sparse_view_and_back_score_alike():
    items, queries = three_views(N_ITEMS, 0), three_views(N_QUERIES, 9)
    fuser = ConcatFuser().fit(items, None)
    other = [
        view("als", sparse.csr_array(queries[0].vectors)),
        view("words", queries[1].vectors.toarray(), kind="text"),
        queries[2],
    ]
    np.testing.assert_allclose(
        fused_scores(fuser, items, other), fused_scores(fuser, items, queries), atol=1e-4
    )


def test_weights_come_as_mapping_as_sequence_or_not_at_all():
    items = three_views(N_ITEMS, 0)
    assert ConcatFuser().fit(items, None).weights_ == {"als": 1, "words": 1, "hits": 1}
    assert ConcatFuser({"hits": 0}).fit(items, None).weights_ == {"als": 1, "words": 1, "hits": 0}
    assert ConcatFuser([3, 0.5, 0]).fit(items, None).weights_ == {"als": 3, "words": 0.5, "hits": 0}


def test_a_view_of_weight_zero_has_no_say():
    items, queries = three_views(N_ITEMS, 0), three_views(N_QUERIES, 9)
    with_it = ConcatFuser({"words": 0}).fit(items, None)
    without = ConcatFuser().fit(items[::2], None)
    np.testing.assert_allclose(
        fused_scores(with_it, items, queries), fused_scores(without, items[::2], queries[::2]), atol=1e-5
    )


def test_wrong_weights_are_refused():
    items = three_views(N_ITEMS, 0)
    with pytest.raises(ParameterError, match=r"'word'.*Did you mean 'words'"):
        ConcatFuser({"word": 1}).fit(items, None)
    with pytest.raises(ParameterError, match="2 numbers for 3 views"):
        ConcatFuser([1, 2]).fit(items, None)
    for wrong in (-1, float("nan"), "much", None):
        with pytest.raises(ParameterError, match="the weight of als"):
            ConcatFuser({"als": wrong}).fit(items, None)


def test_use_before_fit_is_refused():
    items = three_views(N_ITEMS, 0)
    for use in ("fuse_items", "fuse_queries"):
        with pytest.raises(NotFittedError):
            getattr(ConcatFuser(), use)(items)


def test_fused_items_share_no_memory_with_the_views():
    words = view("words", random_sparse(N_ITEMS, 12, 0), kind="text")
    fused = ConcatFuser().fit([words], None).fuse_items([words])
    assert not np.shares_memory(fused.sparse.data, words.vectors.data)
    assert not np.shares_memory(fused.sparse.indices, words.vectors.indices)
    factors = view("als", np.ones((N_ITEMS, 3)))
    fused = ConcatFuser().fit([factors], None).fuse_items([factors])
    assert not np.shares_memory(fused, factors.vectors)


class KeepsItsItems(ConcatFuser):
    def fuse_items(self, views):
        self._kept = super().fuse_items(views)
        return self._kept


def test_a_subclass_that_fuses_items_itself_promises_no_new_arrays():
    assert ConcatFuser.gives_new_items
    assert not KeepsItsItems.gives_new_items
