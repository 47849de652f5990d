"""FoldInUpdater: what an event touches is solved exactly, all else stays."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec.base import OnlineState
from llmrec.errors import ParameterError
from llmrec.updaters import FoldInUpdater
from tests.updaters.worlds import MODELS, happened, known_world


@pytest.mark.parametrize("name", list(MODELS))
def test_touched_users_have_the_vector_of_their_history(name):
    model, interactions = known_world(name)
    events = happened(model, interactions, [2, 5, 2, 12], [1, 9, 4, 3])
    FoldInUpdater().update(OnlineState(model, interactions), events)
    users = np.array([2, 5, 12], dtype=np.int32)
    expected = model.query_vectors(interactions.histories(users))
    np.testing.assert_allclose(model.user_vectors_[users], expected, atol=1e-6)
    assert model.user_vectors_[12].any()


@pytest.mark.parametrize("name", list(MODELS))
def test_touched_items_are_solved_for_the_users_as_they_were(name):
    model, interactions = known_world(name)
    events = happened(model, interactions, [2, 5], [1, 9])
    items = np.array([1, 9], dtype=np.int32)
    expected = model.fold_in_items(interactions.audiences(items))
    moved = FoldInUpdater().update(OnlineState(model, interactions), events)
    assert moved.tolist() == [1, 9]
    np.testing.assert_allclose(model.item_vectors_[items], expected, atol=1e-6)


@pytest.mark.parametrize("name", list(MODELS))
def test_what_no_event_touches_stays(name):
    model, interactions = known_world(name)
    events = happened(model, interactions, [2, 2], [1, 4])
    users, items = model.user_vectors_.copy(), model.item_vectors_.copy()
    FoldInUpdater().update(OnlineState(model, interactions), events)
    np.testing.assert_array_equal(np.delete(model.user_vectors_, 2, axis=0), np.delete(users, 2, axis=0))
    np.testing.assert_array_equal(
        np.delete(model.item_vectors_, [1, 4], axis=0), np.delete(items, [1, 4], axis=0)
    )


def test_items_with_a_large_audience_keep_their_vector_and_users_move():
    model, interactions = known_world("als")
    count = int(interactions.item_counts[1]) + 1
    for limit, moves in ((count - 1, []), (count, [1]), (None, [1]), (0, [])):
        model, interactions = known_world("als")
        events = happened(model, interactions, [2], [1])
        item, user = model.item_vectors_[1].copy(), model.user_vectors_[2].copy()
        moved = FoldInUpdater(max_audience=limit).update(OnlineState(model, interactions), events)
        assert moved.tolist() == moves
        assert np.array_equal(model.item_vectors_[1], item) == (moves == [])
        assert not np.array_equal(model.user_vectors_[2], user)


def test_an_implicit_event_raises_its_own_score():
    model, interactions = known_world("als")
    before = model.user_vectors_ @ model.item_vectors_.T
    met = interactions.matrix.toarray() > 0
    user, item = np.argwhere(~met)[0].tolist()
    events = happened(model, interactions, [user], [item])
    FoldInUpdater().update(OnlineState(model, interactions), events)
    assert model.user_vectors_[user] @ model.item_vectors_[item] > before[user, item]


@pytest.mark.parametrize("value", [-1, 2.5, "200"])
def test_a_wrong_parameter_is_named(value):
    model, interactions = known_world("als")
    events = happened(model, interactions, [2], [1])
    with pytest.raises(ParameterError, match="max_audience"):
        FoldInUpdater(max_audience=value).update(OnlineState(model, interactions), events)
