"""The weighted sum ``α·text + (1−α)·factors``, in one space and on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from llmrec.base import FloatArray, Fuser, Matrix, ScoreWeights, ViewVectors
from llmrec.errors import ComponentError
from llmrec.validation import check_choice, check_fitted, check_number
from llmrec.vectors import join_columns, row_norms, scale_rows

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Interactions

__all__ = ["WeightedFuser"]

_MAX_ROW_WEIGHT = 50.0
_POPULARITY_BINS = 10


class WeightedFuser(Fuser):
    r"""Add text vectors to factors: :math:`\alpha \hat v_i + (1 - \alpha) v_i`.

    The sum has a meaning only in one space. So the text vectors :math:`z` are first mapped into the space of
    the factors, :math:`\hat v = W^T z`, by a ridge regression fitted on the items that have events
    (Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010),
    and rescaled to the length that factors of like popularity have. Queries are joined in the same way, by
    a map fitted on known users. What has no events is served by its text alone, what has no text by its
    factors alone.

    Choose it for a compact index (its width is that of the factors) and for the effect of one dial; choose
    :class:`ConcatFuser` to keep all that the text says, or to join sparse views.

    Parameters
    ----------
    alpha : float from 0 to 1, or "adaptive", default "adaptive"
        The weight of the text; 0 is factors alone, 1 text alone. ``"adaptive"`` takes
        :math:`\alpha_i = \kappa / (\kappa + n_i)` with the number of events :math:`n_i`: all text for an item
        that nobody has touched, hardly any for one that thousands have.
    kappa : float, default 10.0
        :math:`\kappa`: how many events weigh as much as the text.
    regularization : float, default 10.0
        Ridge of the map, in units of one item's squared length.

    Examples
    --------
    Two items with factors and text, and a third that has a text like the first one's:

    >>> import numpy as np
    >>> z = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    >>> v = np.array([[2, 0], [0, 2], [0, 0]], dtype=np.float32)
    >>> events = np.array([5, 5, 0], dtype=np.float32)
    >>> views = [ViewVectors("text", "text", z, np.ones(3, dtype=np.float32)),
    ...          ViewVectors("als", "behaviour", v, events)]
    >>> WeightedFuser(alpha=0.5).fit(views, None).fuse_items(views).round(1).tolist()
    [[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]
    """

    def __init__(self, alpha: float | str = "adaptive", *, kappa: float = 10.0, regularization: float = 10.0):
        self.alpha = alpha
        self.kappa = kappa
        self.regularization = regularization

    def fit(self, views: Sequence[ViewVectors], interactions: Interactions | None) -> Self:
        """Fit the maps from text to factors, of items and of queries."""
        self._check_parameters()
        _refuse_sparse(views)
        self.scales_ = _block_scales(views)
        text, factors = self._sides(views)
        self.item_map_ = self.query_map_ = self.item_norms_ = self.query_norms_ = None
        if text is None or factors is None:
            return self
        self.item_map_ = self._fit_map(text, factors)
        self.item_norms_ = _norms_by_support(factors)
        queries = [view.queries for view in views if view.queries is not None]
        if len(queries) == len(views) and len(queries[0].support):
            text_queries, factor_queries = self._sides(queries, scaled=False)
            if text_queries is not None and factor_queries is not None:
                self.query_map_ = self._fit_map(text_queries, factor_queries)
                self.query_norms_ = _norms_by_support(factor_queries)
        return self

    def fuse_items(self, views: Sequence[ViewVectors]) -> Matrix:
        """Return ``(n_items, width of the factors)``."""
        check_fitted(self, "item_map_")
        text, factors = self._sides(views)
        return self._blend(text, factors, self.item_map_, self.item_norms_)

    def fuse_queries(self, views: Sequence[ViewVectors]) -> Matrix:
        """Return ``(n_queries, width of the factors)``."""
        check_fitted(self, "item_map_")
        text, factors = self._sides(views, scaled=False)
        return self._blend(text, factors, *self._map_of_queries())

    def score_weights(
        self, items: Sequence[ViewVectors], queries: Sequence[ViewVectors]
    ) -> list[ScoreWeights]:
        """Return what each view's *query* adds, exactly.

        The item's side is one vector in which text and factors are mixed, and is not taken apart: the share
        of the text is what the text of the history adds, not what the item's text does.
        """
        check_fitted(self, "item_map_")
        fused = self.fuse_items(items)
        item = (fused.toarray() if sparse.issparse(fused) else fused)[0].astype(np.float64)
        text, factors = self._sides(queries, scaled=False)
        map_, norms = self._map_of_queries()
        found, starts = [], {True: 0, False: 0}
        for query in queries:
            is_text, width = query.kind == "text", query.vectors.shape[1]
            own = slice(starts[is_text], starts[is_text] + width)
            starts[is_text] = own.stop
            if text is None or factors is None or map_ is None:
                counts = is_text == (factors is None)
                found.append(ScoreWeights(item[own] if counts else np.zeros(width)))
                continue
            _, scale, alpha = self._mapped(text, factors, map_, norms)
            if is_text:
                found.append(ScoreWeights(float(alpha[0] * scale[0]) * (map_[own].astype(np.float64) @ item)))
            else:
                found.append(ScoreWeights(float(1 - alpha[0]) * item[own]))
        return found

    def _check_parameters(self) -> None:
        if isinstance(self.alpha, str):
            check_choice("alpha", self.alpha, ("adaptive",))
        else:
            check_number("alpha", self.alpha, 0, 1)
        check_number("kappa", self.kappa, 0, above=True)
        check_number("regularization", self.regularization, 0, above=True)

    def _sides(
        self, views: Sequence[ViewVectors], *, scaled: bool = True
    ) -> tuple[ViewVectors | None, ViewVectors | None]:
        """Join all text views into one and all others into another, each block on the scale of its scores."""
        texts = [view for view in views if view.kind == "text"]
        others = [view for view in views if view.kind != "text"]
        _refuse_sparse(others)
        if texts and others and all(view.kind == "popularity" for view in others):
            raise ComponentError(
                "WeightedFuser maps text into the space of factors, and there is none beside the popularity; "
                "add a factorizer such as ALSFactorizer, or use ConcatFuser."
            )
        scales = self.scales_ if scaled else dict.fromkeys(self.scales_, 1.0)
        return _joined("text", texts, dict.fromkeys(scales, 1.0)), _joined("behaviour", others, scales)

    def _fit_map(self, source: ViewVectors, target: ViewVectors) -> FloatArray:
        rows = np.flatnonzero(source.present & target.present)
        weights = np.minimum(target.support[rows], _MAX_ROW_WEIGHT).astype(np.float64)
        return ridge_map(source.vectors[rows], target.vectors[rows], weights, float(self.regularization))

    def _blend(
        self, text: ViewVectors | None, factors: ViewVectors | None, map_: FloatArray | None, norms: Any
    ) -> Matrix:
        if text is None or factors is None or map_ is None:
            only = text if factors is None else factors
            if only is None:
                raise ComponentError("there is no view to fuse.")
            return only.vectors
        mapped, scale, alpha = self._mapped(text, factors, map_, norms)
        return alpha[:, None] * (mapped * scale[:, None]) + (1 - alpha[:, None]) * factors.vectors

    def _map_of_queries(self) -> tuple[FloatArray | None, Any]:
        if self.query_map_ is not None:
            return self.query_map_, self.query_norms_
        return self.item_map_, self.item_norms_

    def _mapped(
        self, text: ViewVectors, factors: ViewVectors, map_: FloatArray, norms: Any
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the text in the space of the factors, what brings it to its length there, and its weight."""
        mapped = np.asarray(text.vectors @ map_, dtype=np.float32)
        lengths = row_norms(mapped)
        wanted = np.interp(np.log1p(factors.support), norms[0], norms[1])
        scale = np.divide(wanted, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        alpha = self._alphas(factors.support)
        return (
            mapped,
            scale,
            np.where(text.present, np.where(factors.present, alpha, 1), 0).astype(np.float32),
        )

    def _alphas(self, support: FloatArray) -> FloatArray:
        if self.alpha == "adaptive":
            return np.asarray(self.kappa / (self.kappa + support), dtype=np.float32)
        return np.full(len(support), self.alpha, dtype=np.float32)


def _refuse_sparse(views: Sequence[ViewVectors]) -> None:
    for view in views:
        if view.kind != "text" and sparse.issparse(view.vectors):
            raise ComponentError(
                f"WeightedFuser adds vectors in the space of the factors, and the view {view.name!r} is "
                "sparse; use ConcatFuser to join it."
            )


def _block_scales(views: Sequence[ViewVectors]) -> dict[str, float]:
    """Return for each view what brings its scores to unit deviation, on average over known users."""
    scales = {}
    others = [view for view in views if view.kind != "text"]
    for view in views:
        scales[view.name] = 1.0
        if len(others) > 1 and view in others and view.queries is not None and len(view.queries.support):
            # What a view knows nothing of has no score in it, so no part in the spread of its scores.
            queries = view.queries.vectors[view.queries.present][:256]
            scores = queries @ view.vectors[view.present].T
            deviation = float(np.mean(np.std(scores, axis=1))) if scores.size else 0.0
            scales[view.name] = 1.0 / deviation if deviation > 0 else 1.0
    return scales


def _joined(name: str, views: list[ViewVectors], scales: dict[str, float]) -> ViewVectors | None:
    if not views:
        return None
    blocks = [scale_rows(v.vectors, np.full(len(v.support), scales[v.name], np.float32)) for v in views]
    own = [view for view in views if view.kind != "popularity"] or views
    support = np.max([view.support for view in own], axis=0)
    vectors = join_columns(blocks) if len(blocks) > 1 else blocks[0]
    return ViewVectors(name, views[0].kind, vectors, support)


def ridge_map(
    source: Matrix, target: FloatArray, weights: np.ndarray[Any, Any], regularization: float
) -> FloatArray:
    """Return the ``(source dim, target dim)`` map of a weighted ridge regression.

    Solved in the smaller of its two forms: over the columns of ``source``, or over its rows.
    """
    roots = np.sqrt(weights)
    penalty = regularization * max(float(weights.mean()) if len(weights) else 1.0, 1e-12)
    if sparse.issparse(source):
        design = sparse.csr_array(sparse.diags_array(roots) @ source.astype(np.float64))
    else:
        design = roots[:, None] * source.astype(np.float64)
    right = roots[:, None] * target.astype(np.float64)
    n_rows, n_columns = design.shape
    if n_columns <= n_rows:
        gram = design.T @ design
        gram = gram.toarray() if sparse.issparse(gram) else gram
        solved = np.linalg.solve(gram + penalty * np.eye(n_columns), design.T @ right)
    else:
        gram = design @ design.T
        gram = gram.toarray() if sparse.issparse(gram) else gram
        solved = design.T @ np.linalg.solve(gram + penalty * np.eye(n_rows), right)
    return np.asarray(solved, dtype=np.float32)


def _norms_by_support(view: ViewVectors) -> list[FloatArray]:
    """Return log supports, ascending, and the mean vector length at each of them."""
    rows = np.flatnonzero(view.present)
    logs, lengths = np.log1p(view.support[rows]), row_norms(view.vectors[rows])
    if not len(rows):
        return [np.zeros(1, np.float32), np.zeros(1, np.float32)]
    bins = np.array_split(np.argsort(logs, kind="stable"), min(_POPULARITY_BINS, len(rows)))
    points = np.array([[logs[one].mean(), lengths[one].mean()] for one in bins], dtype=np.float32)
    return [points[:, 0], points[:, 1]]
