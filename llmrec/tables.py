"""Tables of events and of items, read from whatever frame, list or matrix the caller has."""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.columns import ArrayColumn, Column, FrameColumn, IdColumn
from llmrec.errors import DataError, MissingColumnError, ParameterError, nearest
from llmrec.validation import as_list, is_hashable

__all__ = ["EventTable", "ItemTable", "join_text", "matrix_entries", "read_events", "read_items"]

EVENT_COLUMNS = ("user", "item", "rating", "weight", "timestamp")
EVENT_TUPLE = ("user", "item", "weight", "timestamp")
ITEM_TUPLE = ("item", "text")

Columns = dict[str, Any]


@dataclass(frozen=True)
class EventTable:
    """Events as they were read: ids as the caller wrote them, numbers checked."""

    users: Sequence[Hashable]
    items: Sequence[Hashable]
    weights: npt.NDArray[np.float32] | None = None
    ratings: npt.NDArray[np.float32] | None = None
    timestamps: npt.NDArray[np.float64] | None = None
    n_users: int | None = None
    n_items: int | None = None


@dataclass(frozen=True)
class ItemTable:
    """Items as they were read: one entry an item, columns by name."""

    ids: list[Hashable]
    columns: Columns = field(default_factory=dict)


def read_events(
    table: Any,
    columns: Mapping[str, Any] | None = None,
    tuple_names: Sequence[str] = EVENT_TUPLE,
    *,
    strict: bool = True,
) -> EventTable:
    """Read events from a frame, a list of tuples or dicts, or a sparse matrix (users × items).

    With ``strict=False`` a column that ``columns`` names may be missing: our own name for it is then tried.

    Raises
    ------
    MissingColumnError
        If there is no column of users or of items.
    DataError
        If an id is missing, or a weight is not above 0, or a rating or a time is not finite.
    """
    if sparse.issparse(table):
        return _read_matrix(table)
    read = _read_columns(table, tuple_names, "events")
    read = _renamed(read, columns, EVENT_COLUMNS, "events", strict)
    _require(read, ("user", "item"), "events")
    weights = _numbers(read.get("weight"), "weight")
    # What float32 rounds to 0 counts as 0.
    if weights is not None and np.any(is_low := weights.astype(np.float32) <= 0):
        position = int(np.argmax(is_low))
        raise DataError(
            f"event {position} has weight {weights[position]:g}; weights are confidences, all above 0. "
            "Leave such events out, or use a 'rating' column for dislikes."
        )
    ratings = _numbers(read.get("rating"), "rating")
    return EventTable(
        users=_ids(read["user"], "user"),
        items=_ids(read["item"], "item"),
        weights=None if weights is None else weights.astype(np.float32),
        ratings=None if ratings is None else ratings.astype(np.float32),
        timestamps=_seconds(read.get("timestamp")),
    )


def read_items(table: Any, columns: Mapping[str, Any] | None = None, *, strict: bool = True) -> ItemTable:
    """Read items from a frame, or a list of ``(item, text)`` tuples or of dicts; a mapping is id → text.

    An item listed twice counts once; its last row is taken.
    """
    _check_mapping(columns)
    if isinstance(table, Mapping) and not _looks_like_columns(table, (columns or {}).get("item", "item")):
        table = list(table.items())
    read = _renamed(_read_columns(table, ITEM_TUPLE, "items"), columns, ("item", "text"), "items", strict)
    _require(read, ("item",), "items")
    ids = _ids(read.pop("item"), "item")
    last = {one: position for position, one in enumerate(ids)}
    kept = list(last.values())
    return ItemTable(
        list(last),
        {
            name: [None if _is_missing(values[at]) else _plain(values[at]) for at in kept]
            for name, values in ((name, list(column)) for name, column in read.items())
        },
    )


def join_text(items: ItemTable, template: str | None) -> list[str]:
    """Return one text an item: the ``text`` column, or the columns that ``template`` names.

    Missing values count as empty; runs of blanks that they leave are closed.

    Examples
    --------
    >>> items = ItemTable(["a", "b"], {"title": ["Jaws", "Heat"], "plot": ["A shark.", None]})
    >>> join_text(items, "{title}: {plot}")
    ['Jaws: A shark.', 'Heat:']
    """
    template = "{text}" if template is None else template
    fields = _fields(template)
    columns = {"item": items.ids, **items.columns}
    for name in fields:
        if name not in columns:
            raise MissingColumnError(
                f"no column {name!r} in the items; found {_listed(items.columns)}. "
                "Rename it by columns={'text': 'your column'}, or name the columns to join by "
                f"text_template, such as '{{title}}. {{genres}}'.{nearest(name, items.columns)}"
            )
    rows = zip(*(columns[name] for name in fields), strict=True)
    if template == "{text}":
        return ["" if _is_missing(value) else str(value) for (value,) in rows]
    return [
        " ".join(template.format(**dict(zip(fields, map(_text, row), strict=True))).split()) for row in rows
    ]


def _fields(template: Any) -> list[str]:
    """Return the columns that a template names, in order."""
    example = "write it as '{title}. {genres}'"
    if not isinstance(template, str):
        raise ParameterError(f"text_template must be a text, got {template!r}; {example}.")
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ParameterError(f"text_template {template!r} is not well formed: {error}; {example}.") from error
    if any(form or conversion for _, _, form, conversion in parts):
        raise ParameterError(f"text_template {template!r} formats a value; it takes plain names: {example}.")
    fields = [name for _, name, _, _ in parts if name is not None]
    if not fields:
        raise ParameterError(f"text_template {template!r} names no column; {example}.")
    return fields


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if _is_missing(value) else str(value)


def _plain(value: Any) -> Any:
    """Return a value of numpy or pandas as Python's own, which a model folder can hold."""
    if isinstance(value, np.generic):
        return value.item()
    for method in ("to_pydatetime", "to_pytimedelta"):
        if hasattr(value, method):
            return getattr(value, method)()
    return value


def _is_missing(value: Any) -> bool:
    """Whether a frame says that it has no value: None, NaN, or what pandas calls NA and NaT."""
    if value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value))):
        return True
    return type(value).__name__ in ("NAType", "NaTType")


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no columns"


def _looks_like_columns(table: Mapping[Any, Any], item: str) -> bool:
    return item in table and not isinstance(table[item], str) and isinstance(table[item], Iterable)


def _read_columns(table: Any, tuple_names: Sequence[str], what: str) -> Columns:
    if isinstance(table, Mapping):
        return _columns_of_mapping(table, what)
    frame = _native_frame(table, what)
    if frame is not None:
        return {str(name): FrameColumn(frame.get_column(name)) for name in frame.columns}
    if isinstance(table, str | bytes) or not hasattr(table, "__iter__"):
        raise DataError(
            f"{what} must be a pandas, polars or pyarrow frame, or a list of tuples or dicts; "
            f"got {type(table).__name__}."
        )
    rows = list(table)
    if rows and isinstance(rows[0], Mapping):
        return _columns_of_dicts(rows, what)
    return _columns_of_tuples(rows, tuple_names, what)


def _columns_of_mapping(table: Mapping[Any, Any], what: str) -> Columns:
    read: Columns = {}
    for name, values in table.items():
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise DataError(
                f"{what} as a dict hold a list for each column; {name!r} is {values!r}. "
                "For one row, pass a list of one dict."
            )
        if isinstance(values, np.ndarray) and values.ndim == 1:
            read[str(name)] = ArrayColumn(values)
        else:
            read[str(name)] = as_list(values, f"column {name!r}")
    lengths = {name: len(values) for name, values in read.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of the {what} differ in length: {lengths}.")
    return read


def _native_frame(table: Any, what: str) -> Any:
    if isinstance(table, list | tuple) or type(table).__module__ == "builtins":
        return None
    import narwhals as nw

    names = list(table.columns) if type(table).__module__.startswith("pandas") else []
    if any(isinstance(name, tuple) for name in names) or len(set(names)) < len(names):
        raise DataError(f"the {what} need one name for each column, all different; found {_listed(names)}.")
    if names and not all(isinstance(name, str) for name in names):
        table = table.rename(columns=str)
    frame = nw.from_native(table, eager_only=False, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    return frame if isinstance(frame, nw.DataFrame) else None


def _columns_of_dicts(rows: list[Any], what: str) -> Columns:
    names: dict[str, None] = {}
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(f"{what} mix dicts and {type(row).__name__} (row {position}); use one form.")
        names.update(dict.fromkeys(row))
    return {name: [row.get(name) for row in rows] for name in names}


def _columns_of_tuples(rows: list[Any], tuple_names: Sequence[str], what: str) -> Columns:
    if not rows:
        return {name: [] for name in tuple_names[:2]}
    names = getattr(rows[0], "_fields", tuple_names)
    for position, row in enumerate(rows):
        if not isinstance(row, list | tuple) or not 2 <= len(row) <= len(names) or len(row) != len(rows[0]):
            more = f"[, {', '.join(names[2:])}]" if len(names) > 2 else ""
            raise DataError(
                f"{what} as tuples are ({', '.join(names[:2])}{more}), "
                f"all of one length; row {position} is {row!r}."
            )
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=False)}


def _check_mapping(columns: Any) -> None:
    if columns is None:
        return
    if not isinstance(columns, Mapping):
        raise ParameterError(
            f"columns= maps our names to yours, such as {{'item': 'movieId'}}; got {columns!r}."
        )
    known = (*EVENT_COLUMNS, "text")
    for name in columns:
        if name not in known:
            raise ParameterError(
                f"columns= maps our names to yours; {name!r} is none of ours ({_listed(known)})."
                f"{nearest(name, known)}"
            )


def _renamed(
    read: Columns, columns: Mapping[str, Any] | None, ours: Sequence[str], what: str, strict: bool
) -> Columns:
    """Give the caller's columns our names; a mapping for the other table's columns is left alone."""
    _check_mapping(columns)
    names = {name: str(theirs) for name, theirs in (columns or {}).items() if name in ours}
    renamed = dict(read)
    for name, theirs in names.items():
        if theirs in read:
            renamed[name] = read[theirs]
            if theirs not in names and theirs != name:
                renamed.pop(theirs, None)
        elif strict:
            raise MissingColumnError(
                f"columns= says that {name!r} is {theirs!r}, and there is no such column in the {what}; "
                f"found {_listed(read)}.{nearest(theirs, read)}"
            )
    return renamed


def _require(read: Columns, names: Sequence[str], what: str) -> None:
    for name in names:
        if name not in read:
            raise MissingColumnError(
                f"no column {name!r} in the {what}; found {_listed(read)}. "
                f"Rename it or pass columns={{{name!r}: 'your column'}}.{nearest(name, read)}"
            )


def _ids(values: Sequence[Any], name: str) -> Sequence[Hashable]:
    if isinstance(values, Column):
        return _coded_ids(values, name)
    for position, value in enumerate(values):
        _check_id(position, value, name)
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _coded_ids(values: Column, name: str) -> IdColumn:
    """Return the same, coded at once: few of many rows have an id that no row before had."""
    try:
        ids = IdColumn(values)
    except TypeError:
        for position, value in enumerate(values):
            _check_id(position, value, name)
        raise
    for code, value in enumerate(ids.distinct):
        if _is_missing(value):
            _check_id(int(np.argmax(ids.codes == code)), value, name)
    return ids


def _check_id(position: int, value: Any, name: str) -> None:
    if _is_missing(value):
        raise DataError(f"row {position} has no {name} ({value!r}); every row needs one.")
    if not is_hashable(value):
        raise DataError(f"{name} ids must be hashable; row {position} has {value!r}.")


def _numbers(values: Sequence[Any] | None, name: str) -> npt.NDArray[np.float64] | None:
    if values is None:
        return None
    numbers = _as_doubles(values, name)
    with np.errstate(over="ignore"):
        usable = np.isfinite(numbers.astype(np.float32)) if name != "timestamp" else np.isfinite(numbers)
    if not usable.all():
        position = int(np.argmin(usable))
        raise DataError(f"row {position} has {name} {values[position]!r}; it must be a finite number.")
    return numbers


def _as_doubles(values: Sequence[Any], name: str) -> npt.NDArray[np.float64]:
    read = values.numbers() if isinstance(values, Column) else None
    if read is not None:
        return read.astype(np.float64)
    try:
        return np.asarray([np.nan if _is_missing(value) else value for value in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        allowed = "numbers"
        if name == "timestamp":
            allowed = "seconds or dates (texts become dates by pandas.to_datetime)"
        raise DataError(f"column {name!r} must hold {allowed}: {error}.") from error


def _seconds(values: Sequence[Any] | None) -> npt.NDArray[np.float64] | None:
    if isinstance(values, Column):
        seconds = values.seconds()
        if seconds is not None:
            return seconds
        if values.numbers() is not None:
            return _numbers(values, "timestamp")
    return None if values is None else _numbers([_second(value) for value in values], "timestamp")


def _second(value: Any) -> Any:
    if _is_missing(value):
        return None
    if isinstance(value, np.datetime64):
        return np.nan if np.isnat(value) else value.astype("datetime64[us]").astype(np.int64) / 1e6
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)
        return aware.timestamp()
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.timezone.utc).timestamp()
    return value


def matrix_entries(matrix: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Return the rows, columns and values of a sparse matrix of events, but for its stored zeros.

    Raises
    ------
    DataError
        If it has not two dimensions, or if a value is negative or not finite.
    """
    entries = sparse.coo_array(matrix)
    if entries.ndim != 2:
        raise DataError(f"a sparse matrix of events is users × items; got {entries.ndim} dimension(s).")
    kept = entries.data != 0
    rows, columns, weights = entries.row, entries.col, entries.data
    if not kept.all():
        rows, columns, weights = rows[kept], columns[kept], weights[kept]
    with np.errstate(over="ignore"):
        is_plain = weights.dtype.kind in "fiu" and bool(np.isfinite(weights.astype(np.float32)).all())
    if not is_plain:
        weights = np.asarray(_numbers(weights.tolist(), "weight"))
    if np.any(weights < 0):
        raise DataError("a sparse matrix of events holds confidences, and some are negative.")
    return rows, columns, weights.astype(np.float32)


def _read_matrix(matrix: Any) -> EventTable:
    users, items, weights = matrix_entries(matrix)
    return EventTable(
        users=users.tolist(),
        items=items.tolist(),
        weights=weights,
        n_users=matrix.shape[0],
        n_items=matrix.shape[1],
    )
