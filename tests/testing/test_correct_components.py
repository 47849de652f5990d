"""The kit asks for no more than the contracts do: the plainest components pass every check."""

from __future__ import annotations

import copy

import pytest

from llmrec.testing import component_checks
from llmrec.testing.comparison import first_change, frozen
from tests.testing.correct import CORRECT

CASES = [
    pytest.param(check, id=f"{type(component).__name__}-{check}")
    for component in CORRECT
    for check in component_checks(component)
]


@pytest.mark.parametrize("check", CASES)
def test_a_plain_component_passes(check):
    check()


@pytest.mark.parametrize("component", CORRECT, ids=repr)
def test_checks_leave_the_component_as_it_was(component):
    before, attributes = frozen(component), copy.deepcopy(vars(component))
    for check in component_checks(component):
        check()
        check()
    assert first_change(before, frozen(component)) is None
    assert vars(component) == attributes
