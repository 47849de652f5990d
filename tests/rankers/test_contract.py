"""Our rankers keep the contract of their role."""

from __future__ import annotations

import pytest

from llmrec.rankers import (
    CalibratedRanker,
    CosineRanker,
    DotRanker,
    DPPRanker,
    EuclideanRanker,
    MMRRanker,
    NewItemsRanker,
    PearsonRanker,
    PopularityRanker,
)
from llmrec.testing import component_checks

COMPONENTS = [
    CalibratedRanker(),
    CosineRanker(),
    DotRanker(),
    DotRanker(block_size=3),
    DPPRanker(diversity=0),
    EuclideanRanker(),
    MMRRanker(diversity=0, pool=3),
    NewItemsRanker(share=0),
    NewItemsRanker(ranker=CosineRanker()),
    PearsonRanker(),
    PopularityRanker(ranker=CosineRanker()),
]
DIVERSE = [MMRRanker(0.8), DPPRanker(0.8, ranker="cosine")]
ON_PURPOSE = {
    "excluded items stay out": "what stands above an item, and so its score, changes with what is excluded",
    "only allowed items come": "what stands above an item, and so its score, changes with what is allowed",
    "equal scores are ordered by row": "equal items are what it keeps apart",
}


@pytest.mark.parametrize("check", [one for own in COMPONENTS for one in component_checks(own)], ids=repr)
def test_contract(check):
    check()


@pytest.mark.parametrize(
    "check",
    [one for own in DIVERSE for one in component_checks(own, expected_failures=ON_PURPOSE)],
    ids=repr,
)
def test_contract_of_diversity(check):
    check()
