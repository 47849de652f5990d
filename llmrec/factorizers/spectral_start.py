"""Where alternating least squares starts from: rough singular vectors of the weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llmrec.base import FloatArray
from llmrec.decomposition import multiply
from llmrec.factorizers.gradient_rows import SparseRows
from llmrec.factorizers.gramian import gram

__all__ = ["spectral_start"]

DoubleArray = npt.NDArray[np.float64]

# Squared, of the largest: below this is what float32 rounded.
_NEGLIGIBLE = 1e-10
_LEAST_MASS = 1e-6
_ROWS = 4096


def spectral_start(
    rows: SparseRows, by_item: SparseRows, unobserved_weight: float, factors: int, random_state: int
) -> tuple[FloatArray, FloatArray]:
    r"""Return user and item vectors from which least squares on events of weight :math:`w_{ui}` may start.

    If the weight of a pair, :math:`w_{ui} + a_0`, were the product of a user's and an item's mass, the
    vectors of least squares would be, but for the regularization,
    :math:`D_u^{-1/2} U S^{1/2} T^{1/2}` and :math:`D_i^{-1/2} V S^{1/2} T^{1/2}`, with
    :math:`U S V^T` the largest part of :math:`D_u^{-1/2} W D_i^{-1/2}`, :math:`d_u = w_u + a_0 |I|`,
    :math:`d_i = w_i + a_0 |U|` and :math:`T = \sum_u d_u`. One power iteration from a random matrix comes
    near enough, for a third of what a sweep costs, and stands for the first two sweeps from random vectors.

    Parameters
    ----------
    rows, by_item : SparseRows
        The weights, users as rows and items as rows.
    unobserved_weight : float
        :math:`a_0`.
    factors : int
        Coordinates beyond the rank of the weights are 0.
    random_state : int

    Returns
    -------
    users : ndarray of shape (n_users, factors)
    items : ndarray of shape (n_items, factors)
        As large as the users: their sums of squares are the same, as at the minimum with plain L2.

    Examples
    --------
    >>> from scipy import sparse
    >>> rows = SparseRows.of(sparse.csr_array(np.ones((3, 2), dtype=np.float32)), None)
    >>> users, items = spectral_start(rows, rows.transposed(), 0.0, 1, 0)
    >>> (users @ items.T).round(3).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    n_users, n_items = rows.weights.shape
    user_mass, item_mass = rows.mass + unobserved_weight * n_items, by_item.mass + unobserved_weight * n_users
    user_scale, item_scale = _inverse_roots(user_mass), _inverse_roots(item_mass)
    items = np.random.default_rng(random_state).standard_normal((n_items, factors), dtype=np.float32)
    items *= item_scale
    # All in place: a copy of the users' vectors would be the most that a fit takes.
    users = multiply(rows.weights, items)
    del items
    users *= user_scale
    squares, basis = np.linalg.eigh(gram(users))
    _turn(users, _powers(squares, basis, -0.5))
    users *= user_scale
    # V S, turned; the eigenvalues of its Gramian are S².
    items = multiply(by_item.weights, users)
    items *= item_scale
    squares, basis = np.linalg.eigh(gram(items))
    total = np.sqrt(user_mass.sum())
    items *= item_scale
    _turn(users, _powers(squares, basis, 0.25, total))
    _turn(items, _powers(squares, basis, -0.25, total))
    lengths = float(np.vdot(users, users)), float(np.vdot(items, items))
    balance = np.float32((lengths[0] / lengths[1]) ** 0.25) if min(lengths) > 0 else np.float32(1)
    users /= balance
    items *= balance
    return users, items


def _turn(vectors: FloatArray, matrix: FloatArray) -> None:
    """Multiply by a square matrix, in place, some rows at a time."""
    for start in range(0, len(vectors), _ROWS):
        vectors[start : start + _ROWS] = vectors[start : start + _ROWS] @ matrix


def _inverse_roots(mass: DoubleArray) -> FloatArray:
    """Return a column of factors, one a row."""
    return np.asarray(1 / np.sqrt(np.maximum(mass, _LEAST_MASS)), dtype=np.float32)[:, None]


def _powers(squares: DoubleArray, basis: DoubleArray, exponent: float, scale: float = 1.0) -> FloatArray:
    """Return the basis with columns times a power of their eigenvalue; 0 for what is but rounding."""
    is_large = squares > _NEGLIGIBLE * max(float(squares[-1]), _LEAST_MASS**2)
    powers = np.power(squares, exponent, out=np.zeros_like(squares), where=is_large)
    return np.asarray(basis * (scale * powers), dtype=np.float32)
