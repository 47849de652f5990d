"""ALS by conjugate gradients beside the exact solver, on any number of threads, under updates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from llmrec.base import OnlineState
from llmrec.errors import DataError, ParameterError
from llmrec.factorizers import ALSFactorizer, gradient_rows
from llmrec.factorizers.gradient_rows import Ridge, SparseRows, descend_rows, fold_in_rows
from llmrec.factorizers.gramian import Gramian
from llmrec.factorizers.least_squares import solve_rows
from llmrec.interactions import Events, Histories, Interactions
from llmrec.threads import thread_limit
from llmrec.updaters import FoldInUpdater
from tests.factorizers.dense_als import implicit_loss
from tests.factorizers.samples import from_dense, random_ratings, random_weights

# Of the losses of few rows, whose vectors are read with three digits in a basis that differs by processor.
ROUNDING = 1e-3


def fitted(interactions, **parameters):
    how = {"factors": 5, "unobserved_weight": 0.3, "solver": "cg", "progress": False, **parameters}
    return ALSFactorizer(**how).fit(interactions)


def rated(**shape):
    ratings, is_rated = random_ratings(**shape)
    return from_dense(ratings, ratings=ratings, is_met=is_rated)


@pytest.fixture
def small_parts(monkeypatch):
    """Many parts to share among threads, of data that is small."""
    monkeypatch.setattr(gradient_rows, "_ENTRIES", 300)
    monkeypatch.setattr(gradient_rows, "_ROWS", 8)


# -- a fit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_losses_stay_near_those_of_the_exact_solver(feedback, exponent):
    events = from_dense(random_weights(60, 50)) if feedback == "implicit" else rated(n_users=60, n_items=50)
    how = {"feedback": feedback, "frequency_exponent": exponent, "tolerance": 0, "sweeps": 10}
    near, exact = (fitted(events, solver=solver, **how) for solver in ("cg", "exact"))
    np.testing.assert_allclose(near.losses_, exact.losses_, rtol=2e-3)
    assert near.losses_[-1] <= exact.losses_[-1] * (1 + 1e-3)


def test_losses_are_the_objective_and_fall():
    weights = random_weights(40, 30)
    als = fitted(from_dense(weights), tolerance=0)
    assert all(later <= before * (1 + ROUNDING) for before, later in pairwise(als.losses_))
    expected = implicit_loss(
        weights,
        als.user_vectors_,
        als.item_vectors_,
        regularization=als.regularization_,
        unobserved_weight=0.3,
    )
    # After the last sweep users are solved for once more, to the end.
    assert expected <= als.losses_[-1] * (1 + ROUNDING)
    assert als.losses_[-1] == pytest.approx(expected, rel=1e-2)


# With 14 factors and two columns of biases explicit vectors are as wide as the kernel's.
@pytest.mark.parametrize("factors", [5, 14, 16])
@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_trained_users_are_the_fold_in_of_their_histories(feedback, factors):
    events = from_dense(random_weights(60, 50)) if feedback == "implicit" else rated(n_users=60, n_items=50)
    als = fitted(events, feedback=feedback, factors=factors)
    folded = als.query_vectors(events.histories())
    np.testing.assert_allclose(folded, als.user_vectors_, rtol=1e-4, atol=1e-4)


def test_results_do_not_depend_on_the_number_of_threads(small_parts):
    events = from_dense(random_weights(60, 50))
    with thread_limit(1):
        one = fitted(events)
        folded = one.query_vectors(events.histories())
    with thread_limit(3):
        three = fitted(events)
        np.testing.assert_allclose(three.query_vectors(events.histories()), folded, atol=1e-5)
    np.testing.assert_allclose(three.user_vectors_, one.user_vectors_, atol=1e-5)
    np.testing.assert_allclose(three.item_vectors_, one.item_vectors_, atol=1e-5)
    assert three.losses_ == pytest.approx(one.losses_, rel=1e-6)


def test_momentum_needs_fewer_sweeps_and_never_raises_the_loss():
    events = from_dense(random_weights(60, 50))
    plain, fast, reckless = (
        fitted(events, momentum=momentum, sweeps=10, tolerance=0) for momentum in (0.0, 0.5, 1.0)
    )
    assert fast.losses_[5] < plain.losses_[5]
    for als in (fast, reckless):
        # Near the end a sweep moves less than bfloat16 rounds.
        assert all(later <= before * (1 + ROUNDING) for before, later in pairwise(als.losses_))


@pytest.mark.parametrize("regularization", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("confidence", [2.0, 10.0, 40.0])
def test_momentum_is_ahead_after_four_sweeps_also_where_there_is_nothing_to_find(confidence, regularization):
    events = from_dense(confidence * (random_weights(200, 120) > 0))
    how = {"factors": 8, "unobserved_weight": 1.0, "frequency_exponent": 0.0, "tolerance": 0}
    plain, usual = (
        np.array(fitted(events, regularization=regularization, **how, **momentum).losses_)
        for momentum in ({"momentum": 0.0}, {})
    )
    # Where entries are random the first sweeps go on too far, some percent at most.
    assert (usual < plain * 1.03).all()
    assert (usual[4:] < plain[4:] * (1 + 5e-4)).all()


def test_small_data_is_solved_exactly_and_large_by_gradients():
    few, many = from_dense(random_weights(8, 6)), from_dense(random_weights(60, 50))
    assert fitted(few, solver="auto").solver_ == "exact"
    als = fitted(many, solver="auto", factors=512, sweeps=1)
    assert als.solver_ == "cg"
    assert als.item_vectors_.shape == (50, 512)


@pytest.mark.parametrize(("name", "value"), [("solver", "lu"), ("momentum", -0.1), ("momentum", 1.5)])
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        fitted(from_dense(random_weights()), **{name: value})


# -- rows ---------------------------------------------------------------------------------------------------


def problem(dim, seed=0, n_rows=40, n_columns=60):
    rng = np.random.default_rng(seed)
    weights = Histories.of(
        [rng.choice(n_columns, rng.integers(0, 30), replace=False).tolist() for _ in range(n_rows)], n_columns
    ).weight_matrix()
    weights.data[:] = rng.uniform(0.5, 5, weights.nnz)
    vectors, prior = rng.normal(size=(n_columns, dim)), rng.normal(size=(n_rows, dim))
    return weights, rng.normal(size=weights.nnz), vectors.astype(np.float32), prior.astype(np.float32)


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("unobserved", [0.0, 0.5])
@pytest.mark.parametrize("dim", [1, 12, 16])
def test_descent_to_the_end_is_the_exact_solution(dim, unobserved, with_prior, small_parts):
    weights, targets, vectors, prior = problem(dim)
    rows = SparseRows.of(weights, targets.astype(np.float32))
    ridge = Ridge(0.1, unobserved, 0.7).of(rows.mass, len(vectors))
    spectrum = np.linalg.eigh(unobserved * vectors.T.astype(np.float64) @ vectors)
    prior = prior if with_prior else None
    expected = solve_rows(weights, targets, vectors, spectrum, ridge, prior)
    solution = np.ones((40, dim), dtype=np.float32)
    descend_rows(rows, vectors, unobserved, ridge, solution, prior, n_steps=None)
    np.testing.assert_allclose(solution, expected, rtol=1e-3, atol=2e-5)
    across = rows.transposed()
    np.testing.assert_allclose(across.weights.toarray(), weights.toarray().T)
    np.testing.assert_allclose(across.mass, rows.column_mass)


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("unobserved", [0.0, 0.5])
@pytest.mark.parametrize("dim", [1, 12, 16])
def test_fold_in_is_the_exact_solution_alone_and_among_others(dim, unobserved, with_prior, small_parts):
    weights, targets, vectors, prior = problem(dim, seed=1)
    weights.data[:] = 1
    targets, prior = targets.astype(np.float32), prior if with_prior else None
    ridge, gramian = Ridge(0.1, unobserved, 0.7), Gramian(vectors)
    mass = np.asarray(weights.sum(axis=1), dtype=np.float64)
    expected = solve_rows(
        weights, targets, vectors, gramian.spectrum(unobserved), ridge.of(mass, len(vectors)), prior
    )
    found = fold_in_rows(weights, targets, vectors, gramian, ridge, prior)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5)
    row = int(np.argmax(np.diff(weights.indptr)))
    own = slice(weights.indptr[row], weights.indptr[row + 1])
    alone = fold_in_rows(
        weights[[row]], targets[own], vectors, gramian, ridge, None if prior is None else prior[[row]]
    )
    np.testing.assert_allclose(alone[0], found[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_entries", [0, 1, 15, 16, 17, 64, 5000])
@pytest.mark.parametrize("dim", [7, 64])
def test_rows_of_any_length_are_folded_in_exactly(n_entries, dim):
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(6000, dim)).astype(np.float32)
    history = Histories.of([rng.permutation(6000)[:n_entries]], 6000, weights=[rng.random(n_entries) + 0.5])
    ridge, gramian = Ridge(0.1, 0.5, 0.7), Gramian(vectors)
    mass = np.asarray(history.weight_matrix().sum(axis=1), dtype=np.float64)
    spectrum = gramian.spectrum(0.5)
    expected = solve_rows(history.weight_matrix(), None, vectors, spectrum, ridge.of(mass, 6000))
    found = fold_in_rows(history, None, vectors, gramian, ridge)
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def test_a_nearly_singular_system_is_solved_exactly_all_the_same():
    rng = np.random.default_rng(2)
    direction = rng.normal(size=(1, 16))
    vectors = (rng.normal(size=(30, 1)) * direction + 1e-4 * rng.normal(size=(30, 16))).astype(np.float32)
    histories = Histories.of([list(range(25))], 30)
    ridge, gramian = Ridge(1e-7, 0.0, 0.0), Gramian(vectors)
    mass = np.full(1, 25.0)
    expected = solve_rows(histories.weight_matrix(), None, vectors, None, ridge.of(mass, 30))
    found = fold_in_rows(histories, None, vectors, gramian, ridge)
    # The solutions are large, and cancel: as close as float32 holds them.
    rounding = (np.abs(vectors) @ np.abs(expected[0])).max() * np.finfo(np.float32).eps
    np.testing.assert_allclose(vectors @ found[0], vectors @ expected[0], atol=2 * rounding)


def test_columns_without_a_vector_are_refused():
    als = fitted(from_dense(random_weights(60, 50)))
    with pytest.raises(DataError, match="70"):
        als.query_vectors(Histories.of([[3, 70]], n_columns=71))


def test_repeated_events_add_up():
    als = fitted(from_dense(random_weights(60, 50)))
    twice = Histories.of([[3, 3, 4]], n_columns=50)
    summed = Histories.of([[3, 4]], n_columns=50, weights=[[2.0, 1.0]])
    np.testing.assert_allclose(als.query_vectors(twice), als.query_vectors(summed), atol=1e-6)


# -- updates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["cg", "exact"])
@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_fold_in_stays_exact_while_vectors_change(solver, feedback):
    events = from_dense(random_weights(60, 50)) if feedback == "implicit" else rated(n_users=60, n_items=50)
    als = fitted(events, feedback=feedback, solver=solver)
    als.query_vectors(events.histories())
    rng = np.random.default_rng(0)
    for step in range(4):
        als.resize(60 + step, 50 + step)
        rows = rng.choice(50 + step, 3, replace=False).astype(np.int32)
        als.set_item_vectors(rows, als.item_vectors_[rows] * np.float32(1.5))
        users = rng.choice(60 + step, 3, replace=False).astype(np.int32)
        als.set_user_vectors(users, als.user_vectors_[users] * np.float32(0.5))
        histories = events.histories().widened(50 + step)
        audiences = events.audiences().widened(60 + step)
        fresh = ALSFactorizer(**als.get_params())
        fresh.set_state(
            {name: np.copy(v) if isinstance(v, np.ndarray) else v for name, v in als.get_state().items()}
        )
        np.testing.assert_allclose(
            als.query_vectors(histories), fresh.query_vectors(histories), rtol=1e-4, atol=2e-5
        )
        np.testing.assert_allclose(
            als.fold_in_items(audiences), fresh.fold_in_items(audiences), rtol=1e-4, atol=2e-5
        )


def test_vectors_that_are_replaced_altogether_are_noticed():
    events = from_dense(random_weights(60, 50))
    als = fitted(events)
    als.query_vectors(events.histories())
    als.item_vectors_ = als.item_vectors_ * np.float32(2)
    fresh = ALSFactorizer(**als.get_params())
    fresh.set_state(als.get_state())
    np.testing.assert_allclose(
        als.query_vectors(events.histories()), fresh.query_vectors(events.histories()), rtol=1e-5, atol=1e-6
    )


def test_an_update_gives_what_the_exact_solver_gives():
    weights = random_weights(60, 50)
    vectors = {}
    for solver in ("cg", "exact"):
        known = from_dense(weights)
        als = fitted(known, solver="exact")
        als.solver_ = solver
        for user, item in ((1, 4), (1, 5), (7, 4)):
            event = Events(*(np.array([row], dtype=np.int32) for row in (user, item)), np.ones(1, np.float32))
            known.append(event)
            FoldInUpdater().update(OnlineState(als, known), event)
        vectors[solver] = als.user_vectors_, als.item_vectors_
    for near, exact in zip(vectors["cg"], vectors["exact"], strict=True):
        np.testing.assert_allclose(near, exact, rtol=1e-4, atol=2e-5)


def test_a_matrix_of_many_entries_is_read_without_lists():
    weights = random_weights(60, 50)
    read = Interactions.from_table(from_dense(weights).matrix)
    np.testing.assert_allclose(read.matrix.toarray(), weights, rtol=1e-6)
