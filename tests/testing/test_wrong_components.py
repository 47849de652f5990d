"""Each fault is found by the check that is there for it, and by no other."""

from __future__ import annotations

import pytest

from llmrec.testing import ContractViolation, component_checks
from tests.testing.wrong import WRONG


def failures(component):
    found = {}
    for check in component_checks(component):
        try:
            check()
        except ContractViolation as violation:
            found[str(check)] = str(violation)
    return found


@pytest.mark.parametrize(("component", "expected"), WRONG, ids=lambda one: type(one).__name__)
def test_the_right_check_finds_the_fault(component, expected):
    found = failures(component)
    assert set(found) == expected
    for message in found.values():
        assert "breaks the contract" in message
        assert "demanded:" in message
        assert "to mend:" in message
