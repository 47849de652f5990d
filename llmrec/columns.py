"""Columns of large tables: read in pieces or as one array, for as lists of values they would not fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain, count
from typing import Any, overload

import numpy as np
import numpy.typing as npt

__all__ = ["ArrayColumn", "Column", "FrameColumn", "IdColumn"]

_ROWS_AT_A_TIME = 1 << 18


class Column(Sequence[Any], ABC):
    """A column of a table; its values are those of its list."""

    @abstractmethod
    def __getitem__(self, place: Any) -> Any:
        """Return the value at a place, or for a slice the list of its values."""

    @abstractmethod
    def numbers(self) -> npt.NDArray[Any] | None:
        """Return an array of the numbers; None where they are none, or a frame says that some are missing."""

    @abstractmethod
    def seconds(self) -> npt.NDArray[np.float64] | None:
        """Return the seconds since 1970; None where values are no dates and times, or some are missing."""

    def __iter__(self) -> Iterator[Any]:
        starts = range(0, len(self), _ROWS_AT_A_TIME)
        return chain.from_iterable(self[start : start + _ROWS_AT_A_TIME] for start in starts)


class FrameColumn(Column):
    """A column of a frame, whoever made it.

    Parameters
    ----------
    series : narwhals Series

    Examples
    --------
    >>> import narwhals as nw, pandas as pd
    >>> column = FrameColumn(nw.from_native(pd.Series([4, 2]), series_only=True))
    >>> list(column), column.numbers().tolist()
    ([4, 2], [4, 2])
    """

    def __init__(self, series: Any):
        self.series = series

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return self.series[place].to_list()
        return self.series[place : place + 1].to_list()[0]

    def numbers(self) -> npt.NDArray[Any] | None:
        """Return an array of the numbers, if they are all there."""
        dtype = self.series.dtype
        is_plain = (dtype.is_integer() or dtype.is_float()) and not self.series.null_count()
        numbers = self.series.to_numpy() if is_plain else None
        # Whole numbers of 128 bits come as objects.
        return numbers if numbers is not None and numbers.dtype.kind in "iuf" else None

    def seconds(self) -> npt.NDArray[np.float64] | None:
        """Return the seconds since 1970, if all times are there."""
        import narwhals as nw

        if not isinstance(self.series.dtype, nw.Datetime) or self.series.null_count():
            return None
        microseconds: npt.NDArray[np.int64] = self.series.dt.timestamp("us").to_numpy()
        return microseconds / 1e6


class ArrayColumn(Column):
    """A column that is an array.

    Parameters
    ----------
    array : ndarray of shape (n_rows,)

    Examples
    --------
    >>> ArrayColumn(np.array(["2020-01-01"], dtype="datetime64[ns]")).seconds().tolist()
    [1577836800.0]
    """

    def __init__(self, array: npt.NDArray[Any]):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, slice):
            return self[place : place + 1][0]
        # Times of a nanosecond would become whole numbers.
        return list(self.array[place]) if self.array.dtype.kind in "mM" else self.array[place].tolist()

    def numbers(self) -> npt.NDArray[Any] | None:
        """Return the array, if it is of numbers."""
        return self.array if self.array.dtype.kind in "iuf" else None

    def seconds(self) -> npt.NDArray[np.float64] | None:
        """Return the seconds since 1970, if all times are there."""
        if self.array.dtype.kind != "M" or np.isnat(self.array).any():
            return None
        return self.array.astype("datetime64[us]").astype(np.int64) / 1e6


class IdColumn(Sequence[Hashable]):
    """Ids of rows: the different ones, in the order in which they appear, and which of them each row has.

    Attributes
    ----------
    distinct : list
    codes : ndarray of int32, shape (n_rows,)

    Raises
    ------
    TypeError
        If an id is not hashable.

    Examples
    --------
    >>> column = IdColumn(["tea", "jam", "tea"])
    >>> column.distinct, column.codes.tolist(), column[2]
    (['tea', 'jam'], [0, 1, 0], 'tea')
    """

    codes: npt.NDArray[np.int32]
    distinct: list[Hashable]

    def __init__(self, values: Sequence[Hashable]):
        whole = values.numbers() if isinstance(values, Column) else None
        if whole is not None and whole.dtype.kind in "iu" and _lie_close(whole):
            self.codes, self.distinct = _coded(whole)
            return
        codes: defaultdict[Hashable, int] = defaultdict(count().__next__)
        self.codes = np.fromiter(map(codes.__getitem__, values), dtype=np.int32, count=len(values))
        self.distinct = [one.item() if isinstance(one, np.generic) else one for one in codes]

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> Hashable: ...
    @overload
    def __getitem__(self, place: slice) -> list[Hashable]: ...
    def __getitem__(self, place: int | slice) -> Hashable | list[Hashable]:
        if isinstance(place, slice):
            return [self.distinct[code] for code in self.codes[place].tolist()]
        return self.distinct[int(self.codes[place])]


def _lie_close(numbers: npt.NDArray[Any]) -> bool:
    """Whether a table of all numbers between the least and the largest takes no more room than they do."""
    if not len(numbers):
        return False
    low, high = int(numbers.min()), int(numbers.max())
    return high - low <= len(numbers) and high <= np.iinfo(np.int64).max


def _coded(numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], list[Hashable]]:
    """Return the code of each number, and the numbers by code, through a table of where each comes first."""
    low, n = int(numbers.min()), len(numbers)
    places = numbers.astype(np.int64)
    places -= low
    table = np.full(int(places.max()) + 1, n, dtype=np.int64)
    # Of those at one place the last is kept, which backwards is the first.
    table[places[::-1]] = np.arange(n - 1, -1, -1)
    met = np.flatnonzero(table < n)
    met = met[np.argsort(table[met])]
    code_of = np.empty(len(table), dtype=np.int32)
    code_of[met] = np.arange(len(met))
    return code_of[places], (met + low).tolist()
