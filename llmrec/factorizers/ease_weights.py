"""How EASE weighs users and draws coefficients towards 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.errors import ParameterError
from llmrec.validation import check_number

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.base import IntArray
    from llmrec.interactions import Histories, Interactions

__all__ = ["EASEWeights", "scaled"]

DoubleArray = npt.NDArray[np.float64]

_STRENGTH, _MOST_EVENTS = 4.0, 100.0


class EASEWeights:
    """The weight of each user in the regressions, and the ridge of each item.

    Parameters
    ----------
    regularization : float or "auto"
    dropout, length_exponent : float
        As in :class:`~llmrec.factorizers.EASE`.

    Attributes
    ----------
    user_scale_ : float
        What the weights of users are multiplied by.
    regularization_ : float

    Raises
    ------
    ParameterError
        If a number is out of its range; at once.

    Examples
    --------
    >>> events = sparse.csr_array([[1.0, 1.0], [1.0, 0.0]])
    >>> weights = EASEWeights(2.0, 0.5, 0.0).fit(events)
    >>> weights.ridges(weights.rows(events)).tolist()
    [4.0, 3.0]
    """

    def __init__(self, regularization: float | str, dropout: float, length_exponent: float):
        if regularization != "auto":
            check_number("regularization", regularization, 0, above=True)
        if check_number("dropout", dropout, 0, 1) == 1:
            raise ParameterError("dropout must be below 1, where no event would be left to learn from.")
        self.regularization = regularization
        self.dropout = dropout
        self.length_exponent = check_number("length_exponent", length_exponent, 0)

    def fit(self, events: Any) -> Self:
        """Learn the scale of the users' weights, and choose the regularization if that is left to it.

        All events together count as they would if users were not weighed.
        """
        energies = _squares(events, axis=1)
        weighed = float(energies @ _powers(energies, -self.length_exponent))
        self.user_scale_ = float(energies.sum()) / weighed if weighed else 1.0
        automatic = self.regularization == "auto"
        self.regularization_ = _suited(self.rows(events)) if automatic else float(self.regularization)
        return self

    def of_users(self, histories: Any) -> DoubleArray:
        """Return the weight of each history, a row of a ``csr_array``; 0 for an empty one."""
        return self.user_scale_ * _powers(_squares(histories, axis=1), -self.length_exponent)

    def rows(self, events: Any) -> Any:
        """Return the events as they are weighed, whose products of columns are those of the regressions."""
        return scaled(events, np.sqrt(self.of_users(events)))

    def ridges(self, rows: Any) -> DoubleArray:
        """Return what the diagonal of the products gets on top, ``(n_items,)``, from :meth:`rows`."""
        return self.regularization_ + self.dropout_ratio * _squares(rows, axis=0)

    def shared(
        self, interactions: Interactions, rows: IntArray, width: int, weigh: Callable[[Histories], Any]
    ) -> Any:
        """Return the products of some items' columns with those of the first ``width`` items, sparse.

        They are those of :meth:`rows`, without a pass over all events; ``weigh`` makes a ``csr_array`` of
        weights of histories and audiences.
        """
        audiences = weigh(interactions.audiences(rows)).astype(np.float64)
        users = np.unique(audiences.indices).astype(np.int32)
        histories = weigh(interactions.histories(users).known_to(width))
        return sparse.csr_array(audiences[:, users] @ scaled(histories, self.of_users(histories)))

    @property
    def dropout_ratio(self) -> float:
        """How much of the diagonal is added to it."""
        return self.dropout / (1 - self.dropout)


def scaled(rows: Any, scale: DoubleArray) -> Any:
    """Multiply each row of a ``csr_array`` by its own number, in float64."""
    data = rows.data * np.repeat(scale, np.diff(rows.indptr))
    return sparse.csr_array((data, rows.indices, rows.indptr), shape=rows.shape)


def _suited(rows: Any) -> float:
    """Return a regularization in the units of squared weights; see :class:`~llmrec.factorizers.EASE`."""
    if not rows.nnz:
        return 1.0
    energies, counts = _squares(rows, axis=1), np.bincount(rows.indices)
    mean_square = energies.sum() / rows.nnz
    length = (energies**2).sum() / energies.sum()
    popularity = min(float((counts**2).sum() / rows.nnz), _MOST_EVENTS)
    return float(_STRENGTH * np.sqrt(mean_square * length * popularity))


def _squares(rows: Any, axis: int) -> DoubleArray:
    return np.asarray(rows.multiply(rows).sum(axis=axis), dtype=np.float64).ravel()


def _powers(values: DoubleArray, exponent: float) -> DoubleArray:
    """Return the powers of values above 0; 0 for 0."""
    return np.power(values, exponent, out=np.zeros(len(values)), where=values > 0)
