"""Fusers: several views joined into one space."""

from llmrec.fusers.concat import ConcatFuser
from llmrec.fusers.weighted import WeightedFuser

__all__ = ["ConcatFuser", "WeightedFuser"]
