"""SGDUpdater: one step by hand, sampled negatives, constants kept, replays alike."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from llmrec import ALSFactorizer
from llmrec.base import OnlineState
from llmrec.errors import ParameterError
from llmrec.interactions import Events, Interactions
from llmrec.updaters import SGDUpdater, sgd
from tests.updaters.worlds import happened, known_world


def updated(name="als", users=(2,), items=(1,), **parameters):
    """Return vectors before, the model after, and the item rows that moved."""
    model, interactions = known_world(name)
    events = happened(model, interactions, list(users), list(items))
    before = model.user_vectors_.copy(), model.item_vectors_.copy()
    moved = SGDUpdater(**parameters).update(OnlineState(model, interactions), events)
    return before, model, moved


def test_one_step_is_the_gradient_step():
    """p = (1, 0), q = (0.5, 1), target 1: error 0.5; rate 0.1, ridge 0.2."""
    model, interactions = known_world("als")
    events = happened(model, interactions, [2], [1])
    model.user_vectors_ = np.zeros((12, 2), np.float32)
    model.item_vectors_ = np.zeros((9, 2), np.float32)
    model.user_vectors_[2], model.item_vectors_[1] = [1, 0], [0.5, 1]
    updater = SGDUpdater(learning_rate=0.1, regularization=0.2, negatives=0)
    assert updater.update(OnlineState(model, interactions), events).tolist() == [1]
    # p + 0.1 (0.5 q - 0.2 p) and q + 0.1 (0.5 p - 0.2 q), both from the old p and q.
    np.testing.assert_allclose(model.user_vectors_[2], [1.005, 0.05], rtol=1e-6)
    np.testing.assert_allclose(model.item_vectors_[1], [0.54, 0.98], rtol=1e-6)
    assert np.count_nonzero(model.user_vectors_.any(axis=1)) == 1


def test_an_explicit_step_asks_for_the_rating_and_keeps_the_constants():
    (users, items), model, moved = updated("als-explicit", learning_rate=0.1, regularization=0.2)
    assert moved.tolist() == [1]
    p, q = users[2].astype(float), items[1].astype(float)
    error = 4 - p @ q
    step_p, step_q = 0.1 * (error * q - 0.2 * p), 0.1 * (error * p - 0.2 * q)
    step_p[-2] = step_q[-1] = 0
    np.testing.assert_allclose(model.user_vectors_[2], p + step_p, atol=1e-5)
    np.testing.assert_allclose(model.item_vectors_[1], q + step_q, atol=1e-5)
    assert model.user_vectors_[2, -2] == 1
    assert model.item_vectors_[1, -1] == 1


@pytest.mark.parametrize("name", ["als-explicit", "svd-explicit"])
def test_constants_survive_many_steps(name):
    rng = np.random.default_rng(0)
    _, model, _ = updated(name, rng.integers(12, size=60).tolist(), rng.integers(9, size=60).tolist())
    assert (model.user_vectors_[:, -2] == 1).all()
    assert (model.item_vectors_[:, -1] == 1).all()


def test_sampled_items_are_pushed_down_and_never_the_users_own():
    model, interactions = known_world("als", n_users=12, n_items=9)
    events = happened(model, interactions, [2], [1])
    own = set(np.flatnonzero(interactions.matrix.toarray()[2]).tolist())
    before = model.item_vectors_.copy()
    moved = SGDUpdater(negatives=4).update(OnlineState(model, interactions), events)
    sampled = set(moved.tolist()) - {1}
    assert sampled
    assert len(sampled) <= 4
    assert not sampled & own
    changed = np.flatnonzero((model.item_vectors_ != before).any(axis=1))
    assert set(changed.tolist()) <= set(moved.tolist())


def test_a_negative_step_brings_a_score_nearer_to_zero():
    model, interactions = known_world("als")
    events = happened(model, interactions, [2], [1])
    model.user_vectors_[2] = 1
    model.item_vectors_[:] = 0.5
    moved = SGDUpdater(negatives=5, regularization=0).update(OnlineState(model, interactions), events)
    sampled = [item for item in moved.tolist() if item != 1]
    assert sampled
    assert (model.item_vectors_[sampled].sum(axis=1) < 1.5).all()


def test_a_new_user_learns_from_the_items_met():
    (users, items), model, _ = updated(users=(12,), items=(1,), negatives=0, learning_rate=0.1)
    assert not users[12].any()
    np.testing.assert_allclose(model.user_vectors_[12], 0.1 * items[1], rtol=1e-5)


def test_a_new_item_learns_from_the_users_met():
    (users, items), model, moved = updated(users=(2,), items=(9,), negatives=0, learning_rate=0.1)
    assert not items[9].any()
    assert moved.tolist() == [9]
    np.testing.assert_allclose(model.item_vectors_[9], 0.1 * users[2], rtol=1e-5)


def test_a_new_item_met_by_a_new_user_waits_for_a_partner_that_has_a_vector():
    _, model, _ = updated(users=(12,), items=(9,), negatives=0)
    assert not model.user_vectors_[12].any()
    _, model, _ = updated(users=(12, 2), items=(9, 9), negatives=0)
    assert model.item_vectors_[9].any()


def test_repeated_steps_reach_the_target():
    _, model, _ = updated(users=[2] * 400, items=[1] * 400, negatives=0, regularization=0)
    assert model.user_vectors_[2] @ model.item_vectors_[1] == pytest.approx(1, abs=1e-3)


def test_a_replay_gives_the_same_vectors_and_another_seed_others():
    users, items = [2, 5, 12, 2], [1, 9, 4, 4]
    one, two, other = (
        updated(users=users, items=items, random_state=seed)[1].item_vectors_ for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_events_one_by_one_sample_what_the_batch_samples():
    users, items = [2, 5, 7], [1, 3, 4]
    model, interactions = known_world("als")
    for user, item in zip(users, items, strict=True):
        events = happened(model, interactions, [user], [item])
        SGDUpdater().update(OnlineState(model, interactions), events)
    _, batch, _ = updated(users=users, items=items)
    np.testing.assert_array_equal(model.item_vectors_, batch.item_vectors_)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("regularization", -1),
        ("negatives", -1),
        ("negatives", 1.5),
        ("random_state", "seed"),
        ("random_state", None),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        updated(**{name: value})


def test_a_batch_may_draw_what_its_user_meets_later_on():
    """Events one by one do not know what comes, and a batch draws as they do."""
    rng = np.random.default_rng(3)
    users, items = rng.integers(3, size=60).tolist(), rng.integers(9, size=60).tolist()
    model, interactions = known_world("als", n_users=4)
    # Users who met little, so that much is left to meet.
    interactions = interactions.subset(interactions.events.item_rows < 2)
    start = model.item_vectors_.copy()
    for user, item in zip(users, items, strict=True):
        SGDUpdater().update(OnlineState(model, interactions), happened(model, interactions, [user], [item]))
    other, batched = known_world("als", n_users=4)
    batched = batched.subset(batched.events.item_rows < 2)
    SGDUpdater().update(OnlineState(other, batched), happened(other, batched, users, items))
    np.testing.assert_array_equal(model.item_vectors_, other.item_vectors_)
    np.testing.assert_array_equal(model.user_vectors_, other.user_vectors_)
    assert not np.array_equal(model.item_vectors_, start)


@pytest.mark.parametrize("negatives", [0, 3])
def test_learning_one_is_an_update_with_one_event(negatives):
    _, expected, _ = updated(negatives=negatives)
    model, interactions = known_world("als")
    happened(model, interactions, [2], [1])
    SGDUpdater(negatives=negatives).learn_one(OnlineState(model, interactions), 2, 1)
    np.testing.assert_array_equal(model.user_vectors_, expected.user_vectors_)
    np.testing.assert_array_equal(model.item_vectors_, expected.item_vectors_)


def test_a_model_with_more_than_vectors_is_told_of_every_change():
    class Told(type(known_world("als")[0])):
        def set_user_vectors(self, user_rows, vectors):
            self.told = [user_rows.tolist()]
            super().set_user_vectors(user_rows, vectors)

        def set_item_vectors(self, item_rows, vectors):
            self.told.append(item_rows.tolist())
            super().set_item_vectors(item_rows, vectors)

    users, items = [2, 5, 2], [1, 3, 1]
    _, expected, moved = updated(users=users, items=items)
    model, interactions = known_world("als")
    model.__class__ = Told
    events = happened(model, interactions, users, items)
    SGDUpdater().update(OnlineState(model, interactions), events)
    assert model.told == [[2, 5], moved.tolist()]
    np.testing.assert_array_equal(model.item_vectors_, expected.item_vectors_)
    np.testing.assert_array_equal(model.user_vectors_, expected.user_vectors_)


def test_rows_without_a_vector_are_refused():
    model, interactions = known_world("als")
    beyond = Events(*(np.array([row], np.int32) for row in (99, 1)), np.ones(1, np.float32))
    state = OnlineState(model, interactions)
    with pytest.raises(IndexError, match="user row 99"):
        SGDUpdater(negatives=0).update(state, beyond)
    with pytest.raises(IndexError, match="item row -1"):
        SGDUpdater(negatives=0).learn_one(state, 0, -1)


def test_parameters_set_anew_count_from_the_next_event():
    model, interactions = known_world("als")
    state, events = OnlineState(model, interactions), happened(model, interactions, [2], [1])
    updater = SGDUpdater(negatives=0)
    updater.update(state, events)
    with pytest.raises(ParameterError, match="learning_rate"):
        updater.set_params(learning_rate=-1).update(state, events)
    before = model.item_vectors_.copy()
    updater.set_params(learning_rate=1e-9).update(state, events)
    np.testing.assert_allclose(model.item_vectors_, before, atol=1e-6)


def test_settings_follow_a_model_that_is_fitted_anew_and_go_with_it():
    known = Interactions.from_table([(u, i) for u in range(6) for i in range(8) if (u + i) % 2])
    updater, model = SGDUpdater(negatives=0), ALSFactorizer(factors=2).fit(known)
    updater.learn_one(OnlineState(model, known), 0, 5)
    model.set_params(factors=3).fit(known)
    before = model.user_vectors_[0].copy()
    updater.learn_one(OnlineState(model, known), 0, 5)
    assert before.shape == (3,)
    assert (model.user_vectors_[0] != before).any()
    number = id(model)
    assert number in sgd._SETTINGS
    del model
    gc.collect()
    assert number not in sgd._SETTINGS
