"""Metrics of text vectors: the linear maps under which a profile is compared with the texts of items."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from llmrec.base import FloatArray, IntArray, Matrix
from llmrec.errors import ParameterError
from llmrec.vectors import unit_rows

__all__ = ["LearnedMetric", "RidgeMetric"]

DoubleArray = npt.NDArray[np.float64]

_LARGEST_METRIC = 20_000
_FOLDS = 4
# Shares of the mean variance, on the side of the profiles and on that of the items.
_PROFILE_RIDGE, _ITEM_RIDGE = 0.3, 0.3


class RidgeMetric:
    """``x → x (ZᵀZ + ρI)⁻¹``, through the smaller of two inverses: over the columns of Z or over its rows."""

    def __init__(self, inverse: FloatArray, rows: Matrix | None, ridge: float):
        self.inverse = inverse
        self.rows = rows
        self.ridge = ridge

    @classmethod
    def of(cls, vectors: Matrix, ridge: float) -> RidgeMetric:
        """Invert the metric of these unit vectors, ``(n_items, dim)``."""
        n_rows, n_columns = vectors.shape
        _check_size(min(n_rows, n_columns), "ridge")
        doubles = vectors.astype(np.float64)
        rows = None if n_columns <= n_rows else vectors
        gram = doubles.T @ doubles if rows is None else doubles @ doubles.T
        gram = gram.toarray() if sparse.issparse(gram) else gram
        gram[np.diag_indices_from(gram)] += ridge
        return cls(np.linalg.inv(gram).astype(np.float32), rows, ridge)

    def apply(self, profiles: Matrix) -> FloatArray:
        """Return the profiles under the metric, ``(n, dim)``."""
        if self.rows is None:
            return np.asarray(profiles @ self.inverse, dtype=np.float32)
        inner = profiles @ self.rows.T
        inner = inner.toarray() if sparse.issparse(inner) else inner
        explained = (inner @ self.inverse) @ self.rows
        dense = profiles.toarray() if sparse.issparse(profiles) else profiles
        return np.asarray((dense - explained) / np.float32(self.ridge), dtype=np.float32)

    def get_state(self) -> dict[str, Any]:
        """Return the parts, for a model folder."""
        return {"inverse": self.inverse, "rows": self.rows, "ridge": self.ridge}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> RidgeMetric:
        """Build the metric that gave ``state``."""
        return cls(state["inverse"], state["rows"], state["ridge"])


class LearnedMetric:
    r"""``x → x M``, where ``M`` foretells from what a user met the texts of what else they met.

    The items are dealt into four parts. From each user's profile over three of them, :math:`p_u`, of unit
    length, the events with the fourth are to be foretold through the texts :math:`Z`, so that an item never
    helps to foretell itself:

    .. math::
        M = (P^T P + \lambda_P I)^{-1} \, P^T H Z \, (Z^T Z + \lambda_Z I)^{-1}

    with the sums over the four parts, which is the least-squares fit of :math:`H \approx P M Z^T` with a
    penalty on either side. It learns across users what goes with what, and needs no events of the item
    that it scores. Alone it finds more of what is wanted than the ridge metric among the first hundred
    items, and less among the first ten; so the ridge metric is added, with scores of the same deviation.
    """

    def __init__(self, matrix: FloatArray):
        self.matrix = matrix

    @classmethod
    def of(cls, vectors: FloatArray, warm: IntArray, history: Any, ridge: float) -> LearnedMetric:
        """Fit the map, and add the ridge metric.

        Parameters
        ----------
        vectors : ndarray of shape (n_items, dim)
            Of length 1.
        warm : ndarray of int32
            The items whose events may be learned from.
        history : csr_array of shape (n_users, n_items)
        ridge : float
            Of the metric that is added.
        """
        _check_size(vectors.shape[1], "learned")
        part_of = np.random.default_rng(0).integers(_FOLDS, size=len(warm))
        by_item = sparse.csc_array(history)
        dim = vectors.shape[1]
        profiles, shared, items = (np.zeros((dim, dim)) for _ in range(3))
        for part in range(_FOLDS):
            met, foretold = warm[part_of != part], warm[part_of == part]
            profile = unit_rows(np.asarray(by_item[:, met] @ vectors[met], dtype=np.float32))
            profiles += profile.T @ profile
            shared += profile.T @ np.asarray(by_item[:, foretold] @ vectors[foretold])
            items += vectors[foretold].T @ vectors[foretold]
        left = np.linalg.solve(_ridged(profiles, _PROFILE_RIDGE), shared)
        learned = np.linalg.solve(_ridged(items, _ITEM_RIDGE), left.T).T
        whitened = np.linalg.inv(items + ridge * np.eye(dim))
        mean = vectors[warm].mean(axis=0, dtype=np.float64) if len(warm) else np.zeros(dim)
        spread = items - len(warm) * np.outer(mean, mean)
        parts = [matrix / (_deviation(matrix, profiles, spread) or 1.0) for matrix in (learned, whitened)]
        return cls(np.ascontiguousarray(sum(parts), dtype=np.float32))

    def apply(self, profiles: Matrix) -> FloatArray:
        """Return the profiles under the metric, ``(n, dim)``."""
        return np.asarray(profiles @ self.matrix, dtype=np.float32)

    def get_state(self) -> dict[str, Any]:
        """Return the map, for a model folder."""
        return {"matrix": self.matrix}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> LearnedMetric:
        """Build the metric that gave ``state``."""
        return cls(state["matrix"])


def _deviation(matrix: npt.NDArray[Any], profiles: DoubleArray, items: DoubleArray) -> float:
    """Return the deviation of the scores ``p M z`` from the Gramians of both sides, up to a constant."""
    return float(np.sqrt(max(np.sum((matrix.T @ profiles @ matrix) * items), 0.0)))


def _ridged(gram: DoubleArray, share: float) -> DoubleArray:
    mean_variance = float(np.trace(gram)) / max(len(gram), 1)
    return gram + share * (mean_variance or 1.0) * np.eye(len(gram))


def _check_size(size: int, metric: str) -> None:
    if size > _LARGEST_METRIC:
        raise ParameterError(
            f"metric={metric!r} would invert a {size}-square matrix; use metric='cosine', or "
            "fewer dimensions: TfidfEncoder(components=512)."
        )
