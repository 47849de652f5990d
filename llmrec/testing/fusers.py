"""What is demanded of a fuser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from llmrec.base import ViewVectors
from llmrec.errors import LLMRecError
from llmrec.interactions import Histories, Interactions
from llmrec.testing.check import Demands, Subject, require, require_equal
from llmrec.testing.comparison import dense, first_change, frozen
from llmrec.testing.matrices import require_matrix
from llmrec.testing.samples import held_out, no_events, sample_queries, sample_views, tiny_interactions
from llmrec.vectors import dot

__all__ = ["fuser"]

fuser = Demands()

_BOTH = ("text", "behaviour")
_SETS = (("text",), ("behaviour",), _BOTH, ("text", "behaviour", "popularity"))


@fuser(
    "any views are fused",
    "One view or several, and items without events, without a text or without both, give finite vectors.",
    "take one view or many, of any kind, and items that some of them do not know",
)
def _any_views_are_fused(subject: Subject) -> None:
    known = tiny_interactions()
    for names in _SETS:
        component = subject.fresh().fit(sample_views(known, names), known)
        _require_fused(component, sample_views(known, names), sample_queries(known, names), f"of {names},")


@fuser(
    "sparse views are fused or refused",
    "A view of sparse vectors is fused like any other, or refused with an error of the library.",
    "keep csr_array blocks sparse, or raise ComponentError at fit",
)
def _sparse_views_are_fused_or_refused(subject: Subject) -> None:
    known = tiny_interactions()
    for names in (("words",), ("words", "behaviour")):
        views = sample_views(known, names)
        try:
            component = subject.fresh().fit(views, known)
        except LLMRecError:
            continue
        _require_fused(component, views, sample_queries(known, names), f"of {names},")


@fuser(
    "users are not needed",
    "It can be fitted on items alone: views without ``queries``, as before the first user comes.",
    "fit without view.queries where they are None",
)
def _users_are_not_needed(subject: Subject) -> None:
    known = tiny_interactions()
    views = sample_views(known, _BOTH, without_queries=True)
    component = subject.fresh().fit(views, known)
    _require_fused(component, views, sample_queries(known, _BOTH), "fitted without queries,")


@fuser(
    "a view may know nothing",
    "Fitted where no item has events, it fuses what there is, and gives finite vectors.",
    "guard means, variances and regressions against zero rows",
)
def _a_view_may_know_nothing(subject: Subject) -> None:
    known = tiny_interactions()
    empty = Interactions(known.users, known.items, no_events(known))
    views = [_unknown(view) if view.kind != "text" else view for view in sample_views(known, _BOTH)]
    component = subject.fresh().fit(views, empty)
    queries = [_unknown(view) if view.kind != "text" else view for view in sample_queries(known, _BOTH)]
    _require_fused(component, views, queries, "without events,")


@fuser(
    "some rows equal those of all",
    "Fusing some items or queries gives the rows that fusing all of them gives, down to a single one.",
    "let a row of the result depend on that row of the views, and on fit, alone",
)
def _some_rows_equal_those_of_all(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    for what, fuse, views in _sides(component, inputs["views"], inputs["queries"]):
        together = dense(fuse(views))
        for rows in ([3, 0, 7], [5], [len(together) - 1], [1, 2]):
            picked = np.array(rows, dtype=np.int32)
            some = dense(fuse([view.take(picked) for view in views]))
            require_equal(
                together[picked], some, f"{what} of rows {rows}, fused with the others and without them"
            )


@fuser(
    "no rows give no rows",
    "Views of zero items or queries give a matrix with zero rows.",
    "return a matrix of shape (0, dim) for views without rows",
)
def _no_rows_give_no_rows(subject: Subject) -> None:
    inputs, component = subject.trial.inputs("large"), subject.learned()
    none = np.zeros(0, dtype=np.int32)
    for what, fuse, views in _sides(component, inputs["views"], inputs["queries"]):
        width = fuse(views).shape[1]
        require_matrix(fuse([view.take(none) for view in views]), (0, width), f"{what} of zero rows")


@fuser(
    "unsupported vectors have no say",
    "Where a view has no support, its vectors are not read: scores are the same whatever stands there.",
    "weigh a view by view.present: where support is 0, do not read its vectors",
)
def _unsupported_vectors_have_no_say(subject: Subject) -> None:
    known = tiny_interactions()
    for names in (_BOTH, ("text", "behaviour", "popularity")):
        scores = []
        for fill in (0.0, 50.0):
            views = sample_views(known, names, fill=fill)
            queries = sample_queries(known, names, fill=fill)
            component = subject.fresh().fit(views, known)
            scores.append(dot(component.fuse_queries(queries), component.fuse_items(views)))
        # What no view of text or behaviour knows is never ranked.
        items, users = (_known_to_some(one, names) for one in (sample_views, sample_queries))
        zeros, fifties = (one[np.ix_(users, items)] for one in scores)
        require_equal(
            zeros, fifties, f"scores with 0 and with 50 in vectors of {names} without support", 1e-4
        )


@fuser(
    "agreeing views agree fused",
    "Items that text and behaviour both find near a user's history score above those that both find far.",
    "keep score = query · item: what all views score high is to score high",
)
def _agreeing_views_agree_fused(subject: Subject) -> None:
    known, component = tiny_interactions(), subject.fresh()
    views, queries = sample_views(known, _BOTH), sample_queries(known, _BOTH)
    scores = dot(component.fit(views, known).fuse_queries(queries), component.fuse_items(views))
    own_kind = (np.arange(len(scores))[:-1, None] - np.arange(scores.shape[1])[None, 3:-1]) % 2 == 0
    inner = scores[:-1, 3:-1]
    near, far = float(inner[own_kind].mean()), float(inner[~own_kind].mean())
    require(near > far, f"near items score {near:.3g} on average, far ones {far:.3g}")


@fuser(
    "tune comes before fit",
    "After ``tune`` on held-out events, ``fit`` and both fuse methods work as ever; equal events tune alike, "
    "and nothing passed to ``tune`` is changed.",
    "let tune keep what it chose in attributes that end in _, and fit build on them; copy what you change",
)
def _tune_comes_before_fit(subject: Subject) -> None:
    known, (seen, held) = tiny_interactions(), held_out(tiny_interactions())
    later = Histories.of(
        [[held[user]] if user in held else [] for user in range(known.n_users)], known.n_items
    )
    passed: dict[str, Any] = {
        "views": sample_views(known, _BOTH),
        "seen": seen.histories(),
        "held_out": later,
    }
    before, scores = frozen(passed), []
    for _ in range(2):
        component = subject.fresh()
        component.tune(passed["views"], passed["seen"], passed["held_out"])
        changed = first_change(before, frozen(passed))
        require(changed is None, f"tune changed its input at {changed}")
        views, queries = sample_views(known, _BOTH), sample_queries(known, _BOTH)
        component.fit(views, known)
        _require_fused(component, views, queries, "after tune,")
        scores.append(dot(component.fuse_queries(queries), component.fuse_items(views)))
    require_equal(scores[0], scores[1], "scores of two copies, tuned on equal events")


def _require_fused(component: Any, views: list[ViewVectors], queries: list[ViewVectors], what: str) -> None:
    items = component.fuse_items(views)
    require_matrix(items, (len(views[0].support), None), f"{what} fuse_items")
    fused = component.fuse_queries(queries)
    require_matrix(fused, (len(queries[0].support), None), f"{what} fuse_queries")
    widths = items.shape[1], fused.shape[1]
    require(widths[0] == widths[1], f"{what} items have width {widths[0]}, queries {widths[1]}")
    scores = dot(fused, items)
    require(np.isfinite(scores).all(), f"{what} query · item is not finite")


def _sides(component: Any, items: Any, queries: Any) -> Iterator[tuple[str, Any, Any]]:
    yield "fuse_items", component.fuse_items, items
    yield "fuse_queries", component.fuse_queries, queries


def _unknown(view: ViewVectors) -> ViewVectors:
    queries = None if view.queries is None else _unknown(view.queries)
    zeros = np.zeros_like(view.vectors), np.zeros_like(view.support)
    return ViewVectors(view.name, view.kind, *zeros, queries)


def _known_to_some(make: Any, names: tuple[str, ...]) -> Any:
    telling = [view.present for view in make(tiny_interactions(), names) if view.kind != "popularity"]
    return np.flatnonzero(np.logical_or.reduce(telling))
