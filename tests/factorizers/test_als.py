"""ALS against a dense reference, its bounds, and what fold-in promises."""

from __future__ import annotations

import os
import time
from itertools import pairwise

import numpy as np
import pytest

from llmrec.errors import DataError, LLMRecError, NotFittedError, ParameterError
from llmrec.factorizers import ALSFactorizer
from llmrec.factorizers.gradient_rows import SparseRows
from llmrec.factorizers.spectral_start import spectral_start
from llmrec.interactions import Histories, Interactions
from llmrec.threads import thread_limit
from tests.factorizers.dense_als import explicit_rows, implicit_loss, implicit_rows
from tests.factorizers.samples import from_dense, random_ratings, random_weights

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def fitted(interactions, **parameters):
    usual = {"factors": 4, "regularization": 0.01, "unobserved_weight": 0.3, "progress": False}
    return ALSFactorizer(**{**usual, **parameters}).fit(interactions)


def explicit(interactions, **parameters):
    return fitted(interactions, **{"feedback": "explicit", "regularization": 0.1, **parameters})


# -- one half of a sweep ------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("unobserved", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("factors", [1, 4, 40])
def test_implicit_users_solve_the_dense_problem(factors, unobserved, exponent):
    weights = random_weights()
    events = from_dense(weights)
    als = fitted(events, factors=factors, unobserved_weight=unobserved, frequency_exponent=exponent)
    expected = implicit_rows(
        weights, als.item_vectors_, regularization=0.01, unobserved_weight=unobserved, exponent=exponent
    )
    np.testing.assert_allclose(als.query_vectors(events.histories()), expected, **CLOSE)


@pytest.mark.parametrize("factors", [1, 4, 40])
def test_implicit_items_solve_the_dense_problem(factors):
    weights = random_weights(seed=1)
    events = from_dense(weights)
    als = fitted(events, factors=factors, unobserved_weight=0.2, regularization=0.05)
    expected = implicit_rows(weights.T, als.user_vectors_, regularization=0.05, unobserved_weight=0.2)
    np.testing.assert_allclose(als.fold_in_items(events.audiences()), expected, **CLOSE)


def test_a_fit_is_its_half_sweeps_in_turn():
    weights = random_weights(seed=2)
    events = from_dense(weights)
    als = fitted(events, sweeps=2, momentum=0, tolerance=0, random_state=7)
    rows = SparseRows.of(events.histories().weight_matrix(), None)
    _, items = spectral_start(rows, rows.transposed(), 0.3, 4, 7)
    how = {"regularization": 0.01, "unobserved_weight": 0.3}
    users = implicit_rows(weights, items, **how)
    for _ in range(2):
        items = implicit_rows(weights.T, users, **how)
        users = implicit_rows(weights, items, **how)
    np.testing.assert_allclose(als.user_vectors_ @ als.item_vectors_.T, users @ items.T, **CLOSE)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize("factors", [1, 4, 40])
def test_explicit_users_and_items_solve_the_dense_problem(factors, exponent):
    ratings, is_rated = random_ratings()
    events = from_dense(ratings, ratings=ratings, is_met=is_rated)
    als = explicit(events, factors=factors, frequency_exponent=exponent)
    users, items = als.user_vectors_, als.item_vectors_
    left = ratings - users[:, -1:] - items[:, -2]
    how = {"regularization": 0.1, "exponent": exponent}
    np.testing.assert_allclose(users[:, :-2], explicit_rows(left, is_rated, items[:, :-2], **how), **CLOSE)
    folded = als.fold_in_items(events.audiences())
    expected = explicit_rows(left.T, is_rated.T, users[:, :-2], **how)
    np.testing.assert_allclose(folded[:, :-2], expected, **CLOSE)


@pytest.mark.parametrize("damping", [0.5, 5.0])
def test_biases_are_damped_means_of_what_the_others_leave(damping):
    ratings, is_rated = random_ratings(seed=3)
    als = explicit(from_dense(ratings, ratings=ratings, is_met=is_rated), damping=damping)
    mean = ratings[is_rated].mean()
    user_bias, item_bias = als.user_vectors_[:, -1] - mean, als.item_vectors_[:, -2]
    assert als.mean_rating_ == pytest.approx(mean)
    of_users = (is_rated * (ratings - mean - item_bias)).sum(axis=1) / (is_rated.sum(axis=1) + damping)
    of_items = (is_rated * (ratings - mean - user_bias[:, None])).sum(axis=0) / (
        is_rated.sum(axis=0) + damping
    )
    np.testing.assert_allclose(user_bias, of_users, atol=1e-5)
    np.testing.assert_allclose(item_bias, of_items, atol=1e-5)


def test_rows_without_events_are_zero():
    weights = random_weights()
    als = fitted(from_dense(weights))
    assert not als.user_vectors_[0].any()
    assert not als.item_vectors_[-1].any()
    assert als.user_vectors_[1:].any(axis=1).all()


def test_a_user_without_ratings_is_predicted_the_mean_and_the_item_biases():
    ratings, is_rated = random_ratings()
    als = explicit(from_dense(ratings, ratings=ratings, is_met=is_rated))
    assert not is_rated[0].any()
    expected = als.mean_rating_ + als.item_vectors_[:, -2]
    np.testing.assert_allclose(als.user_vectors_[0] @ als.item_vectors_.T, expected, atol=1e-5)


# -- a whole fit --------------------------------------------------------------------------------------------


def test_one_user_and_one_item_reach_the_known_optimum():
    """For p = q the loss is (1 - p²)² + a p⁴ + 2λ(1 + a) p²: its minimum is at p² = 1 / (1 + a) - λ."""
    als = fitted(
        Interactions.from_table([("u", "i")]),
        factors=1,
        regularization=0.1,
        unobserved_weight=0.25,
        sweeps=60,
        tolerance=0,
    )
    score = float((als.user_vectors_ @ als.item_vectors_.T)[0, 0])
    assert score == pytest.approx(1 / 1.25 - 0.1, abs=1e-3)


def test_losses_are_the_objective_and_fall_each_sweep():
    weights = random_weights(30, 25)
    events = from_dense(weights)
    als = fitted(events, sweeps=12, tolerance=0)
    assert len(als.losses_) == 12
    assert all(later <= before * (1 + 1e-6) for before, later in pairwise(als.losses_))
    expected = implicit_loss(
        weights, als.user_vectors_, als.item_vectors_, regularization=0.01, unobserved_weight=0.3
    )
    assert als.losses_[-1] == pytest.approx(expected, rel=1e-4)


def test_explicit_losses_fall_each_sweep():
    ratings, is_rated = random_ratings(30, 25)
    als = explicit(from_dense(ratings, ratings=ratings, is_met=is_rated), sweeps=12, tolerance=0)
    assert all(later <= before * (1 + 1e-6) for before, later in pairwise(als.losses_))
    assert als.losses_[-1] < als.losses_[0]


def test_stops_early_once_a_sweep_gains_too_little():
    events = from_dense(random_weights(30, 25))
    full = fitted(events, sweeps=40, tolerance=0).losses_
    early = fitted(events, sweeps=40, tolerance=0.02).losses_
    gains = [(before - now) / before for before, now in pairwise(full)]
    first_small = next(sweep for sweep, gain in enumerate(gains, start=2) if gain < 0.02)
    assert len(early) == first_small < 40
    assert early == full[:first_small]


def test_two_groups_of_users_are_told_apart():
    weights = np.kron(np.eye(2), np.ones((5, 6)))
    weights[0, 0] = weights[9, 11] = 0
    als = fitted(from_dense(weights), factors=2)
    scores = als.user_vectors_ @ als.item_vectors_.T
    assert scores[0, 0] > 0.5 > 0.1 > abs(scores[0, 6:]).max()
    assert scores[9, 11] > 0.5 > 0.1 > abs(scores[9, :6]).max()


def test_explicit_recovers_ratings_of_low_rank():
    rng = np.random.default_rng(0)
    ratings = 3 + np.outer(rng.choice([-1, 1], 30), rng.choice([-1, 1], 20)).astype(float)
    is_rated = rng.random(ratings.shape) < 0.7
    als = explicit(from_dense(ratings, ratings=ratings, is_met=is_rated), factors=3, regularization=0.01)
    predicted = als.user_vectors_ @ als.item_vectors_.T
    errors = np.abs(predicted - ratings)[~is_rated]
    assert errors.mean() < 0.1
    assert errors.max() < 1  # no rating of 2 is mistaken for one of 4


def test_equal_ratings_are_predicted_everywhere():
    is_rated = random_weights() > 0
    ratings = np.full(is_rated.shape, 4.0)
    als = explicit(from_dense(ratings, ratings=ratings, is_met=is_rated))
    np.testing.assert_allclose(als.user_vectors_ @ als.item_vectors_.T, 4.0, atol=1e-5)


@pytest.mark.parametrize("table", [[(0, i) for i in range(5)], [(u, 0) for u in range(5)]])
def test_one_user_or_one_item_scores_what_happened(table):
    als = fitted(Interactions.from_table(table))
    assert (als.user_vectors_ @ als.item_vectors_.T > 0.5).all()


def test_more_weight_means_a_score_nearer_to_one():
    weights = np.ones((6, 6)) - np.eye(6)
    weights[0, 1] = 50
    als = fitted(from_dense(weights), frequency_exponent=0)
    scores = als.user_vectors_ @ als.item_vectors_.T
    assert abs(1 - scores[0, 1]) < abs(1 - scores[0, 2:]).min()


def test_repeated_events_count_as_their_sum():
    twice = fitted(Interactions.from_table([("a", "x"), ("a", "x"), ("b", "y")]))
    summed = fitted(Interactions.from_table([("a", "x", 2.0), ("b", "y", 1.0)]))
    np.testing.assert_array_equal(twice.user_vectors_, summed.user_vectors_)


def test_the_unobserved_weight_is_at_most_twenty_times_the_mean_weight_of_a_pair():
    dense, thin = from_dense(np.ones((4, 5))), from_dense(np.eye(1, 400))
    assert fitted(dense, unobserved_weight="auto").unobserved_weight_ == 0.3
    auto = fitted(thin, unobserved_weight="auto")
    assert auto.unobserved_weight_ == pytest.approx(20 / 400)
    fixed = fitted(thin, unobserved_weight=auto.unobserved_weight_)
    np.testing.assert_array_equal(auto.item_vectors_, fixed.item_vectors_)


def test_the_regularization_follows_the_noise_of_matrices_of_that_size_and_density():
    rng = np.random.default_rng(0)
    weights = (rng.random((1000, 900)) < 0.05).astype(np.float32)
    als = fitted(from_dense(weights), regularization="auto")
    signs = np.where(rng.random(weights.shape) < 0.5, 1, -1)
    user_mass = weights.sum(axis=1, keepdims=True) + 0.3 * weights.shape[1]
    item_mass = weights.sum(axis=0) + 0.3 * weights.shape[0]
    edge = np.linalg.norm(weights * signs / np.sqrt(user_mass * item_mass), 2)
    assert als.regularization_ == pytest.approx(0.6 * edge, rel=0.05)
    fixed = fitted(from_dense(weights), regularization=als.regularization_)
    np.testing.assert_array_equal(als.item_vectors_, fixed.item_vectors_)


def test_the_regularization_of_tiny_data_leaves_something():
    als = fitted(Interactions.from_table([("a", "x"), ("b", "y")]), regularization="auto")
    assert als.regularization_ == pytest.approx(0.03)
    assert np.linalg.norm(als.item_vectors_) > 0.1


def test_same_seed_same_vectors_and_another_seed_others():
    events = from_dense(random_weights())
    one, two, other = (fitted(events, random_state=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.item_vectors_, two.item_vectors_)
    assert not np.array_equal(one.item_vectors_, other.item_vectors_)


def test_a_second_fit_forgets_the_first():
    small, large = from_dense(random_weights(8, 6)), from_dense(random_weights(20, 15))
    als = fitted(large).fit(small)
    fresh = fitted(small)
    np.testing.assert_array_equal(als.user_vectors_, fresh.user_vectors_)
    np.testing.assert_array_equal(als.item_vectors_, fresh.item_vectors_)
    assert als.losses_ == fresh.losses_
    assert als.set_params(factors=2).fit(small).item_vectors_.shape == (6, 2)


# -- fold-in ------------------------------------------------------------------------------------------------


def test_fold_in_of_a_known_history_is_its_trained_vector():
    events = from_dense(random_weights(30, 25))
    als = fitted(events)
    np.testing.assert_allclose(als.query_vectors(events.histories()), als.user_vectors_, atol=1e-4)
    rows = np.array([5, 2], dtype=np.int32)
    np.testing.assert_allclose(
        als.query_vectors(events.histories(rows)), als.known_query_vectors(rows), atol=1e-4
    )


def test_explicit_fold_in_of_a_known_history_is_its_trained_vector():
    ratings, is_rated = random_ratings(30, 25)
    events = from_dense(ratings, ratings=ratings, is_met=is_rated)
    als = explicit(events)
    np.testing.assert_allclose(als.query_vectors(events.histories()), als.user_vectors_, atol=1e-4)
    item_biases = als.fold_in_items(events.audiences())[:, -2]
    np.testing.assert_allclose(item_biases, als.item_vectors_[:, -2], atol=1e-4)


def test_a_new_history_is_served_like_the_users_it_resembles():
    als = fitted(from_dense(np.kron(np.eye(2), np.ones((5, 6)))), factors=2)
    query = als.query_vectors(Histories.of([[7, 8]], n_columns=12))
    scores = (query @ als.item_vectors_.T)[0]
    assert scores[6:].min() > scores[:6].max() + 0.3


# -- weights at the limits of float32 ----------------------------------------------------------------------


def weighing(weight, n_heavy=None):
    """Return events of which all or the first few have some weight, the others 1."""
    met = random_weights(40, 30, seed=5)
    met[met > 0] = 1
    heavy = np.argwhere(met > 0)[:n_heavy]
    met[heavy[:, 0], heavy[:, 1]] = weight
    return from_dense(met)


@pytest.mark.parametrize("solver", ["cg", "exact"])
@pytest.mark.parametrize("regularization", ["auto", 0.1])
@pytest.mark.parametrize("n_heavy", [None, 1])
@pytest.mark.parametrize("weight", [1e-38, 1e-20, 1e-14, 1e-8, 1e-4, 1e4, 1e8, 1e14, 1e20, 1e30, 1e38])
def test_a_fit_is_finite_and_not_zero_or_says_what_weights_are_allowed(
    weight, n_heavy, regularization, solver
):
    events = weighing(weight, n_heavy)
    als = ALSFactorizer(8, solver=solver, regularization=regularization, progress=False)
    if 1e-8 <= weight <= 1e8 or (weight < 1 and n_heavy):
        vectors = als.fit(events)
        assert np.isfinite(vectors.user_vectors_).all()
        assert np.isfinite(vectors.item_vectors_).all()
        assert np.abs(vectors.user_vectors_ @ vectors.item_vectors_.T).max() > 1e-7
        return
    try:
        vectors = als.fit(events)
    except DataError as error:
        message = str(error)
    else:
        assert weight > 1
        assert np.isfinite(vectors.user_vectors_).all()
        assert np.isfinite(vectors.item_vectors_).all()
        return
    assert f"{weight:.3g}" in message
    assert "about 1" in message


def test_weights_that_all_count_for_nothing_are_refused():
    with pytest.raises(DataError, match=r"weights of at most 1e-14 are too small.*at least 1e-06"):
        fitted(weighing(1e-14), unobserved_weight="auto")


@pytest.mark.parametrize("n_heavy", [None, 1])
def test_weights_beyond_float32_are_refused(n_heavy):
    with pytest.raises(DataError, match=r"not finite, with weights from \S+ to 1e\+20.*1e-6 and 1e6"):
        fitted(weighing(1e20, n_heavy), solver="cg")


def test_weights_whose_sums_are_beyond_float32_are_refused():
    with pytest.raises(DataError, match=r"weights of up to 1e\+38 may add up to more"):
        fitted(weighing(1e38, 1))


def test_ratings_beyond_float32_are_refused():
    ratings, is_rated = random_ratings()
    ratings = 1e30 * ratings
    with pytest.raises(DataError, match="not finite, with ratings"):
        explicit(from_dense(ratings, ratings=ratings, is_met=is_rated), solver="cg")


@pytest.mark.parametrize("solver", ["cg", "exact"])
@pytest.mark.parametrize("weight", [1e-45, 1e-14, 1e14, 1e20, 1e37])
def test_a_history_of_any_weight_is_folded_in(weight, solver):
    als = fitted(from_dense(random_weights()), solver=solver)
    n_items = len(als.item_vectors_)
    query = als.query_vectors(Histories.of([[1, 2]], n_items, weights=[[weight, weight]]))
    usual = als.query_vectors(Histories.of([[1, 2]], n_items, weights=[[1e6, 1e6]]))
    np.testing.assert_allclose(query, 0 * usual if weight < 1 else usual, rtol=1e-3, atol=1e-5)


def test_fold_in_of_nothing_is_zero_and_of_nobody_is_empty():
    als = fitted(from_dense(random_weights()))
    assert not als.query_vectors(Histories.of([[]], n_columns=11)).any()
    assert als.query_vectors(Histories.of([], n_columns=11)).shape == (0, 4)


def test_vectors_are_contiguous_float32():
    ratings, is_rated = random_ratings()
    for als in (
        fitted(from_dense(random_weights())),
        explicit(from_dense(ratings, ratings=ratings, is_met=is_rated)),
    ):
        for vectors in (als.user_vectors_, als.item_vectors_):
            assert vectors.dtype == np.float32
            assert vectors.flags.c_contiguous


def test_constants_beside_the_biases_may_not_learn():
    ratings, is_rated = random_ratings()
    als = explicit(from_dense(ratings, ratings=ratings, is_met=is_rated), factors=2)
    users, items = als.learnable
    assert (users.tolist(), items.tolist()) == ([1, 1, 0, 1], [1, 1, 1, 0])
    assert (als.user_vectors_[:, -2] == 1).all()
    assert (als.item_vectors_[:, -1] == 1).all()
    assert not als.is_implicit


# -- bad input ----------------------------------------------------------------------------------------------


def test_explicit_feedback_without_ratings_is_refused():
    with pytest.raises(DataError, match="rating"):
        explicit(Interactions.from_table([("a", "x"), ("b", "y")]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factors", 0),
        ("factors", 2.5),
        ("factors", True),
        ("feedback", "Implicit"),
        ("feedback", None),
        ("regularization", 0),
        ("regularization", -1),
        ("regularization", float("nan")),
        ("unobserved_weight", -0.1),
        ("unobserved_weight", "0.3"),
        ("unobserved_weight", None),
        ("frequency_exponent", float("inf")),
        ("damping", -1),
        ("sweeps", 0),
        ("tolerance", -1e-3),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    als = ALSFactorizer().set_params(**{name: value})
    with pytest.raises(ParameterError, match=name):
        als.fit(Interactions.from_table([("a", "x"), ("b", "y")]))


def test_use_before_fit_is_refused():
    for use in ("query_vectors", "fold_in_items"):
        with pytest.raises(NotFittedError, match="fit"):
            getattr(ALSFactorizer(), use)(Histories.of([[0]], n_columns=1))
    with pytest.raises(LLMRecError):
        ALSFactorizer().item_vectors()


@pytest.mark.slow
@pytest.mark.skipif("LLMREC_DATA" not in os.environ, reason="LLMREC_DATA names no folder of data sets")
def test_movielens_small_is_fitted_in_ten_seconds():
    from llmrec.datasets import load_movielens

    events = load_movielens("ml-latest-small", download=False).interactions
    interactions = Interactions.from_table(events)
    start = time.perf_counter()
    als = fitted(interactions, factors=64, sweeps=15, tolerance=0)
    assert time.perf_counter() - start < 10
    assert len(als.losses_) == 15


@pytest.mark.parametrize("content_prior", [0.0, 5.0])
def test_a_fit_by_gradients_is_the_same_on_any_number_of_threads(content_prior):
    # Few users and many factors: the eigenvalues lie close, and one part holds all rows of a side.
    rng = np.random.default_rng(0)
    pairs = zip(rng.integers(200, size=6000).tolist(), rng.integers(2000, size=6000).tolist(), strict=True)
    events = Interactions.from_table(list(pairs))
    texts = rng.normal(size=(events.n_items, 100)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    fits = []
    for n_threads in (1, 2):
        with thread_limit(n_threads):
            als = ALSFactorizer(solver="cg", content_prior=content_prior, sweeps=5, progress=False)
            fits.append(als.fit(events, texts))
    np.testing.assert_allclose(fits[1].item_vectors_, fits[0].item_vectors_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(fits[1].user_vectors_, fits[0].user_vectors_, rtol=0, atol=1e-5)
