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

    def update(self, read: ItemTable, items: IdTable) -> None:
        """Take the columns of a table; the items are in ``items`` already. None does not erase a value."""
        for name, values in read.columns.items():
            column = self.columns.setdefault(name, [])
            column.extend([None] * (len(items) - len(column)))
            for one, value in zip(read.ids, values, strict=True):
                if value is not None:
                    column[items.row(one)] = value

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
            column = self.columns[name]
            keep = _condition(name, wanted)
            passed &= np.fromiter((keep(v) for v in column), np.bool_, len(column)).tolist() + [False] * (
                n_items - len(column)
            )
        return passed

    def get_state(self) -> dict[str, Any]:
        """Return the columns, for a model folder."""
        return {"columns": self.columns}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Catalogue:
        """Build the catalogue that gave ``state``."""
        return cls(state["columns"])


def _condition(name: str, wanted: Any) -> Callable[[Any], bool]:
    if callable(wanted):
        return lambda value: value is not None and _judged(name, wanted, value)
    listed = as_list(wanted, name) if _holds_several(wanted) else [wanted]
    among = {one for one in listed if is_hashable(one)}
    return lambda value: any(is_hashable(one) and one in among for one in _values_of(value))


def _holds_several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _values_of(cell: Any) -> list[Any]:
    """Return the values in a cell: several if it holds a list, such as the genres of a film."""
    return as_list(cell, "a cell") if _holds_several(cell) else [cell]


def _judged(name: str, condition: Callable[[Any], Any], value: Any) -> bool:
    try:
        return bool(condition(value))
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise DataError(f"the condition on {name!r} failed on the value {value!r}: {error}.") from error
