"""Item neighbours: items that the same users take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from llmrec.base import Factorizer, FloatArray
from llmrec.validation import check_fitted, check_integer, check_number

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories, Interactions

__all__ = ["ItemKNN"]

_ITEMS_AT_A_TIME = 1024


class ItemKNN(Factorizer):
    r"""Score an item by its cosine with the items of the history: item-based collaborative filtering.

    The query vector is the history itself, a sparse row; an item's vector is its column of the similarity
    matrix, sparse too: its ``neighbours`` nearest items
    (Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001). Hard to beat
    as a baseline, and explainable: a score is a sum over items of the history.

    Parameters
    ----------
    neighbours : int, default 100
        Similar items kept for each item.
    shrinkage : float, default 10.0
        Similarities are multiplied by ``n / (n + shrinkage)``, with ``n`` the number of users in common:
        two items that share one user are not yet alike.

    Attributes
    ----------
    similarities_ : csr_array of shape (n_items, n_items)
        Row ``i`` holds the neighbours of item ``i``; an item is no neighbour of itself.

    Examples
    --------
    >>> from llmrec.interactions import Interactions
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam")])
    >>> ItemKNN(shrinkage=0).fit(events).similarities_.toarray().round(2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, neighbours: int = 100, *, shrinkage: float = 10.0):
        self.neighbours = neighbours
        self.shrinkage = shrinkage

    def fit(self, interactions: Interactions) -> Self:
        """Compare all pairs of items that share a user."""
        neighbours = check_integer("neighbours", self.neighbours, minimum=1)
        shrinkage = check_number("shrinkage", self.shrinkage, 0)
        by_item = interactions.audiences().weight_matrix()
        lengths = np.sqrt(np.asarray(by_item.multiply(by_item).sum(axis=1))).ravel()
        unit = sparse.csr_array(sparse.diags_array(_inverse(lengths)) @ by_item)
        met = by_item.astype(bool).astype(np.float32)
        parts = [
            _nearest(unit, met, start, min(start + _ITEMS_AT_A_TIME, unit.shape[0]), neighbours, shrinkage)
            for start in range(0, unit.shape[0], _ITEMS_AT_A_TIME)
        ]
        self.similarities_ = sparse.csr_array(sparse.vstack(parts), dtype=np.float32)
        return self

    def item_vectors(self) -> Any:
        """Return the ``(n_items, n_items)`` sparse similarities."""
        check_fitted(self, "similarities_")
        return self.similarities_

    def query_vectors(self, histories: Histories) -> Any:
        """Return the ``(n, n_items)`` sparse histories."""
        check_fitted(self, "similarities_")
        return histories.weight_matrix()

    def history_parts(self, histories: Histories) -> Any:
        """Return each entry of the histories in a row of its own, ``(nnz, n_items)``."""
        check_fitted(self, "similarities_")
        return histories.entry_matrix()


def _inverse(lengths: FloatArray) -> FloatArray:
    return np.asarray(np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0))


def _nearest(unit: Any, met: Any, start: int, stop: int, neighbours: int, shrinkage: float) -> Any:
    """Return the neighbours of items ``start`` to ``stop`` as a sparse block of rows."""
    block = sparse.csr_array(unit[start:stop] @ unit.T)
    if shrinkage:
        shared = sparse.csr_array(met[start:stop] @ met.T)
        shared.data = shared.data / (shared.data + np.float32(shrinkage))
        block = sparse.csr_array(block.multiply(shared))
    block.setdiag(0, k=start)
    block.eliminate_zeros()
    return _largest_of_rows(block, neighbours)


def _largest_of_rows(block: Any, k: int) -> Any:
    """Keep the ``k`` largest entries of each row; equal ones by column."""
    owners = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    order = np.lexsort((block.indices, -block.data, owners))
    places = np.arange(block.nnz) - block.indptr[owners]
    kept = np.sort(order[places < k])
    entries = (block.data[kept], (owners[kept], block.indices[kept]))
    return sparse.csr_array(entries, shape=block.shape)
