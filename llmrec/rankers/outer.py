"""Rankers around another one, which finds the items."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from llmrec.base import FloatArray, IntArray, ItemFacts, Matrix, Ranker
from llmrec.errors import DataError
from llmrec.registry import resolve
from llmrec.validation import check_fitted

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Histories

__all__ = ["OuterRanker"]

DoubleArray = npt.NDArray[np.float64]


class OuterRanker(Ranker):
    """Base of the rankers that change what another one gives: a subclass says how, in :meth:`_rank`.

    Parameters
    ----------
    ranker : Ranker or str, default "dot"
        Whose lists are changed; it is copied, not changed itself. May be an outer ranker, too.

    Attributes
    ----------
    ranker_ : Ranker
        The copy, which holds the index.
    """

    ranker_: Ranker

    def __init__(self, *, ranker: Ranker | str = "dot"):
        self.ranker = ranker

    @abstractmethod
    def _rank(
        self,
        histories: Histories | None,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allow: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and scores of the first ``k`` for each query, its history known or not."""

    def with_base(self, wrap: Callable[[Ranker], Ranker]) -> Ranker:
        """Return the same ranker over what ``wrap`` makes of the inner one's base."""
        inner = cast(Ranker, resolve("ranker", self.ranker))
        return cast(Ranker, clone(self).set_params(ranker=inner.with_base(wrap)))

    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, dense, sparse or joined, finite."""
        self.ranker_ = cast(Ranker, clone(resolve("ranker", self.ranker))).index(item_vectors)
        return self

    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows past the end are new items."""
        check_fitted(self, "ranker_", "index")
        self.ranker_.update(rows, vectors)

    def describe(self, facts: ItemFacts) -> None:
        """Hand the facts to the inner ranker, too."""
        check_fitted(self, "ranker_", "index")
        self.ranker_.describe(facts)

    def rank(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and scores of the first ``k`` for each query; see :meth:`llmrec.base.Ranker.rank`."""
        return self._rank(None, queries, k, exclude, allow)

    def rank_for(
        self,
        histories: Histories,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Do the same with each query's history at hand."""
        if len(histories) != queries.shape[0]:
            raise DataError(f"there are {len(histories)} histories for {queries.shape[0]} queries.")
        return self._rank(histories, queries, k, exclude, allow)

    def view_shares(self, query: Matrix, row: int, exclude: IntArray) -> DoubleArray | None:
        """Return what each view adds to the inner ranker's score."""
        check_fitted(self, "ranker_", "index")
        return self.ranker_.view_shares(query, row, exclude)

    def _inner(
        self,
        histories: Histories | None,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None,
        allow: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        """Return what the inner ranker gives."""
        if histories is None:
            return self.ranker_.rank(queries, k, exclude, allow)
        return self.ranker_.rank_for(histories, queries, k, exclude, allow)
