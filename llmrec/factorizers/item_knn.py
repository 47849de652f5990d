"""Item neighbours: items that the same users take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmrec.base import Factorizer
from llmrec.factorizers.similarity import Comparison, entries_apart, nearest_of_rows, rated_weights
from llmrec.validation import check_fitted, check_integer
from llmrec.vectors import row_sums, scale_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories, Interactions

__all__ = ["ItemKNN"]


class ItemKNN(Factorizer):
    r"""Score an item by its similarity to the items of the history: item-based collaborative filtering.

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
    similarity : {"cosine", "adjusted-cosine", "pearson", "jaccard", "dot"}, default "cosine"
        ``"cosine"`` and ``"dot"`` compare the weights of events; ``"jaccard"`` counts users alone. The other
        two compare ratings, less each user's mean (``"adjusted-cosine"``) or less each item's
        (``"pearson"``, over all raters of an item, not just those in common); the query then holds the
        ratings of the history, and negative similarities count as none.
    weighting : {"bm25", "tf-idf"} or None, default None
        What an event counts in ``"cosine"`` and ``"dot"``: less for a user with many. BM25 brings a
        normalisation by popularity of its own and goes with ``"dot"``.
    normalize : bool, default False
        Whether the similarities of an item's neighbours add up to 1. It favours rare items.

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

    def __init__(
        self,
        neighbours: int = 100,
        *,
        shrinkage: float = 10.0,
        similarity: str = "cosine",
        weighting: str | None = None,
        normalize: bool = False,
    ):
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.similarity = similarity
        self.weighting = weighting
        self.normalize = normalize

    def fit(self, interactions: Interactions) -> Self:
        """Compare all pairs of items that share a user.

        Raises
        ------
        DataError
            If ratings are to be compared and the events have none.
        """
        neighbours = check_integer("neighbours", self.neighbours, minimum=1)
        audiences = interactions.audiences()
        comparison = Comparison.learn(self.similarity, self.weighting, self.shrinkage, audiences)
        rows = comparison.rows(audiences)
        # Of many events each array is a large part of what a fit takes.
        del audiences
        self.similarities_ = nearest_of_rows(comparison, rows, neighbours)
        if self.normalize:
            sums = row_sums(self.similarities_)
            inverse = np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)
            self.similarities_ = scale_rows(self.similarities_, inverse)
        return self

    def item_vectors(self) -> Any:
        """Return the ``(n_items, n_items)`` sparse similarities."""
        check_fitted(self, "similarities_")
        return self.similarities_

    def query_vectors(self, histories: Histories) -> Any:
        """Return the ``(n, n_items)`` sparse histories: their weights, or their ratings if those count."""
        check_fitted(self, "similarities_")
        if self.similarity in ("adjusted-cosine", "pearson"):
            return rated_weights(histories, self.similarity)
        return histories.weight_matrix()

    def history_parts(self, histories: Histories) -> Any:
        """Return each entry of the histories in a row of its own, ``(nnz, n_items)``."""
        return entries_apart(self.query_vectors(histories))
