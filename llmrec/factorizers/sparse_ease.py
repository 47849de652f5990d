"""Sparse EASE: each item regressed on the items nearest to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import Factorizer, IntArray
from llmrec.decomposition import row_chunks
from llmrec.errors import ParameterError
from llmrec.factorizers.ease_weights import EASEWeights
from llmrec.factorizers.nearest import largest_products, products_of_rows
from llmrec.factorizers.similarity import largest_of_rows, within
from llmrec.threads import map_threads
from llmrec.validation import check_fitted, check_integer, check_number
from llmrec.vectors import replace_rows, take_rows, unit_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["SparseEASE", "gram_gigabytes"]

_WORK_AT_A_TIME = 1 << 26
_BYTES_AN_ENTRY = 8


class SparseEASE(Factorizer):
    r"""Regress each item on its nearest items alone: EASE for catalogues that are too large for its inverse.

    Choose it as the first view of behaviour for a catalogue of more than some thousand items: item neighbours
    that know of each other. Of two near items that the same users take, :class:`ItemKNN` counts both in
    full; a regression shares what they say. With the weights of :class:`EASE`, item :math:`j` is scored by

    .. math:: b_j = (G_{SS} + \tfrac{p}{1 - p} \operatorname{diag}(G_{SS}) + \lambda I)^{-1} G_{Sj}

    over the items :math:`S` with the largest cosines to it
    (after Ning & Karypis, "SLIM: Sparse linear methods for top-n recommender systems", ICDM 2011, whose
    regressions on selected items these are, with a squared penalty and thus in closed form). Time grows with
    the catalogue, not with its cube. The query vector is the history itself.

    Parameters
    ----------
    neighbours : int, default 100
        :math:`|S|`, the items that each is regressed on.
    regularization : float or "auto", default "auto"
    dropout : float, default 0.67
    length_exponent : float, default 0.5
        As in :class:`EASE`.
    max_gigabytes : float, default 4.0
        Memory for the sparse :math:`G`, at most. Events that may need more are refused at once.

    Attributes
    ----------
    coefficients_ : csr_array of shape (n_items, n_items)
        Row ``j`` holds :math:`b_j`, at most ``neighbours`` entries.
    regularization_ : float
    precisions_ : ndarray of shape (n_items,), float64
        One over what each regression leaves unexplained, its ridge included.
    user_scale_ : float
        As in :class:`EASE`.

    Notes
    -----
    New events extend the histories of queries at once. An item that is new since ``fit`` gets coefficients
    from the events it has so far and from the regressions of the items known then: with
    :math:`P_{ij} = -B_{ij} P_{jj}`, they are :math:`G_{new} P`, cut down to the ``neighbours`` largest. Where
    all items are neighbours of all, that is the column that :class:`EASE` gives it; else the inverse is
    approximate (Meinshausen & Bühlmann, "High-dimensional graphs and variable selection with the lasso",
    Annals of Statistics 2006), until the next ``fit``. The coefficients of other items stay.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam")])
    >>> SparseEASE(regularization=2, dropout=0).fit(events).coefficients_.toarray().tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """

    def __init__(
        self,
        neighbours: int = 100,
        *,
        regularization: float | str = "auto",
        dropout: float = 0.67,
        length_exponent: float = 0.5,
        max_gigabytes: float = 4.0,
    ):
        self.neighbours = neighbours
        self.regularization = regularization
        self.dropout = dropout
        self.length_exponent = length_exponent
        self.max_gigabytes = max_gigabytes

    def fit(self, interactions: Interactions) -> Self:
        """Find the nearest items of each, and solve one small system an item, on all threads.

        Raises
        ------
        ParameterError
            If the events would take more than ``max_gigabytes``.
        """
        neighbours = check_integer("neighbours", self.neighbours, minimum=1)
        weights = EASEWeights(self.regularization, self.dropout, self.length_exponent).fit(
            interactions.matrix
        )
        self._check_memory(interactions)
        rows = weights.rows(interactions.matrix)
        ridges = weights.ridges(rows)
        rows = rows.astype(np.float32)
        by_item = sparse.csr_array(rows.T)
        gram = sparse.csr_array(by_item @ rows)
        self.regularization_ = weights.regularization_
        self.user_scale_ = weights.user_scale_
        self.coefficients_ = _regressed(gram, ridges, _nearest(by_item, neighbours))
        explained = np.asarray(self.coefficients_.multiply(gram).sum(axis=1), dtype=np.float64).ravel()
        # At least the ridge is left: below it, the difference is of rounding.
        left = np.maximum(gram.diagonal() - explained, 0) + ridges
        self.precisions_ = 1 / left
        return self

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Give the new items among ``events`` coefficients on those known at ``fit``; return their rows."""
        check_fitted(self, "coefficients_")
        width = self.coefficients_.shape[1]
        rows = np.unique(events.item_rows[events.item_rows >= width]).astype(np.int32)
        if len(rows):
            weights = EASEWeights(self.regularization_, self.dropout, self.length_exponent)
            weights.user_scale_ = self.user_scale_
            targets = weights.shared(interactions, rows, width, lambda some: some.weight_matrix())
            self.coefficients_ = replace_rows(self.coefficients_, rows, self._regressed_anew(targets))
        return rows

    def _regressed_anew(self, targets: Any) -> Any:
        """Return ``targets @ P`` as far as the coefficients tell ``P``, the largest entries of each row."""
        scaled = sparse.csr_array(targets.multiply(self.precisions_))
        used = np.unique(scaled.indices).astype(np.int32)
        whole = scaled - scaled[:, used] @ take_rows(self.coefficients_, used)
        whole = sparse.csr_array(whole, dtype=np.float32)
        sizes = largest_of_rows(sparse.csr_array(abs(whole)), self.neighbours)
        return sparse.csr_array(whole.multiply(sizes.sign()))

    def _check_memory(self, interactions: Interactions) -> None:
        allowed = check_number("max_gigabytes", self.max_gigabytes, 0, above=True)
        needed = gram_gigabytes(interactions)
        if needed > allowed:
            raise ParameterError(
                f"SparseEASE may need {needed:.1f} GB for these events, and max_gigabytes is {allowed:g}; "
                "raise it, or choose 'item-knn' or 'als'."
            )

    def item_vectors(self) -> Any:
        """Return the ``(n_items, n_items)`` sparse coefficients, an item a row."""
        check_fitted(self, "coefficients_")
        return self.coefficients_

    def query_vectors(self, histories: Histories) -> Any:
        """Return the ``(n, n_items)`` sparse histories, without items that are new since ``fit``."""
        check_fitted(self, "coefficients_")
        return within(histories.weight_matrix(), self.coefficients_.shape[1])

    def history_parts(self, histories: Histories) -> Any:
        """Return each entry of the histories in a row of its own, ``(nnz, n_items)``."""
        check_fitted(self, "coefficients_")
        return within(histories.entry_matrix(), self.coefficients_.shape[1])


def gram_gigabytes(interactions: Interactions) -> float:
    """Return how much memory the products of all pairs of items take, at most."""
    lengths = np.diff(interactions.matrix.indptr).astype(np.float64)
    pairs = min(float(lengths @ lengths), float(interactions.n_items) ** 2)
    return _BYTES_AN_ENTRY * pairs / 1e9


def _nearest(by_item: Any, neighbours: int) -> Any:
    """Return the items with the largest cosines to each, a row each, columns ascending."""
    unit = unit_rows(by_item)
    users = sparse.csr_array(unit.T)
    return largest_products(
        unit, users, neighbours, products_of_rows(unit, np.diff(users.indptr)), skip_self=True
    )


def _regressed(gram: Any, ridges: Any, nearest: Any) -> Any:
    from llmrec.kernels.restricted_ridge import regress_items

    indptr = gram.indptr.astype(np.int64), nearest.indptr.astype(np.int64)
    rows = indptr[0], gram.indices, gram.data.astype(np.float32, copy=False)
    candidates = indptr[1], nearest.indices
    coefficients, failed = np.empty(nearest.nnz), np.zeros(1, dtype=np.bool_)

    def solve(chunk: slice) -> None:
        regress_items(rows, ridges, candidates, chunk.start, chunk.stop, coefficients, failed)

    map_threads(solve, row_chunks(_work(gram, nearest), _WORK_AT_A_TIME))
    if failed[0]:
        raise ParameterError(
            "regularization is too small for these events: raise it, or raise dropout above 0."
        )
    return sparse.csr_array(
        (coefficients.astype(np.float32), nearest.indices, nearest.indptr), shape=gram.shape
    )


def _work(gram: Any, nearest: Any) -> npt.NDArray[np.int64]:
    """Return the operations before each item and in all: rows to look through, and a system to solve."""
    lengths = np.append(0, np.cumsum(np.diff(gram.indptr)[nearest.indices], dtype=np.int64))
    sizes = np.diff(nearest.indptr).astype(np.int64)
    return np.append(0, np.cumsum(np.diff(lengths[nearest.indptr]) + sizes**3 // 3))
