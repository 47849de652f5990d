"""The catalogue: what is known of the items beside behaviour, and filters on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from llmrec.base import BoolArray
from llmrec.errors import DataError, MissingColumnError, nearest
from llmrec.interactions import IdTable
from llmrec.tables import ItemTable
from llmrec.validation import as_list, is_hashable

__all__ = ["Catalogue"]


class Catalogue:
    """Item columns by name, aligned with item rows; a value that is not known is None.

    Examples
    --------
    >>> catalogue = Catalogue()
    >>> catalogue.update(ItemTable(["a", "b"], {"genre": ["drama", "comedy"]}), IdTable(["a", "b", "c"]))
    >>> catalogue.mask({"genre": "comedy"}, n_items=3).tolist()
    [False, True, False]
    """

    def __init__(self, columns: dict[str, list[Any]] | None = None):
        self.columns: dict[str, list[Any]] = columns or {}
        # Of each column that was filtered by value: the rows that hold one, kept up to date from then on.
        self._rows_of: dict[str, dict[Any, set[int]]] = {}

    def update(self, read: ItemTable, items: IdTable) -> None:
        """Take the columns of a table; the items are in ``items`` already. None does not erase a value."""
        for name, values in read.columns.items():
            column = self.columns.setdefault(name, [])
            blank = range(len(column), len(items))
            column.extend([None] * len(blank))
            if name in self._rows_of:
                self._rows_of[name].setdefault(None, set()).update(blank)
            for one, value in zip(read.ids, values, strict=True):
                if value is not None:
                    self._set(name, column, items.row(one), value)

    def _set(self, name: str, column: list[Any], row: int, value: Any) -> None:
        rows_of = self._rows_of.get(name)
        if rows_of is not None:
            for old in _hashable_values(column[row]):
                rows_of[old].discard(row)
            for new in _hashable_values(value):
                rows_of.setdefault(new, set()).add(row)
        column[row] = value

    def _rows_with(self, name: str, wanted: Any) -> list[int]:
        """Return the rows whose cell is, or holds, a value that is wanted: as much work as there are such."""
        rows_of = self._rows_of.get(name)
        if rows_of is None:
            rows_of = {}
            for row, cell in enumerate(self.columns[name]):
                for one in _hashable_values(cell):
                    rows_of.setdefault(one, set()).add(row)
            self._rows_of[name] = rows_of
        listed = as_list(wanted, name) if _holds_several(wanted) else [wanted]
        return [row for one in listed if is_hashable(one) for row in rows_of.get(one, ())]

    def mask(self, where: Mapping[str, Any], n_items: int) -> BoolArray:
        """Return which items pass all conditions, ``(n_items,)``.

        A condition is a value to equal, a list of values to be among, or a function of one value. A cell that
        holds a list passes where one of its values does.

        Raises
        ------
        MissingColumnError
            If the items have no such column.
        """
        passed = np.ones(n_items, dtype=np.bool_)
        for name, wanted in where.items():
            if name not in self.columns:
                known = ", ".join(repr(one) for one in self.columns) or "no columns"
                raise MissingColumnError(
                    f"where= names the item column {name!r}; the items have {known}."
                    f"{nearest(name, self.columns)}"
                )
            if callable(wanted):
                cells = enumerate(self.columns[name])
                rows = [row for row, cell in cells if cell is not None and _judged(name, wanted, cell)]
            else:
                rows = self._rows_with(name, wanted)
            met = np.zeros(n_items, dtype=np.bool_)
            met[rows] = True
            passed &= met
        return passed

    def get_state(self) -> dict[str, Any]:
        """Return the columns, for a model folder."""
        return {"columns": self.columns}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Catalogue:
        """Build the catalogue that gave ``state``."""
        return cls(state["columns"])


def _holds_several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _values_of(cell: Any) -> list[Any]:
    """Return the values in a cell: several if it holds a list, such as the genres of a film."""
    return as_list(cell, "a cell") if _holds_several(cell) else [cell]


def _hashable_values(cell: Any) -> list[Any]:
    return [one for one in _values_of(cell) if is_hashable(one)]


def _judged(name: str, condition: Callable[[Any], Any], value: Any) -> bool:
    try:
        return bool(condition(value))
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise DataError(f"the condition on {name!r} failed on the value {value!r}: {error}.") from error
