"""Neural collaborative filtering: a product of embeddings and a network over both, side by side (NeuMF)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import lsmr

from llmrec.base import Factorizer, FloatArray, IntArray
from llmrec.errors import DataError, ParameterError
from llmrec.factorizers.training import closeness, import_torch, ndcg, single_threaded, train
from llmrec.validation import check_choice, check_fitted, check_integer, check_number
from llmrec.vectors import unit_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories, Interactions

__all__ = ["NeuralCF"]

_START_SCALE = 0.05
_REDRAWS = 4


class NeuralCF(Factorizer):
    r"""NeuMF: user and item embeddings, multiplied coordinate by coordinate and read by a small network.

    .. math::
        s_{ui} = w \cdot [\,p_u \circ q_i \;;\; F(p'_u, q'_i)\,] + c

    with separate embeddings for the two halves (He et al., "Neural Collaborative Filtering", WWW 2017).
    Choose it to compare with the literature: on the data sets that are known to us, every other
    factorizer here is faster, and those fitted well are more accurate
    (Rendle et al., "Neural Collaborative Filtering vs. Matrix Factorization Revisited", RecSys 2020).
    Needs the extra ``torch`` for :meth:`fit`; serving is numpy alone.

    A network is no inner product, so the scores themselves serve as vectors: an item's vector is its row of
    the identity, sparse, and a query's is its row of scores, exact. **That has a price**: a query takes
    ``n_items`` numbers and a pass of the network over the whole catalogue, which is quick for some thousand
    items and memory for many queries at once. Catalogues above ``max_items`` are refused.

    Parameters
    ----------
    factors : int, default 8
        Width of the product's embeddings.
    layers : tuple of int, default (16, 8, 4)
        Units of the network's layers; the first is its input, half of it the user's.
    feedback : {"implicit", "explicit"}, default "implicit"
        ``"implicit"`` tells what happened from ``negatives`` random items an event, by cross entropy;
        ``"explicit"`` predicts the ratings, by squared error.
    negatives : int, default 4
        Items drawn a pass for each one that a user met; implicit feedback alone.
    fold_in_ridge : float, default 3.0
        The embedding of a history is a ridge regression of the trained embeddings on histories of length 1;
        this is its penalty, above 0.
    max_items : int, default 20000
        The largest catalogue to accept.
    epochs : int, default 30
        At most this many passes over the events.
    patience : int or None, default 4
        The number of passes is chosen by a first training on nine tenths of each history, which stops after
        this many passes that do not predict the last tenth better. None goes through all ``epochs`` at once.
    batch_size : int, default 1024
        Pairs of user and item in a step.
    learning_rate : float, default 0.005
        Of Adam.
    random_state : int, default 0
        Seed of the starting embeddings, the order of pairs, and what is drawn and held out.
    progress : bool, default True
        Show a bar when a fit takes over two seconds.

    Attributes
    ----------
    user_embeddings_ : ndarray of shape (n_users, factors + layers[0] // 2)
        As trained: those of the product, then those of the network.
    item_embeddings_ : ndarray of shape (n_items, factors + layers[0] // 2)
    fold_in_ : ndarray of shape (n_items, factors + layers[0] // 2)
        What each item adds to the embedding of a history, beside ``mean_embedding_``.
    losses_ : list of float
        The mean loss of each pass of the last training.

    Notes
    -----
    The recommender asks for a vector of a history, that of a known user included, so that it is right after
    the next event; :meth:`trained_scores` has those of the embeddings that known users were trained with,
    as in the paper. On MovieLens the regressed embeddings rank better: a mean over like users is less
    overfitted than a user's own.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([(u, i) for u in range(20) for i in range(8) if (u + i) % 2])
    >>> model = NeuralCF(2, layers=(4, 2), epochs=80, patience=None, learning_rate=0.05).fit(events)
    >>> scores = model.query_vectors(events.histories())
    >>> sorted(events.items[row] for row in scores[0].argsort()[-4:])
    [1, 3, 5, 7]
    """

    def __init__(
        self,
        factors: int = 8,
        *,
        layers: tuple[int, ...] = (16, 8, 4),
        feedback: str = "implicit",
        negatives: int = 4,
        fold_in_ridge: float = 3.0,
        max_items: int = 20_000,
        epochs: int = 30,
        patience: int | None = 4,
        batch_size: int = 1024,
        learning_rate: float = 0.005,
        random_state: int = 0,
        progress: bool = True,
    ):
        self.factors = factors
        self.layers = layers
        self.feedback = feedback
        self.negatives = negatives
        self.fold_in_ridge = fold_in_ridge
        self.max_items = max_items
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.progress = progress

    def fit(self, interactions: Interactions) -> Self:
        """Learn embeddings and network, then how to embed a history.

        Raises
        ------
        MissingExtraError
            If torch is not installed.
        DataError
            If there are more than ``max_items`` items, or the feedback is explicit and there are no ratings.
        """
        self._check_parameters()
        if interactions.n_items > self.max_items:
            raise DataError(
                f"the catalogue has {interactions.n_items} items, above max_items={self.max_items}: "
                "each query would be a row of as many scores. Use TwoTower or LinearAutoencoder, "
                "or raise max_items."
            )
        torch = import_torch(self)
        is_implicit = self.feedback == "implicit"
        targets = interactions.matrix if is_implicit else interactions.rating_matrix
        self.mean_rating_ = 0.0 if is_implicit or not targets.nnz else float(targets.data.mean())
        if not is_implicit:
            targets.data = targets.data - np.float32(self.mean_rating_)
        with single_threaded(torch):
            trainer, self.losses_ = train(
                lambda part: _Trainer(torch, part, self),
                targets,
                epochs=self.epochs,
                patience=self.patience,
                seed=self.random_state,
                description="Neural CF",
                progress=self.progress,
                judge=ndcg if is_implicit else closeness,
            )
        self.user_embeddings_, self.item_embeddings_, self.network_ = trainer.arrays()
        self.has_events_ = (interactions.item_counts > 0).astype(np.float32)
        self.mean_embedding_, self.fold_in_ = _regressed(
            unit_rows(targets), self.user_embeddings_, self.fold_in_ridge
        )
        return self

    def item_vectors(self) -> Any:
        """Return the ``(n_items, n_items)`` sparse identity; the row of an item without events is empty."""
        check_fitted(self, "item_embeddings_")
        identity = sparse.csr_array(sparse.diags_array(self.has_events_), dtype=np.float32)
        identity.eliminate_zeros()
        return identity

    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return the scores of all items for each history: ``(n, n_items)``."""
        check_fitted(self, "fold_in_")
        if self.feedback == "implicit":
            targets = histories.weight_matrix()
        else:
            targets = histories.rating_matrix()
            targets.data = targets.data - np.float32(self.mean_rating_)
        return self._scores(self.mean_embedding_ + unit_rows(targets) @ self.fold_in_)

    def trained_scores(self, user_rows: IntArray) -> FloatArray:
        """Return the scores of all items by the embeddings that known users were trained with."""
        check_fitted(self, "user_embeddings_")
        return self._scores(self.user_embeddings_[user_rows])

    def _scores(self, users: FloatArray) -> FloatArray:
        scores = _network_scores(users, self.item_embeddings_, self.network_, self.factors)
        return np.asarray(scores + np.float32(self.mean_rating_), dtype=np.float32)

    def _check_parameters(self) -> None:
        check_choice("feedback", self.feedback, ("implicit", "explicit"))
        for name in ("factors", "negatives", "max_items", "epochs", "batch_size"):
            check_integer(name, getattr(self, name), minimum=1)
        if self.patience is not None:
            check_integer("patience", self.patience, minimum=1)
        check_integer("random_state", self.random_state, minimum=0)
        for name in ("fold_in_ridge", "learning_rate"):
            check_number(name, getattr(self, name), 0, above=True)
        for units in self.layers:
            check_integer("each of layers", units, minimum=1)
        if len(self.layers) < 2 or self.layers[0] % 2:
            raise ParameterError(
                "layers must be two numbers or more, the first even: half of it is the user's; "
                f"got {self.layers!r}."
            )


def _network_scores(
    users: FloatArray, items: FloatArray, network: dict[str, FloatArray], factors: int
) -> FloatArray:
    """Return ``(n_users, n_items)`` scores; a user at a time, so that a layer is ``(n_items, units)``."""
    half = users.shape[1] - factors
    n_layers = sum(name.startswith("bias") for name in network)
    # The first layer is a sum of what the user and what the item gives to it.
    of_items = items[:, factors:] @ network["weight0"][half:] + network["bias0"]
    of_users = users[:, factors:] @ network["weight0"][:half]
    output = network["output"]
    scores = (users[:, :factors] * output[:factors]) @ items[:, :factors].T
    for row, of_user in enumerate(of_users):
        hidden = np.maximum(of_items + of_user, 0)
        for layer in range(1, n_layers):
            hidden = np.maximum(hidden @ network[f"weight{layer}"] + network[f"bias{layer}"], 0)
        scores[row] += hidden @ output[factors:] + network["intercept"]
    return np.asarray(scores, dtype=np.float32)


def _regressed(histories: Any, embeddings: FloatArray, ridge: float) -> tuple[FloatArray, FloatArray]:
    """Return the mean embedding, and what each item adds to it: ridge regression over users with events."""
    known = np.flatnonzero(np.diff(histories.indptr))
    fold_in = np.zeros((histories.shape[1], embeddings.shape[1]), dtype=np.float32)
    if not len(known):
        return np.zeros(embeddings.shape[1], dtype=np.float32), fold_in
    rows, wanted = histories[known].astype(np.float64), embeddings[known].astype(np.float64)
    mean = wanted.mean(axis=0)
    for column in range(embeddings.shape[1]):
        solved = lsmr(rows, wanted[:, column] - mean[column], damp=np.sqrt(ridge), atol=1e-9, btol=1e-9)
        fold_in[:, column] = solved[0]
    return mean.astype(np.float32), fold_in


class _Trainer:
    def __init__(self, torch: Any, targets: Any, settings: NeuralCF):
        self.torch = torch
        self.settings = settings
        self.is_implicit = settings.feedback == "implicit"
        self.n_items = targets.shape[1]
        owners = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
        self.users, self.items = torch.from_numpy(owners), torch.from_numpy(targets.indices.astype(np.int64))
        self.values = torch.from_numpy(targets.data.copy())
        self.met = (self.users * self.n_items + self.items).sort().values
        self.random = torch.Generator().manual_seed(settings.random_state)
        width, layers = settings.factors + settings.layers[0] // 2, settings.layers
        self.embeddings = [self._start((n_rows, width), _START_SCALE) for n_rows in targets.shape]
        self.network = {
            "output": self._start((settings.factors + layers[-1],), (settings.factors + layers[-1]) ** -0.5),
            "intercept": torch.zeros((), requires_grad=True),
        }
        for layer, (given, units) in enumerate(pairwise(layers)):
            self.network[f"weight{layer}"] = self._start((given, units), (2 / given) ** 0.5)
            self.network[f"bias{layer}"] = torch.zeros(units, requires_grad=True)
        self.optimizer = torch.optim.Adam(
            [*self.embeddings, *self.network.values()], lr=settings.learning_rate
        )

    def _start(self, shape: tuple[int, ...], scale: float) -> Any:
        return (scale * self.torch.randn(shape, generator=self.random)).requires_grad_()

    def epoch(self) -> float:
        torch, total = self.torch, 0.0
        users, items, targets, weights = self._pairs()
        order = torch.randperm(len(users), generator=self.random)
        for batch in order.split(self.settings.batch_size) if len(order) else ():
            scores = self._pair_scores(users[batch], items[batch])
            if self.is_implicit:
                losses = torch.nn.functional.binary_cross_entropy_with_logits(
                    scores, targets[batch], reduction="none"
                )
            else:
                losses = (scores - targets[batch]) ** 2
            loss = (losses * weights[batch]).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(batch)
        return total / max(len(order), 1)

    def _pairs(self) -> tuple[Any, Any, Any, Any]:
        """Return users, items, what their scores should be, and how much each pair counts."""
        torch = self.torch
        if not self.is_implicit:
            return self.users, self.items, self.values, torch.ones_like(self.values)
        users = self.users.repeat(self.settings.negatives)
        items = self._unmet(users)
        missed = ~self._is_met(users, items)
        return (
            torch.cat([self.users, users]),
            torch.cat([self.items, items]),
            torch.cat([torch.ones_like(self.values), torch.zeros(len(users))]),
            torch.cat([self.values, missed.float()]),
        )

    def _unmet(self, users: Any) -> Any:
        """Draw an item for each user; those met are drawn again, a few times."""
        torch = self.torch
        items = torch.randint(max(self.n_items, 1), (len(users),), generator=self.random)
        for _ in range(_REDRAWS):
            again = self._is_met(users, items).nonzero()[:, 0]
            items[again] = torch.randint(max(self.n_items, 1), (len(again),), generator=self.random)
        return items

    def _is_met(self, users: Any, items: Any) -> Any:
        if not len(self.met):
            return self.torch.zeros(len(users), dtype=self.torch.bool)
        keys = users * self.n_items + items
        places = self.torch.searchsorted(self.met, keys).clamp_max(len(self.met) - 1)
        return self.met[places] == keys

    def _pair_scores(self, users: Any, items: Any) -> Any:
        torch, factors = self.torch, self.settings.factors
        of_users, of_items = self.embeddings[0][users], self.embeddings[1][items]
        hidden = torch.cat([of_users[:, factors:], of_items[:, factors:]], dim=1)
        for layer in range(len(self.settings.layers) - 1):
            hidden = torch.relu(hidden @ self.network[f"weight{layer}"] + self.network[f"bias{layer}"])
        product = of_users[:, :factors] * of_items[:, :factors]
        return torch.cat([product, hidden], dim=1) @ self.network["output"] + self.network["intercept"]

    def arrays(self) -> tuple[FloatArray, FloatArray, dict[str, FloatArray]]:
        """Return the embeddings of users and items, and the network, as numpy arrays."""
        users, items = (np.array(one.detach().numpy()) for one in self.embeddings)
        return users, items, {name: np.array(one.detach().numpy()) for name, one in self.network.items()}

    def scores(self, user_rows: IntArray) -> FloatArray:
        users, items, network = self.arrays()
        return _network_scores(users[user_rows], items, network, self.settings.factors)
