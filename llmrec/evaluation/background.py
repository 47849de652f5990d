"""Background: what was known before the test, for the metrics that look beyond right and wrong."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import clone

from llmrec.base import Encoder, Matrix
from llmrec.errors import DataError, MissingColumnError, nearest
from llmrec.interactions import IdTable
from llmrec.registry import resolve
from llmrec.tables import ItemTable, join_text
from llmrec.validation import check_matrix

__all__ = ["Background"]


@dataclass(frozen=True)
class Background:
    """What is known of items, and of the judged users, from the training part.

    Attributes
    ----------
    items : IdTable
        Ids by item row: the catalogue first, then items of the test part that are not in it.
    n_catalogue : int
        Number of items that can be recommended.
    item_counts, audience_sizes : ndarray of shape (n_items,)
        Number of events of each item, and of the users who met it.
    n_users : int
        Number of users of the training part.
    profiles : csr_array of shape (n_judged_users, n_items)
        Weight of each item in the history of each judged user.
    described : ItemTable or None
        Item columns.
    vectors_from : Encoder, str, or mapping of item to vector
        What gives item vectors.
    """

    items: IdTable
    n_catalogue: int
    item_counts: npt.NDArray[np.int64]
    audience_sizes: npt.NDArray[np.int64]
    n_users: int
    profiles: Any
    described: ItemTable | None = None
    vectors_from: Any = "tfidf"
    _categories: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def item_vectors(self) -> Matrix:
        """Vectors of all items, ``(n_items, dim)``; zero where nothing is known of one.

        Raises
        ------
        DataError
            If there are neither vectors nor texts.
        """
        if isinstance(self.vectors_from, Mapping):
            return self._given_vectors(self.vectors_from)
        if self.described is None:
            raise DataError(
                "the diversity of a list needs item vectors; pass items= with a 'text' column, or "
                "item_vectors= as a mapping of item to vector."
            )
        text_of = dict(zip(self.described.ids, join_text(self.described, None), strict=True))
        texts = [text_of.get(one, "") for one in self.items]
        encoder = cast(Encoder, clone(resolve("encoder", self.vectors_from)))
        return encoder.fit_encode(texts)

    def categories(self, column: str) -> Any:
        """Return the ``(n_items, n_categories)`` ``csr_array`` of each item's shares of the categories.

        A list counts as several categories, and so does a text with ``|`` in it, such as
        ``"Comedy|Drama"``.

        Raises
        ------
        MissingColumnError
            If the items have no such column.
        """
        if column not in self._categories:
            self._categories[column] = self._read_categories(column)
        return self._categories[column]

    def _given_vectors(self, vectors: Mapping[Hashable, Any]) -> Matrix:
        if not vectors:
            raise DataError("item_vectors is empty.")
        known = check_matrix(list(vectors.values()), "item_vectors")
        row_of = {one: row for row, one in enumerate(vectors)}
        rows = np.array([row_of.get(one, -1) for one in self.items], dtype=np.int64)
        return np.where((rows >= 0)[:, None], known[rows], np.float32(0))

    def _read_categories(self, column: str) -> Any:
        columns = {} if self.described is None else self.described.columns
        if self.described is None or column not in columns:
            found = ", ".join(repr(one) for one in columns) or "no columns"
            raise MissingColumnError(
                f"calibration({column}) needs the item column {column!r}; the items have {found}. "
                f"Pass items= with that column.{nearest(column, columns)}"
            )
        table, rows, shares, columns_of = IdTable(), [], [], []
        for one, value in zip(self.described.ids, columns[column], strict=True):
            own, row = _as_categories(value), self.items.get(one)
            if row is not None:
                rows += [row] * len(own)
                shares += [1 / len(own)] * len(own)
                columns_of += [table.add(category) for category in own]
        return sparse.csr_array((shares, (rows, columns_of)), shape=(len(self.items), len(table)))


def _as_categories(value: Any) -> list[Hashable]:
    if value is None:
        return []
    if isinstance(value, str):
        return list(dict.fromkeys(part.strip() for part in value.split("|") if part.strip()))
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return list(dict.fromkeys(value))
    return [value]
