"""EASE: an item's column regressed on all other items, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from llmrec.base import ContentFactorizer, FloatArray, IntArray, Matrix
from llmrec.errors import DataError, ParameterError
from llmrec.factorizers.content_prior import support_with_text
from llmrec.factorizers.ease_weights import EASEWeights, scaled
from llmrec.factorizers.nearest import add_gram
from llmrec.factorizers.rating_weights import usual_rating, weighed_by_rating
from llmrec.factorizers.similarity import within
from llmrec.validation import check_fitted, check_matrix, check_number
from llmrec.vectors import distinct, replace_rows, row_norms, take_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["EASE"]

DoubleArray = npt.NDArray[np.float64]

_ITEMS_AT_A_TIME = 512


class EASE(ContentFactorizer):
    r"""Regress each item on all others with a ridge: a linear autoencoder without factors.

    Choose it where the catalogue has at most some ten thousand items: a fit takes seconds, has one number to
    tune, and the result is hard to beat on dense data. With :math:`G = X^T U X` and

    .. math:: P = (G + \tfrac{p}{1 - p} \operatorname{diag}(G) + \lambda I)^{-1}

    item :math:`j` is scored by the column :math:`B_{ij} = -P_{ij} / P_{jj}`, :math:`B_{jj} = 0`
    (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019; for the dropout :math:`p`, Steck,
    "Autoencoders that don't overfit towards the identity", NeurIPS 2020). :math:`U` weighs users, below.
    The query vector is the history itself. Time grows with the cube of the catalogue and memory with its
    square; where there are fewer than half as many users as items, the same numbers come from the inverse
    over users (Woodbury).

    Parameters
    ----------
    regularization : float or "auto", default "auto"
        :math:`\lambda`, above 0. ``"auto"`` is :math:`4 \sqrt{m\,\bar u\,\min(\bar n, 100)}`, where
        :math:`m` is the mean squared weight of an event, :math:`\bar u = \sum_u |x_u|^4 / \sum_u |x_u|^2` of
        the histories as they are weighed, and :math:`\bar n = \sum_i n_i^2 / \sum_i n_i` of the numbers of
        events of items: long histories of well-known items ask for more. Between half and twice the best
        value, accuracy changes by some percent at most.
    dropout : float, default 0.67
        :math:`p`, from 0 to below 1: as if each event were hidden from the regression with this probability
        anew and anew. It bounds how much a popular item speaks for others, where :math:`\lambda` bounds
        the rare ones. 0 is plain EASE.
    length_exponent : float, default 0.5
        A user whose history has the squared length :math:`|x_u|^2` counts :math:`|x_u|^{-2e}` in
        :math:`U`, scaled so that all events together count as before. At 0 all users count alike, and those
        with the longest histories outweigh many others.
    rating_exponent : float, default 0.0
        :math:`e`: where events carry ratings, an event rated :math:`r` weighs
        :math:`(r / \bar r)^e` times what it would, with :math:`\bar r` the mean rating; 0 reads no
        rating. 0.5 gains a percent or two on films rated from 1 to 5.
    content_weight : float, default 0.0
        How much an item's text counts beside its events: the text vectors stand below the users as further
        rows, times the root of this (Jeunen et al., "Closed-form models for collaborative filtering with
        side-information", RecSys 2020). Items without events then have neighbours too. 0 reads no text.
    max_gigabytes : float, default 8.0
        Memory that a fit may take. A larger catalogue is refused before anything is computed.

    Attributes
    ----------
    item_vectors_ : ndarray of shape (n_items, dim)
        Row ``j`` is column ``j`` of ``B``; ``dim`` is the number of items at the time of ``fit``.
    regularization_ : float
    precisions_ : ndarray of shape (dim,), float64
        The diagonal of ``P``.
    usual_rating_ : float
        The :math:`\bar r` that weights are relative to; 1 where ratings are not read.
    user_scale_ : float
        What the weights :math:`|x_u|^{-2e}` of users were multiplied by.
    content_ : ndarray or csr_array of shape (n_items, content_dim), or None
        The text vectors, if they are read.

    Notes
    -----
    New events extend the histories of queries at once. An item that is new since ``fit`` gets its column
    by the same regression on the items known then, with the events it has so far; the columns of other items
    stay, as do the texts of items that had one, until the next ``fit``.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam")])
    >>> EASE(regularization=2, dropout=0).fit(events).item_vectors().tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """

    def __init__(
        self,
        regularization: float | str = "auto",
        *,
        dropout: float = 0.67,
        length_exponent: float = 0.5,
        rating_exponent: float = 0.0,
        content_weight: float = 0.0,
        max_gigabytes: float = 8.0,
    ):
        self.regularization = regularization
        self.dropout = dropout
        self.length_exponent = length_exponent
        self.rating_exponent = rating_exponent
        self.content_weight = content_weight
        self.max_gigabytes = max_gigabytes

    def fit(self, interactions: Interactions, content: Matrix | None = None) -> Self:
        """Solve for all columns at once.

        Raises
        ------
        ParameterError
            If the catalogue is too large for ``max_gigabytes``.
        """
        check_number("content_weight", self.content_weight, 0)
        check_number("rating_exponent", self.rating_exponent, 0)
        of_users = self._of_users()
        self.usual_rating_ = usual_rating(interactions, self.rating_exponent)
        self.content_: Matrix = self._check_content(content, interactions.n_items)
        self._check_memory(interactions.n_items)
        events = self._weights(interactions.histories()).astype(np.float64)
        of_users.fit(events)
        self.user_scale_, self.regularization_ = of_users.user_scale_, of_users.regularization_
        rows = of_users.rows(events)
        solve = _solve_over_rows if 2 * self._n_rows(events) <= events.shape[1] else _solve_over_items
        self.item_vectors_, self.precisions_ = solve(
            rows, self.content_, float(self.content_weight), self._ridges(of_users, rows)
        )
        return self

    def _of_users(self) -> EASEWeights:
        return EASEWeights(self.regularization, self.dropout, self.length_exponent)

    def _weighed(self, histories: Histories) -> Histories:
        return weighed_by_rating(histories, self.rating_exponent, self.usual_rating_)

    def _weights(self, histories: Histories) -> Any:
        """Return what each column counts in each history, or each user in an audience: sparse."""
        return self._weighed(histories).weight_matrix()

    def _n_rows(self, events: Any) -> int:
        return int(events.shape[0]) + (0 if self.content_ is None else int(self.content_.shape[1]))

    def _ridges(self, of_users: EASEWeights, rows: Any) -> DoubleArray:
        """Return what is added to the diagonal, of the events and of the texts: ``(n_items,)``."""
        ridges = of_users.ridges(rows)
        if self.content_ is not None:
            squares = row_norms(self.content_).astype(np.float64) ** 2
            ridges += of_users.dropout_ratio * self.content_weight * squares
        return ridges

    def _check_content(self, content: Matrix | None, n_items: int) -> Matrix | None:
        if content is None or self.content_weight == 0:
            return None
        checked = check_matrix(content, "content")
        if checked.shape[0] != n_items:
            raise DataError(f"content has {checked.shape[0]} rows for {n_items} items.")
        return checked

    def _check_memory(self, n_items: int) -> None:
        allowed = check_number("max_gigabytes", self.max_gigabytes, 0, above=True)
        # The matrix to invert in float64 and its result in float32.
        needed = 12 * n_items**2 / 1e9
        if needed > allowed:
            raise ParameterError(
                f"EASE needs {needed:.1f} GB for {n_items} items, and max_gigabytes is {allowed:g}; "
                "raise it, or choose 'sparse-ease', 'graph-filter' or 'linear-autoencoder'."
            )

    def item_vectors(self) -> FloatArray:
        """Return ``(n_items, dim)``: for each item how much each item of a history speaks for it."""
        check_fitted(self, "item_vectors_")
        return self.item_vectors_

    def query_vectors(self, histories: Histories) -> Any:
        """Return the ``(n, dim)`` sparse histories, without items that are new since ``fit``."""
        check_fitted(self, "item_vectors_")
        return within(self._weights(histories), self.item_vectors_.shape[1])

    def history_parts(self, histories: Histories) -> Any:
        """Return each entry of the histories in a row of its own, ``(nnz, dim)``."""
        check_fitted(self, "item_vectors_")
        return within(self._weighed(histories).entry_matrix(), self.item_vectors_.shape[1])

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Regress the new items among ``events`` on the items known at ``fit``; return their rows."""
        check_fitted(self, "item_vectors_")
        width = self.item_vectors_.shape[1]
        rows = distinct(events.item_rows[events.item_rows >= width])
        if len(rows):
            of_users = self._of_users()
            of_users.user_scale_ = self.user_scale_
            targets = _dense(of_users.shared(interactions, rows, width, self._weights))
            if self.content_ is not None:
                targets += self._text_targets(take_rows(self.content_, rows))
            self.item_vectors_ = replace_rows(self.item_vectors_, rows, self._regressed(targets))
        return rows

    def learn_content(self, item_rows: IntArray, content: Matrix) -> IntArray:
        """Move the new items among ``item_rows`` by what their texts add; return their rows.

        The text of an item that was there at ``fit`` counts from the next ``fit`` on.
        """
        check_fitted(self, "item_vectors_")
        width = self.item_vectors_.shape[1]
        is_new = item_rows >= width
        if self.content_ is None or not is_new.any():
            return np.empty(0, dtype=np.int32)
        # If an item comes twice, the last text counts.
        rows, from_end = np.unique(item_rows[is_new][::-1], return_index=True)
        texts = content[np.flatnonzero(is_new)[::-1][from_end]]
        # The regression is linear in its target, so what the events gave stays.
        added = self._text_targets(texts) - self._text_targets(take_rows(self.content_, rows))
        vectors = take_rows(self.item_vectors_, rows) + self._regressed(added)
        self.content_ = replace_rows(self.content_, rows, texts)
        self.item_vectors_ = replace_rows(self.item_vectors_, rows, vectors)
        return rows.astype(np.int32)

    def item_support(self, item_counts: FloatArray, item_rows: IntArray) -> FloatArray:
        """Return each item's events, or half of one for an item of which only the text is known."""
        if self.content_ is None:
            return item_counts
        return support_with_text(item_counts, row_norms(take_rows(self.content_, item_rows)) > 0)

    def _text_targets(self, texts: Matrix) -> DoubleArray:
        """Return the products of new texts with those of the items known at ``fit``."""
        known = self.content_[: self.item_vectors_.shape[1]]
        return self.content_weight * _dense(texts @ known.T)

    def _regressed(self, targets: DoubleArray) -> FloatArray:
        """Return ``targets @ P``: the ridge regressions whose right-hand sides are the rows."""
        scaled = (targets * self.precisions_).astype(np.float32)
        # P = (I - B) diag(P), and row j of the item vectors is column j of B.
        return scaled - scaled @ self.item_vectors_[: self.item_vectors_.shape[1]]


def _solve_over_items(
    rows: Any, content: Matrix | None, weight: float, ridges: DoubleArray
) -> tuple[FloatArray, DoubleArray]:
    """Invert the items × items matrix, in place, and return the columns of B as rows, and diag(P)."""
    n_items = rows.shape[1]
    gram = np.zeros((n_items, n_items))
    add_gram(rows, gram)
    if content is not None:
        for block in _blocks(n_items):
            gram[block] += weight * _dense(content[block] @ content.T)
    gram[np.diag_indices_from(gram)] += ridges
    # The transpose of a C-ordered array is in the Fortran order in which LAPACK works in place: on what was
    # the upper triangle.
    factor, _ = linalg.lapack.dpotrf(gram.T, lower=True, overwrite_a=True)
    inverse, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    precisions = np.diagonal(inverse).copy()
    vectors = np.empty((n_items, n_items), dtype=np.float32)
    for block in _blocks(n_items):
        # Only the lower triangle was computed: row j of the symmetric P is its row up to j, its column after.
        upper = inverse[block.start :, block].T
        vectors[block, block.start :] = upper / -precisions[block, None]
        vectors[block.start :, block] = upper.T / -precisions[block.start :, None]
        corner = np.tril(inverse[block, block])
        corner = corner + np.tril(corner, -1).T
        vectors[block, block] = corner / -precisions[block, None]
    np.fill_diagonal(vectors, 0)
    return vectors, precisions


def _solve_over_rows(
    rows: Any, content: Matrix | None, weight: float, ridges: DoubleArray
) -> tuple[FloatArray, DoubleArray]:
    """Return the same through the inverse over users (and columns of the texts).

    With ``D`` the ridges and ``S = A D^(-1/2)`` of the stacked rows ``A``,
    ``P = D^(-1/2) (I - SᵀZ) D^(-1/2)`` where ``Z = (SSᵀ + I)⁻¹ S``.
    """
    if content is not None:
        texts = sparse.csr_array(content, dtype=np.float64)
        rows = sparse.csr_array(sparse.vstack([rows, np.sqrt(weight) * texts.T]))
    roots = np.sqrt(ridges)
    by_item = scaled(sparse.csr_array(rows.T), 1 / roots)
    kernel = (by_item.T @ by_item).toarray()
    kernel[np.diag_indices_from(kernel)] += 1
    factor = linalg.cho_factor(kernel, lower=True, overwrite_a=True)
    solved = linalg.cho_solve(factor, by_item.T.toarray(order="F"), overwrite_b=True)
    n_items = rows.shape[1]
    vectors = np.empty((n_items, n_items), dtype=np.float32)
    left = np.empty(n_items)
    for block in _blocks(n_items):
        explained = (by_item @ solved[:, block]).T
        left[block] = 1 - np.diagonal(explained, offset=block.start)
        vectors[block] = explained * (roots[block] / left[block])[:, None] / roots
    np.fill_diagonal(vectors, 0)
    return vectors, left / ridges


def _dense(product: Any) -> DoubleArray:
    return np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float64)


def _blocks(n_items: int) -> list[slice]:
    return [
        slice(start, min(start + _ITEMS_AT_A_TIME, n_items)) for start in range(0, n_items, _ITEMS_AT_A_TIME)
    ]
