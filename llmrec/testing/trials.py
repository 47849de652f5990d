"""How each role is put to use: what it learns from, what it is asked, what it may write to."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Literal

from llmrec.base import OnlineState
from llmrec.factorizers import ALSFactorizer
from llmrec.interactions import Histories
from llmrec.testing.samples import (
    LATER_TEXTS,
    TEXTS,
    sample_queries,
    sample_rows,
    sample_vectors,
    sample_views,
    tiny_interactions,
    with_new_events,
)

__all__ = [
    "EncoderTrial",
    "FactorizerTrial",
    "FuserTrial",
    "RankerTrial",
    "Size",
    "TokenizerTrial",
    "Trial",
    "UpdaterTrial",
]

Size = Literal["large", "small"]
Inputs = dict[str, Any]
Questions = dict[str, Callable[[Any], Any]]


class Trial(ABC):
    """What the demands on any component need to know of its role.

    Attributes
    ----------
    learns : bool
        Whether there is something to fit.
    reads : bool
        Whether the questions are mere reads.
    """

    learns: ClassVar[bool] = True
    reads: ClassVar[bool] = True

    @abstractmethod
    def inputs(self, size: Size) -> Inputs:
        """Return new inputs, equal at each call; those of another size have other shapes."""

    def learn(self, component: Any, inputs: Inputs) -> None:  # noqa: B027  # a role may have nothing to learn
        """Fit the component."""

    @abstractmethod
    def questions(self, inputs: Inputs) -> Questions:
        """Return the ways to read a component, by what is shown of them in messages."""

    def write(self, component: Any, inputs: Inputs) -> None:  # noqa: B027  # a role may have no such method
        """Make the component take in something new."""


class TokenizerTrial(Trial):
    """Texts are cut."""

    learns = False

    def inputs(self, size: Size) -> Inputs:
        """Return texts."""
        return {"texts": [*LATER_TEXTS, *TEXTS]}

    def questions(self, inputs: Inputs) -> Questions:
        """Cut all texts."""
        return {"tokenize(text)": lambda tokenizer: [tokenizer.tokenize(text) for text in inputs["texts"]]}


class EncoderTrial(Trial):
    """Texts are learned from and encoded."""

    def inputs(self, size: Size) -> Inputs:
        """Return texts to learn from, and texts to read."""
        texts = list(TEXTS) if size == "large" else TEXTS[2:12]
        return {"texts": texts, "asked": list(LATER_TEXTS)}

    def learn(self, component: Any, inputs: Inputs) -> None:
        """Fit to the texts."""
        component.fit(inputs["texts"])

    def questions(self, inputs: Inputs) -> Questions:
        """Encode texts, ask for the width."""
        return {
            "encode(texts)": lambda encoder: encoder.encode(inputs["asked"]),
            "dim": lambda encoder: encoder.dim,
        }


class FactorizerTrial(Trial):
    """Events are learned from, histories asked about."""

    def inputs(self, size: Size) -> Inputs:
        """Return events to learn from, histories, and new events."""
        known = tiny_interactions(24, 16) if size == "large" else tiny_interactions(9, 11, seed=1)
        rows = [[0, 2, 4], [], [3], [1, 1, 5, 2]]
        ratings = [[5.0, 4, 5], [], [2.0], [4.0, 5, 4, 1]]
        histories = Histories.of(rows, known.n_items, ratings=ratings)
        pairs = [(0, 3), (known.n_users, 2), (2, known.n_items)]
        grown, events = with_new_events(known, pairs)
        return {"interactions": known, "histories": histories, "grown": grown, "events": events}

    def learn(self, component: Any, inputs: Inputs) -> None:
        """Fit to the events."""
        component.fit(inputs["interactions"])

    def questions(self, inputs: Inputs) -> Questions:
        """Ask for the vectors of items and of histories."""
        return {
            "item_vectors()": lambda factorizer: factorizer.item_vectors(),
            "query_vectors(histories)": lambda factorizer: factorizer.query_vectors(inputs["histories"]),
        }

    def write(self, component: Any, inputs: Inputs) -> None:
        """Learn from new events."""
        component.partial_fit(inputs["grown"], inputs["events"])


class FuserTrial(Trial):
    """Views are joined: of text, behaviour and popularity, or of the first two alone."""

    def inputs(self, size: Size) -> Inputs:
        """Return item vectors, query vectors and events."""
        names: tuple[str, ...] = ("text", "behaviour", "popularity")
        known = tiny_interactions(24, 16)
        if size == "small":
            known, names = tiny_interactions(9, 11, seed=1), names[:2]
        return {
            "views": sample_views(known, names),
            "queries": sample_queries(known, names),
            "interactions": known,
        }

    def learn(self, component: Any, inputs: Inputs) -> None:
        """Fit to the views."""
        component.fit(inputs["views"], inputs["interactions"])

    def questions(self, inputs: Inputs) -> Questions:
        """Fuse items and queries."""
        return {
            "fuse_items(views)": lambda fuser: fuser.fuse_items(inputs["views"]),
            "fuse_queries(views)": lambda fuser: fuser.fuse_queries(inputs["queries"]),
        }


class RankerTrial(Trial):
    """Items are indexed, queries ranked."""

    def inputs(self, size: Size) -> Inputs:
        """Return item vectors, queries, and rows to leave out or let in."""
        n_items, dim = (40, 6) if size == "large" else (13, 4)
        return {
            "item_vectors": sample_vectors(n_items, dim, 1),
            "queries": sample_vectors(5, dim, 2),
            "exclude": [sample_rows(*rows) for rows in ([1, 2], [], [0], [12, 3, 3], [5, 6])],
            "allow": sample_rows(11, 0, 1, 2, 7, 9),
            "rows": sample_rows(3, n_items, n_items + 1),
            "vectors": sample_vectors(3, dim, 3),
        }

    def learn(self, component: Any, inputs: Inputs) -> None:
        """Index the items."""
        component.index(inputs["item_vectors"])

    def questions(self, inputs: Inputs) -> Questions:
        """Rank, with and without filters."""
        queries, exclude, allow = inputs["queries"], inputs["exclude"], inputs["allow"]
        return {
            "rank(queries, k)": lambda ranker: ranker.rank(queries, 4),
            "rank(queries, k, exclude)": lambda ranker: ranker.rank(queries, 4, exclude),
            "rank(queries, k, exclude, allow)": lambda ranker: ranker.rank(queries, 4, exclude, allow),
        }

    def write(self, component: Any, inputs: Inputs) -> None:
        """Replace an item, then replace it again and add two."""
        component.update(inputs["rows"][:1], inputs["vectors"][:1])
        component.update(inputs["rows"], inputs["vectors"])


class UpdaterTrial(Trial):
    """Events are folded into a small factor model; each question starts from the same one."""

    learns = False
    reads = False

    def inputs(self, size: Size) -> Inputs:
        """Return a model, the interactions that hold new events, and these events."""
        return online_inputs([(0, 3), (5, 2), (0, 7)])

    def questions(self, inputs: Inputs) -> Questions:
        """Update, and look at all vectors."""

        def update(updater: Any) -> dict[str, Any]:
            state = OnlineState(copy.deepcopy(inputs["model"]), inputs["interactions"])
            rows = updater.update(state, inputs["events"])
            return {"rows": rows, "users": state.model.user_vectors_, "items": state.model.item_vectors_}

        return {"update(state, events)": update}


def online_inputs(pairs: list[tuple[int, int]], feedback: str = "implicit") -> Inputs:
    """Return what an updater gets: a model with room for new rows, interactions that hold the events."""
    model = copy.deepcopy(_trained(feedback))
    grown, events = with_new_events(tiny_interactions(24, 16), pairs)
    model.resize(grown.n_users, grown.n_items)
    return {"model": model, "interactions": grown, "events": events}


@lru_cache(maxsize=2)
def _trained(feedback: str) -> ALSFactorizer:
    # All that shapes the vectors is spelled out: other defaults are to change no check.
    model = ALSFactorizer(
        factors=4,
        feedback=feedback,
        regularization=0.03,
        unobserved_weight=0.1,
        frequency_exponent=1.0,
        sweeps=4,
        progress=False,
    )
    return model.fit(tiny_interactions(24, 16))
