"""Two towers: one network reads a history, one an item, and they are trained to meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from llmrec.base import ContentFactorizer, FloatArray, IntArray, Matrix
from llmrec.errors import DataError
from llmrec.factorizers.content_prior import support_with_text
from llmrec.factorizers.training import import_torch, single_threaded, train
from llmrec.validation import check_fitted, check_integer, check_matrix, check_number
from llmrec.vectors import grown, unit_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories, Interactions

__all__ = ["TwoTower"]

_SMALL = 64
_START_SCALE = 0.1


class TwoTower(ContentFactorizer):
    r"""A user tower over the history and an item tower over id and text, trained by a softmax over items.

    Item :math:`i` with text vector :math:`t_i` is :math:`e_i + W t_i`; a history is the sum of its items
    over its length, plus a small network of that sum; both are scaled to length 1:

    .. math::
        s_{ui} = \frac{\hat u \cdot \hat v_i}{\tau} + b_i, \qquad
        v_i = e_i + W t_i, \qquad u = h + F(h), \qquad h = \frac{\sum_i x_{ui} v_i}{|x_u|}

    Each pass hides a random part of every history; the rest is to give it high probability among all items
    (Covington et al., "Deep Neural Networks for YouTube Recommendations", RecSys 2016; the loss is the
    multinomial one of Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018). Over a
    large catalogue the softmax runs over a sample, corrected by how likely each item was drawn
    (Yi et al., "Sampling-Bias-Corrected Neural Modeling", RecSys 2019).

    Choose it where new items come with texts: an item without events is placed by its text, in the space in
    which the others were learned. Without texts it is about as good as ALS, at a longer fit.
    Needs the extra ``torch`` for :meth:`fit`; serving is numpy alone.

    Parameters
    ----------
    factors : int, default 64
        Width of both towers; vectors have one column more, for the item's bias.
    hidden : int, default 64
        Units of the user tower's hidden layer.
    temperature : float, default 0.3
        :math:`\tau`: lower values let a few similar items decide, which suits large catalogues.
    history_dropout : float, default 0.5
        Chance of each item of a history to be hidden, and asked for.
    factor_dropout : float, default 0.1
        Chance of each coordinate of a user's vector to be left out of a step.
    id_dropout : float, default 0.1
        With texts: the chance of an item to be learned as if it were new, by its text alone.
    text_factors : int, default 32
        Text vectors are first reduced to so many principal directions.
    candidates : int, default 10000
        Items that the softmax of a step runs over, beside those asked for: all, if there are no more,
        otherwise as many draws, by the power 0.75 of their number of events.
    epochs : int, default 100
        At most this many passes over the users.
    patience : int or None, default 10
        The number of passes is chosen by a first training on nine tenths of each history, which stops after
        this many passes without a better list of the last tenth. None goes through all ``epochs`` at once.
    batch_size : int, default 64
        Users in a step.
    learning_rate : float, default 0.005
        Of Adam.
    random_state : int, default 0
        Seed of all that is drawn.
    progress : bool, default True
        Show a bar when a fit takes over two seconds.

    Attributes
    ----------
    item_vectors_ : ndarray of shape (n_items, factors + 1)
        Unit rows and the bias; zero for an item without events and without a text.
    inputs_ : ndarray of shape (n_items, factors)
        The :math:`v_i` before they are scaled: what histories are summed of.
    losses_ : list of float
        The mean loss of each pass of the last training, in nats a hidden item.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([(u, i) for u in range(20) for i in range(8) if (u + i) % 2])
    >>> towers = TwoTower(factors=4, epochs=40, patience=None).fit(events)
    >>> scores = towers.query_vectors(events.histories()) @ towers.item_vectors().T
    >>> best = scores[0].argsort()[-4:]
    >>> sorted(events.items[row] for row in best)
    [1, 3, 5, 7]
    """

    def __init__(
        self,
        factors: int = 64,
        *,
        hidden: int = 64,
        temperature: float = 0.3,
        history_dropout: float = 0.5,
        factor_dropout: float = 0.1,
        id_dropout: float = 0.1,
        text_factors: int = 32,
        candidates: int = 10_000,
        epochs: int = 100,
        patience: int | None = 10,
        batch_size: int = 64,
        learning_rate: float = 0.005,
        random_state: int = 0,
        progress: bool = True,
    ):
        self.factors = factors
        self.hidden = hidden
        self.temperature = temperature
        self.history_dropout = history_dropout
        self.factor_dropout = factor_dropout
        self.id_dropout = id_dropout
        self.text_factors = text_factors
        self.candidates = candidates
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.progress = progress

    def fit(self, interactions: Interactions, content: Matrix | None = None) -> Self:
        """Learn both towers from all histories and, if given, from the items' text vectors.

        Raises
        ------
        MissingExtraError
            If torch is not installed.
        DataError
            If ``content`` has not a row for each item.
        """
        self._check_parameters()
        torch = import_torch(self)
        weights = interactions.matrix
        has_events = np.asarray(interactions.item_counts > 0)
        texts, directions = self._reduced(content, interactions.n_items)
        with single_threaded(torch):
            trainer, self.losses_ = train(
                lambda part: _Trainer(torch, part, has_events, texts, self),
                weights,
                epochs=self.epochs,
                patience=self.patience,
                seed=self.random_state,
                description="Two towers",
                progress=self.progress,
            )
        learned = trainer.arrays()
        self.user_tower_ = learned["user_tower"]
        self.unknown_ = learned["unknown"]
        self.has_events_ = has_events
        self.ids_ = np.where(has_events[:, None], learned["ids"], self.unknown_)
        self.text_map_: FloatArray | None = None
        if directions is not None:
            self.text_map_ = np.ascontiguousarray(directions @ learned["text_map"], dtype=np.float32)
        width = self.factors
        self.inputs_ = np.zeros((interactions.n_items, width), dtype=np.float32)
        self.item_vectors_ = np.zeros((interactions.n_items, width + 1), dtype=np.float32)
        self._place(np.arange(interactions.n_items, dtype=np.int32), content)
        return self

    def item_vectors(self) -> FloatArray:
        """Return the ``(n_items, factors + 1)`` unit rows beside their biases."""
        check_fitted(self, "item_vectors_")
        return self.item_vectors_

    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return the user tower's vector of each history over the temperature, and 1 for the biases."""
        check_fitted(self, "item_vectors_")
        pooled = unit_rows(histories.weight_matrix()) @ self.inputs_
        tower = self.user_tower_
        inner = np.tanh(pooled @ tower["hidden"] + tower["hidden_bias"])
        users = unit_rows(pooled + inner @ tower["output"] + tower["output_bias"])
        ones = np.ones((len(histories), 1))
        return np.hstack([users / self.temperature, ones]).astype(np.float32)

    def learn_content(self, item_rows: IntArray, content: Matrix) -> IntArray:
        """Place new items by their texts, and move known ones to their new texts; return their rows."""
        check_fitted(self, "item_vectors_")
        rows = np.asarray(item_rows, dtype=np.int32)
        if self.text_map_ is None or not len(rows):
            return np.empty(0, dtype=np.int32)
        n_known, n_items = len(self.ids_), int(rows.max()) + 1
        for name in ("ids_", "has_events_", "inputs_", "item_vectors_"):
            setattr(self, name, grown(getattr(self, name), n_items))
        self.ids_[n_known:] = self.unknown_
        self._place(rows, check_matrix(content, "content", self.text_map_.shape[0]))
        return np.unique(rows)

    def item_support(self, item_counts: FloatArray, item_rows: IntArray) -> FloatArray:
        """Return the number of events of each item, or half of one where texts place the rest."""
        if self.text_map_ is None:
            return item_counts
        return support_with_text(item_counts, np.ones(len(item_rows), dtype=np.bool_))

    def _place(self, rows: IntArray, content: Matrix | None) -> None:
        """Compute the vectors of some items from their ids and texts; zero where there is neither."""
        raw = self.ids_[rows].copy()
        known = self.has_events_[rows]
        if self.text_map_ is not None and content is not None:
            of_texts = np.asarray(content @ self.text_map_, dtype=np.float32)
            known = known | of_texts.any(axis=1)
            raw += of_texts
        raw[~known] = 0
        self.inputs_[rows] = raw[:, :-1]
        self.item_vectors_[rows] = np.hstack([unit_rows(raw[:, :-1]), raw[:, -1:]])

    def _reduced(self, content: Matrix | None, n_items: int) -> tuple[FloatArray | None, FloatArray | None]:
        """Return the texts in few dimensions, and the directions that lead there; None without texts."""
        if content is None:
            return None, None
        checked = check_matrix(content, "content")
        if checked.shape[0] != n_items:
            raise DataError(f"content has {checked.shape[0]} rows, and there are {n_items} items.")
        directions = _principal_directions(checked, self.text_factors, self.random_state)
        return np.asarray(checked @ directions, dtype=np.float32), directions

    def _check_parameters(self) -> None:
        for name in ("factors", "hidden", "text_factors", "candidates", "epochs", "batch_size"):
            check_integer(name, getattr(self, name), minimum=1)
        if self.patience is not None:
            check_integer("patience", self.patience, minimum=1)
        check_integer("random_state", self.random_state, minimum=0)
        for name in ("temperature", "learning_rate"):
            check_number(name, getattr(self, name), 0, above=True)
        for name in ("history_dropout", "factor_dropout", "id_dropout"):
            check_number(name, getattr(self, name), 0, 0.95)


class _Trainer:
    def __init__(
        self, torch: Any, weights: Any, has_events: Any, texts: FloatArray | None, settings: TwoTower
    ):
        self.torch = torch
        self.settings = settings
        self.weights = weights
        self.users = torch.from_numpy(np.flatnonzero(np.diff(weights.indptr)))
        self.random = torch.Generator().manual_seed(settings.random_state)
        self.texts = None if texts is None else torch.from_numpy(texts)
        self.has_events = torch.from_numpy(has_events)
        self.candidates = _Candidates(weights, has_events, settings)
        width, hidden = settings.factors, settings.hidden
        self.parameters = {
            "ids": self._start((weights.shape[1], width + 1), _START_SCALE),
            "unknown": self._start((width + 1,), _START_SCALE),
            "hidden": self._start((width, hidden), width**-0.5),
            "hidden_bias": torch.zeros(hidden, requires_grad=True),
            "output": self._start((hidden, width), hidden**-0.5),
            "output_bias": torch.zeros(width, requires_grad=True),
        }
        with torch.no_grad():
            self.parameters["ids"][:, -1] = 0
        if texts is not None:
            self.parameters["text_map"] = self._start((texts.shape[1], width + 1), _START_SCALE)
        self.optimizer = torch.optim.Adam(list(self.parameters.values()), lr=settings.learning_rate)

    def _start(self, shape: tuple[int, ...], scale: float) -> Any:
        return (scale * self.torch.randn(shape, generator=self.random)).requires_grad_()

    def epoch(self) -> float:
        torch, total, n_asked = self.torch, 0.0, 0
        order = self.users[torch.randperm(len(self.users), generator=self.random)]
        for batch in order.split(self.settings.batch_size) if len(order) else ():
            histories = self.weights[batch.numpy()]
            is_asked = self._drawn(histories.nnz, self.settings.history_dropout)
            if not is_asked.any():
                continue
            loss, asked = self._loss(histories, is_asked), int(is_asked.sum())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total, n_asked = total + loss.item() * asked, n_asked + asked
        return total / max(n_asked, 1)

    def _loss(self, histories: Any, is_asked: Any) -> Any:
        """Return the cross entropy of the items asked for, given the rest of each history."""
        torch = self.torch
        rows, log_chances = self.candidates.draw(histories.indices, self.random, torch)
        entries = torch.from_numpy(np.searchsorted(rows, histories.indices))
        owners = torch.from_numpy(np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr)))
        values = torch.from_numpy(histories.data)
        items = self._items(torch.from_numpy(rows), id_dropout=self.settings.id_dropout)

        users = self._users(items[:, :-1], entries, owners, values * ~is_asked, histories.shape[0])
        kept = ~self._drawn(users.shape, self.settings.factor_dropout)
        users = users * kept / (1 - self.settings.factor_dropout)
        unit = torch.nn.functional.normalize(items[:, :-1], dim=1)
        scores = users @ unit.T / self.settings.temperature + items[:, -1]

        # An item drawn with chance c stands for 1/c items; one that is asked for is there anyway.
        offsets = (-torch.from_numpy(log_chances)).repeat(histories.shape[0], 1)
        offsets[owners, entries] = torch.where(is_asked, 0.0, -torch.inf)
        logs = torch.log_softmax(scores + offsets, dim=1)[owners[is_asked], entries[is_asked]]
        wanted = values[is_asked]
        sums = torch.zeros(histories.shape[0]).index_add(0, owners[is_asked], wanted)
        shares = wanted / sums[owners[is_asked]]
        return -(logs * shares).sum() / (sums > 0).sum()

    def _users(self, items: Any, entries: Any, owners: Any, values: Any, n_users: int) -> Any:
        torch, tower = self.torch, self.parameters
        squares = torch.zeros(n_users).index_add(0, owners, values**2)
        lengths = squares.clamp_min(1e-30).sqrt()
        starts = torch.searchsorted(owners, torch.arange(n_users))
        pooled = torch.nn.functional.embedding_bag(
            entries, items, starts, mode="sum", per_sample_weights=values / lengths[owners]
        )
        inner = torch.tanh(pooled @ tower["hidden"] + tower["hidden_bias"])
        return torch.nn.functional.normalize(pooled + inner @ tower["output"] + tower["output_bias"], dim=1)

    def _items(self, rows: Any, id_dropout: float = 0.0) -> Any:
        """Return ``(n_rows, factors + 1)``: vectors not yet scaled, and biases."""
        torch, ids = self.torch, self.parameters["ids"][rows]
        if self.texts is None:
            return ids
        is_new = self._drawn(len(rows), id_dropout) | ~self.has_events[rows]
        ids = torch.where(is_new[:, None], self.parameters["unknown"], ids)
        return ids + self.texts[rows] @ self.parameters["text_map"]

    def _drawn(self, shape: Any, chance: float) -> Any:
        return self.torch.rand(shape, generator=self.random) < chance

    def arrays(self) -> dict[str, Any]:
        """Return what was learned as numpy arrays."""
        learned = {name: np.array(one.detach().numpy()) for name, one in self.parameters.items()}
        tower = ("hidden", "hidden_bias", "output", "output_bias")
        return {"user_tower": {name: learned.pop(name) for name in tower}, **learned}

    def scores(self, user_rows: IntArray) -> FloatArray:
        torch, histories = self.torch, self.weights[user_rows]
        with torch.no_grad():
            items = self._items(torch.arange(self.weights.shape[1]))
            owners = torch.from_numpy(np.repeat(np.arange(len(user_rows)), np.diff(histories.indptr)))
            entries, values = (
                torch.from_numpy(histories.indices.astype(np.int64)),
                torch.from_numpy(histories.data),
            )
            users = self._users(items[:, :-1], entries, owners, values, len(user_rows))
            unit = torch.nn.functional.normalize(items[:, :-1], dim=1)
            scores = users @ unit.T / self.settings.temperature + items[:, -1]
        return np.asarray(scores.numpy(), dtype=np.float32)


class _Candidates:
    """Which items the softmax of a step runs over, and the logarithm of their chance to be among them."""

    def __init__(self, weights: Any, has_events: Any, settings: TwoTower):
        self.known = np.flatnonzero(has_events)
        self.n_draws = settings.candidates
        self.all = len(self.known) <= settings.candidates
        # An item whose only events were held out may be drawn as if it had one.
        counts = np.bincount(weights.indices, minlength=weights.shape[1])[self.known]
        powers = np.maximum(counts, 1.0) ** 0.75
        self.chances = powers / max(powers.sum(), 1e-30)
        self.log_chances = np.full(weights.shape[1], np.inf, dtype=np.float32)
        inclusion = 0.0 if self.all else np.log(-np.expm1(self.n_draws * np.log1p(-self.chances)))
        self.log_chances[self.known] = inclusion

    def draw(self, needed: Any, random: Any, torch: Any) -> tuple[Any, FloatArray]:
        """Return sorted item rows, those needed among them, and the log chances of those drawn, else inf."""
        if self.all:
            return self.known, self.log_chances[self.known]
        chances = torch.from_numpy(self.chances)
        drawn = self.known[
            torch.multinomial(chances, self.n_draws, replacement=True, generator=random).numpy()
        ]
        rows = np.union1d(drawn, needed).astype(np.int64)
        return rows, np.where(np.isin(rows, drawn), self.log_chances[rows], np.float32(np.inf))


def _principal_directions(vectors: Matrix, n_directions: int, seed: int) -> FloatArray:
    """Return the first right singular vectors as columns, ``(dim, n_directions)`` or fewer."""
    smaller = min(vectors.shape)
    if smaller <= max(_SMALL, n_directions):
        dense = vectors.toarray() if sparse.issparse(vectors) else vectors
        right = np.linalg.svd(dense.astype(np.float64), full_matrices=False)[2]
    else:
        start = np.random.default_rng(seed).normal(size=smaller)
        _, values, right = svds(
            vectors.astype(np.float64), k=n_directions, v0=start, return_singular_vectors="vh"
        )
        right = right[np.argsort(-values, kind="stable")]
    return np.ascontiguousarray(right[:n_directions].T, dtype=np.float32)
