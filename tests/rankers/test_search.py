"""The search of large catalogues against a float64 brute force, whatever the vectors look like."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec import thread_limit
from llmrec.errors import DataError, ParameterError
from llmrec.kernels.vectors import has_byte_products, has_nibble_products
from llmrec.rankers import CosineRanker, DotRanker, PearsonRanker
from llmrec.rankers.codes import ByteCodes, FloatCodes
from llmrec.rankers.nibbles import NibbleCodes
from llmrec.vectors import JoinedVectors

FORMS = {
    "dense": lambda matrix: matrix,
    "sparse": sparse.csr_array,
    "joined": lambda matrix: JoinedVectors(matrix[:, :5].copy(), sparse.csr_array(matrix[:, 5:])),
}
CODES = [
    pytest.param(
        ByteCodes,
        marks=pytest.mark.skipif(not has_byte_products(), reason="neither AVX-512 VNNI nor AVX2"),
        id="bytes",
    ),
    pytest.param(FloatCodes, id="floats"),
    pytest.param(
        NibbleCodes,
        marks=pytest.mark.skipif(not has_nibble_products(), reason="AVX-512 VNNI, or no AVX2"),
        id="nibbles",
    ),
]
every_code = pytest.mark.parametrize("codes", CODES)
every_form = pytest.mark.parametrize("form", list(FORMS))


@pytest.fixture
def small_is_large(monkeypatch):
    monkeypatch.setattr("llmrec.rankers.inner_product._LARGE_CATALOGUE", 1)


@pytest.fixture
def use(monkeypatch, small_is_large):
    def choose(codes):
        # Half bytes hold what has no sparse part; beside one, there are bytes.
        def codes_of(vectors, is_alone):
            return (ByteCodes if codes is NibbleCodes and not is_alone else codes)(vectors)

        monkeypatch.setattr("llmrec.rankers.search.codes_of", codes_of)

    return choose


def usual(rng, n_rows, dim):
    return rng.normal(size=(n_rows, dim))


def one_huge_coordinate(rng, n_rows, dim):
    vectors = rng.normal(size=(n_rows, dim))
    vectors[rng.integers(n_rows), rng.integers(dim)] = 1e6
    return vectors


def all_equal(rng, n_rows, dim):
    return np.repeat(rng.normal(size=(1, dim)), n_rows, axis=0)


def many_ties(rng, n_rows, dim):
    return rng.integers(-1, 2, (n_rows, dim)).astype(float)


def zeros(rng, n_rows, dim):
    return np.zeros((n_rows, dim))


def tiny_scales(rng, n_rows, dim):
    return rng.normal(size=(n_rows, dim)) * 10.0 ** rng.integers(-40, -3, (n_rows, 1))


def all_scales(rng, n_rows, dim):
    return rng.normal(size=(n_rows, dim)) * 10.0 ** rng.integers(-12, 12, (n_rows, 1))


def nearly_cancelling(rng, n_rows, dim):
    vectors = rng.normal(size=(n_rows, dim))
    vectors[:, 0] = 1e4
    return vectors


def rising(rng, n_rows, dim):
    return np.arange(n_rows)[:, None] * np.ones(dim)


def near_the_limit(rng, n_rows, dim):
    return rng.normal(size=(n_rows, dim)) * 1e17


def beyond_bytes(rng, n_rows, dim):
    return rng.normal(size=(n_rows, dim)) * 1e32


SHAPES = [
    usual,
    one_huge_coordinate,
    all_equal,
    many_ties,
    zeros,
    tiny_scales,
    all_scales,
    nearly_cancelling,
    rising,
    near_the_limit,
    beyond_bytes,
]


def best_by_force(queries, items, k, exclude=None, allow=None):
    """Return rows and float32 scores by a full sort of float64 products, equal ones by row."""
    found = []
    products = queries.astype(np.float64) @ items.astype(np.float64).T
    scores = products.astype(np.float32)
    for query, own in enumerate(scores):
        left = np.ones(len(items), dtype=bool) if allow is None else np.isin(np.arange(len(items)), allow)
        if exclude is not None:
            left[exclude[query]] = False
        rows = np.flatnonzero(left)
        order = np.lexsort((rows, -own[rows]))[:k]
        found.append((rows[order], products[query, rows[order]]))
    return found


def assert_best(found, queries, items, k, exclude=None, allow=None):
    expected = best_by_force(queries, items, k, exclude, allow)
    products = queries.astype(np.float64) @ items.astype(np.float64).T
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    longest = np.linalg.norm(items.astype(np.float64), axis=1).max()
    for query, (rows, scores) in enumerate(expected):
        own = found[0][query][found[0][query] >= 0]
        assert len(own) == len(rows) == len(set(own.tolist()))
        # Float64 sums differ in their last bits by their order: rows may trade places within that alone.
        noise = 1e-14 * lengths[query] * longest + 1.2e-7 * np.abs(scores) + 1e-44
        np.testing.assert_array_less(np.abs(products[query, own] - scores), noise + 1e-300)
        np.testing.assert_array_less(np.abs(found[1][query, : len(own)] - scores), 2 * noise + 1e-300)
        left = set(range(len(items)) if allow is None else np.asarray(allow).tolist())
        assert set(own.tolist()) <= left - set([] if exclude is None else exclude[query].tolist())


@st.composite
def catalogues(draw):
    n_items, dim = draw(st.integers(1, 400)), draw(st.integers(6, 21))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    items = draw(st.sampled_from(SHAPES))(rng, n_items, dim) * (
        rng.random((n_items, dim)) < draw(st.sampled_from([0.4, 1]))
    )
    n_queries = draw(st.integers(1, 5))
    exclude = [rng.integers(0, n_items, draw(st.integers(0, 60))).astype(np.int32) for _ in range(n_queries)]
    allow = rng.choice(n_items, draw(st.integers(1, n_items)), replace=False).astype(np.int32)
    return (
        items.astype(np.float32),
        usual(rng, n_queries, dim).astype(np.float32),
        draw(st.integers(1, 30)),
        draw(st.sampled_from([None, exclude])),
        draw(st.sampled_from([None, allow])),
    )


@every_code
@every_form
def test_any_vectors_are_ranked_as_by_force(codes, form, use):
    use(codes)

    @settings(deadline=None, max_examples=60)
    @given(catalogues())
    def holds(case):
        items, queries, k, exclude, allow = case
        found = DotRanker().index(FORMS[form](items)).rank(FORMS[form](queries), k, exclude, allow)
        assert_best(found, queries, items, k, exclude, allow)

    holds()


@settings(deadline=None, max_examples=60)
@given(catalogues())
def test_small_catalogues_are_ranked_as_by_force(case):
    items, queries, k, exclude, allow = case
    found = DotRanker().index(items).rank(queries, k, exclude, allow)
    assert_best(found, queries, items, k, exclude, allow)


@every_code
@every_form
def test_updates_between_queries_are_seen(codes, form, use):
    use(codes)

    @settings(deadline=None, max_examples=25)
    @given(st.integers(0, 10_000), st.sampled_from(SHAPES[:-2]))
    def holds(seed, shape):
        rng = np.random.default_rng(seed)
        items = shape(rng, 150, 9).astype(np.float32)
        ranker = DotRanker().index(FORMS[form](items))
        for _ in range(8):
            queries = (usual(rng, 2, 9) * (rng.random((2, 9)) < 0.7)).astype(np.float32)
            assert_best(ranker.rank(FORMS[form](queries), 7), queries, items, 7)
            rows = rng.integers(0, len(items) + 40, 5).astype(np.int32)
            new = (shape(rng, 5, 9) * (rng.random((5, 9)) < 0.6)).astype(np.float32)
            missing = max(0, int(rows.max()) + 1 - len(items))
            items = np.vstack([items, np.zeros((missing, 9), np.float32)])
            items[rows] = new
            ranker.update(rows, FORMS[form](new))

    holds()


@pytest.mark.skipif(not has_byte_products(), reason="neither AVX-512 VNNI nor AVX2")
@every_form
@pytest.mark.parametrize("ranker", [DotRanker(), CosineRanker(), PearsonRanker()], ids=repr)
def test_bytes_and_floats_give_equal_lists(ranker, form, use):
    rng = np.random.default_rng(0)
    items, queries = (FORMS[form](usual(rng, n, 30).astype(np.float32)) for n in (5000, 70))
    exclude = [rng.integers(0, 5000, 100).astype(np.int32) for _ in range(70)]
    found = []
    for codes in (ByteCodes, FloatCodes, NibbleCodes) if has_nibble_products() else (ByteCodes, FloatCodes):
        use(codes)
        found.append(ranker.index(items).rank(queries, 20, exclude))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@every_code
@every_form
def test_lists_do_not_depend_on_batch_or_threads(codes, form, use):
    use(codes)
    rng = np.random.default_rng(1)
    items, queries = (usual(rng, n, 16).astype(np.float32) for n in (3000, 201))
    ranker = DotRanker().index(FORMS[form](items))
    together = ranker.rank(FORMS[form](queries), 10)
    with thread_limit(1):
        serial = ranker.rank(FORMS[form](queries), 10)
    for query in (0, 63, 64, 200):
        alone = ranker.rank(FORMS[form](queries[query : query + 1]), 10)
        for one, own, other in zip(alone, together, serial, strict=True):
            np.testing.assert_array_equal(one[0], own[query])
            np.testing.assert_array_equal(one[0], other[query])


@every_code
def test_many_readers_of_a_fresh_index_agree(codes, use):
    use(codes)
    rng = np.random.default_rng(2)
    items, queries = usual(rng, 3000, 16).astype(np.float32), usual(rng, 40, 16).astype(np.float32)
    ranker = DotRanker().index(FORMS["joined"](items))
    asked = [FORMS["joined"](queries[[place]]) for place in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: ranker.rank(one, 10)[0][0].tolist(), asked))
    assert found == [rows.tolist() for rows, _ in best_by_force(queries, items, 10)]


def test_a_subclass_with_its_own_score_is_scored_by_it(small_is_large):
    class Nearest(DotRanker):
        def score(self, queries, items):
            return -np.abs(queries[:, :1] - items[:, :1].T)

    items = np.arange(100, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    assert Nearest().index(items).rank(np.full((1, 3), 42.2, np.float32), 2)[0].tolist() == [[42, 43]]


@pytest.fixture
def brief(use):
    if not has_nibble_products():
        pytest.skip("AVX-512 VNNI, or no AVX2")
    use(NibbleCodes)
    rng = np.random.default_rng(6)
    items, queries = usual(rng, 3000, 16).astype(np.float32), usual(rng, 3, 16).astype(np.float32)
    ranker = DotRanker().index(items)
    ranker.rank(queries, 5)
    return ranker, items, queries[:1]


def fixed(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "form",
    [
        lambda query: query,
        lambda query: query.astype(np.float64),
        lambda query: query.tolist(),
        lambda query: np.repeat(query, 2, axis=1)[:, ::2],
        fixed,
        sparse.csr_array,
    ],
)
@pytest.mark.parametrize(
    "rows",
    [
        lambda rows: rows,
        lambda rows: rows[::-1],
        lambda rows: rows.astype(np.int64),
        lambda rows: rows.tolist(),
        fixed,
    ],
)
def test_one_query_of_any_form_is_ranked_as_by_force(brief, form, rows):
    ranker, items, query = brief
    exclude = [np.arange(0, 3000, 2, dtype=np.int32)]
    found, scores = ranker.rank(form(query), 7, [rows(exclude[0])])
    wanted, exact = best_by_force(query, items, 7, exclude)[0]
    np.testing.assert_array_equal(found, wanted[None])
    np.testing.assert_allclose(scores, exact[None], rtol=1e-6)


def test_one_query_may_get_all_items_or_none(brief):
    ranker, _, query = brief
    assert ranker.rank(query, 5000)[0].shape == (1, 3000)
    assert ranker.rank(query, 5, [np.arange(3000, dtype=np.int32)])[0].shape == (1, 0)
    assert ranker.rank(query, 5, [np.arange(2, 3000, dtype=np.int32)])[1].shape == (1, 2)


@pytest.mark.parametrize(
    ("query", "k", "exclude", "error", "message"),
    [
        (np.full((1, 16), np.nan, np.float32), 5, None, DataError, "NaN"),
        (np.full((1, 16), 3e38, np.float32), 5, None, DataError, "beyond the range"),
        (np.ones((1, 15), np.float32), 5, None, DataError, "15 columns"),
        (np.ones((1, 16), np.float32), 0, None, ParameterError, "k must be"),
        (np.ones((1, 16), np.float32), 5, [], DataError, "0 entries for 1"),
    ],
)
def test_one_query_that_is_wrong_is_refused(brief, query, k, exclude, error, message):
    with pytest.raises(error, match=message):
        brief[0].rank(query, k, exclude)


def test_a_subclass_prepares_queries_as_it_likes(brief):
    class Opposite(DotRanker):
        def query_form(self, queries):
            return -queries

    _, items, query = brief
    ranker = Opposite().index(items)
    first, again = (ranker.rank(query, 3)[0].tolist() for _ in range(2))
    assert first == again == [best_by_force(-query, items, 3)[0][0].tolist()]


def test_a_search_is_not_stored_and_is_made_again(small_is_large):
    rng = np.random.default_rng(3)
    items, queries = usual(rng, 300, 6).astype(np.float32), usual(rng, 3, 6).astype(np.float32)
    ranker = DotRanker().index(FORMS["sparse"](items))
    rows, _ = ranker.rank(FORMS["sparse"](queries), 5)
    ranker.update(np.array([0], np.int32), FORMS["sparse"](items[:1]))
    state = ranker.get_state()
    assert type(state["items_"]) is sparse.csr_array
    assert set(state) == {"items_", "width_"}
    restored = DotRanker()
    restored.set_state(state)
    np.testing.assert_array_equal(restored.rank(FORMS["sparse"](queries), 5)[0], rows)


def test_a_small_catalogue_with_a_large_sparse_part_is_searched_once_it_changes(monkeypatch):
    monkeypatch.setattr("llmrec.rankers.inner_product._MANY_ENTRIES", 100)
    rng = np.random.default_rng(0)
    thin = sparse.random_array((60, 40), density=0.3, rng=rng, dtype=np.float32, format="csr")
    items = JoinedVectors(rng.normal(size=(60, 8)).astype(np.float32), sparse.csr_array(thin))
    ranker = DotRanker().index(items)
    assert ranker._searched() is None
    rows = np.array([3, 60], dtype=np.int32)
    new = JoinedVectors(rng.normal(size=(2, 8)).astype(np.float32), sparse.csr_array(thin[[7, 9]]))
    ranker.rank(items[:2], 5)
    ranker.update(rows, new)
    # By the update, for the first request after it must not wait.
    assert ranker._search is not None
    dense = np.vstack([items.toarray(), np.zeros((1, 48), np.float32)])
    dense[rows] = new.toarray()
    queries = items[10:14]
    found, scores = ranker.rank(queries, 5)
    exact = queries.toarray().astype(np.float64) @ dense.T.astype(np.float64)
    np.testing.assert_array_equal(found, np.argsort(-exact, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :5], rtol=1e-5)


def test_rounding_stays_a_bound_after_updates():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(50, 8)).astype(np.float32)
    ranker = DotRanker().index(items)
    before = ranker.rounding(items[:1])
    ranker.update(np.array([4], np.int32), 10 * items[4:5])
    assert ranker.rounding(items[:1]) > before
    ranker.update(np.array([4], np.int32), items[4:5])
    assert ranker.rounding(items[:1]) >= before
