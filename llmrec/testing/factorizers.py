"""What is demanded of a factorizer, and further of a factor model."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.errors import DataError
from llmrec.interactions import Histories, IdTable, Interactions
from llmrec.testing.check import Demands, Subject, broken, require, require_equal
from llmrec.testing.comparison import dense, difference
from llmrec.testing.matrices import require_matrix, require_rows
from llmrec.testing.samples import held_out, no_events, sample_rows, sample_vectors, tiny_interactions
from llmrec.vectors import dot

__all__ = ["factor_model", "factorizer"]

factorizer = Demands()
factor_model = Demands()

_FOLD_IN_TOLERANCE = 0.05


@factorizer(
    "vectors are float32 rows",
    "There is one finite float32 row an item and one a history, of the same width.",
    "return np.ascontiguousarray(vectors, dtype=np.float32), or a csr_array",
)
def _vectors_are_float32_rows(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    items = component.item_vectors()
    require_matrix(items, (inputs["interactions"].n_items, None), "item_vectors()")
    queries = component.query_vectors(inputs["histories"])
    require_matrix(queries, (len(inputs["histories"]), items.shape[1]), "query_vectors(histories)")


@factorizer(
    "batch equals single",
    "Histories asked about together get the vectors that each gets alone.",
    "compute each history's vector from that history alone",
)
def _batch_equals_single(subject: Subject) -> None:
    known, component = subject.trial.inputs("large")["interactions"], subject.learned()
    users = np.arange(known.n_users, dtype=np.int32)
    together = dense(component.query_vectors(known.histories()))
    alone = [dense(component.query_vectors(known.histories(users[row : row + 1]))) for row in users]
    require_equal(together, np.vstack(alone), "histories asked about together and one by one")


@factorizer(
    "empty history has a vector",
    "A history without events has a finite vector; no histories have no vectors.",
    "return a finite row for a history without events, often zeros",
)
def _empty_history_has_a_vector(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    width = component.item_vectors().shape[1]
    lists: tuple[list[list[int]], ...] = ([], [[]], [[], [1]])
    for rows in lists:
        histories = Histories.of(
            rows, inputs["interactions"].n_items, ratings=[[4.0] * len(one) for one in rows]
        )
        require_matrix(component.query_vectors(histories), (len(rows), width), f"query_vectors of {rows}")


@factorizer(
    "catalogue may have no events",
    "Fitted on items without a single event, it gives finite vectors, or says so with DataError.",
    "give finite vectors where there is nothing to learn, or DataError",
)
def _catalogue_may_have_no_events(subject: Subject) -> None:
    known = tiny_interactions()
    for users in (known.users, IdTable()):
        empty = Interactions(users, known.items, no_events(known))
        component = subject.fresh()
        try:
            component.fit(empty)
        except DataError:
            continue
        require_matrix(component.item_vectors(), (known.n_items, None), "without events, item_vectors()")


@factorizer(
    "held-out items score above others",
    "Of items that a user has not met, the one held out of their history scores above most others.",
    "make query · item the score of an item for a history",
)
def _held_out_items_score_above_others(subject: Subject) -> None:
    known, held = held_out(tiny_interactions(40, 16, seed=2))
    component = subject.fresh().fit(known)
    users = np.array(sorted(held), dtype=np.int32)
    histories = known.histories(users)
    scores = dot(component.query_vectors(histories), component.item_vectors())
    scores[histories.owners, histories.columns] = np.nan
    shares = []
    for own, user in zip(scores, users.tolist(), strict=True):
        wanted = own[held[user]]
        own[held[user]] = np.nan
        others = own[~np.isnan(own)]
        shares.append(np.mean((others < wanted) + 0.5 * (others == wanted)))
    mean = float(np.nanmean(shares))
    require(mean > 0.55, f"it scores above {mean:.0%} of them; chance is 50%, popularity alone has 68%")


@factorizer(
    "partial_fit tells what moved",
    "``partial_fit`` returns sorted, unique rows, among them every item whose vector changed.",
    "return the sorted rows of all items whose vectors changed, as int32",
)
def _partial_fit_tells_what_moved(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    n_items = inputs["grown"].n_items
    before = dense(component.item_vectors()).copy()
    moved = component.partial_fit(inputs["grown"], inputs["events"])
    require_rows(moved, n_items, "partial_fit")
    items = component.item_vectors()
    require(
        len(before) <= items.shape[0] <= n_items,
        f"{len(before)} item vectors became {items.shape[0]} of {n_items}",
    )
    require_matrix(items, (items.shape[0], None), "after partial_fit, item_vectors()")
    after = dense(items)
    padded = np.zeros((len(after), max(before.shape[1], after.shape[1])), dtype=np.float32)
    padded[: len(before), : before.shape[1]] = before
    changed = np.flatnonzero(np.any(padded[:, : after.shape[1]] != after, axis=1))
    missing = sorted(set(changed.tolist()) - set(moved.tolist()))
    require(not missing, f"the vectors of {missing} changed, and partial_fit returned {moved.tolist()}")


@factorizer(
    "partial_fit keeps it usable",
    "After ``partial_fit`` with a new user and a new item, histories of all users have finite vectors.",
    "let queries be asked for after items and users were added",
)
def _partial_fit_keeps_it_usable(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    component.partial_fit(inputs["grown"], inputs["events"])
    items = component.item_vectors()
    histories = inputs["grown"].histories().known_to(items.shape[0])
    require_matrix(
        component.query_vectors(histories), (len(histories), items.shape[1]), "query_vectors(histories)"
    )


@factorizer(
    "no events move nothing",
    "``partial_fit`` with zero events changes no vector and returns no row.",
    "return np.empty(0, dtype=np.int32) for zero events, and change nothing",
)
def _no_events_move_nothing(subject: Subject) -> None:
    known, component = subject.trial.inputs("large")["interactions"], subject.learned()
    before = subject.answers(component)
    moved = component.partial_fit(known, no_events(known))
    require_rows(moved, known.n_items, "partial_fit")
    require(len(moved) == 0, f"partial_fit with no events returned {moved}")
    require_equal(
        before, subject.answers(component), "before and after partial_fit with no events", tolerance=0
    )


@factor_model(
    "there is a vector for everyone",
    "``user_vectors_`` and ``item_vectors_`` have a float32 row for each user and item, of one width.",
    "set user_vectors_ and item_vectors_ in fit, float32 of one width",
)
def _there_is_a_vector_for_everyone(subject: Subject) -> None:
    known, component = subject.trial.inputs("large")["interactions"], subject.learned()
    items = component.item_vectors_
    require_matrix(items, (known.n_items, None), "item_vectors_")
    require_matrix(component.user_vectors_, (known.n_users, items.shape[1]), "user_vectors_")
    rows = sample_rows(3, 0, 3)
    kept = component.known_query_vectors(rows)
    require_equal(kept, component.user_vectors_[rows], "known_query_vectors(rows) and user_vectors_[rows]", 0)


@factor_model(
    "fold-in agrees with training",
    "The fold-in of a known user's history scores items as the user's trained vector does.",
    "let query_vectors solve what training solves for a user",
)
def _fold_in_agrees_with_training(subject: Subject) -> None:
    known, component = subject.trial.inputs("large")["interactions"], subject.learned()
    users = np.flatnonzero(known.user_counts).astype(np.int32)
    trained = component.user_vectors_[users] @ component.item_vectors_.T
    folded = component.query_vectors(known.histories(users)) @ component.item_vectors_.T
    _require_near(trained, folded, "trained and folded-in users score")


@factor_model(
    "fold-in of items agrees with training",
    "The fold-in of a known item's audience is scored nearly as the item's trained vector is.",
    "let fold_in_items solve what training solves for an item",
)
def _fold_in_of_items_agrees_with_training(subject: Subject) -> None:
    known, component = subject.trial.inputs("large")["interactions"], subject.learned()
    items = np.flatnonzero(known.item_counts).astype(np.int32)
    folded = component.fold_in_items(known.audiences(items))
    require_matrix(folded, (len(items), component.item_vectors_.shape[1]), "fold_in_items(audiences)")
    trained = component.user_vectors_ @ component.item_vectors_[items].T
    # Training may have moved the users once more after it solved for the items.
    _require_near(
        trained, component.user_vectors_ @ folded.T, "trained and folded-in items are scored", factor=4
    )


@factor_model(
    "targets and masks fit the vectors",
    "``targets`` has a finite number an event; ``learnable`` two masks of zeros and ones, as wide as "
    "a vector.",
    "return float32 arrays: one target an event, one mask entry a column",
)
def _targets_and_masks_fit_the_vectors(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    targets = np.asarray(component.targets(inputs["events"]))
    require(targets.shape == (len(inputs["events"]),), f"targets have shape {targets.shape}")
    require(np.isfinite(targets).all(), f"targets are {targets}")
    width = component.item_vectors_.shape[1]
    for what, mask in zip(("users", "items"), component.learnable, strict=True):
        require(mask.shape == (width,), f"the mask of {what} has shape {mask.shape}, not {(width,)}")
        require(set(mask.tolist()) <= {0.0, 1.0}, f"the mask of {what} is {mask}")
    require(isinstance(component.is_implicit, bool), f"is_implicit is {component.is_implicit!r}")


@factor_model(
    "resize adds rows of zeros",
    "``resize`` keeps what is there and adds vectors of zeros, also when it is called again and again.",
    "use grown of llmrec.vectors, as the base class does",
)
def _resize_adds_rows_of_zeros(subject: Subject) -> None:
    component = subject.learned()
    users, items = component.user_vectors_.copy(), component.item_vectors_.copy()
    for more in (1, 2, 40):
        component.resize(len(users) + more, len(items) + 2 * more)
        for what, before, after, n_rows in (
            ("user_vectors_", users, component.user_vectors_, len(users) + more),
            ("item_vectors_", items, component.item_vectors_, len(items) + 2 * more),
        ):
            require_matrix(after, (n_rows, before.shape[1]), f"after resize, {what}")
            require_equal(before, after[: len(before)], f"{what} before and after resize", 0)
            require(not after[len(before) :].any(), f"new rows of {what} are not zero")


@factor_model(
    "set vectors are those read",
    "``set_user_vectors`` and ``set_item_vectors`` replace the vectors of these rows and no others.",
    "write to user_vectors_ and item_vectors_",
)
def _set_vectors_are_those_read(subject: Subject) -> None:
    component = subject.learned()
    rows, vectors = sample_rows(4, 1), sample_vectors(2, component.item_vectors_.shape[1], 9)
    users, items = component.user_vectors_.copy(), component.item_vectors_.copy()
    users[rows], items[rows] = vectors, vectors
    component.set_user_vectors(rows, vectors)
    component.set_item_vectors(rows, vectors)
    every = np.arange(len(users), dtype=np.int32)
    require_equal(users, component.known_query_vectors(every), "users as set and as read", 0)
    require_equal(items, component.item_vectors(), "items as set and as read", 0)


def _require_near(trained: Any, folded: Any, what: str, factor: float = 1.0) -> None:
    spread = float(np.ptp(trained)) or 1.0
    found = difference(trained / spread, folded / spread, tolerance=_FOLD_IN_TOLERANCE * factor)
    if found is not None:
        largest = float(np.abs(trained - folded).max()) / spread
        broken(f"{what} differently, by up to {largest:.0%} of the range of scores")
