"""Our updaters keep the contract of their role."""

from __future__ import annotations

import pytest

from llmrec.testing import component_checks
from llmrec.updaters import FoldInUpdater, SGDUpdater

COMPONENTS = [FoldInUpdater(), FoldInUpdater(max_audience=None), SGDUpdater(), SGDUpdater(negatives=0)]


@pytest.mark.parametrize("check", [one for own in COMPONENTS for one in component_checks(own)], ids=repr)
def test_contract(check):
    check()
