"""Reasons: what each view, and each item of the history, adds to one item's score."""

from __future__ import annotations

__all__ = ["Explanation"]


class Explanation:
    """What a score is made of."""
