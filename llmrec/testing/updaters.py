"""What is demanded of an online updater."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.base import OnlineState
from llmrec.testing.check import Demands, Subject, require, require_equal
from llmrec.testing.comparison import first_change, frozen
from llmrec.testing.matrices import require_matrix, require_rows
from llmrec.testing.samples import no_events
from llmrec.testing.trials import online_inputs

__all__ = ["updater"]

updater = Demands()

_PAIRS = [(0, 3), (5, 2), (0, 7), (0, 3)]
_NEW = 24, 16
"""The first rows of a new user and of a new item."""


@updater(
    "moved rows are told",
    "``update`` returns sorted, unique int32 rows, among them every item whose vector changed.",
    "return np.unique(rows).astype(np.int32) of all items whose vectors you set",
)
def _moved_rows_are_told(subject: Subject) -> None:
    model, interactions, events = _inputs(_PAIRS)
    before = model.item_vectors_.copy()
    moved = subject.fresh().update(OnlineState(model, interactions), events)
    require_rows(moved, interactions.n_items, "update")
    changed = np.flatnonzero(np.any(before != model.item_vectors_, axis=1))
    missing = sorted(set(changed.tolist()) - set(moved.tolist()))
    require(not missing, f"the vectors of items {missing} changed, and update returned {moved.tolist()}")


@updater(
    "other users stay",
    "The vectors of users without a new event stay as they were, byte for byte.",
    "write to the rows of events.user_rows only",
)
def _other_users_stay(subject: Subject) -> None:
    model, interactions, events = _inputs(_PAIRS)
    before = model.user_vectors_.copy()
    subject.fresh().update(OnlineState(model, interactions), events)
    changed = set(np.flatnonzero(np.any(before != model.user_vectors_, axis=1)).tolist())
    others = sorted(changed - set(events.user_rows.tolist()))
    require(not others, f"the vectors of users {others} changed, who have no new event")


@updater(
    "score of the event rises",
    "After an event between a user and an item that had not met, the item scores higher for the user, "
    "against the mean of all items.",
    "move user and item towards each other, in the model that the state holds",
)
def _score_of_the_event_rises(subject: Subject) -> None:
    for user, item in ((0, 9), (3, 10), (6, 14)):
        model, interactions, event = _inputs([(user, item)])
        before = _lead(model, user, item)
        subject.fresh().update(OnlineState(model, interactions), event)
        after = _lead(model, user, item)
        require(
            after > before,
            f"item {item} scored {before:+.4f} against the mean for user {user}, and {after:+.4f} afterwards",
        )


@updater(
    "new users and items are taken in",
    "A new user gets a vector from an event with a known item, and a new item from one with a known user.",
    "where a vector is all zeros, start it from its partner in the event",
)
def _new_users_and_items_are_taken_in(subject: Subject) -> None:
    user, item = _NEW
    model, interactions, events = _inputs([(user, 3), (2, item)])
    subject.fresh().update(OnlineState(model, interactions), events)
    _require_finite(model, interactions)
    require(model.user_vectors_[user].any(), "the new user's vector is still zero")
    require(model.item_vectors_[item].any(), "the new item's vector is still zero")


@updater(
    "new user and new item may meet",
    "An event between a new user and a new item, both zero so far, leaves all vectors finite.",
    "take care with vectors of zeros: no division by their length",
)
def _new_user_and_new_item_may_meet(subject: Subject) -> None:
    model, interactions, events = _inputs([_NEW, (_NEW[0] + 1, _NEW[1] + 1)])
    moved = subject.fresh().update(OnlineState(model, interactions), events)
    require_rows(moved, interactions.n_items, "update")
    _require_finite(model, interactions)


@updater(
    "no events move nothing",
    "Zero events move nothing, and no row is returned.",
    "return np.empty(0, dtype=np.int32) for zero events, and change nothing",
)
def _no_events_move_nothing(subject: Subject) -> None:
    model, interactions, _ = _inputs(_PAIRS)
    before = frozen(model)
    moved = subject.fresh().update(OnlineState(model, interactions), no_events(interactions))
    require_rows(moved, interactions.n_items, "update")
    require(len(moved) == 0, f"update with no events returned {moved}")
    changed = first_change(before, frozen(model))
    require(changed is None, f"update with no events changed {changed}")


@updater(
    "ratings are learned too",
    "On a model of ratings it leaves all vectors finite, and leaves alone the coordinates that "
    "model.learnable masks out.",
    "multiply a gradient by the masks of model.learnable, and ask model.targets what an event asks for",
)
def _ratings_are_learned_too(subject: Subject) -> None:
    inputs = online_inputs(_PAIRS, feedback="explicit")
    model, interactions, events = inputs["model"], inputs["interactions"], inputs["events"]
    fixed = [np.flatnonzero(mask == 0) for mask in model.learnable]
    before = model.user_vectors_[:, fixed[0]], model.item_vectors_[:, fixed[1]]
    moved = subject.fresh().update(OnlineState(model, interactions), events)
    require_rows(moved, interactions.n_items, "update")
    _require_finite(model, interactions)
    after = model.user_vectors_[:, fixed[0]], model.item_vectors_[:, fixed[1]]
    for what, earlier, later in zip(("users", "items"), before, after, strict=True):
        require_equal(earlier, later, f"coordinates of {what} that are not to be learned", 0)


@updater(
    "many events in a row stay finite",
    "The same few events, two hundred times over, leave all vectors finite.",
    "bound the steps: an unbounded one grows with the vectors it moves",
)
def _many_events_in_a_row_stay_finite(subject: Subject) -> None:
    model, interactions, events = _inputs(_PAIRS * 50)
    subject.fresh().update(OnlineState(model, interactions), events)
    _require_finite(model, interactions)


@updater(
    "replay gives the same vectors",
    "The same events from the same start give the same vectors, in whichever instance they are replayed.",
    "seed random draws by random_state and by the number of events so far",
)
def _replay_gives_the_same_vectors(subject: Subject) -> None:
    used, first = subject.fresh(), _inputs(_PAIRS)
    used.update(OnlineState(first[0], first[1]), first[2])
    for what, component in (("the same updater", used), ("a fresh updater", subject.fresh())):
        again = _inputs(_PAIRS)
        component.update(OnlineState(again[0], again[1]), again[2])
        for name in ("user_vectors_", "item_vectors_"):
            require_equal(
                getattr(first[0], name), getattr(again[0], name), f"{name}, replayed by {what}", 1e-6
            )


def _inputs(pairs: list[tuple[int, int]]) -> tuple[Any, Any, Any]:
    inputs = online_inputs(pairs)
    return inputs["model"], inputs["interactions"], inputs["events"]


def _lead(model: Any, user: int, item: int) -> float:
    # Against the mean, because steps on sampled negatives lower the scores of all items together.
    scores = model.item_vectors_ @ model.user_vectors_[user]
    return float(scores[item] - scores.mean())


def _require_finite(model: Any, interactions: Any) -> None:
    width = model.item_vectors_.shape[1]
    require_matrix(model.user_vectors_, (interactions.n_users, width), "after update, user_vectors_")
    require_matrix(model.item_vectors_, (interactions.n_items, width), "after update, item_vectors_")
