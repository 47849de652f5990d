"""What factorizers trained by gradients share: torch in one thread, a held-out part, when to stop."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from llmrec.base import FloatArray, IntArray
from llmrec.errors import MissingExtraError
from llmrec.progress import progress_bar
from llmrec.threads import one_blas_thread

__all__ = ["Trainer", "closeness", "hold_out_entries", "import_torch", "ndcg", "single_threaded", "train"]

_SHARE = 0.1
_SHORTEST = 3
_JUDGED_USERS = 1000
_USERS_AT_A_TIME = 256
_LIST_LENGTH = 100

_threads = threading.Lock()
_fits_running = 0
_threads_before = 1


class Trainer(Protocol):
    """A model in training."""

    def epoch(self) -> float:
        """Go through the data once; return the mean loss."""

    def scores(self, user_rows: IntArray) -> FloatArray:
        """Return the scores of all items for some of the users trained on, ``(n, n_items)``."""


def import_torch(component: object) -> Any:
    """Import torch, or say which extra brings it."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingExtraError(
            f"{type(component).__name__} needs torch to fit; install it with: pip install 'llmrec[torch]'"
        ) from error


@contextmanager
def single_threaded(torch: Any) -> Iterator[None]:
    """Let torch and numpy work in one thread: threads change the rounding of sums, and training amplifies it.

    The number of torch's threads is the process's, so the last of several fits at once restores it.
    """
    global _fits_running, _threads_before
    with _threads:
        if not _fits_running:
            _threads_before = torch.get_num_threads()
        _fits_running += 1
    torch.set_num_threads(1)
    try:
        with one_blas_thread():
            yield
    finally:
        with _threads:
            _fits_running -= 1
            if not _fits_running:
                torch.set_num_threads(_threads_before)


def train(
    start: Callable[[Any], Any],
    weights: Any,
    *,
    epochs: int,
    patience: int | None,
    seed: int,
    description: str,
    progress: bool,
    judge: Callable[[Callable[[IntArray], FloatArray], Any, Any], float] | None = None,
) -> tuple[Any, list[float]]:
    """Train on all of ``weights``, as long as a first training on nine tenths of it kept improving.

    Parameters
    ----------
    start : callable
        Makes a new :class:`Trainer` of a users × items matrix.
    weights : csr_array of shape (n_users, n_items)
    epochs : int
        At most this many.
    patience : int or None
        Stop the first training after this many epochs without a better list of held-out items. None goes
        through all ``epochs`` and holds nothing out.
    seed : int
        Chooses what is held out.
    judge : callable, optional
        What is to be as large as possible on the held-out part; :func:`ndcg`, if not given.

    Returns
    -------
    trainer : Trainer
    losses : list of float
        Mean loss of each epoch of the second training.
    """
    if patience is not None:
        seen, held = hold_out_entries(weights, seed)
        if held.nnz:
            bar = progress_bar(description=f"{description}, epochs", total=epochs, enabled=progress)
            epochs = _best_epoch(start(seen), seen, held, epochs, patience, bar, judge or ndcg)
            bar.close()
    trainer, losses = start(weights), []
    bar = progress_bar(range(epochs), description=description, enabled=progress)
    for _ in bar:
        losses.append(trainer.epoch())
        bar.set_postfix_str(f"loss {losses[-1]:.5g}", refresh=False)
    bar.close()
    return trainer, losses


def _best_epoch(
    trainer: Trainer,
    seen: Any,
    held: Any,
    epochs: int,
    patience: int,
    bar: Any,
    judge: Callable[[Callable[[IntArray], FloatArray], Any, Any], float],
) -> int:
    best, found = 1, -np.inf
    for epoch in range(1, epochs + 1):
        trainer.epoch()
        value = judge(trainer.scores, seen, held)
        bar.update()
        bar.set_postfix_str(f"held out {value:.4f}", refresh=False)
        if value > found:
            best, found = epoch, value
        elif epoch - best >= patience:
            break
    return best


def hold_out_entries(weights: Any, seed: int) -> tuple[Any, Any]:
    """Split a sparse matrix: a tenth of each row, chosen at random, comes second.

    Rows with fewer than three entries stay whole; of all others at least one entry comes second.

    Examples
    --------
    >>> seen, held = hold_out_entries(sparse.csr_array(np.ones((2, 20))), seed=0)
    >>> seen.nnz, held.nnz
    (36, 4)
    """
    lengths = np.diff(weights.indptr)
    owners = np.repeat(np.arange(weights.shape[0]), lengths)
    order = np.lexsort((np.random.default_rng(seed).random(weights.nnz), owners))
    taken = np.where(lengths >= _SHORTEST, np.maximum(1, (lengths * _SHARE).astype(np.int64)), 0)
    is_held = np.zeros(weights.nnz, dtype=np.bool_)
    is_held[order] = np.arange(weights.nnz) - np.repeat(weights.indptr[:-1], lengths) < np.repeat(
        taken, lengths
    )
    return _entries(weights, owners, ~is_held), _entries(weights, owners, is_held)


def _entries(weights: Any, owners: Any, kept: Any) -> Any:
    return sparse.csr_array(
        (weights.data[kept], (owners[kept], weights.indices[kept])), shape=weights.shape, dtype=np.float32
    )


def ndcg(scores: Callable[[IntArray], FloatArray], seen: Any, held: Any) -> float:
    """Return the mean nDCG of the best hundred unseen items, over at most a thousand users.

    Parameters
    ----------
    scores : callable
        Gives the scores of all items for some user rows, ``(n, n_items)``.
    seen, held : csr_array of shape (n_users, n_items)
        What a user knows, which is not ranked, and what was held out.
    """
    users = _judged(held)
    length = min(_LIST_LENGTH, held.shape[1])
    discounts = 1 / np.log2(np.arange(2, length + 2))
    total = 0.0
    for start in range(0, len(users), _USERS_AT_A_TIME):
        rows = users[start : start + _USERS_AT_A_TIME]
        scored = np.array(scores(rows), dtype=np.float32)
        known, wanted = seen[rows].tocoo(), held[rows]
        scored[known.row, known.col] = -np.inf
        best = np.argpartition(-scored, length - 1, axis=1)[:, :length]
        order = np.argsort(-np.take_along_axis(scored, best, axis=1), axis=1, kind="stable")
        is_hit = np.take_along_axis(wanted.toarray() > 0, np.take_along_axis(best, order, axis=1), axis=1)
        ideal = np.cumsum(discounts)[np.minimum(np.diff(wanted.indptr), length) - 1]
        total += float(np.sum((is_hit @ discounts) / ideal))
    return total / max(len(users), 1)


def closeness(scores: Callable[[IntArray], FloatArray], seen: Any, held: Any) -> float:
    """Return minus the root mean squared error of the held-out values, over at most a thousand users."""
    users = _judged(held)
    total, n_values = 0.0, 0
    for start in range(0, len(users), _USERS_AT_A_TIME):
        rows = users[start : start + _USERS_AT_A_TIME]
        wanted = held[rows].tocoo()
        total += float(np.sum((scores(rows)[wanted.row, wanted.col] - wanted.data) ** 2, dtype=np.float64))
        n_values += wanted.nnz
    return -float(np.sqrt(total / max(n_values, 1)))


def _judged(held: Any) -> IntArray:
    users = np.flatnonzero(np.diff(held.indptr)).astype(np.int32)
    return users[:: max(1, -(-len(users) // _JUDGED_USERS))]
