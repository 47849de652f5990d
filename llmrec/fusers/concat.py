"""Concatenation: a z-score blend of the views' scores, as one inner product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from llmrec.base import FloatArray, Fuser, Matrix, Ranker, ScoreWeights, ViewVectors
from llmrec.errors import ParameterError, nearest
from llmrec.fusers.ranks import Block, RanksOfViews
from llmrec.validation import check_fitted, check_number
from llmrec.vectors import JoinedVectors, column_means, csr_of, dot, join_columns, scale_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Interactions

__all__ = ["ConcatFuser"]

_SPREAD_SAMPLE = 4096
_WIDEST_COVARIANCE = 2048
# For so many queries and columns, reading a covariance anew costs less than the calls that spare it.
_FEW_QUERIES, _FEW_COLUMNS = 4, 512


class ConcatFuser(Fuser):
    r"""Blend the views' scores, each counted in its own standard deviations.

    Choose it to join views of different kinds: factors, words, neighbours, popularity. The score of an item
    is :math:`\sum_m w_m (s_m - \bar s_m) / \sigma_m`, where mean and deviation of view :math:`m` are taken
    over its items, for each query anew; with :math:`\sigma_m^2 = u^T \mathrm{Cov}(V_m) u` that is one inner
    product of concatenated vectors, so one index and one scan serve all views. An item that a view knows
    nothing about gets that view's mean score, neither good nor bad.

    Parameters
    ----------
    weights : mapping of view name to number, sequence of numbers, or None
        How much each view counts, at least 0. None counts all alike; views that a mapping does not name
        count 1. The names are those of ``Recommender.views_``.

    Attributes
    ----------
    weights_ : dict of str to float

    Notes
    -----
    For views that are sparse, or wider than 2,048, the deviation is taken over 4,096 items at most, spread
    evenly over the catalogue.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(2, dtype=np.float32)
    >>> text = ViewVectors("text", "text", np.array([[1.0], [3.0]], dtype=np.float32), one)
    >>> hits = ViewVectors("hits", "popularity", np.array([[900.0], [100.0]], dtype=np.float32), one)
    >>> fuser = ConcatFuser(weights={"hits": 0.5}).fit([text, hits], None)
    >>> ask = np.ones((1, 1), dtype=np.float32)
    >>> queries = [ViewVectors(view.name, view.kind, ask, one[:1]) for view in (text, hits)]
    >>> (fuser.fuse_queries(queries) @ fuser.fuse_items([text, hits]).T).tolist()
    [[-0.5, 0.5]]
    """

    gives_new_items: ClassVar[bool] = True
    _has_offsets: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Promise new arrays for no ``fuse_items`` but our own."""
        super().__init_subclass__(**kwargs)
        if "fuse_items" in vars(cls) and "gives_new_items" not in vars(cls):
            cls.gives_new_items = False

    def __init__(self, weights: Mapping[str, float] | Sequence[float] | None = None):
        self.weights = weights

    def fit(self, views: Sequence[ViewVectors], interactions: Interactions | None) -> Self:
        """Measure each view's mean and spread over the items that it knows."""
        self.weights_ = self._check_weights([view.name for view in views])
        self._measure(views)
        return self

    def _measure(self, views: Sequence[ViewVectors]) -> None:
        spreads = [_Spread.of(view) for view in views]
        self.means_ = [spread.mean for spread in spreads]
        self.covariances_ = [spread.covariance for spread in spreads]
        self.samples_ = [spread.sample for spread in spreads]
        self.is_sparse_ = [sparse.issparse(view.vectors) for view in views]

    def fuse_items(self, views: Sequence[ViewVectors]) -> Matrix:
        """Return the views side by side, with a column a view that says which items it knows."""
        check_fitted(self, "weights_")
        scales, offsets = self._item_terms(views)
        for place, view in enumerate(views):
            scales[:, place] *= view.present
        front = [scales] if offsets is None else [offsets[:, None], scales]
        # Scaled as they are joined: copies of many neighbours are a large part of what a fit takes.
        blocks, own = [view.vectors for view in views], [scales[:, place] for place in range(len(views))]
        return join_columns([*front, *blocks], [*[None] * len(front), *own])

    def fuse_queries(self, views: Sequence[ViewVectors]) -> Matrix:
        """Return the queries side by side, each block scaled to unit deviation times its weight."""
        first = int(self._has_offsets)
        start = width = first + len(views)
        for view, is_sparse in zip(views, self.is_sparse_, strict=True):
            width += 0 if is_sparse else view.vectors.shape[1]
        # Filled in place: for one query, each array that is joined on costs as much as a view's arithmetic.
        front = np.empty((len(views[0].support), width), dtype=np.float32)
        # A view's weight, and then in its place what its mean score takes off.
        front[:, :start] = [[1.0] * first + own for own in self._query_weights(views)]
        thin = []
        for position, view in enumerate(views):
            vectors, column = view.vectors, first + position
            if self.is_sparse_[position]:
                mean, scale = self._standardised(position, view)
                scale = scale * front[:, column]
                np.multiply(-mean, scale, out=front[:, column])
                thin.append((vectors, scale))
                continue
            if self._are_few(position, vectors):
                means, covariance = self.means_[position], self.covariances_[position]
                _kernels().standardise(vectors, means, covariance, view.support, front, column, start)
            else:
                mean, scale = self._standardised(position, view)
                full = vectors.toarray() if sparse.issparse(vectors) else vectors
                _kernels().standardise_by(full, mean, scale, front, column, start)
            start += vectors.shape[1]
        return JoinedVectors(front, _side_by_side(thin)) if thin else front

    def _are_few(self, position: int, queries: Matrix) -> bool:
        """Say whether the moments of these queries are computed one by one."""
        if self.samples_[position] is not None or not isinstance(queries, np.ndarray):
            return False
        return len(queries) <= _FEW_QUERIES and queries.shape[1] <= _FEW_COLUMNS

    def score_weights(
        self, items: Sequence[ViewVectors], queries: Sequence[ViewVectors]
    ) -> list[ScoreWeights]:
        """Return each view's item vector on the scale of its z-score, and what the mean takes off."""
        check_fitted(self, "weights_")
        weights = np.array(self._query_weights(queries)[0], dtype=np.float32)
        scales, offsets = self._item_terms(items)
        offset = 0.0 if offsets is None else float(offsets[0])
        found = []
        for position, (item, query) in enumerate(zip(items, queries, strict=True)):
            mean, scale = self._standardised(position, query)
            factor = float(scale[0]) * float(weights[position]) * float(item.present[0] * scales[0, position])
            vector = item.vectors.toarray() if sparse.issparse(item.vectors) else item.vectors
            # What items of one bucket get on top belongs to no view; it stands with the first.
            shift = offset * (position == 0) - factor * float(mean[0])
            found.append(ScoreWeights(factor * vector[0].astype(np.float64), shift))
        return found

    def view_scores(self, position: int, items: ViewVectors, users: slice) -> FloatArray:
        """Return one view's z-scores, ``(n_users, n_items)``, for some of the users in ``items.queries``."""
        if items.queries is None:
            return np.zeros((0, len(items.support)), dtype=np.float32)
        rows = np.arange(len(items.queries.support), dtype=np.int32)[users]
        queries = items.queries.take(rows)
        mean, scale = self._standardised(position, queries)
        scores = (dot(queries.vectors, items.vectors) - mean[:, None]) * scale[:, None]
        return np.where(items.present, scores, np.float32(0))

    def _by_ranks(self, ranker: Ranker, depth: int) -> Ranker:
        """Return the ranker that fuses the views' ranks instead of their scores."""
        check_fitted(self, "weights_")
        blocks, starts = [], {False: self._has_offsets + len(self.means_), True: 0}
        for position, (mean, is_sparse) in enumerate(zip(self.means_, self.is_sparse_, strict=True)):
            start, stop = starts[is_sparse], starts[is_sparse] + len(mean)
            blocks.append(Block(self._has_offsets + position, is_sparse, start, stop))
            starts[is_sparse] = stop
        weights = list(self.weights_.values())
        return ranker.with_base(lambda base: RanksOfViews(base, blocks=blocks, weights=weights, depth=depth))

    def _query_weights(self, views: Sequence[ViewVectors]) -> list[list[float]]:
        """Return how much each view counts, for each query or, in a single list, for all."""
        return [[self.weights_[view.name] for view in views]]

    def _item_terms(self, views: Sequence[ViewVectors]) -> tuple[FloatArray, FloatArray | None]:
        """Return how much each view counts for each item, ``(n_items, n_views)``, and what it gets on top.

        The first array is the caller's to change.
        """
        return np.ones((len(views[0].support), len(views)), dtype=np.float32), None

    def _standardised(self, position: int, queries: ViewVectors) -> tuple[FloatArray, FloatArray]:
        """Return each query's mean score and one over its deviation; 0 where all scores are alike."""
        mean, deviation = self._moments(position, queries.vectors)
        return mean, _kernels().unit_scales(mean, deviation, queries.support)

    def _moments(self, position: int, queries: Matrix) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of each query's scores over a view's items."""
        means, covariance, sample = (
            self.means_[position],
            self.covariances_[position],
            self.samples_[position],
        )
        if sparse.issparse(queries):
            from llmrec.kernels.sparse_queries import covariance_moments, score_moments

            if sparse.issparse(sample):
                return score_moments(queries, means, self._by_column(position, sample))
            if sample is None:
                return covariance_moments(queries, means, covariance)
            queries = queries.toarray()
        elif self._are_few(position, queries):
            mean, deviation = _kernels().dense_moments(queries, means, covariance)
            return mean, deviation
        # In float64: rounded in float32, a mean far above its deviation would depend on the batch.
        doubles = queries.astype(np.float64)
        mean = (doubles @ means).astype(np.float32)
        if sample is not None:
            return mean, np.asarray(dot(queries, sample).std(axis=1), dtype=np.float32)
        # And so is a spread: a difference of large numbers.
        variance = np.einsum("ij,ij->i", doubles @ covariance, doubles)
        return mean, np.sqrt(np.maximum(variance, 0)).astype(np.float32)

    def _by_column(self, position: int, sample: Any) -> Any:
        """Return a view's sampled items transposed, made when they are first asked for."""
        kept = self.__dict__.setdefault("_samples_by_column", {})
        known = kept.get(position)
        if known is None or known[0] is not sample:
            known = kept[position] = (sample, sparse.csr_array(sample.T))
        return known[1]

    def _check_weights(self, names: Sequence[str]) -> dict[str, float]:
        given = self.weights
        if given is None:
            given = {}
        elif not isinstance(given, Mapping):
            if len(given) != len(names):
                raise ParameterError(
                    f"weights has {len(given)} numbers for {len(names)} views: {list(names)}."
                )
            given = dict(zip(names, given, strict=True))
        for name in given:
            if name not in names:
                raise ParameterError(
                    f"weights names the view {name!r}, which is not there; the views are {list(names)}."
                    f"{nearest(name, names)}"
                )
        return {name: check_number(f"the weight of {name}", given.get(name, 1.0), 0) for name in names}


@lru_cache(maxsize=1)
def _kernels() -> Any:
    # An import statement takes a fifth of the time of one query, though the module is there.
    from llmrec.kernels import dense_queries

    return dense_queries


class _Spread:
    """Mean of a view's item vectors, and what their scores' deviation is computed from."""

    def __init__(self, mean: FloatArray, covariance: Any, sample: Any):
        self.mean = mean
        self.covariance = covariance
        self.sample = sample

    @classmethod
    def of(cls, view: ViewVectors) -> _Spread:
        known = np.flatnonzero(view.present)
        vectors = view.vectors
        if not len(known):
            vectors = sparse.csr_array((1, vectors.shape[1]), dtype=np.float32)
        elif len(known) < len(view.present):
            vectors = vectors[known]
        mean = column_means(vectors)
        # A covariance of neighbourhood vectors, as wide as the catalogue, would cost the cube of it.
        if not sparse.issparse(vectors) and vectors.shape[1] <= _WIDEST_COVARIANCE:
            centred = vectors.astype(np.float64) - mean
            return cls(mean, centred.T @ centred / len(known), None)
        step = max(1, -(-len(known) // _SPREAD_SAMPLE))
        return cls(mean, None, vectors[::step])


def _side_by_side(blocks: list[tuple[Matrix, FloatArray]]) -> Matrix:
    """Scale and join the query blocks of sparse views: sparse if all are."""
    if all(sparse.issparse(block) for block, _ in blocks):
        from llmrec.kernels.sparse_queries import joined_rows

        return csr_of(*joined_rows([block for block, _ in blocks], [scale for _, scale in blocks]))
    scaled = [scale_rows(block, scale) for block, scale in blocks]
    return np.hstack([block.toarray() if sparse.issparse(block) else block for block in scaled])
