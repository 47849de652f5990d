"""What is demanded of a ranker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from llmrec.errors import LLMRecError, NotFittedError
from llmrec.testing.check import Demands, Subject, broken, require, require_equal
from llmrec.testing.samples import sample_rows, sample_vectors
from llmrec.vectors import JoinedVectors

__all__ = ["ranker"]

ranker = Demands()


@ranker(
    "rows and scores match",
    "``rank`` gives int32 rows within the catalogue and float32 scores, ``k`` for each query.",
    "return int32 rows and float32 scores, both (n_queries, width), width <= k",
)
def _rows_and_scores_match(subject: Subject) -> None:
    inputs = subject.trial.inputs("large")
    n_queries, n_items = len(inputs["queries"]), len(inputs["item_vectors"])
    component = subject.learned()
    for k in (1, 7):
        rows, scores = component.rank(inputs["queries"], k)
        _require_form(rows, np.int32, (n_queries, k), f"the rows of rank(queries, {k})")
        _require_form(scores, np.float32, (n_queries, k), f"the scores of rank(queries, {k})")
        require(((rows >= 0) & (rows < n_items)).all(), f"there are rows outside 0 to {n_items - 1}: {rows}")
        require(np.isfinite(scores).all(), f"there are scores that are not finite: {scores}")


@ranker(
    "best come first",
    "The scores of a query do not rise along its list, and no item stands in it twice.",
    "sort by descending score, and put each item into one place",
)
def _best_come_first(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    rows, scores = component.rank(inputs["queries"], 10)
    rising = np.argwhere(np.diff(scores, axis=1) > 0)
    require(not len(rising), f"the scores of query {rising[0][0] if len(rising) else 0} rise: {scores}")
    for query, own in enumerate(rows):
        require(len(set(own.tolist())) == len(own), f"query {query} got an item twice: {own}")


@ranker(
    "short list heads the long one",
    "The best ``k`` are the first ``k`` of the whole catalogue's ranking.",
    "score every item alike for every k; an approximate index may not",
)
def _short_list_heads_the_long_one(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    all_rows, all_scores = component.rank(inputs["queries"], len(inputs["item_vectors"]))
    for k in (1, 5):
        rows, scores = component.rank(inputs["queries"], k)
        require_equal(rows, all_rows[:, :k], f"the rows for k={k} and the first of all")
        require_equal(scores, all_scores[:, :k], f"the scores for k={k} and the first of all")


@ranker(
    "large k gives all items",
    "With ``k`` above the size of the catalogue, each query gets each item once, and nothing else.",
    "give what there is; never invent items to fill a list",
)
def _large_k_gives_all_items(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    n_items = len(inputs["item_vectors"])
    rows, scores = component.rank(inputs["queries"], n_items + 50)
    require(rows.shape == scores.shape, f"rows have shape {rows.shape}, scores {scores.shape}")
    for query, own in enumerate(np.sort(rows, axis=1)):
        require(np.array_equal(own, np.arange(n_items)), f"query {query} got {own}")


@ranker(
    "excluded items stay out",
    "A query never gets an item that it excludes, and its other items keep their order and scores.",
    "set the scores of a query's excluded items to -inf before the best are taken",
)
def _excluded_items_stay_out(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    n_items = len(inputs["item_vectors"])
    best, _ = component.rank(inputs["queries"], 2)
    for exclude in (inputs["exclude"], [own[own >= 0] for own in best[:, ::-1]]):
        banned = [set(one.tolist()) for one in exclude]
        _require_filtered(component, inputs, exclude, None, partial(_is_left, banned, None))
    nearly_all = [np.arange(n_items - 3, dtype=np.int32) for _ in inputs["queries"]]
    rows, _ = component.rank(inputs["queries"], 5, nearly_all)
    require(
        set(rows.ravel().tolist()) <= {-1, n_items - 3, n_items - 2, n_items - 1},
        f"excluded items came: {rows}",
    )


@ranker(
    "only allowed items come",
    "With ``allow``, a query gets these items only, in the order and with the scores they have without it.",
    "score the rows in allow only; an item both allowed and excluded stays out",
)
def _only_allowed_items_come(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    exclude, allow = inputs["exclude"], inputs["allow"]
    allowed, banned = set(allow.tolist()), [set(one.tolist()) for one in exclude]
    _require_filtered(component, inputs, None, allow, partial(_is_left, None, allowed))
    _require_filtered(component, inputs, exclude, allow, partial(_is_left, banned, allowed))


@ranker(
    "short lists end in -1",
    "Where a query has fewer items left than another, its list ends in row -1 with score -inf.",
    "fill up with row -1 and score -inf, up to the longest list of the call",
)
def _short_lists_end_in_minus_one(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    n_items = len(inputs["item_vectors"])
    exclude = [sample_rows(), np.arange(1, n_items, dtype=np.int32), np.arange(n_items, dtype=np.int32)]
    rows, scores = component.rank(inputs["queries"][:3], 4, exclude)
    require(rows.shape == scores.shape == (3, 4), f"rows have shape {rows.shape}, scores {scores.shape}")
    require(rows[1].tolist() == [0, -1, -1, -1], f"with one item left, the rows are {rows[1]}")
    require(rows[2].tolist() == [-1] * 4, f"with no item left, the rows are {rows[2]}")
    require(np.array_equal(np.isneginf(scores), rows < 0), f"the scores of row -1 are not -inf: {scores}")
    rows, scores = component.rank(inputs["queries"][:1], 4, exclude[2:])
    require(
        rows.shape == scores.shape == (1, 0), f"with nothing left for any query, the shape is {rows.shape}"
    )


@ranker(
    "equal scores are ordered by row",
    "Items with equal scores come by ascending row, and of those that tie for the last place the first.",
    "break ties by row: np.lexsort((rows, -scores))",
)
def _equal_scores_are_ordered_by_row(subject: Subject) -> None:
    vectors = np.repeat(sample_vectors(2, 4, 5), 20, axis=0)
    component = subject.fresh().index(vectors)
    rows, _ = component.rank(sample_vectors(3, 4, 6), 30)
    for query, own in enumerate(rows):
        # The exact scores may differ by rounding; the two blocks of twenty equal vectors may not be mixed up.
        first = 0 if own[0] < 20 else 20
        expected = [*range(first, first + 20), *range(20 - first, 30 - first)]
        require(own.tolist() == expected, f"of two times 20 equal items, query {query} got {own}")


@ranker(
    "batch equals single",
    "Queries ranked together get what each gets alone.",
    "let the queries of a call not meet",
)
def _batch_equals_single(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    rows, scores = component.rank(inputs["queries"], 6, inputs["exclude"])
    for query in range(len(rows)):
        alone = component.rank(inputs["queries"][query : query + 1], 6, inputs["exclude"][query : query + 1])
        require_equal(rows[query], alone[0][0], f"the rows of query {query}, in a batch and alone")
        require_equal(scores[query], alone[1][0], f"the scores of query {query}, in a batch and alone")


@ranker(
    "no queries give no lists",
    "Zero queries give rows and scores with zero rows.",
    "return arrays with 0 rows for queries of shape (0, dim)",
)
def _no_queries_give_no_lists(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    rows, scores = component.rank(inputs["queries"][:0], 3)
    require(rows.ndim == scores.ndim == 2, f"rows have shape {rows.shape}, scores {scores.shape}")
    require(len(rows) == len(scores) == 0, f"there are {len(rows)} lists")


@ranker(
    "matrix may be sparse or joined",
    "A sparse or a joined matrix ranks as the dense one does, or is refused with an error of the library.",
    "use dot of llmrec.vectors, or refuse with ComponentError",
)
def _matrix_may_be_sparse_or_joined(subject: Subject) -> None:
    items, queries = (_thinned(sample_vectors(n, 6, seed)) for n, seed in ((20, 7), (4, 8)))
    rows, scores = subject.fresh().index(items).rank(queries, 5)
    forms: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("sparse", sparse.csr_array),
        ("joined", lambda one: JoinedVectors(one[:, :2].copy(), sparse.csr_array(one[:, 2:]))),
    )
    for what, form in forms:
        try:
            found = subject.fresh().index(form(items)).rank(form(queries), 5)
        except LLMRecError:
            continue
        require_equal(rows, found[0], f"the rows of dense and of {what} vectors")
        require_equal(scores, found[1], f"the scores of dense and of {what} vectors")


@ranker(
    "wrong input is refused",
    "NaN and infinity, a wrong width, and ``k`` below 1 are refused with an error of the library.",
    "check with check_matrix and check_integer of llmrec.validation",
)
def _wrong_input_is_refused(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    items, queries = inputs["item_vectors"], inputs["queries"]
    for value in (np.nan, np.inf):
        fresh, bad_items, bad_queries = subject.fresh(), _with(items, value), _with(queries, value)
        _require_refused(f"index of items with {value}", fresh.index, bad_items)
        _require_refused(f"rank of queries with {value}", component.rank, bad_queries, 3)
        _require_refused(f"update with {value}", component.update, sample_rows(0), bad_items[:1])
    _require_refused("rank of queries that are too narrow", component.rank, queries[:, :-1].copy(), 3)
    _require_refused("rank with k=0", component.rank, queries, 0)


@ranker(
    "update before index is refused",
    "``update`` raises NotFittedError before ``index``.",
    "begin update with check_fitted(self, 'items_', 'index')",
)
def _update_before_index_is_refused(subject: Subject) -> None:
    try:
        subject.fresh().update(sample_rows(0), sample_vectors(1, 6, 0))
    except NotFittedError:
        return
    except Exception as error:
        broken(f"it raised {type(error).__name__} instead of NotFittedError: {error}")
    broken("it was taken")


@ranker(
    "update equals index anew",
    "After ``update``, new items included, lists are those of a fresh index of the changed vectors.",
    "replace the rows in the index, and append those past its end",
)
def _update_equals_index_anew(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    items, rows, vectors = inputs["item_vectors"], inputs["rows"], inputs["vectors"]
    changed = np.vstack([items, np.zeros((2, items.shape[1]), dtype=np.float32)])
    changed[rows] = vectors
    component.update(rows, vectors)
    component.update(sample_rows(), vectors[:0])
    # Once more, with rows in no order, and one that came new.
    again = sample_rows(len(items) + 1, 0)
    changed[again] = vectors[:2]
    component.update(again, vectors[:2])
    found = component.rank(inputs["queries"], len(changed))
    expected = subject.fresh().index(changed).rank(inputs["queries"], len(changed))
    require_equal(found[0], expected[0], "the rows after update and after index")
    require_equal(found[1], expected[1], "the scores after update and after index")


def _require_form(array: Any, dtype: Any, shape: tuple[int, int], what: str) -> None:
    require(isinstance(array, np.ndarray), f"{what} are a {type(array).__name__}")
    require(array.dtype == dtype, f"{what} are {array.dtype}, not {np.dtype(dtype)}")
    require(array.shape == shape, f"{what} have shape {array.shape}, not {shape}")


def _is_left(banned: list[set[int]] | None, allowed: set[int] | None, query: int, row: int) -> bool:
    return (banned is None or row not in banned[query]) and (allowed is None or row in allowed)


def _require_filtered(
    component: Any, inputs: dict[str, Any], exclude: Any, allow: Any, lets: Callable[[int, int], bool]
) -> None:
    n_items = len(inputs["item_vectors"])
    all_rows, all_scores = component.rank(inputs["queries"], n_items)
    # A short list, so that a filter that is applied after the best were taken shows.
    rows, scores = component.rank(inputs["queries"], 4, exclude, allow)
    for query, own in enumerate(rows):
        unwanted = [row for row in own.tolist() if row >= 0 and not lets(query, row)]
        require(not unwanted, f"query {query} got the items {unwanted}, which it must not get")
        kept = [at for at, row in enumerate(all_rows[query].tolist()) if lets(query, row)][:4]
        require_equal(
            own[own >= 0], all_rows[query, kept], f"the rows of query {query}, filtered and left over"
        )
        require_equal(
            scores[query, own >= 0],
            all_scores[query, kept],
            f"the scores of query {query}, filtered and left over",
        )


def _thinned(vectors: Any) -> Any:
    return np.where(np.abs(vectors) > 0.5, vectors, 0).astype(np.float32)


def _with(vectors: Any, value: float) -> Any:
    changed = vectors.copy()
    changed[0, 1] = value
    return changed


def _require_refused(what: str, method: Callable[..., Any], *arguments: Any) -> None:
    try:
        method(*arguments)
    except LLMRecError:
        return
    except Exception as error:
        broken(f"{what} raised {type(error).__name__} instead of an LLMRecError: {error}")
    broken(f"{what} was taken")
