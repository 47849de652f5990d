"""Alternating least squares: user and item factors, each solved exactly while the other is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmrec.base import ContentFactorizer, FactorModel, FloatArray, IntArray, Matrix
from llmrec.errors import DataError
from llmrec.factorizers.content_prior import TextMap, prior_shares
from llmrec.factorizers.least_squares import DoubleArray, solution_parts, solve_rows, squared_loss
from llmrec.factorizers.rating_bias import (
    RatingBias,
    bias_parts,
    damped_means,
    with_bias_parts,
    with_item_bias,
    with_user_bias,
)
from llmrec.progress import progress_bar
from llmrec.validation import check_choice, check_fitted, check_integer, check_matrix, check_number
from llmrec.vectors import grown, replace_rows, row_norms, take_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["ALSFactorizer"]

_USUAL_REGULARIZATION = {"implicit": 0.01, "explicit": 0.1}
_UNOBSERVED_WEIGHT = 0.3
_UNOBSERVED_SHARE = 30.0


class ALSFactorizer(FactorModel, ContentFactorizer):
    r"""Matrix factorization by alternating least squares, for implicit or explicit feedback.

    The first factor model to try: exact fold-in of new users and items, good on dense and on sparse
    data. With ``feedback="implicit"`` it minimises

    .. math::
        \sum_{(u,i)} w_{ui} (1 - p_u q_i)^2 + a_0 \sum_{u,i} (p_u q_i)^2
        + \lambda \sum_u (w_u + a_0 |I|)^\nu |p_u|^2 + \lambda \sum_i (w_i + a_0 |U|)^\nu |q_i|^2

    where :math:`w_{ui}` is the summed weight of the events and :math:`a_0` the weight of what did not
    happen (Rendle et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks",
    RecSys 2022; Hu, Koren & Volinsky, ICDM 2008, for the Gramian trick). With ``feedback="explicit"`` it
    fits the ratings themselves, around user and item biases:

    .. math::
        \sum_{(u,i)} (r_{ui} - \mu - b_u - b_i - p_u q_i)^2
        + \lambda \sum_u n_u^\nu |p_u|^2 + \lambda \sum_i n_i^\nu |q_i|^2

    Parameters
    ----------
    factors : int, default 64
        Width of the vectors. More fit large data better and small data worse; time grows with its square.
    feedback : {"implicit", "explicit"}, default "implicit"
        Whether to learn that events happened, or the ratings they carry.
    regularization : float or "auto", default "auto"
        :math:`\lambda`, above 0. ``"auto"`` is 0.01 for implicit feedback, and 0.1 for explicit feedback,
        which suits ratings from 1 to 5.
    unobserved_weight : float or "auto", default "auto"
        :math:`a_0`: larger values pull unseen pairs towards 0 and favour popular items less. ``"auto"`` is
        0.3, or 30 times the mean weight of a user-item pair where that is less: what did not happen
        weighs at most 30 times what did, whereas a fixed value shrinks all factors to 0 on a large,
        sparse catalogue.
    frequency_exponent : float, default 1.0
        :math:`\nu`: 1 regularises frequent users and items more, 0 all alike.
    content_prior : float, default 0.0
        How many events an item's text counts for. Above 0, item vectors are drawn not towards 0 but towards
        :math:`\kappa / (\kappa + n_i) W^T t_i`, where :math:`t_i` is the text vector, :math:`n_i` the number
        of events, and :math:`W` a ridge regression of the item vectors on their texts, fitted anew each
        sweep. An item without events then has the vector that its text suggests, one with many forgets it.
    damping : float, default 5.0
        Explicit feedback: biases are drawn towards 0 as if by this many ratings at the mean.
    sweeps : int, default 15
        At most this many rounds over items and users.
    tolerance : float, default 1e-4
        Stop when a sweep lowers the loss by less than this share of it.
    random_state : int, default 0
        Seed of the starting item factors.
    progress : bool, default True
        Show a bar when a fit takes over two seconds.

    Attributes
    ----------
    user_vectors_ : ndarray of shape (n_users, dim)
    item_vectors_ : ndarray of shape (n_items, dim)
        ``dim`` is ``factors``; for explicit feedback ``factors + 2``, for the biases.
    unobserved_weight_ : float
        The :math:`a_0` that was used.
    losses_ : list of float
        The loss after each sweep.
    content_ : ndarray or csr_array of shape (n_items, content_dim), or None
        The text vectors, if they are read.
    text_map_ : ndarray of shape (content_dim, factors), or None
        The regression of item vectors on texts.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([(u, i) for u in range(6) for i in range(8) if (u + i) % 2])
    >>> als = ALSFactorizer(factors=2).fit(events)
    >>> scores = als.user_vectors_ @ als.item_vectors_.T
    >>> met, not_met = scores[0, 0], scores[0, 4]
    >>> bool(met > 0.5), bool(abs(not_met) < 0.1)
    (True, True)
    """

    def __init__(
        self,
        factors: int = 64,
        *,
        feedback: str = "implicit",
        regularization: float | str = "auto",
        unobserved_weight: float | str = "auto",
        frequency_exponent: float = 1.0,
        content_prior: float = 0.0,
        damping: float = 5.0,
        sweeps: int = 15,
        tolerance: float = 1e-4,
        random_state: int = 0,
        progress: bool = True,
    ):
        self.factors = factors
        self.feedback = feedback
        self.regularization = regularization
        self.unobserved_weight = unobserved_weight
        self.frequency_exponent = frequency_exponent
        self.content_prior = content_prior
        self.damping = damping
        self.sweeps = sweeps
        self.tolerance = tolerance
        self.random_state = random_state
        self.progress = progress

    def fit(self, interactions: Interactions, content: Matrix | None = None) -> Self:
        """Learn both factors from all events, and the text map if there are texts to be read.

        Raises
        ------
        DataError
            If the feedback is explicit and the events have no ratings.
        """
        factors = self._check_parameters()
        self.content_ = self._check_content(content, interactions.n_items)
        self.text_map_: FloatArray | None = None
        histories = interactions.histories()
        if self.feedback == "implicit":
            weights, targets, bias = histories.weight_matrix(), None, None
        else:
            ratings = histories.rating_matrix()
            bias = RatingBias.of(ratings, self.damping)
            weights = bias.residuals(ratings)
            targets = weights.data.copy()
            weights.data[:] = 1
        self.unobserved_weight_ = self._unobserved_weight(weights)
        start = np.random.default_rng(self.random_state).normal(
            scale=0.1 / np.sqrt(factors), size=(interactions.n_items, factors)
        )
        users, items = self._alternate(weights, targets, start.astype(np.float32))
        self.mean_rating_ = 0.0 if bias is None else bias.mean
        self.user_vectors_ = users if bias is None else with_user_bias(users, bias.user + bias.mean)
        self.item_vectors_ = items if bias is None else with_item_bias(items, bias.item)
        return self

    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return the exact user vectors for these histories, items held fixed: ``(n, dim)``."""
        check_fitted(self, "item_vectors_")
        items = self.item_vectors_
        if self.feedback == "implicit":
            return self._solve(histories.weight_matrix(), None, items)
        ratings = histories.rating_matrix()
        bias = damped_means(ratings, self.mean_rating_, items[:, -2], self.damping)
        users = self._solve_residuals(ratings, self.mean_rating_ + bias, items[:, -2], items[:, :-2])
        return with_user_bias(users, bias + self.mean_rating_)

    def history_parts(self, histories: Histories) -> FloatArray:
        """Return what each entry adds to its fold-in, given the matrix that all make together.

        With ratings, an entry also adds to the user's bias; the constants beside it are no entry's.
        """
        check_fitted(self, "item_vectors_")
        items = self.item_vectors_
        if self.feedback == "implicit":
            return self._solution_parts(histories.weight_matrix(), None, items)
        ratings = histories.rating_matrix()
        biases = bias_parts(ratings, self.mean_rating_, items[:, -2], self.damping)
        bias = damped_means(ratings, self.mean_rating_, items[:, -2], self.damping)
        left = RatingBias(self.mean_rating_, bias, items[:, -2]).residuals(ratings)
        ones = left.copy()
        ones.data = np.ones_like(left.data)
        return with_bias_parts(self._solution_parts(ones, left.data, items[:, :-2]), biases)

    def fold_in_items(self, audiences: Histories) -> FloatArray:
        """Return the exact item vectors for these audiences, users held fixed: ``(n, dim)``."""
        return self._folded_items(audiences, None)

    def _folded_items(self, audiences: Histories, prior: FloatArray | None) -> FloatArray:
        check_fitted(self, "user_vectors_")
        users = self.user_vectors_
        if self.feedback == "implicit":
            return self._solve(audiences.weight_matrix(), None, users, prior)
        ratings = audiences.rating_matrix()
        user_bias = users[:, -1] - np.float32(self.mean_rating_)
        bias = damped_means(ratings, self.mean_rating_, user_bias, self.damping)
        items = self._solve_residuals(ratings, bias, users[:, -1], users[:, :-2], prior)
        return with_item_bias(items, bias)

    def _prior(self, item_rows: IntArray, counts: npt.NDArray[np.int64]) -> FloatArray | None:
        """Return what the texts of some items suggest, ``(n, factors)``, by how few events they have."""
        if self.content_ is None or self.text_map_ is None:
            return None
        suggested = take_rows(self.content_, item_rows) @ self.text_map_
        return np.asarray(suggested * prior_shares(counts, self.content_prior)[:, None], dtype=np.float32)

    def solve_items(self, interactions: Interactions, item_rows: IntArray) -> FloatArray:
        """Return the exact vectors of some items, users held fixed, each drawn towards its text."""
        audiences = interactions.audiences(item_rows)
        prior = self._prior(item_rows, audiences.lengths)
        return self._folded_items(audiences, prior)

    def learn_content(self, item_rows: IntArray, content: Matrix) -> IntArray:
        """Place items of which only the text is known; return their rows.

        The text of an item with events counts from its next event on.
        """
        check_fitted(self, "item_vectors_")
        if self.content_ is None or self.text_map_ is None or not len(item_rows):
            return np.empty(0, dtype=np.int32)
        self.content_ = replace_rows(self.content_, item_rows, content)
        self.item_vectors_ = grown(self.item_vectors_, int(item_rows.max()) + 1)
        blank = np.unique(item_rows[row_norms(self.item_vectors_[item_rows]) == 0])
        placed = take_rows(self.content_, blank) @ self.text_map_
        if self.feedback == "explicit":
            placed = with_item_bias(placed, np.zeros(len(blank), dtype=np.float32))
        self.item_vectors_[blank] = placed
        return blank.astype(np.int32)

    def item_support(self, item_counts: FloatArray, item_rows: IntArray) -> FloatArray:
        """Return each item's events, and 1 at least for an item whose text is read."""
        if self.content_ is None:
            return item_counts
        has_text = (row_norms(take_rows(self.content_, item_rows)) > 0).astype(np.float32)
        return np.maximum(item_counts, has_text)

    def targets(self, events: Events) -> FloatArray:
        """Return 1 for each implicit event, the rating of each explicit one."""
        if self.feedback == "implicit" or events.ratings is None:
            return np.ones(len(events), dtype=np.float32)
        return events.ratings

    @property
    def is_implicit(self) -> bool:
        """Whether the feedback is implicit."""
        return self.feedback == "implicit"

    @property
    def learnable(self) -> tuple[FloatArray, FloatArray]:
        """Masks of the coordinates that a gradient may move: not the constants beside the biases."""
        users, items = np.ones((2, self.item_vectors().shape[1]), dtype=np.float32)
        if self.feedback == "explicit":
            users[-2] = items[-1] = 0
        return users, items

    def _check_parameters(self) -> int:
        check_choice("feedback", self.feedback, ("implicit", "explicit"))
        if self.regularization != "auto":
            check_number("regularization", self.regularization, 0, above=True)
        if isinstance(self.unobserved_weight, str):
            check_choice("unobserved_weight", self.unobserved_weight, ("auto",))
        else:
            check_number("unobserved_weight", self.unobserved_weight, 0)
        check_number("frequency_exponent", self.frequency_exponent)
        check_number("content_prior", self.content_prior, 0)
        check_number("damping", self.damping, 0)
        check_number("tolerance", self.tolerance, 0)
        check_integer("sweeps", self.sweeps, minimum=1)
        return check_integer("factors", self.factors, minimum=1)

    def _check_content(self, content: Matrix | None, n_items: int) -> Matrix | None:
        if content is None or self.content_prior == 0:
            return None
        checked = check_matrix(content, "content")
        if checked.shape[0] != n_items:
            raise DataError(f"content has {checked.shape[0]} rows for {n_items} items.")
        return checked

    def _unobserved_weight(self, weights: Any) -> float:
        if not isinstance(self.unobserved_weight, str):
            return float(self.unobserved_weight)
        mean_weight = float(weights.sum()) / max(weights.shape[0] * weights.shape[1], 1)
        return float(min(_UNOBSERVED_WEIGHT, _UNOBSERVED_SHARE * mean_weight))

    def _alternate(
        self, weights: Any, targets: FloatArray | None, items: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        by_item, item_targets = _transposed(weights, targets)
        rows, counts = np.arange(len(items), dtype=np.int32), np.diff(by_item.indptr)
        mapping = None if self.content_ is None else TextMap(self.content_, counts)
        self.losses_: list[float] = []
        bar = progress_bar(range(self.sweeps), description="ALS sweeps", enabled=self.progress)
        users = self._solve(weights, targets, items)
        for _ in bar:
            items = self._solve(by_item, item_targets, users, self._prior(rows, counts))
            if mapping is not None:
                self.text_map_ = mapping.fit(items)
            users = self._solve(weights, targets, items)
            self.losses_.append(self._loss(weights, targets, users, items))
            bar.set_postfix_str(f"loss {self.losses_[-1]:.5g}", refresh=False)
            if self._has_converged():
                break
        bar.close()
        placed = self._prior(rows[counts == 0], counts[counts == 0])
        if placed is not None:
            items[counts == 0] = placed
        return users, items

    def _has_converged(self) -> bool:
        if len(self.losses_) < 2:
            return False
        before, now = self.losses_[-2:]
        # A prior that moves with the text map may raise the loss again.
        return abs(before - now) < self.tolerance * abs(before)

    def _solve(
        self,
        weights: Any,
        targets: FloatArray | None,
        vectors: FloatArray,
        prior: FloatArray | None = None,
    ) -> FloatArray:
        ridge = self._ridge(weights, vectors)
        return solve_rows(weights, targets, vectors, self._background(vectors), ridge, prior)

    def _solution_parts(self, weights: Any, targets: FloatArray | None, vectors: FloatArray) -> FloatArray:
        background, ridge = self._background(vectors), self._ridge(weights, vectors)
        return solution_parts(weights, targets, vectors, background, ridge)

    def _solve_residuals(
        self,
        ratings: Any,
        row_bias: FloatArray,
        column_bias: FloatArray,
        vectors: FloatArray,
        prior: FloatArray | None = None,
    ) -> FloatArray:
        ones = ratings.copy()
        ones.data = np.ones_like(ratings.data)
        owners = np.repeat(np.arange(ratings.shape[0]), np.diff(ratings.indptr))
        return self._solve(
            ones, ratings.data - row_bias[owners] - column_bias[ratings.indices], vectors, prior
        )

    def _background(self, vectors: FloatArray) -> DoubleArray | None:
        """Return what all unobserved pairs ask for: one matrix for all rows, the Gramian trick."""
        if self.feedback == "explicit" or self.unobserved_weight_ == 0:
            return None
        doubles = vectors.astype(np.float64)
        return np.asarray(self.unobserved_weight_ * (doubles.T @ doubles))

    def _ridge(self, weights: Any, vectors: FloatArray) -> DoubleArray:
        mass = np.asarray(weights.sum(axis=1), dtype=np.float64).ravel()
        if self.feedback == "implicit":
            mass += self.unobserved_weight_ * vectors.shape[0]
        strength = self.regularization
        if isinstance(strength, str):
            strength = _USUAL_REGULARIZATION[self.feedback]
        return np.asarray(strength * np.maximum(mass, 1e-6) ** self.frequency_exponent)

    def _loss(self, weights: Any, targets: FloatArray | None, users: FloatArray, items: FloatArray) -> float:
        loss = squared_loss(weights, targets, users, items)
        background = self._background(items)
        if background is not None:
            doubles = users.astype(np.float64)
            loss += float(np.sum((doubles.T @ doubles) * background))
        for side, rows in ((users, weights), (items, weights.T.tocsr())):
            other = items if side is users else users
            loss += float(self._ridge(rows, other) @ np.sum(side.astype(np.float64) ** 2, axis=1))
        return loss


def _transposed(weights: Any, targets: FloatArray | None) -> tuple[Any, FloatArray | None]:
    across = weights.T.tocsr()
    if targets is None:
        return across, None
    carried = weights.copy()
    carried.data = targets
    return across, carried.T.tocsr().data
