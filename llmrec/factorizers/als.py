"""Alternating least squares: user and item factors, each solved for while the other is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmrec.base import ContentFactorizer, FactorModel, FloatArray, IntArray, Matrix
from llmrec.errors import DataError
from llmrec.factorizers.content_prior import TextMap, prior_shares, support_with_text
from llmrec.factorizers.gradient_rows import Ridge, SparseRows, descend_rows, fold_in_rows
from llmrec.factorizers.gramian import Gramian, gram
from llmrec.factorizers.least_squares import DoubleArray, solution_parts, solve_rows, squared_loss
from llmrec.factorizers.rating_bias import (
    RatingBias,
    bias_parts,
    damped_means,
    with_bias_parts,
    with_item_bias,
    with_user_bias,
)
from llmrec.factorizers.rating_weights import usual_rating, weighed_by_rating
from llmrec.factorizers.spectral_start import spectral_start
from llmrec.progress import progress_bar
from llmrec.threads import one_blas_thread
from llmrec.validation import check_choice, check_fitted, check_integer, check_matrix, check_number
from llmrec.vectors import distinct, replace_rows, row_norms, take_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["ALSFactorizer"]

_EXPLICIT_REGULARIZATION = 0.1
_UNOBSERVED_WEIGHT = 0.3
_UNOBSERVED_SHARE = 20.0
# Of the edge of noise: what ranks held-out events best on dense data; sparse data want less of it.
_EDGE_SHARE, _SPARSE_EXPONENT = 0.6, 0.25
_LEAST_REGULARIZATION, _MOST_REGULARIZATION = 1e-6, 0.03
_BIAS_COLUMNS = 2
# Of a vector's length: closer than that is what float32 rounds.
_SAME_PLACE = 1e-5
# Of weights: less counts as that much.
_LEAST_MASS = 1e-6
_LARGEST = float(np.finfo(np.float32).max)
_SIDES = ("users", "items")
# Multiplications from which on a sweep by gradients is worth the half second that its code takes to load.
_LARGE = 1e9


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
        :math:`\lambda`, above 0. ``"auto"`` is 0.1 for explicit feedback, which suits ratings from 1 to 5.
        For implicit feedback it is :math:`0.6\,(a_0 / 0.3)^{1/4}\,(\sqrt{\bar v_u} + \sqrt{\bar v_i})`. The
        sum is about the largest singular value that events without any pattern would give the matrix of
        :math:`w_{ui} / \sqrt{d_u d_i}`, with :math:`d_u = w_u + a_0 |I|`, :math:`d_i = w_i + a_0 |U|`, and
        :math:`\bar v_u`, :math:`\bar v_i` the mean sums of its squared entries in a row and in a column:
        factors weaker than :math:`\lambda` shrink to 0, so noise leaves no trace. It is 0.03 at most, for
        tiny data. On dense data a third more or less costs some percent.
    unobserved_weight : float or "auto", default "auto"
        :math:`a_0`: larger values pull unseen pairs towards 0 and favour popular items less. ``"auto"`` is
        0.3, or 20 times the mean weight of a user-item pair where that is less: what did not happen
        weighs at most 20 times what did, whereas a fixed value shrinks all factors to 0 on a large,
        sparse catalogue.
    frequency_exponent : float, default 1.0
        :math:`\nu`: 1 regularises frequent users and items more, 0 all alike.
    content_prior : float, default 0.0
        How many events an item's text counts for. Above 0, item vectors are drawn not towards 0 but towards
        :math:`\kappa / (\kappa + n_i) W^T t_i`, where :math:`t_i` is the text vector, :math:`n_i` the number
        of events, and :math:`W` a ridge regression of the item vectors on their texts, fitted anew each
        sweep. An item without events then has the vector that its text suggests, one with many forgets it.
    rating_exponent : float, default 0.0
        :math:`e`: where events carry ratings and the feedback is implicit, an event rated :math:`r` weighs
        :math:`(r / \bar r)^e` times what it would, with :math:`\bar r` the mean rating; 0 reads no
        rating. 0.5 gains a percent or two on films rated from 1 to 5.
    damping : float, default 5.0
        Explicit feedback: biases are drawn towards 0 as if by this many ratings at the mean.
    solver : {"auto", "cg", "exact"}, default "auto"
        How a half of a sweep finds the vectors of one side. ``"exact"`` solves each row's linear system;
        ``"cg"`` takes three preconditioned steps of conjugate gradients from where the row was (Takács,
        Pilászy & Tikk, "Applications of the conjugate gradient method for implicit feedback collaborative
        filtering", RecSys 2011): nearly the same loss many times faster. ``"auto"`` is ``"exact"`` for
        data so small that it is done before compiled code would be loaded. Fold-in is exact with either.
    momentum : float, default 0.7
        From 0 to 1: how far item vectors go on in the direction in which a sweep moved them, where that
        lowers the loss: 0.7 reaches in 4 sweeps what takes 8 to 15 without. With explicit feedback, which
        starts from random vectors, from the second sweep on.
    sweeps : int, default 15
        At most this many rounds over items and users.
    tolerance : float, default 1e-4
        Stop when a sweep lowers the loss by less than this share of it.
    random_state : int, default 0
        Seed of the start: for implicit feedback singular vectors of the weights after one power iteration
        from random ones, for explicit feedback random item vectors.
    progress : bool, default True
        Show a bar when a fit takes over two seconds.

    Attributes
    ----------
    user_vectors_ : ndarray of shape (n_users, dim)
    item_vectors_ : ndarray of shape (n_items, dim)
        ``dim`` is ``factors``; for explicit feedback ``factors + 2``, for the biases.
    unobserved_weight_ : float
        The :math:`a_0` that was used.
    usual_rating_ : float
        The :math:`\bar r` that weights are relative to; 1 where ratings are not weights.
    regularization_ : float
        The :math:`\lambda` that was used.
    solver_ : str
        The solver that was used.
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
        rating_exponent: float = 0.0,
        damping: float = 5.0,
        solver: str = "auto",
        momentum: float = 0.7,
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
        self.rating_exponent = rating_exponent
        self.damping = damping
        self.solver = solver
        self.momentum = momentum
        self.sweeps = sweeps
        self.tolerance = tolerance
        self.random_state = random_state
        self.progress = progress

    def fit(self, interactions: Interactions, content: Matrix | None = None) -> Self:
        """Learn both factors from all events, and the text map if there are texts to be read.

        Raises
        ------
        DataError
            If the feedback is explicit and the events have no ratings; if weights are all so small that they
            are lost beside the least that a row's regularization counts, 1e-6; or if they are so large or so
            unequal that factors are not finite.
        """
        factors = self._check_parameters()
        self.content_ = self._check_content(content, interactions.n_items)
        self.text_map_: FloatArray | None = None
        self.usual_rating_ = usual_rating(interactions, self.rating_exponent if self.is_implicit else 0.0)
        if self.feedback == "implicit":
            histories = self._weighed(interactions.histories())
            weights = histories.weight_matrix()
            _check_sums(weights)
            rows, bias = SparseRows.of(weights, None), None
        else:
            ratings = interactions.rating_matrix
            bias = RatingBias.of(ratings, self.damping)
            weights = bias.residuals(ratings)
            targets = weights.data.copy()
            weights.data[:] = 1
            rows = SparseRows.of(weights, targets)
        self.unobserved_weight_ = self._unobserved_weight(rows.weights)
        self.regularization_ = self._strength(rows.weights)
        self.solver_ = self._solver(rows.weights)
        self._check_heaviest(rows)
        try:
            # Where eigenvalues lie close the last bit of a sum turns the basis of a sweep, and with it what
            # is rounded off: with one thread BLAS gives the same bits for any number allowed.
            with one_blas_thread():
                users, items = self._alternate(rows, factors)
        except (np.linalg.LinAlgError, ZeroDivisionError) as error:
            raise self._not_finite(rows) from error
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise self._not_finite(rows)
        self.mean_rating_ = 0.0 if bias is None else bias.mean
        self.user_vectors_ = users if bias is None else with_user_bias(users, bias.user + bias.mean)
        self.item_vectors_ = items if bias is None else with_item_bias(items, bias.item)
        return self

    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return the exact user vectors for these histories, items held fixed: ``(n, dim)``."""
        check_fitted(self, "item_vectors_")
        if self.feedback == "implicit":
            return self._folded(self._weighed(histories), None, "items")
        items = self.item_vectors_
        ratings = histories.rating_matrix()
        bias = damped_means(ratings, self.mean_rating_, items[:, -2], self.damping)
        left = _residuals(ratings, self.mean_rating_ + bias, items[:, -2])
        return with_user_bias(self._folded(left, left.data, "items"), bias + self.mean_rating_)

    def history_parts(self, histories: Histories) -> FloatArray:
        """Return what each entry adds to its fold-in, given the matrix that all make together.

        With ratings, an entry also adds to the user's bias; the constants beside it are no entry's.
        """
        check_fitted(self, "item_vectors_")
        items = self.item_vectors_
        if self.feedback == "implicit":
            return self._solution_parts(self._weighed(histories).weight_matrix(), None, items)
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
            return self._folded(self._weighed(audiences), None, "users", prior)
        ratings = audiences.rating_matrix()
        user_bias = users[:, -1] - np.float32(self.mean_rating_)
        bias = damped_means(ratings, self.mean_rating_, user_bias, self.damping)
        left = _residuals(ratings, bias, users[:, -1])
        return with_item_bias(self._folded(left, left.data, "users", prior), bias)

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
        """Place items of which only the text is known, at their first text or another; return their rows.

        The text of an item with events counts from its next event on.
        """
        check_fitted(self, "item_vectors_")
        if self.content_ is None or self.text_map_ is None or not len(item_rows):
            return np.empty(0, dtype=np.int32)
        before = take_rows(self.content_, item_rows) @ self.text_map_
        self.content_ = replace_rows(self.content_, item_rows, content)
        self.resize(len(self.user_vectors_), int(item_rows.max()) + 1)
        # An item without events stands where its text so far put it, in the origin if it had none.
        off = row_norms(self.item_vectors_[item_rows, : before.shape[1]] - before)
        moved = distinct(item_rows[off <= _SAME_PLACE * row_norms(before)])
        placed = take_rows(self.content_, moved) @ self.text_map_
        if self.feedback == "explicit":
            placed = with_item_bias(placed, self.item_vectors_[moved, -2])
        self.set_item_vectors(moved, placed)
        return moved

    def item_support(self, item_counts: FloatArray, item_rows: IntArray) -> FloatArray:
        """Return each item's events, or half of one for an item of which only the text is known."""
        if self.content_ is None:
            return item_counts
        return support_with_text(item_counts, row_norms(take_rows(self.content_, item_rows)) > 0)

    def resize(self, n_users: int, n_items: int) -> None:
        """Make room for new users and items; their vectors start at zero. Costs O(new rows), amortised."""
        check_fitted(self, "item_vectors_")
        if n_users <= len(self.user_vectors_) and n_items <= len(self.item_vectors_):
            return
        right = {side: self._known_gramian(side, self._side(side)) for side in _SIDES}
        super().resize(n_users, n_items)
        for side, gramian in right.items():
            if gramian is not None:
                gramian.follow(self._side(side))

    @property
    def has_derived_state(self) -> bool:
        """Whether a Gramian is kept, which has to follow the vectors, or a subclass keeps more."""
        if self.__dict__.get("_gramians"):
            return True
        own = type(self)
        return (
            own.set_user_vectors is not ALSFactorizer.set_user_vectors
            or own.set_item_vectors is not ALSFactorizer.set_item_vectors
        )

    def set_user_vectors(self, user_rows: IntArray, vectors: FloatArray) -> None:
        """Replace the vectors of some users."""
        self._replace("users", user_rows, vectors)

    def set_item_vectors(self, item_rows: IntArray, vectors: FloatArray) -> None:
        """Replace the vectors of some items."""
        self._replace("items", item_rows, vectors)

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

    def _weighed(self, histories: Histories) -> Histories:
        if self.rating_exponent == 0:
            return histories
        return weighed_by_rating(histories, self.rating_exponent, self.usual_rating_)

    def _check_parameters(self) -> int:
        check_choice("feedback", self.feedback, ("implicit", "explicit"))
        check_choice("solver", self.solver, ("auto", "cg", "exact"))
        if self.regularization != "auto":
            check_number("regularization", self.regularization, 0, above=True)
        if isinstance(self.unobserved_weight, str):
            check_choice("unobserved_weight", self.unobserved_weight, ("auto",))
        else:
            check_number("unobserved_weight", self.unobserved_weight, 0)
        check_number("frequency_exponent", self.frequency_exponent)
        check_number("content_prior", self.content_prior, 0)
        check_number("rating_exponent", self.rating_exponent, 0)
        check_number("damping", self.damping, 0)
        check_number("momentum", self.momentum, 0, 1)
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

    def _check_heaviest(self, rows: SparseRows) -> None:
        """Refuse weights beside which the least mass of a row is so large that all factors shrink to 0."""
        if not (self.is_implicit and rows.weights.nnz):
            return
        n_users, n_items = rows.weights.shape
        unobserved = self.unobserved_weight_
        heaviest = max(rows.mass.max() + unobserved * n_items, rows.column_mass.max() + unobserved * n_users)
        if heaviest < _LEAST_MASS:
            raise DataError(
                f"weights of at most {rows.weights.data.max():.3g} are too small: with what did not happen, "
                f"those of the user or item that has most add up to {heaviest:.3g}, and must to at least "
                f"{_LEAST_MASS:g}. Multiply all weights by a constant, so that the usual one is about 1."
            )

    def _not_finite(self, rows: SparseRows) -> DataError:
        """Return what to raise where a fit has left what float32 holds."""
        given = f"regularization={self.regularization_:.3g}"
        if rows.targets is not None:
            return DataError(
                f"the factors are not finite, with ratings that differ from their biases by up to "
                f"{np.abs(rows.targets).max():.3g} and {given}. Scale the ratings down, to about 1 to 5."
            )
        weights = rows.weights.data
        return DataError(
            f"the factors are not finite, with weights from {weights.min():.3g} to {weights.max():.3g} and "
            f"{given}. Scale or clip the weights to between 1e-6 and 1e6 times the usual one, which should "
            "be about 1, or raise the regularization."
        )

    def _unobserved_weight(self, weights: Any) -> float:
        if not isinstance(self.unobserved_weight, str):
            return float(self.unobserved_weight)
        mean_weight = float(weights.sum()) / max(weights.shape[0] * weights.shape[1], 1)
        return float(min(_UNOBSERVED_WEIGHT, _UNOBSERVED_SHARE * mean_weight))

    def _start(self, rows: SparseRows, by_item: SparseRows, factors: int) -> tuple[FloatArray, FloatArray]:
        if self.is_implicit:
            return spectral_start(rows, by_item, self.unobserved_weight_, factors, self.random_state)
        n_users, n_items = rows.weights.shape
        start = np.random.default_rng(self.random_state).normal(
            scale=0.1 / np.sqrt(factors), size=(n_items, factors)
        )
        return np.zeros((n_users, factors), dtype=np.float32), start.astype(np.float32)

    def _solver(self, weights: Any) -> str:
        if self.solver != "auto":
            return self.solver
        work = weights.nnz * self.factors**2 + sum(weights.shape) * self.factors**3
        return "cg" if work * self.sweeps > _LARGE else "exact"

    def _alternate(self, rows: SparseRows, factors: int) -> tuple[FloatArray, FloatArray]:
        by_item = rows.transposed()
        counts = np.diff(by_item.weights.indptr)
        users, items = self._start(rows, by_item, factors)
        item_rows = np.arange(len(items), dtype=np.int32)
        mapping = None if self.content_ is None else TextMap(self.content_, counts)
        self.losses_: list[float] = []
        bar = progress_bar(range(self.sweeps), description="ALS sweeps", enabled=self.progress)
        users, loss = self._half_sweep(rows, items, users)
        # How a sweep leaves random vectors says nothing of where to go.
        highest = loss + self._penalty(by_item, users, items) if self.is_implicit else -np.inf
        for _ in bar:
            before = items.copy()
            items, _ = self._half_sweep(by_item, users, items, self._prior(item_rows, counts))
            if mapping is not None:
                self.text_map_ = mapping.fit(items)
            users, items, highest = self._users_ahead(rows, by_item, users, items, before, highest)
            self.losses_.append(highest)
            if not np.isfinite(highest):
                break
            bar.set_postfix_str(f"loss {self.losses_[-1]:.5g}", refresh=False)
            if self._has_converged():
                break
        bar.close()
        placed = self._prior(item_rows[counts == 0], counts[counts == 0])
        if placed is not None:
            items[counts == 0] = placed
        if self.solver_ == "cg":
            # A user's vector is the fold-in of their history.
            self._descend(rows, items, users, n_steps=None)
        return users, items

    def _users_ahead(
        self,
        rows: SparseRows,
        by_item: SparseRows,
        users: FloatArray,
        items: FloatArray,
        before: FloatArray,
        highest: float,
    ) -> tuple[FloatArray, FloatArray, float]:
        """Solve for users where the items are if they go on as they went; where they are if that is worse.

        Worse is a loss above ``highest``; the third that is returned is the loss.
        """
        goes_on = self.momentum > 0 and highest > -np.inf
        ahead = items + np.float32(self.momentum) * (items - before) if goes_on else items
        for tried in (ahead, items):
            users, loss = self._half_sweep(rows, tried, users)
            loss += self._penalty(by_item, users, tried)
            if tried is items or loss <= highest:
                break
        return users, tried, loss

    def _has_converged(self) -> bool:
        if len(self.losses_) < 2:
            return False
        before, now = self.losses_[-2:]
        # A prior that moves with the text map may raise the loss again.
        return abs(before - now) < self.tolerance * abs(before)

    def _half_sweep(
        self, rows: SparseRows, vectors: FloatArray, start: FloatArray, prior: FloatArray | None = None
    ) -> tuple[FloatArray, float]:
        """Return the other side's vectors, and the loss but for the penalty on ``vectors``."""
        if self.solver_ == "cg":
            loss = self._descend(rows, vectors, start, prior)
            return start, loss
        background = self._background(vectors)
        spectrum = None if background is None else np.linalg.eigh(background)
        ridge = self._ridge(rows.mass, len(vectors))
        solved = solve_rows(rows.weights, rows.targets, vectors, spectrum, ridge, prior)
        loss = squared_loss(rows.weights, rows.targets, solved, vectors)
        if background is not None:
            loss += float(np.sum(gram(solved) * background))
        return solved, loss + self._penalty(rows, vectors, solved)

    def _descend(
        self,
        rows: SparseRows,
        vectors: FloatArray,
        start: FloatArray,
        prior: FloatArray | None = None,
        n_steps: int | None = 3,
    ) -> float:
        unobserved = self.unobserved_weight_ if self.is_implicit else 0.0
        ridge = self._ridge(rows.mass, len(vectors))
        return descend_rows(rows, vectors, unobserved, ridge, start, prior, n_steps=n_steps)

    def _folded(
        self, rows: Any, targets: FloatArray | None, against: str, prior: FloatArray | None = None
    ) -> FloatArray:
        """Return the exact solutions of some rows, :class:`Histories` or matrix, against one side."""
        vectors = self._side(against)
        gramian = self._gramian(against, vectors)
        if self.solver_ == "cg":
            unobserved = self.unobserved_weight_ if self.feedback == "implicit" else 0.0
            ridge = Ridge(self.regularization_, unobserved, self.frequency_exponent)
            return fold_in_rows(rows, targets, vectors, gramian, ridge, prior)
        weights = rows.weight_matrix() if self.is_implicit else _ones_like(rows)
        spectrum = gramian.spectrum(self.unobserved_weight_) if self.is_implicit else None
        ridge_of_rows = self._ridge(np.asarray(weights.sum(axis=1), dtype=np.float64), len(vectors))
        return solve_rows(weights, targets, vectors[:, : gramian.dim], spectrum, ridge_of_rows, prior)

    def _side(self, side: str) -> FloatArray:
        return self.user_vectors_ if side == "users" else self.item_vectors_

    def _known_gramian(self, side: str, vectors: FloatArray) -> Gramian | None:
        """Return the Gramian of users or items if there is one, and it is that of their vectors."""
        known: dict[str, Gramian] = self.__dict__.setdefault("_gramians", {})
        gramian = known.get(side)
        return gramian if gramian is not None and gramian.describes(vectors) else None

    def _gramian(self, side: str, vectors: FloatArray) -> Gramian:
        """Return the Gramian of users or items, made once for an array of vectors."""
        gramian = self._known_gramian(side, vectors)
        if gramian is None:
            dim = vectors.shape[1] - (0 if self.is_implicit else _BIAS_COLUMNS)
            gramian = self.__dict__["_gramians"][side] = Gramian(vectors, dim)
        return gramian

    def _replace(self, side: str, rows: IntArray, vectors: FloatArray) -> None:
        check_fitted(self, "item_vectors_")
        kept = self._side(side)
        gramian = self._known_gramian(side, kept)
        if gramian is None:
            kept[rows] = vectors
            return
        touched = distinct(rows)
        before = kept[touched]
        kept[rows] = vectors
        gramian.replace(touched, before, kept[touched])

    def _solution_parts(self, weights: Any, targets: FloatArray | None, vectors: FloatArray) -> FloatArray:
        mass = np.asarray(weights.sum(axis=1), dtype=np.float64)
        background, ridge = self._background(vectors), self._ridge(mass, len(vectors))
        return solution_parts(weights, targets, vectors, background, ridge)

    def _background(self, vectors: FloatArray) -> DoubleArray | None:
        """Return what all unobserved pairs ask for: one matrix for all rows, the Gramian trick."""
        if self.feedback == "explicit" or self.unobserved_weight_ == 0:
            return None
        return np.asarray(self.unobserved_weight_ * gram(vectors))

    def _strength(self, weights: Any) -> float:
        if not isinstance(self.regularization, str):
            return float(self.regularization)
        if not self.is_implicit:
            return _EXPLICIT_REGULARIZATION
        unobserved = self.unobserved_weight_
        sparseness = (unobserved / _UNOBSERVED_WEIGHT) ** _SPARSE_EXPONENT
        suited = _EDGE_SHARE * sparseness * _edge_of_noise(weights, unobserved)
        # The edge is one of large matrices: of a few rows it would leave nothing.
        return float(np.clip(suited, _LEAST_REGULARIZATION, _MOST_REGULARIZATION))

    def _ridge(self, mass: DoubleArray, n_columns: int) -> DoubleArray:
        unobserved = self.unobserved_weight_ * n_columns if self.is_implicit else 0.0
        return np.asarray(
            self.regularization_ * np.maximum(mass + unobserved, _LEAST_MASS) ** self.frequency_exponent
        )

    def _penalty(self, rows: SparseRows, vectors: FloatArray, solved: FloatArray) -> float:
        """Return what the regularization asks of solved rows."""
        return float(self._ridge(rows.mass, len(vectors)) @ (row_norms(solved).astype(np.float64) ** 2))


def _check_sums(weights: Any) -> None:
    """Refuse weights whose sums may be beyond float32."""
    largest = float(weights.data.max(initial=0))
    if largest * weights.nnz > _LARGEST:
        raise DataError(
            f"weights of up to {largest:.3g} may add up to more than float32 holds, {_LARGEST:.3g}. "
            "Multiply all weights by a constant, so that the usual one is about 1."
        )


def _edge_of_noise(weights: Any, unobserved: float) -> float:
    """Return the largest singular value that entries of random sign would have, each side at its scale.

    Of a matrix of independent entries it is about the root of the mean energy of a row and that of a column
    together.
    """
    n_users, n_items = weights.shape
    user_scale, item_scale = (
        1 / np.maximum(np.asarray(weights.sum(axis=axis), dtype=np.float64) + unobserved * n, 1e-6)
        for axis, n in ((1, n_items), (0, n_users))
    )
    squares = weights.multiply(weights)
    energy = float(user_scale @ (squares @ item_scale))
    return float(np.sqrt(energy / max(n_users, 1)) + np.sqrt(energy / max(n_items, 1)))


def _residuals(ratings: Any, row_bias: FloatArray, column_bias: FloatArray) -> Any:
    """Return the ratings as a ``csr_array`` of what the biases of rows and columns leave of them."""
    left = ratings.copy()
    owners = np.repeat(np.arange(ratings.shape[0]), np.diff(ratings.indptr))
    left.data = np.asarray(ratings.data - row_bias[owners] - column_bias[ratings.indices], dtype=np.float32)
    return left


def _ones_like(matrix: Any) -> Any:
    ones = matrix.copy()
    ones.data = np.ones(matrix.nnz, dtype=np.float32)
    return ones
