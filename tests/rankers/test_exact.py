"""The four exact rankers against brute force: dense, sparse and joined, all bounds and all edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec.errors import DataError, NotFittedError, ParameterError
from llmrec.rankers import CosineRanker, DotRanker, EuclideanRanker, PearsonRanker
from llmrec.rankers.exact import top_columns
from llmrec.vectors import JoinedVectors


def dot(q, v):
    return float(q @ v)


def cosine(q, v):
    lengths = np.linalg.norm(q) * np.linalg.norm(v)
    return float(q @ v / lengths) if lengths > 0 else 0.0


def negative_distance(q, v):
    return -float(np.linalg.norm(q - v))


def pearson(q, v):
    return cosine(q - q.mean(), v - v.mean()) if np.ptp(q) and np.ptp(v) else 0.0


BY_HAND = {
    DotRanker: dot,
    CosineRanker: cosine,
    EuclideanRanker: negative_distance,
    PearsonRanker: pearson,
}
FORMS = {
    "dense": lambda matrix: matrix,
    "sparse": sparse.csr_array,
    "joined": lambda matrix: JoinedVectors(matrix[:, :3].copy(), sparse.csr_array(matrix[:, 3:])),
}
every_ranker = pytest.mark.parametrize("ranker_class", list(BY_HAND), ids=lambda one: one.__name__)
every_form = pytest.mark.parametrize("form", list(FORMS))


def random_matrix(n_rows, seed, dim=8):
    """Return rows of small integers, half of them zero: many equal scores, and a row of zeros."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-3, 4, (n_rows, dim)) * (rng.random((n_rows, dim)) < 0.5)
    matrix[n_rows // 2] = 0
    return matrix.astype(np.float32)


def distinct_matrix(n_rows, seed, dim=8):
    """Return rows without equal scores: normal values, a third of them zero."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_rows, dim)) * (rng.random((n_rows, dim)) < 0.67)).astype(np.float32)


def all_scores(ranker_class, queries, items):
    score = BY_HAND[ranker_class]
    doubles = items.astype(np.float64)
    return np.array([[score(q, v) for v in doubles] for q in queries.astype(np.float64)])


def assert_best(ranker_class, found, queries, items, k, exclude=None, allow=None):
    """Compare with a full sort by score, then row."""
    rows, scores = found
    expected = all_scores(ranker_class, queries, items)
    for query, own in enumerate(expected):
        left = set(range(len(items)) if allow is None else allow) - set(
            () if exclude is None else exclude[query]
        )
        best = sorted(left, key=lambda row: (-own[row], row))[:k]
        padding = rows.shape[1] - len(best)
        assert rows[query].tolist() == best + [-1] * padding
        np.testing.assert_allclose(scores[query, : len(best)], own[best], atol=2e-5)
        assert (scores[query, len(best) :] == -np.inf).all()


@every_form
@every_ranker
@pytest.mark.parametrize("block_size", [7, 65536])
def test_best_rows_are_those_of_brute_force(ranker_class, form, block_size):
    items, queries = distinct_matrix(50, 0), distinct_matrix(9, 1)
    ranker = ranker_class(block_size=block_size).index(FORMS[form](items))
    assert_best(ranker_class, ranker.rank(FORMS[form](queries), 10), queries, items, 10)


@every_form
@every_ranker
def test_excluded_rows_are_left_out_and_only_allowed_ones_come(ranker_class, form):
    rng = np.random.default_rng(2)
    items, queries = distinct_matrix(50, 3), distinct_matrix(6, 4)
    exclude = [rng.choice(50, size, replace=False).astype(np.int32) for size in (0, 1, 5, 20, 45, 50)]
    allow = np.array([40, 3, 11, 12, 30, 3, 49, 0], dtype=np.int32)
    ranker = ranker_class(block_size=6).index(FORMS[form](items))
    asked = FORMS[form](queries)
    assert_best(ranker_class, ranker.rank(asked, 8, exclude=exclude), queries, items, 8, exclude)
    assert_best(ranker_class, ranker.rank(asked, 4, allow=allow), queries, items, 4, allow=allow.tolist())
    both = ranker.rank(asked, 4, exclude=exclude, allow=allow)
    assert_best(ranker_class, both, queries, items, 4, exclude, allow.tolist())


@every_ranker
@pytest.mark.parametrize("block_size", [1, 4, 5, 100])
def test_equal_scores_are_ordered_by_row(ranker_class, block_size):
    # Values that are scored without rounding, so that like items score alike wherever they stand.
    pair, query = ([[1, 2, 0], [3, 0, 1]], [[1, 0, 0]])
    if ranker_class is PearsonRanker:
        pair, query = ([[2, 2, 0, 0], [2, 0, 2, 0]], [[1, 0, 1, 0]])
    items, query = np.tile(np.array(pair, np.float32), (10, 1)), np.array(query, np.float32)
    one, other = all_scores(ranker_class, query, items)[0][:2]
    first, second = (range(0, 20, 2), range(1, 20, 2)) if one > other else (range(1, 20, 2), range(0, 20, 2))
    rows, _ = ranker_class(block_size=block_size).index(items).rank(query, 13)
    assert rows[0].tolist() == [*first, *second][:13]


@every_form
@every_ranker
def test_small_blocks_give_what_one_block_gives(ranker_class, form):
    items, queries = FORMS[form](distinct_matrix(60, 5)), FORMS[form](distinct_matrix(300, 6))
    whole_rows, whole_scores = ranker_class().index(items).rank(queries, 7)
    for block_size in (1, 7, 59, 60):
        rows, scores = ranker_class(block_size=block_size).index(items).rank(queries, 7)
        np.testing.assert_array_equal(rows, whole_rows)
        np.testing.assert_allclose(scores, whole_scores, atol=1e-5)


@every_ranker
def test_a_query_is_answered_alike_alone_and_among_hundreds(ranker_class):
    items, queries = distinct_matrix(40, 7), distinct_matrix(520, 8)
    ranker = ranker_class().index(items)
    rows, _ = ranker.rank(queries, 5)
    for query in (0, 255, 256, 519):
        np.testing.assert_array_equal(ranker.rank(queries[query : query + 1], 5)[0], rows[query : query + 1])


@every_ranker
def test_exclusion_follows_its_query_past_the_first_batch(ranker_class):
    items, queries = distinct_matrix(20, 9), distinct_matrix(300, 10)
    exclude = [np.array([query % 20], dtype=np.int32) for query in range(300)]
    rows, _ = ranker_class().index(items).rank(queries, 20, exclude=exclude)
    assert rows.shape == (300, 19)
    assert all(query % 20 not in own for query, own in enumerate(rows.tolist()))


@every_ranker
def test_more_wanted_than_there_are_gives_all(ranker_class):
    items, queries = distinct_matrix(5, 11), distinct_matrix(2, 12)
    assert_best(ranker_class, ranker_class().index(items).rank(queries, 100), queries, items, 100)


@every_ranker
def test_nothing_left_gives_no_columns(ranker_class):
    ranker = ranker_class().index(distinct_matrix(5, 13))
    everything = [np.arange(5, dtype=np.int32)] * 2
    assert ranker.rank(distinct_matrix(2, 14), 3, exclude=everything)[0].shape == (2, 0)
    assert ranker.rank(distinct_matrix(2, 14), 3, allow=np.empty(0, np.int32))[0].shape == (2, 0)
    assert ranker.rank(np.empty((0, 8), np.float32), 3)[0].shape[0] == 0


@every_form
@every_ranker
def test_updated_index_answers_like_a_fresh_one(ranker_class, form):
    items, later = distinct_matrix(30, 15), distinct_matrix(6, 16)
    rows = np.array([29, 0, 31, 7, 30, 33], dtype=np.int32)
    expected = np.vstack([items, np.zeros((4, 8), np.float32)])
    expected[rows] = later
    updated = ranker_class().index(FORMS[form](items))
    updated.update(rows, FORMS[form](later))
    queries = FORMS[form](distinct_matrix(5, 17))
    found = updated.rank(queries, 34)
    fresh = ranker_class().index(FORMS[form](expected)).rank(queries, 34)
    np.testing.assert_array_equal(found[0], fresh[0])
    np.testing.assert_allclose(found[1], fresh[1], atol=1e-6)


@every_form
@every_ranker
def test_index_and_update_leave_the_callers_vectors_alone(ranker_class, form):
    items = FORMS[form](distinct_matrix(10, 18))
    before = items.copy() if form != "joined" else items.toarray()
    ranker = ranker_class().index(items)
    ranker.update(np.array([2], np.int32), FORMS[form](distinct_matrix(1, 19)))
    after = items if form != "joined" else items.toarray()
    if form == "sparse":
        before, after = before.toarray(), after.toarray()
    np.testing.assert_array_equal(before, after)


@every_form
@every_ranker
def test_rows_are_int32_and_scores_float32(ranker_class, form):
    ranker = ranker_class().index(FORMS[form](distinct_matrix(10, 20)))
    rows, scores = ranker.rank(FORMS[form](distinct_matrix(2, 21)), 3)
    assert (rows.dtype, scores.dtype) == (np.int32, np.float32)


# -- what each score promises -------------------------------------------------------------------------------


@every_form
def test_cosine_and_pearson_of_a_row_of_zeros_are_zero(form):
    items, queries = random_matrix(6, 22), random_matrix(2, 23)
    for ranker_class in (CosineRanker, PearsonRanker):
        rows, scores = ranker_class().index(FORMS[form](items)).rank(FORMS[form](queries), 6)
        assert scores[0][rows[0] == 3].tolist() == [0]
        assert not scores[1].any()


@every_form
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-3, 700.3])
def test_pearson_of_a_constant_row_is_zero(form, value):
    items = distinct_matrix(4, 24)
    items[2] = value
    rows, scores = PearsonRanker().index(FORMS[form](items)).rank(FORMS[form](distinct_matrix(1, 25)), 4)
    assert scores[0][rows[0] == 2].tolist() == [0]


def test_pearson_is_blind_to_offset_and_scale():
    items, query = distinct_matrix(20, 26), distinct_matrix(1, 27)
    rows, scores = PearsonRanker().index(items).rank(query, 20)
    moved_rows, moved_scores = PearsonRanker().index(3 * items + 2).rank(5 * query - 1, 20)
    np.testing.assert_array_equal(rows, moved_rows)
    np.testing.assert_allclose(scores, moved_scores, atol=1e-5)


def test_cosine_is_blind_to_length_and_dot_is_not():
    items = np.array([[1, 0], [5, 5]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    assert CosineRanker().index(items).rank(query, 1)[0].tolist() == [[0]]
    assert DotRanker().index(items).rank(query, 1)[0].tolist() == [[1]]


def test_euclidean_tells_near_neighbours_far_from_the_origin_apart():
    items = np.array([[10_000, 10_000.01], [10_000, 10_000.02], [10_000, 10_000]], dtype=np.float32)
    rows, scores = EuclideanRanker().index(items).rank(items[2:], 3)
    assert rows.tolist() == [[2, 0, 1]]
    exact = np.linalg.norm(items[[2, 0, 1]].astype(np.float64) - items[2], axis=1)
    np.testing.assert_allclose(-scores[0], exact, atol=1e-4)


# -- any input ----------------------------------------------------------------------------------------------


@st.composite
def ranked(draw):
    n_items, n_queries = draw(st.integers(1, 25)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 10_000))
    rows = st.lists(st.integers(0, n_items - 1), max_size=n_items).map(lambda one: np.array(one, np.int32))
    return (
        draw(st.sampled_from(list(BY_HAND)))(block_size=draw(st.integers(1, 30))),
        FORMS[draw(st.sampled_from(list(FORMS)))],
        random_matrix(n_items, seed),
        random_matrix(n_queries, seed + 1),
        draw(st.integers(1, 30)),
        draw(st.none() | st.lists(rows, min_size=n_queries, max_size=n_queries)),
        draw(st.none() | rows),
    )


@settings(deadline=None, max_examples=200)
@given(ranked())
def test_any_list_is_sorted_unique_allowed_and_as_long_as_it_can_be(case):
    ranker, form, items, queries, k, exclude, allow = case
    rows, scores = ranker.index(form(items)).rank(form(queries), k, exclude=exclude, allow=allow)
    lengths = []
    for query in range(len(queries)):
        own = rows[query][rows[query] >= 0]
        wanted = set(range(len(items)) if allow is None else allow.tolist())
        wanted -= set(() if exclude is None else exclude[query].tolist())
        assert len(own) == min(k, len(wanted)) == len(set(own.tolist()))
        assert set(own.tolist()) <= wanted
        mine = scores[query][: len(own)]
        falls = np.diff(mine)
        assert (falls <= 0).all()
        assert (np.diff(own)[falls == 0] > 0).all()
        assert (scores[query][len(own) :] == -np.inf).all()
        by_hand = all_scores(type(ranker), queries[query : query + 1], items)[0]
        np.testing.assert_allclose(mine, by_hand[own], atol=1e-4)
        lengths.append(len(own))
    assert rows.shape[1] == max(lengths)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(1, 8)
)
def test_top_columns_are_those_of_a_stable_sort(rows, k):
    scores = np.array(rows, dtype=np.float32)
    columns, values = top_columns(scores, k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


# -- bad input ----------------------------------------------------------------------------------------------


@every_form
@every_ranker
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(ranker_class, form, value):
    good, bad = distinct_matrix(5, 28), distinct_matrix(5, 28)
    bad[3, 6] = value
    ranker = ranker_class().index(FORMS[form](good))
    with pytest.raises(DataError, match="NaN"):
        ranker_class().index(FORMS[form](bad))
    with pytest.raises(DataError, match="NaN"):
        ranker.update(np.arange(5, dtype=np.int32), FORMS[form](bad))
    with pytest.raises(DataError, match="NaN"):
        ranker.rank(FORMS[form](bad), 2)


@every_ranker
def test_queries_of_another_width_are_refused(ranker_class):
    with pytest.raises(DataError, match="7 columns, the items 8"):
        ranker_class().index(distinct_matrix(5, 29)).rank(distinct_matrix(1, 30, dim=7), 2)


@every_ranker
def test_updates_of_another_width_are_refused(ranker_class):
    with pytest.raises(DataError, match="1 columns, the items 8"):
        ranker_class().index(distinct_matrix(5, 29)).update(
            np.zeros(1, np.int32), np.ones((1, 1), np.float32)
        )


@every_ranker
def test_joined_queries_may_hold_all_their_words_dense(ranker_class):
    items, queries = distinct_matrix(20, 34), distinct_matrix(4, 35)
    ranker = ranker_class().index(FORMS["joined"](items))
    found = ranker.rank(JoinedVectors(queries[:, :3], queries[:, 3:]), 6)
    assert_best(ranker_class, found, queries, items, 6)


@every_ranker
def test_exclusions_for_other_queries_are_refused(ranker_class):
    with pytest.raises(DataError, match="1 entries for 2 queries"):
        ranker_class().index(distinct_matrix(5, 29)).rank(
            distinct_matrix(2, 30), 2, exclude=[np.empty(0, np.int32)]
        )


@every_ranker
@pytest.mark.parametrize("rows", [[-1], [0, 5], [-1, 2]])
def test_allowed_rows_outside_the_catalogue_are_refused(ranker_class, rows):
    with pytest.raises(DataError, match="from 0 to 4"):
        ranker_class().index(distinct_matrix(5, 29)).rank(distinct_matrix(1, 30), 2, allow=np.array(rows))


@every_ranker
@pytest.mark.parametrize("k", [0, -1, 2.0, None, True])
def test_a_wrong_k_is_refused(ranker_class, k):
    with pytest.raises(ParameterError, match="k must be"):
        ranker_class().index(distinct_matrix(5, 31)).rank(distinct_matrix(1, 32), k)


@every_ranker
def test_a_wrong_block_size_is_refused(ranker_class):
    with pytest.raises(ParameterError, match="block_size"):
        ranker_class(block_size=0).index(distinct_matrix(5, 31)).rank(distinct_matrix(1, 32), 1)


@every_ranker
def test_use_before_index_is_refused(ranker_class):
    with pytest.raises(NotFittedError, match="index"):
        ranker_class().rank(distinct_matrix(1, 33), 1)
    with pytest.raises(NotFittedError, match="index"):
        ranker_class().update(np.zeros(1, np.int32), distinct_matrix(1, 33))


@pytest.mark.parametrize("ranker_class", [DotRanker, CosineRanker, PearsonRanker])
@every_form
def test_scores_do_not_depend_on_how_many_queries_are_asked(ranker_class, form):
    # Large products that nearly cancel, as in a blend of z-scores: float32 sums differ by their order.
    items = distinct_matrix(300, 36, dim=64)
    items[:, 0] = 1
    queries = distinct_matrix(40, 37, dim=64)
    queries[:, 0] = 3e4
    ranker = ranker_class().index(FORMS[form](items))
    rows, scores = ranker.rank(FORMS[form](queries), 10)
    for place in range(len(queries)):
        own_rows, own_scores = ranker.rank(FORMS[form](queries[[place]]), 10)
        np.testing.assert_array_equal(rows[place], own_rows[0])
        np.testing.assert_array_equal(scores[place], own_scores[0])


def test_equal_items_have_equal_scores_wherever_they_stand():
    items = np.repeat(distinct_matrix(1, 38, dim=37), 301, axis=0)
    rows, scores = DotRanker(block_size=77).index(items).rank(distinct_matrix(1, 39, dim=37), 300)
    np.testing.assert_array_equal(rows[0], np.arange(300))
    assert np.ptp(scores) == 0


def test_a_score_beyond_float32_is_an_error():
    ranker = DotRanker().index(np.full((2, 2), 1e30, dtype=np.float32))
    with np.errstate(over="ignore"), pytest.raises(DataError, match="beyond the range of float32"):
        ranker.rank(np.full((1, 2), 1e30, dtype=np.float32), 1)


@pytest.mark.parametrize("changes", [False, True])
def test_a_query_of_few_columns_gets_what_it_gets_among_others(changes):
    rng = np.random.default_rng(3)
    items = rng.normal(size=(300, 600)).astype(np.float32)
    queries = np.where(rng.random((12, 600)) < 0.1, rng.normal(size=(12, 600)), 0).astype(np.float32)
    ranker = DotRanker().index(items)
    if changes:
        ranker.rank(queries[:1], 5)
        items[7] *= -1
        ranker.update(np.array([7], dtype=np.int32), items[7:8])
    rows, scores = ranker.rank(queries, 5)
    for place in range(12):
        alone, own = ranker.rank(queries[place : place + 1], 5)
        np.testing.assert_array_equal(alone[0], rows[place])
        np.testing.assert_allclose(own[0], scores[place], rtol=1e-5)
    wanted = np.argsort(-(queries.astype(np.float64) @ items.T.astype(np.float64)), axis=1)[:, :5]
    np.testing.assert_array_equal(rows, wanted)


def test_vectors_given_away_are_kept_as_they_are_and_others_are_prepared():
    vectors = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert np.shares_memory(DotRanker().index_given(vectors).items_, vectors)
    assert not np.shares_memory(DotRanker().index(vectors).items_, vectors)
    for ranker in (DotRanker(), CosineRanker(), PearsonRanker()):
        taken, copied = ranker.index_given(vectors.copy()), type(ranker)().index(vectors)
        for one, other in zip(taken.rank(vectors[:3], 5), copied.rank(vectors[:3], 5), strict=True):
            assert one.tolist() == other.tolist()
