"""Recommendations that are right one event later.

The names below are imported when they are first used, so that ``import llmrec`` is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "llmrec.base": ["Encoder", "FactorModel", "Factorizer", "Fuser", "OnlineUpdater", "Ranker", "Tokenizer"],
    "llmrec.compilation": ["warmup"],
    "llmrec.encoders": [
        "GPT2Encoder",
        "MiniLMEncoder",
        "SentenceEncoder",
        "TfidfEncoder",
        "TransformerEncoder",
        "WhitenedEncoder",
        "packaged_model_folder",
    ],
    "llmrec.errors": ["LLMRecError", "LLMRecWarning"],
    "llmrec.explanation": ["Explanation"],
    "llmrec.factorizers": [
        "EASE",
        "ALSFactorizer",
        "GraphFilter",
        "ItemKNN",
        "LinearAutoencoder",
        "NeuralCF",
        "Popularity",
        "Recent",
        "SVDFactorizer",
        "SequenceRules",
        "SparseEASE",
        "TwoTower",
        "UserKNN",
    ],
    "llmrec.fusers": ["ConcatFuser", "LearnedFuser", "RankFusion", "WeightedFuser"],
    "llmrec.interactions": ["Interactions"],
    "llmrec.progress": ["show_progress"],
    "llmrec.rankers": [
        "CalibratedRanker",
        "CosineRanker",
        "DPPRanker",
        "DotRanker",
        "EuclideanRanker",
        "HNSWRanker",
        "MMRRanker",
        "PearsonRanker",
        "NewItemsRanker",
        "PopularityRanker",
    ],
    "llmrec.recommendations": ["RecommendationBatch", "Recommendations"],
    "llmrec.recommender": ["Recommender"],
    "llmrec.tokenizers": [
        "GPT2Tokenizer",
        "JiebaTokenizer",
        "NLTKTokenizer",
        "ScriptTokenizer",
        "TagTokenizer",
        "WordTokenizer",
        "load_stop_words",
    ],
    "llmrec.threads": ["thread_limit"],
    "llmrec.updaters": ["FoldInUpdater", "SGDUpdater"],
    "llmrec.views": ["TextView"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])

if TYPE_CHECKING:
    from llmrec.base import Encoder, Factorizer, FactorModel, Fuser, OnlineUpdater, Ranker, Tokenizer
    from llmrec.compilation import warmup
    from llmrec.encoders import (
        GPT2Encoder,
        MiniLMEncoder,
        SentenceEncoder,
        TfidfEncoder,
        TransformerEncoder,
        WhitenedEncoder,
        packaged_model_folder,
    )
    from llmrec.errors import LLMRecError, LLMRecWarning
    from llmrec.explanation import Explanation
    from llmrec.factorizers import (
        EASE,
        ALSFactorizer,
        GraphFilter,
        ItemKNN,
        LinearAutoencoder,
        NeuralCF,
        Popularity,
        Recent,
        SequenceRules,
        SparseEASE,
        SVDFactorizer,
        TwoTower,
        UserKNN,
    )
    from llmrec.fusers import ConcatFuser, LearnedFuser, RankFusion, WeightedFuser
    from llmrec.interactions import Interactions
    from llmrec.progress import show_progress
    from llmrec.rankers import (
        CalibratedRanker,
        CosineRanker,
        DotRanker,
        DPPRanker,
        EuclideanRanker,
        HNSWRanker,
        MMRRanker,
        NewItemsRanker,
        PearsonRanker,
        PopularityRanker,
    )
    from llmrec.recommendations import RecommendationBatch, Recommendations
    from llmrec.recommender import Recommender
    from llmrec.threads import thread_limit
    from llmrec.tokenizers import (
        GPT2Tokenizer,
        JiebaTokenizer,
        NLTKTokenizer,
        ScriptTokenizer,
        TagTokenizer,
        WordTokenizer,
        load_stop_words,
    )
    from llmrec.updaters import FoldInUpdater, SGDUpdater
    from llmrec.views import TextView


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'llmrec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
