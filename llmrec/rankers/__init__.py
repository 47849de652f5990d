"""Rankers: the best k items for a query vector, and re-rankers, which trade some of it for variety."""

from llmrec.rankers.calibrated import CalibratedRanker
from llmrec.rankers.cosine import CosineRanker
from llmrec.rankers.dot import DotRanker
from llmrec.rankers.dpp import DPPRanker
from llmrec.rankers.euclidean import EuclideanRanker
from llmrec.rankers.exact import ExactRanker
from llmrec.rankers.hnsw import HNSWRanker
from llmrec.rankers.mmr import MMRRanker
from llmrec.rankers.new_items import NewItemsRanker
from llmrec.rankers.pearson import PearsonRanker
from llmrec.rankers.popularity import PopularityRanker
from llmrec.rankers.reranker import Pool, Reranker

__all__ = [
    "CalibratedRanker",
    "CosineRanker",
    "DPPRanker",
    "DotRanker",
    "EuclideanRanker",
    "ExactRanker",
    "HNSWRanker",
    "MMRRanker",
    "NewItemsRanker",
    "PearsonRanker",
    "Pool",
    "PopularityRanker",
    "Reranker",
]
