"""Fusers: several views joined into one space."""

from llmrec.fusers.concat import ConcatFuser
from llmrec.fusers.learned import LearnedFuser
from llmrec.fusers.rank import RankFusion
from llmrec.fusers.weighted import WeightedFuser

__all__ = ["ConcatFuser", "LearnedFuser", "RankFusion", "WeightedFuser"]
