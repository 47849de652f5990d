"""The least that each role asks for: components of a few lines that keep their contracts."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from llmrec.base import Encoder, Factorizer, FactorModel, Fuser, OnlineUpdater, Ranker, Tokenizer
from llmrec.errors import ComponentError, DataError
from llmrec.validation import check_dense, check_fitted, check_integer, check_texts
from llmrec.vectors import replace_rows


class SplitTokenizer(Tokenizer):
    def tokenize(self, text):
        if not isinstance(text, str):
            raise DataError(f"text must be a str, got {type(text).__name__}.")
        return text.split()


class LetterEncoder(Encoder):
    """Counts characters by the last digit of their number, as a share of the text."""

    def encode(self, texts):
        rows = [
            np.bincount([ord(one) % 10 for one in text.strip()], minlength=10) for text in check_texts(texts)
        ]
        counts = np.array(rows, dtype=np.float32).reshape(-1, 10)
        return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    @property
    def dim(self):
        return 10


class ScaledEncoder(LetterEncoder):
    """Learns how to scale the counts."""

    def fit(self, texts):
        self.scales_ = 1 / (1 + super().encode(texts).sum(axis=0))
        return self

    def encode(self, texts):
        check_fitted(self, "scales_")
        return super().encode(texts) * self.scales_


class PairCounts(Factorizer):
    """Scores an item by how often it stands with the items of the history."""

    def fit(self, interactions):
        counts = _counts(interactions.histories())
        self.pairs_ = counts.T @ counts
        return self

    def item_vectors(self):
        check_fitted(self, "pairs_")
        return self.pairs_

    def query_vectors(self, histories):
        check_fitted(self, "pairs_")
        return _counts(histories)


class PlainSVD(FactorModel):
    """Singular vectors of the counts."""

    def __init__(self, *, factors=3):
        self.factors = factors

    def fit(self, interactions):
        counts = _counts(interactions.histories())
        _, values, right = np.linalg.svd(counts, full_matrices=False)
        self.values_ = np.maximum(values[: self.factors], 1e-6)
        self.item_vectors_ = np.ascontiguousarray(right[: self.factors].T, dtype=np.float32)
        self.user_vectors_ = counts @ self.item_vectors_
        return self

    def query_vectors(self, histories):
        check_fitted(self, "item_vectors_")
        return _counts(histories) @ self.item_vectors_

    def fold_in_items(self, audiences):
        return (_counts(audiences) @ self.user_vectors_ / self.values_**2).astype(np.float32)

    def targets(self, events):
        return np.ones(len(events), dtype=np.float32)


class BlockFuser(Fuser):
    """Puts dense views side by side."""

    def fit(self, views, interactions):
        for view in views:
            if sparse.issparse(view.vectors):
                raise ComponentError(f"the view {view.name!r} is sparse, and BlockFuser joins dense ones.")
        self.names_ = [view.name for view in views]
        return self

    def fuse_items(self, views):
        check_fitted(self, "names_")
        return np.hstack([np.where(view.present[:, None], view.vectors, 0) for view in views])

    def fuse_queries(self, views):
        return self.fuse_items(views)


class SortingRanker(Ranker):
    """Sorts all scores of each query."""

    def index(self, item_vectors):
        self.items_ = check_dense(item_vectors, "item_vectors").copy()
        return self

    def rank(self, queries, k, exclude=None, allow=None):
        check_fitted(self, "items_", "index")
        queries = check_dense(queries, "queries", self.items_.shape[1])
        # einsum sums each product in the same order, however many there are.
        scores = np.einsum("qd,id->qi", queries, self.items_)
        if allow is not None:
            scores[:, np.setdiff1d(np.arange(len(self.items_)), allow)] = -np.inf
        for query, unwanted in enumerate(exclude or []):
            scores[query, unwanted] = -np.inf
        rows = np.argsort(-scores, axis=1, kind="stable").astype(np.int32)
        rows = rows[:, : check_integer("k", k, minimum=1)]
        scores = np.take_along_axis(scores, rows, axis=1)
        rows[np.isneginf(scores)] = -1
        width = int((rows >= 0).sum(axis=1).max(initial=0))
        return rows[:, :width], scores[:, :width]

    def update(self, rows, vectors):
        check_fitted(self, "items_", "index")
        vectors = check_dense(vectors, "vectors", self.items_.shape[1])
        self.items_ = replace_rows(self.items_, rows, vectors)


class StepUpdater(OnlineUpdater):
    """Takes one gradient step on each event."""

    def __init__(self, *, rate=0.1):
        self.rate = rate

    def update(self, state, events):
        model = state.model
        user_mask, item_mask = model.learnable
        for user, item, target in zip(events.user_rows, events.item_rows, model.targets(events), strict=True):
            p, q = model.user_vectors_[user].copy(), model.item_vectors_[item].copy()
            step = np.float32(self.rate) * (target - p @ q)
            model.set_user_vectors(np.array([user]), p + step * q * user_mask)
            model.set_item_vectors(np.array([item]), q + step * p * item_mask)
        return np.unique(events.item_rows).astype(np.int32)


def _counts(histories):
    counts = np.zeros((len(histories), histories.n_columns), dtype=np.float32)
    np.add.at(counts, (histories.owners, histories.columns), histories.weights)
    return counts


CORRECT = [
    SplitTokenizer(),
    LetterEncoder(),
    ScaledEncoder(),
    PairCounts(),
    PlainSVD(),
    BlockFuser(),
    SortingRanker(),
    StepUpdater(),
]
