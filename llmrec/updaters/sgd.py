"""Gradient updates: one small step on each event and on a few items that did not happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
import numpy.typing as npt

from llmrec.base import FactorModel, FloatArray, IntArray, OnlineState, OnlineUpdater
from llmrec.errors import ParameterError
from llmrec.validation import check_integer, check_number
from llmrec.vectors import distinct

if TYPE_CHECKING:
    from llmrec.interactions import Events

__all__ = ["SGDUpdater"]

LongArray = npt.NDArray[np.int64]

_LARGEST_SEED = 2**63 - 1


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
        Sampled items an event, uniform over the catalogue without what the user has met by then; for
        implicit feedback. They take a step each, and the user's history to look through.
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
        n_events = len(events)
        if not n_events:
            return np.empty(0, dtype=np.int32)
        model = state.model
        settings = self._settings(model)
        columns: Any = (events.user_rows, events.item_rows, model.targets(events))
        if n_events > 1:
            # What was taken from others by strides; one event lies as it should.
            columns = tuple(np.ascontiguousarray(column) for column in columns)
        items = self._learn(state, settings, columns)
        return distinct(items)

    def learn_one(self, state: OnlineState, user_row: int, item_row: int, target: float = 1.0) -> None:
        """Do as :meth:`update` does for one event, the last of the interactions, without arrays around it.

        For a loop of one's own over single events, in which arrays of length 1 cost more than the step.
        Without negatives it takes a few microseconds.

        Examples
        --------
        >>> from llmrec import ALSFactorizer
        >>> from llmrec.base import OnlineState
        >>> from llmrec.interactions import Interactions
        >>> known = Interactions.from_table([(u, i) for u in range(6) for i in range(8) if (u + i) % 2])
        >>> als = ALSFactorizer(factors=2).fit(known)
        >>> SGDUpdater(negatives=0).learn_one(OnlineState(als, known), user_row=0, item_row=5)
        """
        model = state.model
        settings = self._settings(model)
        if settings.negatives or model.has_derived_state:
            rows = (np.array([row], dtype=np.int32) for row in (user_row, item_row))
            self._learn(state, settings, (*rows, np.array([target], dtype=np.float32)))
            return
        p, q = model.user_vectors_, model.item_vectors_
        if not settings.take_step(user_row, item_row, target, p, q, settings.rates, settings.ridge):
            raise _no_vectors(model, user_row, item_row)

    def _learn(self, state: OnlineState, settings: _Settings, events: Any) -> IntArray:
        steps = self._with_negatives(state, settings, events) if settings.negatives else events
        users, items, targets = steps
        settings.move(state.model, users, items, targets)
        moved: IntArray = items
        return moved

    def _settings(self, model: FactorModel) -> _Settings:
        """Return the checked parameters as the kernel reads them; remembered, for one event is no work."""
        given = (self.learning_rate, self.regularization, self.negatives, self.random_state)
        # By number, for to look a weak reference up takes as long as a step.
        number = id(model)
        known = _SETTINGS.get(number)
        if known is None or known.given != given or not known.fits(model):
            known = _SETTINGS[number] = self._checked(model, given)
        return known

    def _checked(self, model: FactorModel, given: Any) -> _Settings:
        rate = check_number("learning_rate", self.learning_rate, 0, above=True)
        ridge = check_number("regularization", self.regularization, 0)
        negatives = check_integer("negatives", self.negatives, minimum=0)
        if not isinstance(self.random_state, int):
            raise ParameterError(f"random_state must be a whole number, got {self.random_state!r}.")
        rates = np.float32(rate) * np.stack(model.learnable).astype(np.float32)
        return _Settings(model, given, rates, ridge, negatives if model.is_implicit else 0)

    def _with_negatives(self, state: OnlineState, settings: _Settings, events: Any) -> Any:
        """Put the sampled items after each event: what has been met by then is not drawn."""
        from llmrec.kernels.sgd import spread_events

        interactions, n_events = state.interactions, len(events[0])
        users, owners, n_left = _later_of_same_user(events[0])
        histories = interactions.items_met(users)
        known = np.diff(histories[0])[owners] - n_left
        n_steps = n_events * (1 + settings.negatives)
        steps = tuple(np.empty(n_steps, dtype=dtype) for dtype in (np.int32, np.int32, np.float32))
        seed = self.random_state & _LARGEST_SEED
        catalogue = (interactions.n_items, seed, interactions.n_events - n_events)
        n_steps = spread_events(events, owners, *histories, known, catalogue, steps, settings.negatives)
        return tuple(column[:n_steps] for column in steps)


class _Settings:
    """Checked parameters for one model, and the kernels."""

    def __init__(self, model: FactorModel, given: Any, rates: FloatArray, ridge: float, negatives: int):
        from llmrec.kernels.sgd import take_step, take_steps

        number = id(model)
        self.model = ref(model, lambda _: _SETTINGS.pop(number, None))
        self.vectors = model.user_vectors_
        self.is_implicit = model.is_implicit
        self.given = given
        self.rates = rates
        self.ridge = ridge
        self.negatives = negatives
        self.take_step = take_step
        self.take_steps = take_steps

    def fits(self, model: FactorModel) -> bool:
        """Whether the model is as it was: with the vectors that it had, or with as wide ones after growth."""
        vectors = model.user_vectors_
        if vectors is self.vectors:
            return True
        self.vectors = vectors
        return vectors.shape[1] == self.rates.shape[1] and model.is_implicit == self.is_implicit

    def move(self, model: FactorModel, users: IntArray, items: IntArray, targets: FloatArray) -> None:
        """Take steps on the model's vectors: in place, or on copies where more hangs on the vectors."""
        if not model.has_derived_state:
            p, q = model.user_vectors_, model.item_vectors_
            n_taken = self.take_steps(users, items, targets, p, q, self.rates, self.ridge)
            if n_taken < len(users):
                raise _no_vectors(model, int(users[n_taken]), int(items[n_taken]))
            return
        known = (users >= 0) & (users < len(model.user_vectors_))
        known &= (items >= 0) & (items < len(model.item_vectors_))
        if not known.all():
            first = int(np.argmin(known))
            raise _no_vectors(model, int(users[first]), int(items[first]))
        user_rows, own_users = np.unique(users, return_inverse=True)
        item_rows, own_items = np.unique(items, return_inverse=True)
        p, q = model.user_vectors_[user_rows], model.item_vectors_[item_rows]
        own_users, own_items = own_users.astype(np.int32), own_items.astype(np.int32)
        self.take_steps(own_users, own_items, targets, p, q, self.rates, self.ridge)
        model.set_user_vectors(user_rows, p)
        model.set_item_vectors(item_rows, q)


_SETTINGS: dict[int, _Settings] = {}


def _no_vectors(model: FactorModel, user_row: int, item_row: int) -> IndexError:
    return IndexError(
        f"an event of user row {user_row} and item row {item_row}, and the model has vectors of "
        f"{len(model.user_vectors_)} users and {len(model.item_vectors_)} items; resize it first."
    )


def _later_of_same_user(user_rows: IntArray) -> tuple[IntArray, LongArray, LongArray]:
    """Return the users, which of them each event is of, and how many later events that user has here."""
    if len(user_rows) == 1:
        return user_rows, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    users, owners, counts = np.unique(user_rows, return_inverse=True, return_counts=True)
    by_user = np.argsort(owners, kind="stable")
    n_left = np.empty(len(user_rows), dtype=np.int64)
    ends = np.cumsum(counts)
    n_left[by_user] = np.repeat(ends, counts) - 1 - np.arange(len(user_rows))
    return users, owners.astype(np.int64, copy=False), n_left
