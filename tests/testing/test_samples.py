"""The made-up data: what they promise to those who test with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrec.errors import ParameterError
from llmrec.testing import tiny_interactions
from llmrec.testing.comparison import first_change, frozen
from llmrec.testing.samples import held_out, sample_views, with_new_events


@given(st.integers(4, 30), st.integers(4, 30), st.integers(0, 5))
def test_tiny_interactions_are_two_groups_with_a_taste(n_users, n_items, seed):
    known = tiny_interactions(n_users, n_items, seed=seed)
    assert (known.n_users, known.n_items) == (n_users, n_items)
    assert known.user_counts[-1] == known.item_counts[-1] == 0
    assert (known.user_counts[:-1] > 0).all()
    events = known.events
    own_kind = (events.user_rows - events.item_rows) % 2 == 0
    assert (events.ratings[own_kind] >= 4).all()
    assert (events.ratings[~own_kind] <= 2).all()
    assert (np.diff(events.timestamps) > 0).all()
    assert known.matrix.data.max() == 1
    assert first_change(frozen(known), frozen(tiny_interactions(n_users, n_items, seed=seed))) is None


def test_seeds_differ():
    one, other = (tiny_interactions(seed=seed).events.item_rows.tolist() for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("sizes", [(3, 9), (9, 3), (9, "9")])
def test_too_small_is_refused(sizes):
    with pytest.raises(ParameterError, match="at least 4"):
        tiny_interactions(*sizes)


def test_held_out_events_are_liked_and_gone():
    known = tiny_interactions()
    train, held = held_out(known)
    assert train.n_events + len(held) == known.n_events
    assert set(held) == set(np.flatnonzero(known.user_counts).tolist())
    assert all((user - item) % 2 == 0 for user, item in held.items())
    assert not any(train.matrix[user, item] for user, item in held.items())


def test_new_events_extend_a_copy():
    known = tiny_interactions()
    before = frozen(known)
    grown, events = with_new_events(known, [(0, 3), (24, 16)])
    assert first_change(before, frozen(known)) is None
    assert (grown.n_users, grown.n_items, grown.n_events) == (25, 17, known.n_events + 2)
    assert grown.events.timestamps[-1] == events.timestamps[-1] > known.last_timestamp


def test_views_lack_a_text_events_and_both():
    text, behaviour = sample_views(tiny_interactions(), ("text", "behaviour"))
    assert (behaviour.present & ~text.present).any()
    assert (text.present & ~behaviour.present).any()
    assert (~text.present & ~behaviour.present).any()
    assert not text.vectors[~text.present].any()
    assert text.queries is not None
