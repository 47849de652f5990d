"""Columns of a table read row by row, and the dataframe made of them."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llmrec.errors import DataError, MissingColumnError, MissingExtraError, nearest
from llmrec.validation import check_choice

__all__ = [
    "BACKENDS",
    "CodedIds",
    "Columns",
    "are_integers",
    "build_frame",
    "choose_backend",
    "csv_rows",
    "decode_ids",
    "read_columns",
]

BACKENDS = ("pandas", "polars", "pyarrow")
"""Dataframe libraries that a frame can be built with, the preferred one first."""

# Rows turned into columns at a time. Larger pieces leave the processor's cache and take twice as long.
_CHUNK = 1024
# 18 digits always fit int64.
_LONGEST_INTEGER = 18


@dataclass(frozen=True)
class CodedIds:
    """A column of ids: each distinct id once, and for each row the number of its id."""

    values: list[str]
    codes: npt.NDArray[np.int64]


Column = CodedIds | npt.NDArray[Any] | list[str]
Columns = dict[str, Column]


def csv_rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a gzip-compressed CSV file in UTF-8, the header first.

    Raises
    ------
    DataError
        If the file is missing, truncated, or is no gzip-compressed CSV.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield from filter(None, csv.reader(file, strict=True))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing.") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is damaged or is no gzip-compressed CSV in UTF-8: {error}.") from error


def read_columns(rows: Iterable[list[str]], source: str, required: Sequence[str] = ()) -> Columns:
    """Read a table, header row first, into its columns.

    ``user`` and ``item`` become :class:`CodedIds`, ``rating`` float64, ``timestamp`` and ``position``
    int64, and every other column a list of texts, in which nothing is empty but the empty string.

    Parameters
    ----------
    rows : iterable of list of str
        Read once, in pieces, so that a long table never stands in memory as Python strings.
    source : str
        What error messages call the table.
    required : sequence of str
        Columns that must be there.

    Raises
    ------
    MissingColumnError
        If a required column is missing.
    DataError
        If a row has too few or too many fields, an id is empty, or a number cannot be read.

    Examples
    --------
    >>> columns = read_columns([["user", "rating"], ["7", "4.5"], ["9", "3"]], "made-up table")
    >>> columns["user"].values, columns["rating"].tolist()
    (['7', '9'], [4.5, 3.0])
    """
    remaining = iter(rows)
    header = next(remaining, [])
    _check_header(header, source, required)
    collectors = [_collector(name) for name in header]
    first_row = 1
    while chunk := list(islice(remaining, _CHUNK)):
        last_row = first_row + len(chunk) - 1
        _check_widths(chunk, len(header), source, first_row)
        for name, collector, values in zip(header, collectors, zip(*chunk, strict=True), strict=True):
            try:
                collector.extend(values)
            except (ValueError, OverflowError) as error:
                raise DataError(
                    f"{source}, column {name!r}, in rows {first_row} to {last_row}: {error}."
                ) from error
        first_row = last_row + 1
    return {name: collector.column() for name, collector in zip(header, collectors, strict=True)}


def are_integers(columns: Iterable[CodedIds]) -> bool:
    """Say whether every id of the columns is an integer as Python writes it: no leading zeros, no plus.

    Examples
    --------
    >>> are_integers([CodedIds(["7", "12"], np.array([0, 1]))])
    True
    >>> are_integers([CodedIds(["7", "0012"], np.array([0, 1]))])
    False
    """
    return all(_is_canonical(value) for column in columns for value in column.values)


def decode_ids(column: CodedIds, integers: bool, source: str) -> npt.NDArray[np.int64] | list[str]:
    """Return one id a row, as int64 or as str.

    Raises
    ------
    DataError
        If integers are asked for and an id is none.
    """
    if not integers:
        texts: list[str] = np.array(column.values, dtype=object)[column.codes].tolist()
        return texts
    strange = next((value for value in column.values if not _is_canonical(value)), None)
    if strange is not None:
        raise DataError(f"{source} has the id {strange!r}, but the ids of this data set are integers.")
    return np.array([int(value) for value in column.values], dtype=np.int64)[column.codes]


def choose_backend(backend: str | None) -> str:
    """Return ``backend``, or the first of :data:`BACKENDS` that is installed if it is None.

    Raises
    ------
    MissingExtraError
        If the library, or any of the three, is not installed.
    """
    if backend is None:
        installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
        if not installed:
            raise MissingExtraError(
                "a data set needs pandas, polars or pyarrow; install one with: pip install 'llmrec[pandas]'"
            )
        return installed[0]
    check_choice("backend", backend, BACKENDS)
    if not importlib.util.find_spec(backend):
        package = "'llmrec[pandas]'" if backend == "pandas" else backend
        raise MissingExtraError(
            f"backend {backend!r} needs {backend}; install it with: pip install {package}"
        )
    return backend


def build_frame(columns: Mapping[str, npt.NDArray[Any] | list[str]], backend: str) -> Any:
    """Return a frame of one backend; lists become its text type, arrays keep their dtype."""
    # Text types are named: an inferred one would be something else where a column has no rows.
    if backend == "pandas":
        import pandas

        return pandas.DataFrame(
            {
                name: pandas.Series(values, dtype=str if isinstance(values, list) else values.dtype)
                for name, values in columns.items()
            }
        )
    if backend == "polars":
        import polars

        return polars.DataFrame(
            [
                polars.Series(name, values, dtype=polars.String if isinstance(values, list) else None)
                for name, values in columns.items()
            ]
        )
    import pyarrow  # type: ignore[import-untyped]

    return pyarrow.table(
        {
            name: pyarrow.array(values, type=pyarrow.string() if isinstance(values, list) else None)
            for name, values in columns.items()
        }
    )


class _Collector(Protocol):
    def extend(self, values: Sequence[str]) -> None: ...

    def column(self) -> Column: ...


class _Ids:
    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self._codes = [np.empty(0, dtype=np.int64)]

    def extend(self, values: Sequence[str]) -> None:
        self._codes.append(np.fromiter(map(self._numbers.__getitem__, values), np.int64, len(values)))
        if "" in self._numbers:
            raise ValueError("an id is empty")

    def column(self) -> CodedIds:
        return CodedIds(list(self._numbers), np.concatenate(self._codes))


class _Numbers:
    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind
        self._dtype = np.int64 if kind is int else np.float64
        self._values = [np.empty(0, dtype=self._dtype)]

    def extend(self, values: Sequence[str]) -> None:
        numbers = np.fromiter(map(self._kind, values), self._dtype, len(values))
        if not np.isfinite(numbers).all():
            raise ValueError("a number is NaN or infinite")
        self._values.append(numbers)

    def column(self) -> npt.NDArray[Any]:
        return np.concatenate(self._values)


class _Texts:
    def __init__(self) -> None:
        self._values: list[str] = []

    def extend(self, values: Sequence[str]) -> None:
        self._values.extend(values)

    def column(self) -> list[str]:
        return self._values


def _collector(name: str) -> _Collector:
    if name in ("user", "item"):
        return _Ids()
    if name == "rating":
        return _Numbers(float)
    if name in ("timestamp", "position"):
        return _Numbers(int)
    return _Texts()


def _check_header(header: list[str], source: str, required: Sequence[str]) -> None:
    for name in required:
        if name not in header:
            found = ", ".join(repr(column) for column in header) or "nothing"
            raise MissingColumnError(f"no column {name!r} in {source}; found {found}.{nearest(name, header)}")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{source} has more than one column {repeated[0]!r}.")


def _check_widths(rows: list[list[str]], width: int, source: str, first_row: int) -> None:
    if set(map(len, rows)) == {width}:
        return
    for number, row in enumerate(rows, first_row):
        if len(row) != width:
            raise DataError(f"{source}, row {number}: {len(row)} fields where the header has {width}.")


def _is_canonical(value: str) -> bool:
    digits = value.removeprefix("-")
    if len(digits) > _LONGEST_INTEGER or not (digits.isascii() and digits.isdigit()):
        return False
    return str(int(value)) == value
