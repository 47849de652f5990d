"""Tests of the tokenizers."""

from hypothesis import settings

# First uses read dictionaries, so no example is failed for the time it takes.
BRIEF = settings(deadline=None, max_examples=40)
