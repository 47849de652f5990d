"""Singular vectors of sparse matrices: exact where that is quick, else by a block Krylov method."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from llmrec.base import FloatArray
from llmrec.threads import map_threads, one_blas_thread

__all__ = ["many_right_singular_vectors", "multiply", "right_singular_vectors", "row_chunks"]

_SMALL = 64
# Up to here (entries, times factors) ARPACK takes about as long as the kernels take to load.
_LARGEST_FOR_ARPACK = 30_000_000
_LARGEST_FOR_SCIPY = 4_000_000
_ENTRIES_AT_A_TIME = 1 << 19
# The Krylov space has so many dimensions a factor; the more, the closer to the exact vectors.
_DIMENSIONS_A_FACTOR = 4.0
_LEAST_DIMENSIONS = 128
_NEGLIGIBLE = 1e-6
# Up to here, or so many times the factors, the Gram matrix of the narrower side is decomposed in whole.
_SMALL_GRAM, _SHARE_OF_GRAM = 1024, 3
_OVERSAMPLED, _POWERS = 10, 3


def right_singular_vectors(
    matrix: Any, factors: int, random_state: int | None, *, exact: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Return the largest singular values, zeros left out, and their right vectors as columns.

    A small matrix is decomposed exactly. A large one by a block Krylov method (Musco & Musco, "Randomized
    block Krylov methods for stronger and faster approximate singular value decomposition", NeurIPS 2015),
    whose vectors hold nearly all that the exact ones hold of the sum of squares: 2 to 6 in 10,000 less on
    matrices in the shape of MovieLens 1M and 20M, at 64 factors.

    Parameters
    ----------
    matrix : csr_array of shape (n, m)
    factors : int
        How many; there are fewer where the rank is less.
    random_state : int or None
        Seed of the start; the result depends on it only by rounding where it is exact.
    exact : bool, default False
        Whether a large matrix is decomposed exactly too, several times slower.

    Returns
    -------
    values : ndarray of shape (factors,)
        In descending order.
    vectors : ndarray of shape (m, factors)
        Orthonormal; of each, the entry largest in size is positive.

    Examples
    --------
    >>> values, vectors = right_singular_vectors(sparse.csr_array([[3.0, 0.0], [0.0, -4.0]]), 1, 0)
    >>> values.tolist(), vectors.ravel().tolist()
    ([4.0], [0.0, 1.0])
    """
    smaller = min(matrix.shape)
    rng = np.random.default_rng(random_state)
    if smaller <= max(_SMALL, factors):
        _, values, right = np.linalg.svd(matrix.astype(np.float64).toarray(), full_matrices=False)
    elif exact or _is_small(matrix, factors):
        start = rng.normal(size=smaller)
        doubles = matrix.astype(np.float64)
        _, values, right = svds(doubles, k=factors, v0=start, return_singular_vectors="vh")
    else:
        floats = sparse.csr_array(matrix, dtype=np.float32)
        values, right = _from_space(
            floats, factors, lambda tall, flat: _krylov_space(tall, flat, factors, rng)
        )
    order = np.argsort(-values, kind="stable")[:factors]
    order = order[values[order] > _NEGLIGIBLE * max(values.max(initial=0), 1e-30)]
    return values[order].astype(np.float32), _with_signs(right[order])


def many_right_singular_vectors(matrix: Any, factors: int, random_state: int | None) -> FloatArray:
    """Return the right vectors of the largest singular values as columns, where hundreds are wanted.

    A Krylov space of narrow blocks, as in :func:`right_singular_vectors`, would then be thousands of
    dimensions wide. Here blocks are as wide as the answer: powers of the Gram matrix turn one towards it,
    and the space of that block and the next power holds as much of the sum of squares as seven powers
    would. Where the Gram matrix is small its own vectors are found.

    Parameters
    ----------
    matrix : csr_array of shape (n, m)
    factors : int
    random_state : int or None
        Seed of the start.

    Returns
    -------
    ndarray of shape (m, factors)
        Of each the entry largest in size is positive. There are fewer columns where the rank is less.

    Examples
    --------
    >>> many_right_singular_vectors(sparse.csr_array([[3.0, 0.0], [0.0, -4.0]]), 1, 0).ravel().tolist()
    [0.0, 1.0]
    """
    matrix = sparse.csr_array(matrix, dtype=np.float32)
    smaller = min(matrix.shape)
    is_small = smaller <= max(_SMALL_GRAM, _SHARE_OF_GRAM * factors)

    def space(tall: Any, flat: Any) -> tuple[FloatArray, FloatArray]:
        if is_small:
            return np.eye(smaller, dtype=np.float32), np.asarray((flat @ tall).toarray(), dtype=np.float32)
        return _power_space(tall, flat, factors, np.random.default_rng(random_state))

    values, right = _from_space(matrix, factors, space)
    return _with_signs(right[values > _NEGLIGIBLE * max(float(values.max(initial=0)), 1e-30)])


def multiply(matrix: Any, dense: FloatArray) -> FloatArray:
    """Return ``matrix @ dense`` in float32, on as many threads as are allowed.

    Parameters
    ----------
    matrix : csr_array of shape (n, m)
    dense : ndarray of shape (m, width)

    Examples
    --------
    >>> multiply(sparse.csr_array([[0.0, 2.0]]), np.array([[1.0], [3.0]], dtype=np.float32)).tolist()
    [[6.0]]
    """
    width = dense.shape[1]
    if matrix.nnz * width <= _LARGEST_FOR_SCIPY or matrix.indices.dtype != np.int32:
        return np.asarray(matrix @ dense, dtype=np.float32)
    from llmrec.kernels.spmm import LANES, multiply_rows

    indptr, weights = matrix.indptr.astype(np.int64, copy=False), matrix.data.astype(np.float32, copy=False)
    result = np.empty((matrix.shape[0], width), dtype=np.float32)
    # Once for all columns: anew for each, there would be two of them for a while.
    table = np.zeros((len(dense), LANES), dtype=np.float32)
    out = result if width == LANES else np.empty((len(result), LANES), dtype=np.float32)

    def fill(chunk: slice) -> None:
        multiply_rows(indptr, matrix.indices, weights, table, out, chunk.start, chunk.stop)

    chunks = row_chunks(indptr, _ENTRIES_AT_A_TIME)
    for first in range(0, width, LANES):
        # The kernel takes so many columns, no fewer.
        some = dense[:, first : first + LANES]
        table[:, : some.shape[1]] = some
        table[:, some.shape[1] :] = 0
        map_threads(fill, chunks)
        if out is not result:
            result[:, first : first + LANES] = out[:, : some.shape[1]]
    return result


def row_chunks(cumulated: npt.NDArray[Any], size: float) -> list[slice]:
    """Cut rows, of which ``cumulated`` holds the work before each and in all, into chunks of about ``size``.

    Examples
    --------
    >>> row_chunks(np.array([0, 5, 6, 7, 20]), 7)
    [slice(0, 3, None), slice(3, 4, None)]
    """
    n_chunks = int(cumulated[-1] / size) + 1
    marks = np.searchsorted(cumulated, np.arange(1, n_chunks) * (float(cumulated[-1]) / n_chunks))
    edges = np.unique(np.concatenate([[0], marks, [len(cumulated) - 1]])).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _is_small(matrix: Any, factors: int) -> bool:
    return bool(matrix.nnz * factors <= _LARGEST_FOR_ARPACK or 2 * _n_dimensions(factors) > min(matrix.shape))


def _n_dimensions(factors: int) -> int:
    return max(_LEAST_DIMENSIONS, int(_DIMENSIONS_A_FACTOR * factors))


def _with_signs(right: npt.NDArray[Any]) -> FloatArray:
    """Return vectors in rows as columns: unique up to their signs, they get their largest entry positive."""
    signs = np.sign(np.take_along_axis(right, np.abs(right).argmax(axis=1)[:, None], axis=1))
    return np.ascontiguousarray((right * signs).T, dtype=np.float32)


def _from_space(
    matrix: Any, factors: int, space: Callable[[Any, Any], tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    """Return singular values and right vectors as rows, in descending order.

    ``space`` gives, for the matrix in its tall and its flat form, an orthonormal basis and its product with
    the Gram matrix of the narrower side.
    """
    is_wide = matrix.shape[0] < matrix.shape[1]
    tall, flat = sparse.csr_array(matrix.T), matrix
    if not is_wide:
        tall, flat = flat, tall
    # With one thread BLAS gives the same sums for any number allowed, and its products here are small.
    with one_blas_thread():
        basis, images = space(tall, flat)
        _, rotation = _descending_eigh((basis.T @ images).astype(np.float64))
        narrow = basis @ rotation[:, :factors].astype(np.float32)
        wide = multiply(tall, narrow)
        # Of the Gram matrix small values are known only to the rounding of the largest: take them from here.
        squares, rotation = _descending_eigh(_gram(wide))
        values = np.sqrt(np.maximum(squares, 0))
        turned = rotation.astype(np.float32)
        if not is_wide:
            return values.astype(np.float32), np.ascontiguousarray((narrow @ turned).T)
        scale = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
        return values.astype(np.float32), ((wide @ turned) * scale.astype(np.float32)).T


def _krylov_space(
    tall: Any, flat: Any, factors: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return a basis of ``S, GS, G²S, …``, with ``G`` the Gram matrix and ``S`` random, and its image."""
    from llmrec.kernels.spmm import LANES

    start = rng.standard_normal((tall.shape[1], LANES), dtype=np.float32)
    n_dimensions = _n_dimensions(factors)
    # In Fortran order the first columns are one piece of memory.
    basis = np.empty((len(start), n_dimensions), dtype=np.float32, order="F")
    images = np.empty_like(basis)
    block, scale, filled = _orthonormal(start, 0.0), 0.0, 0
    while filled < n_dimensions and block.shape[1]:
        block = block[:, : n_dimensions - filled]
        stop = filled + block.shape[1]
        image = multiply(flat, multiply(tall, block))
        basis[:, filled:stop], images[:, filled:stop], filled = block, image, stop
        scale = max(scale, float(np.sqrt(np.einsum("ij,ij->j", image, image).max())))
        block = image
        for floor in (_NEGLIGIBLE * scale, 0.0):
            # Twice: what rounding left of the space after the first time is large beside a small rest.
            for _ in range(2):
                block = block - basis[:, :filled] @ (basis[:, :filled].T @ block)
            block = _orthonormal(block, floor)
    return basis[:, :filled], images[:, :filled]


def _power_space(
    tall: Any, flat: Any, factors: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return a basis of two powers of the Gram matrix times a random block, and its image."""
    block = rng.standard_normal((tall.shape[1], factors + _OVERSAMPLED), dtype=np.float32)
    for _ in range(_POWERS):
        block = _orthonormal(multiply(flat, multiply(tall, block)), 0.0)
    # Twice: the first time leaves short directions askew by the rounding of the long ones.
    block = _orthonormal(block, 0.0)
    image = multiply(flat, multiply(tall, block))
    rest = image
    for _ in range(2):
        rest = _orthonormal(rest - block @ (block.T @ rest), 0.0)
    return np.hstack([block, rest]), np.hstack([image, multiply(flat, multiply(tall, rest))])


def _orthonormal(block: FloatArray, floor: float) -> FloatArray:
    """Return an orthonormal basis of the columns, leaving out directions not longer than ``floor``."""
    squares, rotation = _descending_eigh(_gram(block))
    kept = squares > max(floor**2, _NEGLIGIBLE**2 * float(squares.max(initial=0)))
    return np.asarray(block @ (rotation[:, kept] / np.sqrt(squares[kept])).astype(np.float32))


def _gram(block: FloatArray) -> npt.NDArray[np.float64]:
    total = np.zeros((block.shape[1], block.shape[1]))
    for start in range(0, len(block), 4096):
        some = block[start : start + 4096].astype(np.float64)
        total += some.T @ some
    return total


def _descending_eigh(matrix: npt.NDArray[np.float64]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return values[::-1], vectors[:, ::-1]
