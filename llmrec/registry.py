"""Components by name: ``"als"`` for ALSFactorizer, and whatever other packages add by entry points."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from llmrec.base import Component, Encoder, Factorizer, Fuser, OnlineUpdater, Ranker, Tokenizer
from llmrec.errors import ComponentError, UnknownNameError, nearest

__all__ = ["available", "resolve"]

_ROLES: dict[str, type[Component]] = {
    "tokenizer": Tokenizer,
    "encoder": Encoder,
    "factorizer": Factorizer,
    "fuser": Fuser,
    "ranker": Ranker,
    "updater": OnlineUpdater,
}

_BUILT_IN = {
    "tokenizer": {
        "gpt2": "llmrec.tokenizers:GPT2Tokenizer",
        "jieba": "llmrec.tokenizers:JiebaTokenizer",
        "nltk": "llmrec.tokenizers:NLTKTokenizer",
        "script": "llmrec.tokenizers:ScriptTokenizer",
        "tag": "llmrec.tokenizers:TagTokenizer",
        "word": "llmrec.tokenizers:WordTokenizer",
    },
    "encoder": {
        "gpt2": "llmrec.encoders:GPT2Encoder",
        "minilm": "llmrec.encoders:MiniLMEncoder",
        "sentence": "llmrec.encoders:SentenceEncoder",
        "tfidf": "llmrec.encoders:TfidfEncoder",
    },
    "factorizer": {
        "als": "llmrec.factorizers:ALSFactorizer",
        "ease": "llmrec.factorizers:EASE",
        "graph-filter": "llmrec.factorizers:GraphFilter",
        "item-knn": "llmrec.factorizers:ItemKNN",
        "linear-autoencoder": "llmrec.factorizers:LinearAutoencoder",
        "neural-cf": "llmrec.factorizers:NeuralCF",
        "popularity": "llmrec.factorizers:Popularity",
        "sequence-rules": "llmrec.factorizers:SequenceRules",
        "sparse-ease": "llmrec.factorizers:SparseEASE",
        "svd": "llmrec.factorizers:SVDFactorizer",
        "two-tower": "llmrec.factorizers:TwoTower",
        "user-knn": "llmrec.factorizers:UserKNN",
    },
    "fuser": {
        "concat": "llmrec.fusers:ConcatFuser",
        "learned": "llmrec.fusers:LearnedFuser",
        "rank": "llmrec.fusers:RankFusion",
        "weighted": "llmrec.fusers:WeightedFuser",
    },
    "ranker": {
        "calibrated": "llmrec.rankers:CalibratedRanker",
        "cosine": "llmrec.rankers:CosineRanker",
        "dot": "llmrec.rankers:DotRanker",
        "dpp": "llmrec.rankers:DPPRanker",
        "euclidean": "llmrec.rankers:EuclideanRanker",
        "hnsw": "llmrec.rankers:HNSWRanker",
        "mmr": "llmrec.rankers:MMRRanker",
        "pearson": "llmrec.rankers:PearsonRanker",
        "new-items": "llmrec.rankers:NewItemsRanker",
        "popularity-control": "llmrec.rankers:PopularityRanker",
    },
    "updater": {"fold-in": "llmrec.updaters:FoldInUpdater", "sgd": "llmrec.updaters:SGDUpdater"},
}


def available(role: str) -> list[str]:
    """Return the names that a role's components go by, those of other packages included.

    Parameters
    ----------
    role : {"tokenizer", "encoder", "factorizer", "fuser", "ranker", "updater"}

    Examples
    --------
    >>> available("updater")
    ['fold-in', 'sgd']
    """
    if role not in _ROLES:
        raise UnknownNameError(f"no role {role!r}; the roles are {list(_ROLES)}.{nearest(role, _ROLES)}")
    return sorted({*_BUILT_IN[role], *(point.name for point in _entry_points(role))})


def resolve(role: str, component: Any, *, also: tuple[type[Component], ...] = ()) -> Component:
    """Return the component of a name, with its default parameters; a component is returned as it is.

    Parameters
    ----------
    role : str
        One of the six roles.
    component : str or Component
    also : tuple of classes
        Further classes that the place accepts.

    Raises
    ------
    UnknownNameError
        If no component of the role goes by that name.
    ComponentError
        If it is a component of another role, or a class instead of an instance.
    """
    wanted = _ROLES[role]
    if isinstance(component, str):
        component = _load(role, component)()
    if not isinstance(component, (wanted, *also)):
        got = f"{type(component).__name__} ({component!r})"
        if isinstance(component, type):
            got = f"the class {component.__name__}; call it: {component.__name__}()"
        names = ", ".join(map(repr, available(role)))
        article = "an" if wanted.__name__[0] in "AEIOU" else "a"
        raise ComponentError(f"{role} must be {article} {wanted.__name__} or one of {names}; got {got}.")
    return component  # type: ignore[return-value]


def _load(role: str, name: str) -> Any:
    for point in _entry_points(role):
        if point.name == name:
            return point.load()
    target = _BUILT_IN[role].get(name)
    if target is None:
        names = available(role)
        raise UnknownNameError(f"no {role} is called {name!r}; there are {names}.{nearest(name, names)}")
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def _entry_points(role: str) -> Iterable[Any]:
    return entry_points(group=f"llmrec.{role}s")
