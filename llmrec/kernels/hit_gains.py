"""What right candidates gain by their places, for many blends of two score matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llmrec.kernels.jit import kernel

__all__ = ["gains_along", "warm"]


def gains_along(
    base: npt.NDArray[np.float32],
    step: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
    hits: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    discounts: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return what each user's hits gain when candidates are ordered by ``base + value * step``.

    A hit that ``n`` other candidates reach gains ``discounts[n]``, beyond those nothing: of equal scores,
    a hit is the last. Counting who reaches a hit takes fewer steps than to order all candidates.

    Parameters
    ----------
    base, step : ndarray of float32, shape (n_users, n_candidates)
    values : ndarray of float32, shape (n_values,)
    hits : pair of ndarray of int64, shape (n_hits,)
        Rows, ascending, and columns of the candidates that are right.
    discounts : ndarray of float64, shape (k,)

    Returns
    -------
    ndarray of float64, shape (n_values, n_users)

    Examples
    --------
    >>> base, step = np.float32([[1, 2, 4]]), np.float32([[0, 5, 0]])
    >>> hit = np.array([0]), np.array([1])
    >>> gains_along(base, step, np.float32([0, 1]), hit, np.array([1.0, 0.6])).tolist()
    [[0.6], [1.0]]
    """
    gains = np.zeros((len(values), len(base)))
    _add_gains(base, step, values, *hits, discounts, gains)
    return gains


@kernel
def _add_gains(
    base: Any, step: Any, values: Any, hit_rows: Any, hit_columns: Any, discounts: Any, gains: Any
) -> None:
    n_candidates = base.shape[1]
    scores = np.empty(n_candidates, np.float32)
    for place in range(len(values)):
        scored = -1
        for hit in range(len(hit_rows)):
            row = hit_rows[hit]
            if row != scored:
                for column in range(n_candidates):
                    scores[column] = base[row, column] + values[place] * step[row, column]
                scored = row
            own = scores[hit_columns[hit]]
            # Counted in float32, of which a vector holds more than of whole numbers of 64 bits.
            reached = np.float32(0)
            for column in range(n_candidates):
                reached += np.float32(1) if scores[column] >= own else np.float32(0)
            ahead = np.int64(reached) - 1
            if ahead < len(discounts):
                gains[place, row] += discounts[ahead]


def warm() -> None:
    """Compile for the types that it is called with."""
    scores, hit = np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.int64)
    gains_along(scores, scores, np.zeros(1, dtype=np.float32), (hit, hit), np.ones(1))
