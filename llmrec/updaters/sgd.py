"""Gradient updates: one small step on each event and on a few items that did not happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmrec.base import FactorModel, FloatArray, IntArray, OnlineState, OnlineUpdater
from llmrec.errors import ParameterError
from llmrec.validation import check_integer, check_number

if TYPE_CHECKING:
    from llmrec.interactions import Events

__all__ = ["SGDUpdater"]


class SGDUpdater(OnlineUpdater):
    r"""Stochastic gradient descent on squared errors, event by event.

    The cheapest update: O(dim) an event, however long the history. For an event with target :math:`t` (1, or
    the rating) and user and item vectors :math:`p, q` it takes one step on
    :math:`(t - p q)^2 + \lambda (|p|^2 + |q|^2)`, and, for implicit feedback, one on :math:`(0 - p q_j)^2`
    for each of ``negatives`` sampled items (Vinagre, Jorge & Gama, "Fast incremental matrix factorization
    for recommendation with positive-only feedback", UMAP 2014, with the negatives they lack). A user or
    an item whose vector is still zero learns from its first partner that has one.
    :class:`FoldInUpdater` is more accurate; choose this one for very long histories or event rates.

    Parameters
    ----------
    learning_rate : float, default 0.05
    regularization : float, default 0.01
        :math:`\lambda`.
    negatives : int, default 5
        Sampled items an event, uniform over the catalogue without the user's own; for implicit feedback.
    random_state : int, default 0
        The items sampled for an event depend on this seed and on how many events came before, so that a
        replay from the same start gives the same vectors.

    Examples
    --------
    >>> from llmrec import ALSFactorizer
    >>> from llmrec.base import OnlineState
    >>> from llmrec.interactions import Events, Interactions
    >>> known = Interactions.from_table([(u, i) for u in range(6) for i in range(8) if (u + i) % 2])
    >>> als = ALSFactorizer(factors=2).fit(known)
    >>> event = Events(*(np.array([value], dtype=np.int32) for value in (0, 5)), np.ones(1, np.float32))
    >>> before = float(als.user_vectors_[0] @ als.item_vectors_[5])
    >>> known.append(event)
    >>> moved = SGDUpdater().update(OnlineState(als, known), event)
    >>> 5 in moved, float(als.user_vectors_[0] @ als.item_vectors_[5]) > before
    (True, True)
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        negatives: int = 5,
        random_state: int = 0,
    ):
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.negatives = negatives
        self.random_state = random_state

    def update(self, state: OnlineState, events: Events) -> IntArray:
        """Take the steps, in the order of the events; return the item rows that moved."""
        check_number("learning_rate", self.learning_rate, 0, above=True)
        check_number("regularization", self.regularization, 0)
        check_integer("negatives", self.negatives, minimum=0)
        model = state.model
        targets = model.targets(events)
        first = state.interactions.n_events - len(events)
        moved: set[int] = set()
        for position, (user, item) in enumerate(
            zip(events.user_rows.tolist(), events.item_rows.tolist(), strict=True)
        ):
            self._step(model, user, item, float(targets[position]))
            moved.add(item)
            if model.is_implicit:
                for other in self._sampled(state, user, item, first + position):
                    self._step(model, user, other, 0.0)
                    moved.add(other)
        return np.array(sorted(moved), dtype=np.int32)

    def _step(self, model: FactorModel, user: int, item: int, target: float) -> None:
        p, q = model.user_vectors_[user], model.item_vectors_[item]
        error = np.float32(target) - p @ q
        user_mask, item_mask = model.learnable
        rate, ridge = np.float32(self.learning_rate), np.float32(self.regularization)
        user_step: FloatArray = rate * (error * q - ridge * p) * user_mask
        item_step: FloatArray = rate * (error * p - ridge * q) * item_mask
        model.set_user_vectors(np.array([user], dtype=np.int32), p + user_step)
        model.set_item_vectors(np.array([item], dtype=np.int32), q + item_step)

    def _sampled(self, state: OnlineState, user: int, item: int, position: int) -> list[int]:
        """Draw items that the user has not met; fewer where they have met nearly all."""
        if not isinstance(self.random_state, int):
            raise ParameterError(f"random_state must be a whole number, got {self.random_state!r}.")
        rng = np.random.default_rng([self.random_state, position])
        history = set(state.interactions.histories(np.array([user], dtype=np.int32)).columns.tolist())
        drawn = rng.integers(state.interactions.n_items, size=2 * self.negatives)
        return [other for other in drawn.tolist() if other not in history and other != item][: self.negatives]
