"""Errors of predicted ratings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.errors import DataError

__all__ = ["mae", "rmse"]


def rmse(predicted: Any, actual: Any) -> float:
    """Return the root of the mean squared error of predicted ratings.

    Raises
    ------
    DataError
        If the two differ in length, are empty, or hold what is no finite number.

    Examples
    --------
    >>> rmse([3, 4], [4, 5])
    1.0
    """
    return float(np.sqrt(np.mean(_differences(predicted, actual) ** 2)))


def mae(predicted: Any, actual: Any) -> float:
    """Return the mean absolute error of predicted ratings.

    Raises
    ------
    DataError
        If the two differ in length, are empty, or hold what is no finite number.

    Examples
    --------
    >>> mae([3, 4], [4, 2])
    1.5
    """
    return float(np.mean(np.abs(_differences(predicted, actual))))


def _differences(predicted: Any, actual: Any) -> npt.NDArray[np.float64]:
    checked = []
    for name, ratings in (("predicted", predicted), ("actual", actual)):
        try:
            column = np.asarray(ratings, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} ratings must be numbers: {error}.") from error
        if column.ndim != 1 or not len(column) or not np.isfinite(column).all():
            raise DataError(f"{name} ratings must be a list of at least one finite number.")
        checked.append(column)
    if len(checked[0]) != len(checked[1]):
        raise DataError(f"there are {len(checked[0])} predicted ratings, and {len(checked[1])} actual ones.")
    return np.asarray(checked[0] - checked[1])
