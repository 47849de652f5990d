"""Rankers: the best k items for a query vector."""

from llmrec.rankers.cosine import CosineRanker
from llmrec.rankers.dot import DotRanker
from llmrec.rankers.euclidean import EuclideanRanker
from llmrec.rankers.exact import ExactRanker
from llmrec.rankers.pearson import PearsonRanker

__all__ = ["CosineRanker", "DotRanker", "EuclideanRanker", "ExactRanker", "PearsonRanker"]
