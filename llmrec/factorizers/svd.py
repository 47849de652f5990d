"""Truncated SVD: the closest matrix of low rank to the events, or to what biases leave of the ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmrec.base import FactorModel, FloatArray
from llmrec.decomposition import multiply, right_singular_vectors
from llmrec.factorizers.rating_bias import (
    RatingBias,
    bias_parts,
    damped_means,
    with_bias_parts,
    with_item_bias,
    with_user_bias,
)
from llmrec.validation import check_choice, check_fitted, check_integer, check_number

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["SVDFactorizer"]


class SVDFactorizer(FactorModel):
    r"""Matrix factorization by truncated singular value decomposition.

    Fast, without a loss to tune: with :math:`X \approx U \Sigma V^T` a user's vector is
    :math:`x V` and an item's its row of :math:`V`, so the fold-in of a history is a sum of item vectors
    (PureSVD: Cremonesi, Koren & Turrin, RecSys 2010). Choose :class:`ALSFactorizer` where accuracy counts
    more than the time of a fit.

    Parameters
    ----------
    factors : int, default 64
        Width of the vectors; less where the matrix has fewer users or items.
    feedback : {"implicit", "explicit"}, default "implicit"
        ``"implicit"`` decomposes the event weights; ``"explicit"`` the ratings less mean, user bias and
        item bias.
    damping : float, default 5.0
        Explicit feedback: biases are drawn towards 0 as if by this many ratings at the mean.
    exact : bool, default False
        Whether a large matrix, of millions of events, is decomposed to full precision. That takes ten times
        as long; the vectors hold less than a thousandth more of the sum of squares. A small one always is.
    random_state : int, default 0
        Seed of the start; where the decomposition is exact the result depends on it only by rounding.

    Attributes
    ----------
    user_vectors_ : ndarray of shape (n_users, dim)
    item_vectors_ : ndarray of shape (n_items, dim)
        ``dim`` is ``factors``; for explicit feedback ``factors + 2``, for the biases.
    singular_values_ : ndarray of shape (factors,)
        In descending order.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam")])
    >>> svd = SVDFactorizer(factors=1).fit(events)
    >>> (svd.user_vectors_ @ svd.item_vectors_.T).round(3).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(
        self,
        factors: int = 64,
        *,
        feedback: str = "implicit",
        damping: float = 5.0,
        exact: bool = False,
        random_state: int = 0,
    ):
        self.factors = factors
        self.feedback = feedback
        self.damping = damping
        self.exact = exact
        self.random_state = random_state

    def fit(self, interactions: Interactions) -> Self:
        """Decompose the matrix of all events.

        Raises
        ------
        DataError
            If the feedback is explicit and the events have no ratings.
        """
        factors = check_integer("factors", self.factors, minimum=1)
        check_choice("feedback", self.feedback, ("implicit", "explicit"))
        check_number("damping", self.damping, 0)
        histories = interactions.histories()
        if self.feedback == "implicit":
            matrix, bias = histories.weight_matrix(), None
        else:
            ratings = histories.rating_matrix()
            bias = RatingBias.of(ratings, self.damping)
            matrix = bias.residuals(ratings)
        values, items = right_singular_vectors(matrix, factors, self.random_state, exact=self.exact)
        self.singular_values_ = values
        self.mean_rating_ = 0.0 if bias is None else bias.mean
        users = multiply(matrix, items)
        self.user_vectors_ = users if bias is None else with_user_bias(users, bias.user + bias.mean)
        self.item_vectors_ = items if bias is None else with_item_bias(items, bias.item)
        return self

    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return the projection of these histories on the item factors: ``(n, dim)``."""
        check_fitted(self, "item_vectors_")
        items = self.item_vectors_
        if self.feedback == "implicit":
            return np.asarray(histories.weight_matrix() @ items, dtype=np.float32)
        ratings = histories.rating_matrix()
        bias = damped_means(ratings, self.mean_rating_, items[:, -2], self.damping)
        left = RatingBias(self.mean_rating_, bias, items[:, -2]).residuals(ratings)
        return with_user_bias(np.asarray(left @ items[:, :-2], dtype=np.float32), bias + self.mean_rating_)

    def history_parts(self, histories: Histories) -> FloatArray:
        """Return what each entry adds to the projection, and where there are ratings to the user's bias."""
        check_fitted(self, "item_vectors_")
        items = self.item_vectors_
        if self.feedback == "implicit":
            weights = histories.weight_matrix()
            return np.asarray(weights.data[:, None] * items[weights.indices], dtype=np.float32)
        ratings = histories.rating_matrix()
        biases = bias_parts(ratings, self.mean_rating_, items[:, -2], self.damping)
        bias = damped_means(ratings, self.mean_rating_, items[:, -2], self.damping)
        left = RatingBias(self.mean_rating_, bias, items[:, -2]).residuals(ratings)
        return with_bias_parts(left.data[:, None] * items[left.indices, :-2], biases)

    def fold_in_items(self, audiences: Histories) -> FloatArray:
        """Return the projection of these audiences on the user factors: ``(n, dim)``."""
        check_fitted(self, "user_vectors_")
        users, squares = self.user_vectors_, self.singular_values_**2
        if self.feedback == "implicit":
            return np.asarray(audiences.weight_matrix() @ users / squares, dtype=np.float32)
        ratings = audiences.rating_matrix()
        user_bias = users[:, -1] - np.float32(self.mean_rating_)
        bias = damped_means(ratings, self.mean_rating_, user_bias, self.damping)
        left = RatingBias(self.mean_rating_, bias, user_bias).residuals(ratings)
        return with_item_bias(np.asarray(left @ users[:, :-2] / squares, dtype=np.float32), bias)

    def targets(self, events: Events) -> FloatArray:
        """Return the weight of each implicit event, the rating of each explicit one."""
        if self.feedback == "implicit" or events.ratings is None:
            return events.weights
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
