"""Columns of large tables: read in pieces or as one array, for as lists of values they would not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import count
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
        for start in range(0, len(self), _ROWS_AT_A_TIME):
            yield from self[start : start + _ROWS_AT_A_TIME]

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

    def __init__(self, values: Sequence[Hashable]):
        codes: defaultdict[Hashable, int] = defaultdict(count().__next__)
        self.codes = np.fromiter(map(codes.__getitem__, values), dtype=np.int32, count=len(values))
        self.distinct: list[Hashable] = [one.item() if isinstance(one, np.generic) else one for one in codes]

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
