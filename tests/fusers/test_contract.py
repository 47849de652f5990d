"""Our fusers keep the contract of their role."""

from __future__ import annotations

import pytest

from llmrec.fusers import ConcatFuser, LearnedFuser, RankFusion, WeightedFuser
from llmrec.testing import component_checks

COMPONENTS = [
    ConcatFuser(),
    LearnedFuser(),
    LearnedFuser(min_users=3),
    RankFusion(),
    RankFusion(depth=2),
    WeightedFuser(),
    WeightedFuser(alpha=0.5),
]


@pytest.mark.parametrize("check", [one for own in COMPONENTS for one in component_checks(own)], ids=repr)
def test_contract(check):
    check()
