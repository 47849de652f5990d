"""EASE: an item's column regressed on all other items, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from llmrec.base import ContentFactorizer, FloatArray, IntArray, Matrix
from llmrec.errors import DataError, ParameterError
from llmrec.factorizers.similarity import within
from llmrec.validation import check_fitted, check_matrix, check_number
from llmrec.vectors import replace_rows, row_norms, take_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["EASE"]

DoubleArray = npt.NDArray[np.float64]

_ITEMS_AT_A_TIME = 512
_EVENTS_ALONE, _HISTORY_SHARE = 100.0, 1.5


class EASE(ContentFactorizer):
    r"""Regress each item on all others with a ridge: a linear autoencoder without factors.

    Choose it where the catalogue has at most some ten thousand items: a fit takes seconds, has one number to
    tune, and the result is hard to beat on dense data. With :math:`P = (X^T X + \lambda I)^{-1}` item
    :math:`j` is scored by the column :math:`B_{ij} = -P_{ij} / P_{jj}`, :math:`B_{jj} = 0`
    (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019). The query vector is the history
    itself. Time grows with the cube of the catalogue and memory with its square; where there are
    fewer than half as many users as items, the same numbers come from the inverse over users (Woodbury).

    Parameters
    ----------
    regularization : float or "auto", default "auto"
        :math:`\lambda`, above 0. ``"auto"`` is :math:`100\,m + 1.5\,\bar u`, where :math:`m` is the mean
        squared weight and :math:`\bar u = \sum_u |x_u|^4 / \sum_u |x_u|^2`: for events of weight 1 the mean
        length of histories, long ones counting more. Between half and twice the best value, accuracy
        changes by some percent at most.
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
    >>> EASE(regularization=2).fit(events).item_vectors().tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """

    def __init__(
        self,
        regularization: float | str = "auto",
        *,
        content_weight: float = 0.0,
        max_gigabytes: float = 8.0,
    ):
        self.regularization = regularization
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
        if self.regularization != "auto":
            check_number("regularization", self.regularization, 0, above=True)
        events = interactions.matrix.astype(np.float64)
        self.content_: Matrix = self._check_content(content, interactions.n_items)
        self._check_memory(interactions.n_items)
        self.regularization_ = (
            _suited_regularization(events) if self.regularization == "auto" else float(self.regularization)
        )
        n_rows = events.shape[0] + (0 if self.content_ is None else self.content_.shape[1])
        solve = _solve_over_rows if 2 * n_rows <= events.shape[1] else _solve_over_items
        self.item_vectors_, self.precisions_ = solve(
            events, self.content_, float(self.content_weight), self.regularization_
        )
        return self

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
                "raise it, or choose 'graph-filter', 'item-knn' or 'linear-autoencoder'."
            )

    def item_vectors(self) -> FloatArray:
        """Return ``(n_items, dim)``: for each item how much each item of a history speaks for it."""
        check_fitted(self, "item_vectors_")
        return self.item_vectors_

    def query_vectors(self, histories: Histories) -> Any:
        """Return the ``(n, dim)`` sparse histories, without items that are new since ``fit``."""
        check_fitted(self, "item_vectors_")
        return within(histories.weight_matrix(), self.item_vectors_.shape[1])

    def history_parts(self, histories: Histories) -> Any:
        """Return each entry of the histories in a row of its own, ``(nnz, dim)``."""
        check_fitted(self, "item_vectors_")
        return within(histories.entry_matrix(), self.item_vectors_.shape[1])

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Regress the new items among ``events`` on the items known at ``fit``; return their rows."""
        check_fitted(self, "item_vectors_")
        width = self.item_vectors_.shape[1]
        rows = np.unique(events.item_rows[events.item_rows >= width]).astype(np.int32)
        if len(rows):
            targets = _shared_weights(interactions, rows, width)
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
        """Return each item's events, and 1 at least for an item whose text is read."""
        if self.content_ is None:
            return item_counts
        has_text = (row_norms(take_rows(self.content_, item_rows)) > 0).astype(np.float32)
        return np.maximum(item_counts, has_text)

    def _text_targets(self, texts: Matrix) -> DoubleArray:
        """Return the products of new texts with those of the items known at ``fit``."""
        known = self.content_[: self.item_vectors_.shape[1]]
        return self.content_weight * _dense(texts @ known.T)

    def _regressed(self, targets: DoubleArray) -> FloatArray:
        """Return ``targets @ P``: the ridge regressions whose right-hand sides are the rows."""
        scaled = (targets * self.precisions_).astype(np.float32)
        # P = (I - B) diag(P), and row j of the item vectors is column j of B.
        return scaled - scaled @ self.item_vectors_[: self.item_vectors_.shape[1]]


def _suited_regularization(events: Any) -> float:
    """Return a regularization in the units of squared weights; see :class:`EASE`."""
    if not events.nnz:
        return _EVENTS_ALONE
    energies = np.asarray(events.multiply(events).sum(axis=1)).ravel()
    mean_square = energies.sum() / events.nnz
    return float(_EVENTS_ALONE * mean_square + _HISTORY_SHARE * (energies**2).sum() / energies.sum())


def _solve_over_items(
    events: Any, content: Matrix | None, weight: float, ridge: float
) -> tuple[FloatArray, DoubleArray]:
    """Invert the items × items matrix, in place, and return the columns of B as rows, and diag(P)."""
    n_items = events.shape[1]
    by_item = sparse.csr_array(events.T)
    gram = np.empty((n_items, n_items))
    for block in _blocks(n_items):
        gram[block] = (by_item[block] @ events).toarray()
        if content is not None:
            gram[block] += weight * _dense(content[block] @ content.T)
    gram[np.diag_indices_from(gram)] += ridge
    # The transpose of a symmetric C-ordered array is the Fortran order in which LAPACK works in place.
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
    events: Any, content: Matrix | None, weight: float, ridge: float
) -> tuple[FloatArray, DoubleArray]:
    """Return the same through the inverse over users (and columns of the texts).

    With A the stacked rows, ``P = (I - AᵀZ) / λ`` where ``Z = (AAᵀ + λI)⁻¹ A``.
    """
    rows = events
    if content is not None:
        texts = sparse.csr_array(content, dtype=np.float64)
        rows = sparse.csr_array(sparse.vstack([events, np.sqrt(weight) * texts.T]))
    kernel = (rows @ rows.T).toarray()
    kernel[np.diag_indices_from(kernel)] += ridge
    factor = linalg.cho_factor(kernel, lower=True, overwrite_a=True)
    solved = linalg.cho_solve(factor, rows.toarray(order="F"), overwrite_b=True)
    n_items, by_item = rows.shape[1], sparse.csr_array(rows.T)
    vectors = np.empty((n_items, n_items), dtype=np.float32)
    left = np.empty(n_items)
    for block in _blocks(n_items):
        explained = (by_item @ solved[:, block]).T
        left[block] = 1 - np.diagonal(explained, offset=block.start)
        vectors[block] = explained / left[block, None]
    np.fill_diagonal(vectors, 0)
    return vectors, left / ridge


def _shared_weights(interactions: Interactions, rows: IntArray, width: int) -> DoubleArray:
    """Return ``(len(rows), width)``: the inner products of items' columns with those of the first items."""
    audiences = interactions.audiences(rows).weight_matrix()
    users = np.unique(audiences.indices).astype(np.int32)
    histories = interactions.histories(users).known_to(width).weight_matrix()
    shared = (audiences[:, users] @ histories).toarray()
    return np.asarray(shared, dtype=np.float64)


def _dense(product: Any) -> DoubleArray:
    return np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float64)


def _blocks(n_items: int) -> list[slice]:
    return [
        slice(start, min(start + _ITEMS_AT_A_TIME, n_items)) for start in range(0, n_items, _ITEMS_AT_A_TIME)
    ]
