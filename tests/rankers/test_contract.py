"""Our rankers keep the contract of their role."""

from __future__ import annotations

import pytest

from llmrec.rankers import CosineRanker, DotRanker, EuclideanRanker, PearsonRanker
from llmrec.testing import component_checks

COMPONENTS = [CosineRanker(), DotRanker(), EuclideanRanker(), PearsonRanker(), DotRanker(block_size=3)]


@pytest.mark.parametrize("check", [one for own in COMPONENTS for one in component_checks(own)], ids=repr)
def test_contract(check):
    check()
