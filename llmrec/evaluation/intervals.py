"""Intervals and tests of means over users: how sure a figure is, and a difference between two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.errors import DataError
from llmrec.validation import check_integer, check_number

__all__ = ["bootstrap_interval", "paired_test"]

_CELLS_AT_A_TIME = 4_000_000

Values = npt.NDArray[np.float64]


def bootstrap_interval(
    values: Any, *, level: float = 0.95, n_resamples: int = 1000, random_state: int = 0
) -> tuple[Values, Values]:
    """Return the lower and the upper bound of the mean over users, by the percentile bootstrap.

    All columns are resampled together: of the difference of two, pass the differences.

    Parameters
    ----------
    values : array of shape (n_users,) or (n_users, n_columns)
        NaN where a user has no value; a mean leaves it out.
    level : float, default 0.95
    n_resamples : int, default 1000
    random_state : int, default 0

    Returns
    -------
    low, high : ndarray of shape () or (n_columns,)

    Examples
    --------
    >>> low, high = bootstrap_interval([0.0, 1.0] * 50)
    >>> bool(0.38 < low < 0.45 < 0.55 < high < 0.62)
    True
    """
    columns = _check_values(values)
    level = check_number("level", level, 0, 1, above=True)
    n_resamples = check_integer("n_resamples", n_resamples, minimum=1)
    known = np.isfinite(columns).astype(np.float64)
    filled = np.nan_to_num(columns)
    means = []
    for n_draws, random in _blocks(n_resamples, len(columns), random_state):
        drawn = random.multinomial(len(columns), np.full(len(columns), 1 / len(columns)), size=n_draws)
        counts = drawn @ known
        means.append(np.divide(drawn @ filled, counts, out=np.full(counts.shape, np.nan), where=counts > 0))
    all_means = np.concatenate(means)
    low, high = _quantiles(all_means, (1 - level) / 2), _quantiles(all_means, (1 + level) / 2)
    shape = np.shape(values)[1:]
    return low.reshape(shape), high.reshape(shape)


def paired_test(values: Any, reference: Any, *, n_resamples: int = 1000, random_state: int = 0) -> Values:
    """Return the two-sided p-value of the mean difference from ``reference``, by random swaps.

    If both were equally good, each user's two values could as well stand the other way round: the p-value
    is the share of random swaps whose difference is at least that large (Fisher's randomisation test,
    which Smucker et al., CIKM 2007, recommend for retrieval). It is never below
    ``1 / (n_resamples + 1)``. Users for whom one of the two has no value are left out.

    Parameters
    ----------
    values, reference : array of shape (n_users,) or (n_users, n_columns)
    n_resamples : int, default 1000
    random_state : int, default 0

    Returns
    -------
    ndarray of shape () or (n_columns,)

    Examples
    --------
    >>> better = np.linspace(0, 1, 50)
    >>> float(paired_test(better, better - 0.1)) < 0.01, float(paired_test(better, better[::-1])) > 0.5
    (True, True)
    """
    differences = _check_values(values) - _check_values(reference)
    n_resamples = check_integer("n_resamples", n_resamples, minimum=1)
    differences = np.nan_to_num(differences)
    observed = np.abs(differences.sum(axis=0))
    # Sums in another order differ in the last digits; without the slack an equal sum may look smaller.
    bar = observed - 1e-12 * np.abs(differences).sum(axis=0)
    n_as_large = np.ones(differences.shape[1])
    for n_draws, random in _blocks(n_resamples, len(differences), random_state):
        signs = random.integers(0, 2, size=(n_draws, len(differences))) * 2.0 - 1
        n_as_large += (np.abs(signs @ differences) >= bar).sum(axis=0)
    return np.reshape(n_as_large / (n_resamples + 1), np.shape(values)[1:])


def _check_values(values: Any) -> Values:
    columns = np.asarray(values, dtype=np.float64)
    if columns.ndim not in (1, 2) or not len(columns):
        raise DataError(f"values must have one row a user, and at least one; got shape {columns.shape}.")
    return np.asarray(columns.reshape(len(columns), -1))


def _blocks(n_resamples: int, n_users: int, random_state: int) -> Iterator[tuple[int, np.random.Generator]]:
    """Give the resamples block by block, so that the counts of one block fit into memory."""
    random = np.random.default_rng(check_integer("random_state", random_state, minimum=0))
    step = max(1, _CELLS_AT_A_TIME // n_users)
    for start in range(0, n_resamples, step):
        yield min(step, n_resamples - start), random


def _quantiles(means: Values, at: float) -> Values:
    """Return a quantile of each column; NaN for one without any value."""
    quantiles = np.full(means.shape[1], np.nan)
    known = np.isfinite(means).any(axis=0)
    if known.any():
        quantiles[known] = np.nanquantile(means[:, known], at, axis=0)
    return quantiles
