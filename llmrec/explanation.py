"""Reasons: what each view, and each item of the history, adds to one item's score."""

from __future__ import annotations

import html
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from llmrec.base import IntArray, Matrix, ScoreWeights, ViewKind, ViewVectors
from llmrec.interactions import Histories
from llmrec.live_model import LiveModel
from llmrec.plotting import axes_or_new
from llmrec.recommendations import frame_of
from llmrec.vectors import dot
from llmrec.views import QueryParts, TextView

__all__ = ["Explanation", "Reason", "explain", "explain_popular"]

_SPOKEN: dict[str, str] = {"behaviour": "people like you", "text": "text", "popularity": "trending"}
_ALL_VIEWS = "all views"
_SHOWN = 5
# A share that is smaller beside the others is what rounding left.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Reason:
    """One line of an explanation.

    Attributes
    ----------
    view : str
        The view's name; ``"all views"`` where the fuser cannot tell them apart.
    kind : {"text", "behaviour", "popularity"} or None
    source : str
        What the share comes from: ``"history"``; ``"context"``, the text of the moment; ``"everyone"``, where
        all users are alike, as for popularity; ``"rest"``, what the view knows of the user beside the
        history, such as a mean rating; ``"baseline"``, minus the mean score that a z-score is counted from.
    item : hashable or None
        The item of the history; None where the share is of no one item.
    share : float
        What it adds to the score.
    """

    view: str
    kind: ViewKind | None
    source: str
    item: Hashable | None
    share: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why an item has its score: shares that add up to it.

    The score is the inner product of the fused vectors, which is what a recommender with
    :class:`~llmrec.DotRanker` returns, or what the ranks in the views add up to; a re-ranker orders by more,
    and another measure is on another scale.

    Attributes
    ----------
    item : hashable
    user : hashable or None
    score : float
        The sum of all shares.
    basis : str
        As in :class:`~llmrec.Recommendations`.
    reasons : tuple of Reason
        All shares, the largest first.
    words : dict of str to float
        Words that the item's text has in common with those of the history and with the context, and what
        each adds: a finer look at a part of the shares above, the largest first. Only of text views
        whose columns are words, such as those of a :class:`~llmrec.TfidfEncoder` without ``components``.
    titles : dict
        What the items are called in the repr: the item column ``title``, where there is one.

    Notes
    -----
    With :class:`~llmrec.ConcatFuser` and :class:`~llmrec.LearnedFuser` all shares are exact. Where ranks are
    fused, the share of a view is what the item's rank in it adds, among all items but those of the history,
    and as in a list of no more than ``depth`` items; within a view it is divided as the view's score is, what
    speaks for the item adding up to the whole share, and the baseline takes back what speaks against it. With
    :class:`~llmrec.WeightedFuser` they are exact by what the *query* is made of; the item's text and its
    factors are one vector there and not told apart. A fuser that cannot be taken apart gives one
    line for all views, and a factorizer that cannot, one line for the whole history.

    The split by the items of a history is exact given the history: ALS, for one, solves for all of
    its items together, and without one of them the shares of the others would be other ones.

    Examples
    --------
    >>> Explanation("heat", "ann", 1.0, "history", (
    ...     Reason("als", "behaviour", "history", "alien", 0.6),
    ...     Reason("words", "text", "history", "ronin", 0.4),
    ...     Reason("hits", "popularity", "everyone", None, 0.1),
    ...     Reason("words", "text", "baseline", None, -0.1),
    ... ), {"bank": 0.3})
    'heat' for 'ann' scores 1 (by history)
      60 % people like you, 30 % text, 10 % trending
      because of alien (0.6), ronin (0.4)
      words in common: bank (0.3)
    """

    item: Hashable
    user: Hashable | None
    score: float
    basis: str
    reasons: tuple[Reason, ...]
    words: dict[str, float] = field(default_factory=dict)
    titles: dict[Hashable, str] = field(default_factory=dict)

    @property
    def views(self) -> dict[str, float]:
        """What each view adds, its baseline included; these add up to the score."""
        return self._summed(lambda one: one.view)

    @property
    def kinds(self) -> dict[str, float]:
        """What text, behaviour and popularity add, baselines included; these add up to the score."""
        return self._summed(lambda one: one.kind or one.view)

    @property
    def history(self) -> dict[Hashable, float]:
        """What each item of the history adds, over all views, the largest first."""
        named = [one for one in self.reasons if one.item is not None]
        return self._summed(lambda one: one.item, named)

    @property
    def baseline(self) -> float:
        """What all baselines add."""
        return float(sum(one.share for one in self.reasons if one.source == "baseline"))

    def _summed(self, key: Any, reasons: Sequence[Reason] | None = None) -> dict[Any, float]:
        totals: dict[Any, float] = {}
        for one in self.reasons if reasons is None else reasons:
            totals[key(one)] = totals.get(key(one), 0.0) + one.share
        return _by_size(totals)

    # -- to look at ----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return "\n  ".join([self._title(), *self._sentences()])

    def _title(self) -> str:
        whom = "" if self.user is None else f" for {self.user!r}"
        return f"{self._called(self.item)!r}{whom} scores {self.score:.3g} (by {self.basis})"

    def _called(self, item: Hashable) -> Any:
        return self.titles.get(item, item)

    def _sentences(self) -> list[str]:
        lines = [self._balance()]
        liked = {self._called(item): share for item, share in self.history.items() if share > 0}
        if liked:
            lines.append(f"because of {_listed(liked)}")
        if self.words:
            lines.append(f"words in common: {_listed(self.words)}")
        return lines

    def _balance(self) -> str:
        kinds = {_SPOKEN.get(name, name): share for name, share in self.kinds.items()}
        speaking_for = {name: share for name, share in kinds.items() if share > 0}
        against = {name: share for name, share in kinds.items() if share < 0}
        total = sum(speaking_for.values())
        shown = [f"{share / total:.0%}".replace("%", " % ") + name for name, share in speaking_for.items()]
        sentence = ", ".join(shown) or "nothing speaks for it"
        return f"{sentence}; against it: {_listed(against)}" if against else sentence

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{share:.3g}</td></tr>" for name, share in self.views.items()
        )
        sentences = "".join(f"<p>{html.escape(one)}</p>" for one in self._sentences())
        head = f"<table><caption>{html.escape(self._title())}</caption><tr><th>view</th><th>share</th></tr>"
        return f"{head}{rows}</table>{sentences}"

    def to_frame(self, backend: str | None = None) -> Any:
        """Return a frame with the columns view, kind, source, item, share: one row a reason.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            The library of the frame; the first of these that is installed, if not given.
        """
        names = ("view", "kind", "source", "item", "share")
        return frame_of({name: [getattr(one, name) for one in self.reasons] for name in names}, backend)

    def plot(self, ax: Any = None, *, n_items: int = 8) -> Any:
        """Draw the shares of the views and of the history's items as bars; return the matplotlib axes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure, if not given.
        n_items : int, default 8
            How many items of the history to show, those with the largest shares.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        history = sorted(self.history.items(), key=lambda one: -abs(one[1]))[:n_items]
        bars = [*((name, share, "C0") for name, share in self.views.items())]
        bars += [(f"because of {self._called(item)}", share, "C1") for item, share in history]
        places = range(len(bars))
        ax.barh(places, [share for _, share, _ in bars], color=[colour for _, _, colour in bars])
        ax.set_yticks(places, [name for name, _, _ in bars])
        ax.invert_yaxis()
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.set_xlabel("share of the score")
        ax.set_title(self._title())
        return ax


def explain(
    model: LiveModel,
    user: Hashable | None,
    row: int,
    histories: Histories,
    user_rows: IntArray | None,
    context: str | None,
    basis: str,
) -> Explanation:
    """Explain the score of one item for one history; the caller holds the model's lock for reading."""
    one = np.array([row], dtype=np.int32)
    items = [view.item_vectors(model.interactions, one) for view in model.views]
    queries = [view.query_vectors(histories, user_rows, context) for view in model.views]
    weights = model.fuser.score_weights(items, queries)
    item = model.interactions.items.ids[row]
    titles = _titles(model, [row, *histories.columns.tolist()])
    if weights is None:
        score = float(dot(model.fuser.fuse_queries(queries), model.fuser.fuse_items(items))[0, 0])
        reason = Reason(_ALL_VIEWS, None, "history", None, score)
        return Explanation(item, user, score, basis, (reason,), titles=titles)
    all_parts = [view.query_parts(histories, user_rows, context) for view in model.views]
    by_rank = model.view_shares(histories, model.fuser.fuse_queries(queries), row)
    if by_rank is not None:
        weights = list(map(_adding_up_to, by_rank.tolist(), all_parts, weights))
    reasons: list[Reason] = []
    for view, parts, own in zip(model.views, all_parts, weights, strict=True):
        shares = _doubles(parts.vectors) @ own.weights
        ids = [None if place is None else model.interactions.items.ids[place] for place in parts.items]
        lines = zip(parts.sources, ids, shares.tolist(), strict=True)
        reasons += [Reason(view.name, view.kind, source, known, share) for source, known, share in lines]
        reasons.append(Reason(view.name, view.kind, "baseline", None, own.baseline))
    score = sum(reason.share for reason in reasons)
    words = _words(model.texts, row, histories, context, queries, weights)
    return Explanation(item, user, score, basis, _ordered(reasons), words, titles)


def _adding_up_to(share: float, parts: QueryParts, own: ScoreWeights) -> ScoreWeights:
    """Rescale a view's weights so that what speaks for the item adds up to ``share``, and all of it does."""
    shares = _doubles(parts.vectors) @ own.weights
    speaking_for = float(shares[shares > 0].sum())
    factor = share / speaking_for if speaking_for else 0.0
    return ScoreWeights(factor * own.weights, share - factor * float(shares.sum()))


def explain_popular(model: LiveModel, user: Hashable | None, row: int, score: float) -> Explanation:
    """Explain what somebody gets of whom nothing is known."""
    name = next((view.name for view in model.factors if view.kind == "popularity"), "popularity")
    reason = Reason(name, "popularity", "everyone", None, score)
    item = model.interactions.items.ids[row]
    return Explanation(item, user, score, "popular", (reason,), titles=_titles(model, [row]))


def _titles(model: LiveModel, rows: Sequence[int]) -> dict[Hashable, str]:
    column = model.catalogue.columns.get("title", [])
    known = {row: column[row] for row in rows if row < len(column) and column[row] is not None}
    return {model.interactions.items.ids[row]: str(title) for row, title in known.items()}


def _words(
    texts: Sequence[TextView],
    row: int,
    histories: Histories,
    context: str | None,
    queries: Sequence[ViewVectors],
    weights: Sequence[ScoreWeights],
) -> dict[str, float]:
    shares: dict[str, float] = {}
    # The text views come first among all views.
    for view, query, own in zip(texts, queries, weights, strict=False):
        common = view.common_words(row, histories, context)
        if common:
            asked = _doubles(query.vectors)[0]
            for word, column in common.items():
                shares[word] = shares.get(word, 0.0) + float(asked[column] * own.weights[column])
    return _by_size(shares)


def _doubles(vectors: Matrix) -> Any:
    return (vectors.toarray() if sparse.issparse(vectors) else np.asarray(vectors)).astype(np.float64)


def _ordered(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """Leave out the lines that are nothing but rounding, and put the largest first."""
    least = _NEGLIGIBLE * sum(abs(one.share) for one in reasons)
    kept = [one for one in reasons if abs(one.share) > (least if one.source == "rest" else 0)]
    return tuple(sorted(kept, key=lambda one: -one.share))


def _by_size(shares: Mapping[Any, float]) -> dict[Any, float]:
    return dict(sorted(shares.items(), key=lambda one: -one[1]))


def _listed(shares: Mapping[Any, float]) -> str:
    shown = [f"{name} ({share:.2g})" for name, share in list(shares.items())[:_SHOWN]]
    more = len(shares) - _SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
