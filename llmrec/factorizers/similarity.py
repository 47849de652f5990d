"""How alike histories or audiences are: what neighbourhood models have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from llmrec.base import FloatArray, Matrix
from llmrec.errors import DataError, ParameterError
from llmrec.factorizers.nearest import is_much_work, largest_products, products_of_rows
from llmrec.interactions import Histories
from llmrec.validation import check_choice, check_integer, check_matrix, check_number
from llmrec.vectors import entry_counts, grown, inverse_norms, scale_entries, unit_rows

__all__ = [
    "Comparison",
    "column_scale",
    "content_neighbours",
    "entries_apart",
    "largest_of_rows",
    "nearest_of_rows",
    "neighbours_of_new",
    "rated_weights",
    "within",
]

SIMILARITIES = ("cosine", "adjusted-cosine", "pearson", "jaccard", "dot")
WEIGHTINGS = ("bm25", "tf-idf")

_ROWS_AT_A_TIME = 512
_BM25_SATURATION, _BM25_LENGTH_SHARE = 100.0, 0.8


@dataclass(frozen=True)
class Comparison:
    """A similarity of rows, with what it has learned of the columns.

    Attributes
    ----------
    similarity : {"cosine", "adjusted-cosine", "pearson", "jaccard", "dot"}
    weighting : {"bm25", "tf-idf"} or None
    shrinkage : float
        Similarities are multiplied by ``n / (n + shrinkage)``, with ``n`` columns in common.
    column_weights : ndarray of shape (n_columns,)
        Inverse document frequency, if there is a weighting; 1 otherwise.
    column_means : ndarray of shape (n_columns,)
        Mean ratings, for the adjusted cosine.
    mean_length : float
        Mean sum of weights of a row, for BM25.
    mean_weight, mean_of_means : float
        Means of the two over the columns, which columns that come later have.
    """

    similarity: str
    weighting: str | None
    shrinkage: float
    column_weights: FloatArray
    column_means: FloatArray
    mean_length: float
    mean_weight: float
    mean_of_means: float

    @classmethod
    def learn(cls, similarity: str, weighting: str | None, shrinkage: float, rows: Histories) -> Comparison:
        """Check the parameters, and learn from all rows what the similarity asks of the columns."""
        check_choice("similarity", similarity, SIMILARITIES)
        shrinkage = check_number("shrinkage", shrinkage, 0)
        if weighting is not None:
            check_choice("weighting", weighting, WEIGHTINGS)
        ones, zeros = np.ones(rows.n_columns, np.float32), np.zeros(rows.n_columns, np.float32)
        learned = cls(similarity, weighting, shrinkage, ones, zeros, 1.0, 1.0, 0.0)
        if weighting is not None:
            learned.check_weights_are_compared(f"weighting={weighting!r}")
            weights = rows.weight_matrix()
            met = np.bincount(weights.indices, minlength=rows.n_columns)
            frequencies = np.log(max(len(rows), 1)) - np.log1p(met)
            frequencies = np.maximum(frequencies, 0).astype(np.float32)
            length = float(weights.sum()) / max(int(np.count_nonzero(np.diff(weights.indptr))), 1)
            mean = float(frequencies.mean()) if len(frequencies) else 1.0
            return replace(learned, column_weights=frequencies, mean_length=length or 1.0, mean_weight=mean)
        if similarity == "adjusted-cosine":
            means = _means(_ratings(rows, similarity).T.tocsr())
            return replace(
                learned, column_means=means, mean_of_means=float(means.mean()) if len(means) else 0.0
            )
        return learned

    def check_weights_are_compared(self, name: str) -> None:
        """Raise :class:`ParameterError` if the parameter ``name`` does not go with the similarity."""
        if self.similarity not in ("cosine", "dot"):
            raise ParameterError(f"{name} needs similarity 'cosine' or 'dot'; got {self.similarity!r}.")

    def with_columns(self, n_columns: int) -> Comparison:
        """Return the same comparison of rows with more columns; new ones weigh as the mean of the others.

        Costs O(new columns), amortised; see :func:`~llmrec.vectors.grown`.
        """
        n_known = len(self.column_weights)
        weights, means = grown(self.column_weights, n_columns), grown(self.column_means, n_columns)
        weights[n_known:], means[n_known:] = self.mean_weight, self.mean_of_means
        return replace(self, column_weights=weights, column_means=means)

    @property
    def reads_ratings(self) -> bool:
        """Whether ratings are compared, not weights."""
        return self.similarity in ("adjusted-cosine", "pearson")

    def rows(self, rows: Histories, blur: Any = None, column_scale: FloatArray | None = None) -> Any:
        """Return the rows to compare, ``(n, n_columns)`` sparse, of length 1 unless that is not meant.

        ``blur``, columns × columns, spreads weights to further columns; ``column_scale`` multiplies each.
        """
        if self.reads_ratings:
            ratings = _ratings(rows, self.similarity)
            means = self.column_means[ratings.indices]
            if self.similarity == "pearson":
                means = np.repeat(_means(ratings), np.diff(ratings.indptr))
            ratings.data = ratings.data - means
            scale_entries(ratings, inverse_norms(ratings))
            return ratings
        matrix = rows.weight_matrix()
        if blur is not None:
            matrix = sparse.csr_array(matrix + matrix @ blur)
        if self.similarity == "jaccard":
            matrix.data = np.ones_like(matrix.data)
            return matrix
        if self.weighting is not None:
            matrix.data = self._weighted(matrix)
        if column_scale is not None:
            matrix.data *= column_scale[matrix.indices]
        # Of many events each copy of the matrix is a large part of what a fit takes.
        if self.similarity == "cosine":
            scale_entries(matrix, inverse_norms(matrix))
        return matrix

    def similar(self, rows: Any, others: Any) -> Any:
        """Return ``(n_rows, n_others)`` similarities, sparse, from two answers of :meth:`rows`."""
        alike = sparse.csr_array(rows @ others.T)
        if self.similarity == "jaccard":
            sizes = (
                np.repeat(np.diff(rows.indptr), np.diff(alike.indptr)) + np.diff(others.indptr)[alike.indices]
            )
            alike.data = alike.data / (sizes - alike.data)
        if self.shrinkage:
            shared = sparse.csr_array(_met(rows) @ _met(others).T)
            shared.data = shared.data / (shared.data + np.float32(self.shrinkage))
            alike = sparse.csr_array(alike.multiply(shared))
        alike.data = np.maximum(alike.data, 0).astype(np.float32)
        return alike

    def _weighted(self, matrix: Any) -> FloatArray:
        weights = matrix.data
        if self.weighting == "tf-idf":
            weights = np.sqrt(weights)
        elif self.weighting == "bm25":
            lengths = np.asarray(matrix.sum(axis=1)).ravel() / self.mean_length
            damped = 1 - _BM25_LENGTH_SHARE + _BM25_LENGTH_SHARE * lengths
            saturation = _BM25_SATURATION * np.repeat(damped, np.diff(matrix.indptr))
            weights = weights * (_BM25_SATURATION + 1) / (saturation + weights)
        return np.asarray(weights * self.column_weights[matrix.indices], dtype=np.float32)

    def get_state(self) -> dict[str, Any]:
        """Return all fields, for a model folder."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Comparison:
        """Build the comparison that gave ``state``."""
        return cls(**state)


def nearest_of_rows(comparison: Comparison, rows: Any, neighbours: int, others: Any = None) -> Any:
    """Return ``(n, n_others)``: for each row the similarities of its nearest others.

    Both from :meth:`Comparison.rows`. Without ``others`` rows are compared with each other, and each is left
    out of its own neighbours.
    """
    is_own = others is None
    others = rows if is_own else others
    products = products_of_rows(rows, entry_counts(others.indices, others.shape[1]))
    if is_much_work(products):
        return largest_products(
            rows,
            sparse.csr_array(others.T),
            neighbours,
            products,
            skip_self=is_own,
            jaccard=comparison.similarity == "jaccard",
            shrinkage=comparison.shrinkage,
        )
    parts = [sparse.csr_array((0, others.shape[0]), dtype=np.float32)]
    for start in range(0, rows.shape[0], _ROWS_AT_A_TIME):
        block = comparison.similar(rows[start : start + _ROWS_AT_A_TIME], others)
        if is_own:
            block.setdiag(0, k=start)
        block.eliminate_zeros()
        parts.append(largest_of_rows(block, neighbours))
    return sparse.csr_array(sparse.vstack(parts), dtype=np.float32)


def largest_of_rows(block: Any, k: int) -> Any:
    """Keep the ``k`` largest entries of each row of a ``csr_array``; of equal ones the first columns."""
    lengths = np.diff(block.indptr)
    lowest = np.full(block.shape[0], -np.inf, dtype=np.float32)
    for row in np.flatnonzero(lengths > k).tolist():
        entries = block.data[block.indptr[row] : block.indptr[row + 1]]
        lowest[row] = np.partition(entries, len(entries) - k)[len(entries) - k]
    owners = np.repeat(np.arange(block.shape[0]), lengths)
    kept = np.flatnonzero(block.data >= lowest[owners])
    n_kept = np.bincount(owners[kept], minlength=block.shape[0])
    # Sorting costs most; only rows with equal entries at the last place need it.
    is_tied = n_kept[owners[kept]] > k
    tied = kept[is_tied]
    order = tied[np.lexsort((block.indices[tied], -block.data[tied], owners[tied]))]
    counts = np.bincount(owners[tied], minlength=block.shape[0])
    places = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.sort(np.append(kept[~is_tied], order[places < k]))
    data = (block.data[kept], (owners[kept], block.indices[kept]))
    return sparse.csr_array(data, shape=block.shape)


def content_neighbours(content: Matrix, n_items: int, neighbours: int) -> Any:
    """Return ``(n_items, n_items)``: for each item the cosines of its nearest items by text, sparse."""
    check_integer("content_neighbours", neighbours, minimum=1)
    unit = unit_rows(check_matrix(content, "content"))
    if unit.shape[0] != n_items:
        raise DataError(f"content has {unit.shape[0]} rows for {n_items} items.")
    parts = []
    for start in range(0, n_items, _ROWS_AT_A_TIME):
        block = sparse.csr_array(unit[start : start + _ROWS_AT_A_TIME] @ unit.T)
        block.setdiag(0, k=start)
        parts.append(_nearest(block, neighbours))
    return sparse.csr_array(sparse.vstack(parts), dtype=np.float32)


def neighbours_of_new(texts: Matrix, known: Matrix, neighbours: int) -> Any:
    """Return ``(n, n_known)``: the cosines of new items with the nearest of the items known, sparse."""
    return _nearest(sparse.csr_array(unit_rows(texts) @ unit_rows(known).T), neighbours)


def _nearest(block: Any, neighbours: int) -> Any:
    block.data = np.maximum(block.data, 0)
    block.eliminate_zeros()
    return largest_of_rows(block, neighbours)


def rated_weights(rows: Histories, similarity: str) -> Any:
    """Return the ratings, each times its weight, ``(n, n_columns)`` sparse."""
    ratings = _ratings(rows, similarity)
    if np.all(rows.weights == 1):
        return ratings
    return ratings.multiply(replace(rows, ratings=rows.weights).rating_matrix()).tocsr()


def entries_apart(matrix: Any) -> Any:
    """Return each entry of a ``csr_array`` in a row of its own, ``(nnz, n_columns)``."""
    rows = np.arange(matrix.nnz + 1)
    return sparse.csr_array((matrix.data, matrix.indices, rows), shape=(matrix.nnz, matrix.shape[1]))


def within(matrix: Any, width: int) -> Any:
    """Return the first ``width`` columns; columns that are missing are zero."""
    if matrix.shape[1] > width:
        return sparse.csr_array(matrix[:, :width])
    if matrix.shape[1] < width:
        matrix.resize((matrix.shape[0], width))
    return matrix


def column_scale(totals: FloatArray, exponent: float) -> FloatArray:
    """Return each total to the power of ``-exponent``; 0 where there is nothing."""
    scale = np.power(totals, -exponent, out=np.zeros(len(totals)), where=totals > 0)
    return np.asarray(scale, dtype=np.float32)


def _ratings(rows: Histories, similarity: str) -> Any:
    if rows.ratings is None:
        raise DataError(
            f"similarity={similarity!r} compares ratings, and the events have none; "
            "add a 'rating' column, or choose similarity='cosine'."
        )
    return rows.rating_matrix()


def _means(matrix: Any) -> FloatArray:
    """Return the mean entry of each row; 0 for an empty one."""
    counts = np.maximum(np.diff(matrix.indptr), 1)
    sums = np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel()
    return np.asarray(sums / counts, dtype=np.float32)


def _met(matrix: Any) -> Any:
    ones = np.ones(matrix.nnz, dtype=np.float32)
    return sparse.csr_array((ones, matrix.indices, matrix.indptr), shape=matrix.shape)
