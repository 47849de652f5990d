"""Ratings as weights: an event that was liked more says more, though nothing is foretold but events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from llmrec.errors import DataError

if TYPE_CHECKING:
    from llmrec.interactions import Histories, Interactions

__all__ = ["usual_rating", "weighed_by_rating"]

_LEAST_SHARE = 0.05


def usual_rating(interactions: Interactions, exponent: float) -> float:
    """Return the mean rating, of which a weight of 1 is made; 1 where ratings are not read or there are none.

    Raises
    ------
    DataError
        If ratings are to be weights, and they are not above 0 on average.
    """
    ratings = interactions.events.ratings
    if exponent == 0 or ratings is None or not len(ratings):
        return 1.0
    mean = float(ratings.mean(dtype=np.float64))
    if mean <= 0:
        raise DataError(
            f"rating_exponent needs ratings above 0, and their mean is {mean:g}; "
            "shift them, or choose rating_exponent=0."
        )
    return mean


def weighed_by_rating(histories: Histories, exponent: float, usual: float) -> Histories:
    """Return the same histories with weights times ``(rating / usual) ** exponent``.

    Ratings below a twentieth of the usual one count as that much; histories without ratings stay.

    Examples
    --------
    >>> from llmrec.interactions import Histories
    >>> rated = Histories.of([[0, 1]], n_columns=2, ratings=[[4.0, 1.0]])
    >>> weighed_by_rating(rated, exponent=0.5, usual=4.0).weights.tolist()
    [1.0, 0.5]
    """
    if exponent == 0 or histories.ratings is None:
        return histories
    shares = np.maximum(histories.ratings / np.float32(usual), np.float32(_LEAST_SHARE))
    weights = histories.weights * shares ** np.float32(exponent)
    return replace(histories, weights=weights.astype(np.float32))
