"""WeightedFuser: its dial from factors to text, its ridge map, and who is served by what."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec.errors import ComponentError, NotFittedError, ParameterError
from llmrec.fusers import WeightedFuser
from llmrec.fusers.weighted import ridge_map
from tests.fusers.views import fused_scores, random_sparse, view

N_ITEMS, N_USERS, DIM = 30, 20, 4
COLD, TEXTLESS = 28, 29


def sides(*, text_sparse=False, seed=0, with_queries=True):
    """Return a text and a factor view: item 28 has no events, item 29 no text."""
    rng = np.random.default_rng(seed)
    words = random_sparse(N_ITEMS, 9, seed).toarray()
    words[:, 0] += 0.5
    words[TEXTLESS] = 0
    factors = words @ rng.normal(size=(9, DIM)) + 0.3 * rng.normal(size=(N_ITEMS, DIM))
    events = rng.integers(1, 60, N_ITEMS).astype(float)
    factors[COLD] = events[COLD] = 0
    has_text = np.ones(N_ITEMS)
    has_text[TEXTLESS] = 0
    query_text, query_factors = random_sparse(N_USERS, 9, seed + 1).toarray(), rng.normal(size=(N_USERS, DIM))
    form = sparse.csr_array if text_sparse else np.asarray
    queries = [
        view("words", form(query_text), kind="text"),
        view("als", query_factors, support=rng.integers(1, 30, N_USERS)),
    ]
    kept = queries if with_queries else [None, None]
    items = [
        view("words", form(words), kind="text", support=has_text, queries=kept[0]),
        view("als", factors, support=events, queries=kept[1]),
    ]
    return items, queries


def cosines(one, other):
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.sum(one * other, axis=1) / lengths


def test_alpha_zero_is_factors_alone():
    items, queries = sides()
    fuser = WeightedFuser(alpha=0).fit(items, None)
    expected = queries[1].vectors @ items[1].vectors.T
    scores = fused_scores(fuser, items, queries)
    np.testing.assert_allclose(np.delete(scores, COLD, axis=1), np.delete(expected, COLD, axis=1), atol=1e-5)


@pytest.mark.parametrize("text_sparse", [False, True])
def test_alpha_one_is_mapped_text_alone(text_sparse):
    items, _ = sides(text_sparse=text_sparse)
    fuser = WeightedFuser(alpha=1).fit(items, None)
    fused = fuser.fuse_items(items)
    mapped = items[0].vectors @ fuser.item_map_
    np.testing.assert_allclose(cosines(fused[:TEXTLESS], mapped[:TEXTLESS]), 1, atol=1e-5)
    shuffled = [items[0], view("als", items[1].vectors[::-1], support=items[1].support)]
    shuffled[1].vectors[TEXTLESS] = items[1].vectors[TEXTLESS]
    np.testing.assert_array_equal(fuser.fuse_items(shuffled), fused)


def test_an_item_without_events_is_served_by_text_and_one_without_text_by_factors():
    for alpha in (0, 0.3, 1, "adaptive"):
        items, _ = sides()
        fuser = WeightedFuser(alpha=alpha).fit(items, None)
        fused = fuser.fuse_items(items)
        mapped = items[0].vectors @ fuser.item_map_
        np.testing.assert_allclose(cosines(fused[COLD:TEXTLESS], mapped[COLD:TEXTLESS]), 1, atol=1e-5)
        np.testing.assert_allclose(fused[TEXTLESS], items[1].vectors[TEXTLESS], atol=1e-6)


@pytest.mark.parametrize("kappa", [0.5, 10])
def test_adaptive_alpha_is_kappa_over_kappa_plus_events(kappa):
    items, _ = sides()
    text, factors, both = (
        WeightedFuser(alpha=alpha, kappa=kappa).fit(items, None).fuse_items(items)
        for alpha in (1, 0, "adaptive")
    )
    alpha = (kappa / (kappa + items[1].support))[:, None]
    known = np.arange(N_ITEMS) < COLD
    np.testing.assert_allclose(both[known], (alpha * text + (1 - alpha) * factors)[known], atol=1e-5)


def test_a_fixed_alpha_lies_between_its_ends():
    items, _ = sides()
    text, factors, both = (
        WeightedFuser(alpha=alpha).fit(items, None).fuse_items(items)[:COLD] for alpha in (1, 0, 0.25)
    )
    np.testing.assert_allclose(both, 0.25 * text + 0.75 * factors, atol=1e-5)


def test_mapped_text_has_the_length_of_factors_of_like_support():
    items, _ = sides()
    supports = [*np.repeat([1, 4, 20, 50], 7).tolist(), 0, 20]
    lengths = dict(zip([1, 4, 20, 50], [1.0, 2.0, 3.0, 8.0], strict=True))
    wanted = np.array([lengths.get(support, 0) for support in supports])
    unit = items[1].vectors / np.maximum(np.linalg.norm(items[1].vectors, axis=1, keepdims=True), 1e-9)
    items[1] = view("als", unit * wanted[:, None], support=supports)
    items[0] = view("words", items[0].vectors, kind="text", support=items[0].support)
    fused = WeightedFuser(alpha=1).fit(items, None).fuse_items(items)
    got = np.linalg.norm(fused, axis=1)
    # Bins of like support: three items each, which may straddle two supports.
    inner = [0, 1, 2, 26, 27]
    np.testing.assert_allclose(got[inner], wanted[inner], rtol=1e-4)
    assert np.all(np.diff(got[:COLD]) >= -1e-5)


def test_queries_are_mapped_by_what_known_users_show():
    items, queries = sides()
    fuser = WeightedFuser(alpha=1).fit(items, None)
    assert fuser.query_map_ is not None
    mapped = queries[0].vectors @ fuser.query_map_
    np.testing.assert_allclose(cosines(fuser.fuse_queries(queries), mapped), 1, atol=1e-5)


def test_without_known_users_queries_are_mapped_as_items_are():
    items, queries = sides(with_queries=False)
    fuser = WeightedFuser(alpha=1).fit(items, None)
    assert fuser.query_map_ is None
    mapped = queries[0].vectors @ fuser.item_map_
    np.testing.assert_allclose(cosines(fuser.fuse_queries(queries), mapped), 1, atol=1e-5)


@pytest.mark.parametrize("n_rows", [5, 40])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_ridge_map_solves_the_normal_equations_in_both_its_forms(form, n_rows):
    rng = np.random.default_rng(0)
    source, target = random_sparse(n_rows, 12, 1).toarray(), rng.normal(size=(n_rows, 3))
    weights = rng.uniform(1, 9, n_rows)
    system = source.T @ (weights[:, None] * source) + 2.5 * weights.mean() * np.eye(12)
    expected = np.linalg.solve(system, source.T @ (weights[:, None] * target))
    np.testing.assert_allclose(ridge_map(form(source), target, weights, 2.5), expected, atol=1e-5)


def test_a_linear_map_is_found_again_from_many_items():
    rng = np.random.default_rng(0)
    words, truth = rng.normal(size=(500, 6)), rng.normal(size=(6, 3))
    items = [view("words", words, kind="text"), view("als", words @ truth)]
    found = WeightedFuser(regularization=1e-6).fit(items, None).item_map_
    np.testing.assert_allclose(found, truth, atol=1e-3)


def test_one_side_alone_passes_through():
    items, queries = sides()
    for side in (0, 1):
        fuser = WeightedFuser().fit(items[side : side + 1], None)
        np.testing.assert_array_equal(fuser.fuse_items(items[side : side + 1]), items[side].vectors)
        np.testing.assert_array_equal(fuser.fuse_queries(queries[side : side + 1]), queries[side].vectors)


def test_popularity_beside_factors_is_brought_to_their_scale():
    items, queries = sides()
    hits = view("hits", np.linspace(1, 900, N_ITEMS)[:, None], kind="popularity")
    ask = view("hits", np.ones((N_USERS, 1)), kind="popularity")
    hits = view("hits", hits.vectors, kind="popularity", queries=ask)
    fuser = WeightedFuser(alpha=0).fit([*items, hits], None)
    scores = fused_scores(fuser, [*items, hits], [*queries, ask])
    known = items[1].present
    factor_scores = queries[1].vectors @ items[1].vectors[known].T
    share = factor_scores / np.mean(factor_scores.std(axis=1)) + hits.vectors[known].T / hits.vectors.std()
    kept = known & (np.arange(N_ITEMS) != COLD)
    np.testing.assert_allclose(scores[:, kept], share, atol=2e-3)


def test_a_sparse_behaviour_view_is_refused():
    items, _ = sides()
    items[1] = view("knn", random_sparse(N_ITEMS, 9, 3))
    with pytest.raises(ComponentError, match="'knn' is sparse; use ConcatFuser"):
        WeightedFuser().fit(items, None)


def test_text_beside_popularity_alone_is_refused():
    items, _ = sides()
    items[1] = view("hits", np.ones((N_ITEMS, 1)), kind="popularity")
    with pytest.raises(ComponentError, match="popularity"):
        WeightedFuser().fit(items, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", -0.1),
        ("alpha", 1.1),
        ("alpha", "adaptiv"),
        ("alpha", None),
        ("kappa", 0),
        ("regularization", 0),
        ("regularization", float("nan")),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        WeightedFuser().set_params(**{name: value}).fit(sides()[0], None)


def test_use_before_fit_is_refused():
    items, queries = sides()
    with pytest.raises(NotFittedError):
        WeightedFuser().fuse_items(items)
    with pytest.raises(NotFittedError):
        WeightedFuser().fuse_queries(queries)
