"""Columns of large tables: read in pieces or as one array, for as lists of values they would not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain, count
from typing import Any, overload

import numpy as np
import numpy.typing as npt

__all__ = ["FrameColumn", "IdColumn"]

_ROWS_AT_A_TIME = 1 << 18


class FrameColumn(Sequence[Any]):
    """A column of a frame, whoever made it; its values are those of its list.

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

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return self.series[place].to_list()
        return self.series[place : place + 1].to_list()[0]

    def __iter__(self) -> Iterator[Any]:
        starts = range(0, len(self), _ROWS_AT_A_TIME)
        return chain.from_iterable(self[start : start + _ROWS_AT_A_TIME] for start in starts)

    def numbers(self) -> npt.NDArray[Any] | None:
        """Return an array of the numbers; None where some are missing, or are no numbers at all."""
        dtype = self.series.dtype
        is_plain = (dtype.is_integer() or dtype.is_float()) and not self.series.null_count()
        numbers = self.series.to_numpy() if is_plain else None
        # Whole numbers of 128 bits come as objects.
        return numbers if numbers is not None and numbers.dtype.kind in "iuf" else None

    def seconds(self) -> npt.NDArray[np.float64] | None:
        """Return the seconds since 1970; None where some are missing, or are not dates and times."""
        import narwhals as nw

        if not isinstance(self.series.dtype, nw.Datetime) or self.series.null_count():
            return None
        microseconds: npt.NDArray[np.int64] = self.series.dt.timestamp("us").to_numpy()
        return microseconds / 1e6


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
        whole = values.numbers() if isinstance(values, FrameColumn) else None
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
