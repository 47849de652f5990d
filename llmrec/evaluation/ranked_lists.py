"""Ranked lists beside what was relevant: what all ranking metrics read."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import BoolArray, FloatArray, IntArray
from llmrec.errors import DataError, ParameterError
from llmrec.interactions import IdTable
from llmrec.validation import check_integer

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RankedLists", "relevance_matrix"]


@dataclass(frozen=True)
class RankedLists:
    """One ranked list for each user, and the set of items that turned out right for them.

    Build it from ids with :meth:`of`, or from rows as they are.

    Attributes
    ----------
    items : ndarray of int32, shape (n_users, width)
        Item rows, best first; -1 where a list has ended.
    relevant : csr_array of shape (n_users, n_items)
        What is stored is relevant. Each user has at least one such item.
    scores : ndarray of float32, shape (n_users, width), or None
        Equal scores are ties to :func:`~llmrec.evaluation.auc`; all else reads the lists in their order.
    n_candidates : ndarray of int64, shape (n_users,), or None
        How many items each list was chosen from; the whole catalogue, if not given.

    Examples
    --------
    >>> lists = RankedLists.of([["a", "b"], ["b", "c"]], [{"b"}, {"a", "c"}])
    >>> lists.hits.tolist()
    [[False, True], [False, True]]
    """

    items: IntArray
    relevant: Any
    scores: FloatArray | None = None
    n_candidates: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        lists: Sequence[Sequence[Hashable]],
        relevant: Sequence[Collection[Hashable]],
        scores: Sequence[Sequence[float]] | None = None,
        catalogue: Collection[Hashable] = (),
    ) -> Self:
        """Build it from ids. ``catalogue`` names items that stand in no list and were relevant to nobody.

        Raises
        ------
        DataError
            If the numbers of lists and of sets differ.
        ParameterError
            If nothing is relevant for a user.
        """
        if len(lists) != len(relevant):
            raise DataError(f"there are {len(lists)} lists, and {len(relevant)} sets of relevant items.")
        table = IdTable(catalogue)
        rows = [[table.add(one) for one in own] for own in lists]
        wanted = [sorted({table.add(one) for one in own}) for own in relevant]
        width = max((len(own) for own in rows), default=0)
        padded = np.full((len(rows), width), -1, dtype=np.int32)
        padded_scores = None if scores is None else np.full(padded.shape, -np.inf, dtype=np.float32)
        for user, own in enumerate(rows):
            padded[user, : len(own)] = own
            if scores is not None and padded_scores is not None:
                padded_scores[user, : len(own)] = scores[user]
        users = np.repeat(np.arange(len(wanted)), [len(own) for own in wanted])
        columns = np.array([row for own in wanted for row in own], dtype=np.int32)
        return cls(padded, relevance_matrix(users, columns, (len(wanted), len(table))), padded_scores)

    def __post_init__(self) -> None:
        n_relevant = np.diff(self.relevant.indptr)
        if len(n_relevant) != len(self.items):
            raise DataError(
                f"there are {len(self.items)} lists, and {len(n_relevant)} rows of relevant items."
            )
        if not n_relevant.all():
            raise ParameterError(
                f"there is no relevant item for the user at {int(np.argmin(n_relevant))}, so nothing can be "
                "measured; leave such users out."
            )

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"RankedLists({len(self)} users, up to {self.items.shape[1]} of {self.n_items} items)"

    @property
    def n_items(self) -> int:
        """Number of items that there are."""
        return int(self.relevant.shape[1])

    @property
    def n_relevant(self) -> npt.NDArray[np.int64]:
        """Number of relevant items of each user, ``(n_users,)``."""
        return np.asarray(np.diff(self.relevant.indptr), dtype=np.int64)

    @cached_property
    def hits(self) -> BoolArray:
        """Which places hold a relevant item, ``(n_users, width)``; one listed twice is right once."""
        keys = np.arange(len(self), dtype=np.int64)[:, None] * self.n_items + self.items
        owners = np.repeat(np.arange(len(self), dtype=np.int64), self.n_relevant)
        hits = (self.items >= 0) & np.isin(keys, owners * self.n_items + self.relevant.indices)
        found = keys[hits]
        _, first = np.unique(found, return_index=True)  # in reading order, so the best place of each
        is_first = np.zeros(len(found), dtype=np.bool_)
        is_first[first] = True
        hits[hits] = is_first
        return hits

    def hits_at(self, k: int | None) -> BoolArray:
        """Return :attr:`hits` of the first ``k`` places; of all, if ``k`` is None."""
        return self.hits if k is None else self.hits[:, : check_integer("k", k, minimum=1)]

    def indicator(self, k: int | None) -> Any:
        """Return the ``(n_users, n_items)`` ``csr_array`` of what is among the first ``k``."""
        items = self.items if k is None else self.items[:, : check_integer("k", k, minimum=1)]
        users, places = np.nonzero(items >= 0)
        listed = sparse.csr_array(
            (np.ones(len(users), dtype=np.float32), (users, items[users, places])),
            shape=(len(self), self.n_items),
        )
        listed.sum_duplicates()
        listed.data[:] = 1
        return listed

    def take(self, users: npt.NDArray[np.integer[Any]]) -> RankedLists:
        """Return the lists of some users."""
        return RankedLists(
            self.items[users],
            self.relevant[users],
            None if self.scores is None else self.scores[users],
            None if self.n_candidates is None else self.n_candidates[users],
        )


def relevance_matrix(
    user_rows: npt.NDArray[np.integer[Any]], item_rows: npt.NDArray[np.integer[Any]], shape: tuple[int, int]
) -> Any:
    """Return the ``csr_array`` of relevant pairs, each stored once, columns sorted."""
    matrix = sparse.csr_array(
        (np.ones(len(user_rows), dtype=np.float32), (user_rows, item_rows)), shape=shape
    )
    matrix.sum_duplicates()
    return matrix
