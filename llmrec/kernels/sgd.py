"""Stochastic gradient steps, one after the other, and the items that did not happen, drawn by counting."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import brief_kernel, kernel

__all__ = ["spread_events", "take_step", "take_steps", "warm"]


@kernel
def _move(p: Any, q: Any, target: Any, rates: Any, shrink: Any) -> None:
    score = np.float32(0)
    for k in range(rates.shape[1]):
        score += p[k] * q[k]
    error = target - score
    for k in range(rates.shape[1]):
        own, other = p[k], q[k]
        p[k] = own + rates[0, k] * (error * other - shrink * own)
        q[k] = other + rates[1, k] * (error * own - shrink * other)


@brief_kernel
def take_step(
    user: int, item: int, target: float, user_vectors: Any, item_vectors: Any, rates: Any, ridge: float
) -> bool:
    """Move the vectors of one pair by one gradient step; return False where there are no such vectors.

    ``rates``: (2, dim), the learning rate of each coordinate of users and of items, 0 where it is fixed.
    """
    if user < 0 or item < 0 or user >= len(user_vectors) or item >= len(item_vectors):
        return False
    _move(user_vectors[user], item_vectors[item], np.float32(target), rates, np.float32(ridge))
    return True


@kernel
def take_steps(
    users: Any, items: Any, targets: Any, user_vectors: Any, item_vectors: Any, rates: Any, ridge: float
) -> int:
    """Take a step for each pair, in order; return how many, all or those before a pair without vectors."""
    shrink, n_users, n_items = np.float32(ridge), len(user_vectors), len(item_vectors)
    for step in range(len(users)):
        user, item = users[step], items[step]
        if user < 0 or item < 0 or user >= n_users or item >= n_items:
            return step
        _move(user_vectors[user], item_vectors[item], targets[step], rates, shrink)
    return len(users)


@kernel
def _mixed(number: Any) -> Any:
    """Return 64 bits that look random: the last stage of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@kernel
def spread_events(
    events: Any, owners: Any, indptr: Any, met: Any, known: Any, catalogue: Any, steps: Any, wanted: Any
) -> int:
    """Write each event as a step, and after it steps towards 0 on items that its user has not met.

    Parameters
    ----------
    events : tuple of ndarray
        User rows, item rows and targets.
    owners : ndarray of shape (n_events,)
        Which history is that of the event's user.
    indptr, met : ndarray
        Histories, as in :class:`~llmrec.interactions.Histories`.
    known : ndarray of shape (n_events,)
        The length of that history at the time of the event, which is its last entry then.
    catalogue : tuple of int
        Number of items, the seed, and the number of events before the first.
    steps : tuple of ndarray
        Room for user rows, item rows and targets.
    wanted : int
        Items to draw for an event. Twice as many draws are made at most.

    Returns
    -------
    int
        The number of steps.
    """
    n_items, seed, first = catalogue
    n_steps = 0
    for event in range(len(owners)):
        steps[0][n_steps], steps[1][n_steps] = events[0][event], events[1][event]
        steps[2][n_steps] = events[2][event]
        n_steps += 1
        start = indptr[owners[event]]
        stream = _mixed(_mixed(np.uint64(seed)) + np.uint64(first + event))
        n_drawn = 0
        for draw in range(2 * wanted):
            if n_drawn == wanted:
                break
            bits = _mixed(stream + np.uint64(draw) * np.uint64(0x9E3779B97F4A7C15))
            other = np.int64(((bits >> np.uint64(32)) * np.uint64(n_items)) >> np.uint64(32))
            n_equal = 0
            for entry in range(start, start + known[event]):
                n_equal += met[entry] == other
            if n_equal == 0:
                steps[0][n_steps], steps[1][n_steps] = events[0][event], other
                steps[2][n_steps] = 0
                n_steps += 1
                n_drawn += 1
    return n_steps


def warm() -> None:
    """Compile for float32 vectors and int32 rows."""
    vectors = np.ones((1, 4), dtype=np.float32)
    row, one = np.zeros(1, dtype=np.int32), np.ones(1, dtype=np.float32)
    rates = np.zeros((2, 4), dtype=np.float32)
    take_steps(row, row, one, vectors.copy(), vectors.copy(), rates, 0.0)
    take_step(0, 0, 1.0, vectors.copy(), vectors.copy(), rates, 0.0)
    room = tuple(np.empty(2, dtype=dtype) for dtype in (np.int32, np.int32, np.float32))
    place = np.zeros(1, dtype=np.int64)
    spread_events((row, row, one), place, np.array([0, 1]), row, place + 1, (1, 0, 0), room, 1)
