"""A linear autoencoder of low rank: items near each other where the same users take them (ELSA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmrec.base import Factorizer, FloatArray, IntArray
from llmrec.factorizers.training import import_torch, single_threaded, train
from llmrec.validation import check_fitted, check_integer, check_number

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories, Interactions

__all__ = ["LinearAutoencoder"]

_SMALLEST = 1e-9


class LinearAutoencoder(Factorizer):
    r"""Item factors from which each history predicts itself, no item helping to predict itself.

    With unit rows :math:`A` (items × factors) a history :math:`x` is reconstructed as
    :math:`x (A A^T - I)`, whose diagonal is zero, and the loss is the squared distance of the two,
    both scaled to length 1 (ELSA: Vančura et al., "Scalable Linear Shallow Autoencoder for Collaborative
    Filtering", RecSys 2022). It is EASE at the price of a factor model, and about as good: choose it
    for catalogues whose items × items matrix does not fit, or where users come and go, for a fold-in is a
    sum of item vectors, :math:`x A`.

    Needs the extra ``torch`` for :meth:`fit`; serving is numpy alone.

    Parameters
    ----------
    factors : int, default 64
        Width of the vectors. Larger catalogues with many events want more, up to some hundred.
    epochs : int, default 60
        At most this many passes over the users.
    patience : int or None, default 5
        The number of passes is chosen by a first training on nine tenths of each history, which stops after
        this many passes without a better list of the last tenth; the second training uses all events.
        None goes through all ``epochs`` at once.
    batch_size : int, default 128
        Users in a step. A step costs ``n_items * factors ** 2`` operations, however small the batch:
        raise it, and the learning rate with it, for many users.
    learning_rate : float, default 0.05
        Of NAdam.
    random_state : int, default 0
        Seed of the starting factors, of the order of users, and of what is held out.
    progress : bool, default True
        Show a bar when a fit takes over two seconds.

    Attributes
    ----------
    item_vectors_ : ndarray of shape (n_items, factors)
        Of length 1; zero for an item without events.
    losses_ : list of float
        The mean loss of each pass of the last training, from 0 (the same direction) to 4.

    Notes
    -----
    The :math:`-I` is left out of the scores: it touches the items of the history alone, which are not
    recommended again. It is what the training is about, though: without it :math:`A A^T = I` would do.

    The loss is computed through :math:`A^T A`, without a row of reconstructed items, as
    :math:`|x(AA^T - I)|^2 = q A^T A q^T - 2 q q^T + x x^T` with :math:`q = x A`. Negative
    predictions therefore count, whereas the authors' code cuts them off at 0; on MovieLens that generalises
    better as well.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([(u, i) for u in range(20) for i in range(8) if (u + i) % 2])
    >>> model = LinearAutoencoder(factors=2, epochs=100, patience=None).fit(events)
    >>> first, others = model.item_vectors()[0], model.item_vectors()[1:]
    >>> (others @ first > 0.9).tolist()               # the first four items are those of the same users
    [True, True, True, False, False, False, False]
    """

    def __init__(
        self,
        factors: int = 64,
        *,
        epochs: int = 60,
        patience: int | None = 5,
        batch_size: int = 128,
        learning_rate: float = 0.05,
        random_state: int = 0,
        progress: bool = True,
    ):
        self.factors = factors
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.progress = progress

    def fit(self, interactions: Interactions) -> Self:
        """Learn the item factors from all histories.

        Raises
        ------
        MissingExtraError
            If torch is not installed.
        """
        self._check_parameters()
        torch = import_torch(self)
        weights = interactions.matrix
        with single_threaded(torch):
            trainer, self.losses_ = train(
                lambda part: _Trainer(torch, part, self),
                weights,
                epochs=self.epochs,
                patience=self.patience,
                seed=self.random_state,
                description="Linear autoencoder",
                progress=self.progress,
            )
        # A row that no history holds was only pushed about by the others.
        self.item_vectors_: FloatArray = trainer.item_vectors()
        self.item_vectors_[interactions.item_counts == 0] = 0
        return self

    def item_vectors(self) -> FloatArray:
        """Return the ``(n_items, factors)`` unit rows."""
        check_fitted(self, "item_vectors_")
        return self.item_vectors_

    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return the weighted sums of the histories' item vectors: ``(n, factors)``."""
        check_fitted(self, "item_vectors_")
        return np.asarray(histories.weight_matrix() @ self.item_vectors_, dtype=np.float32)

    def history_parts(self, histories: Histories) -> FloatArray:
        """Return the weighted item vector of each entry of the histories, ``(nnz, factors)``."""
        check_fitted(self, "item_vectors_")
        return np.asarray(histories.entry_matrix() @ self.item_vectors_, dtype=np.float32)

    def _check_parameters(self) -> None:
        check_integer("factors", self.factors, minimum=1)
        check_integer("epochs", self.epochs, minimum=1)
        if self.patience is not None:
            check_integer("patience", self.patience, minimum=1)
        check_integer("batch_size", self.batch_size, minimum=1)
        check_number("learning_rate", self.learning_rate, 0, above=True)
        check_integer("random_state", self.random_state, minimum=0)


class _Trainer:
    def __init__(self, torch: Any, weights: Any, settings: LinearAutoencoder):
        self.torch = torch
        self.weights = weights
        self.users = torch.from_numpy(np.flatnonzero(np.diff(weights.indptr)))
        self.batch_size = settings.batch_size
        self.random = torch.Generator().manual_seed(settings.random_state)
        shape = (weights.shape[1], settings.factors)
        self.factors = torch.randn(shape, generator=self.random).requires_grad_()
        self.optimizer = torch.optim.NAdam([self.factors], lr=settings.learning_rate)

    def epoch(self) -> float:
        torch, total = self.torch, 0.0
        order = self.users[torch.randperm(len(self.users), generator=self.random)]
        for batch in order.split(self.batch_size) if len(order) else ():
            loss = self._loss(self.weights[batch.numpy()])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(batch)
        return total / max(len(order), 1)

    def _loss(self, histories: Any) -> Any:
        torch = self.torch
        items = torch.nn.functional.normalize(self.factors, dim=1)
        queries = torch.nn.functional.embedding_bag(
            torch.from_numpy(histories.indices.astype(np.int64)),
            items,
            torch.from_numpy(histories.indptr[:-1].astype(np.int64)),
            mode="sum",
            per_sample_weights=torch.from_numpy(histories.data),
        )
        squares = torch.from_numpy(histories.multiply(histories).sum(axis=1).astype(np.float32))
        lengths = (queries**2).sum(dim=1)
        predicted = ((queries @ (items.T @ items)) * queries).sum(dim=1) - 2 * lengths + squares
        cosines = (lengths - squares) / (squares * predicted.clamp_min(_SMALLEST)).sqrt()
        return (2 - 2 * cosines).mean()

    def item_vectors(self) -> FloatArray:
        unit = self.torch.nn.functional.normalize(self.factors.detach(), dim=1)
        return np.array(unit.numpy(), dtype=np.float32)

    def scores(self, user_rows: IntArray) -> FloatArray:
        items = self.item_vectors()
        return np.asarray((self.weights[user_rows] @ items) @ items.T, dtype=np.float32)
