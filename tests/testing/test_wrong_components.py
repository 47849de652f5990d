"""Each fault is found by the checks that are there for it, and by no other."""

from __future__ import annotations

import warnings

import pytest

from llmrec.testing import ContractViolation, component_checks
from tests.testing.correct import CORRECT
from tests.testing.wrong import WRONG


def failures(component):
    found = {}
    for check in component_checks(component):
        try:
            check()
        except ContractViolation as violation:
            found[check.name] = (check, str(violation))
    return found


@pytest.mark.parametrize(
    ("component", "expected"), [pytest.param(*one, id=type(one[0]).__name__) for one in WRONG]
)
def test_the_right_checks_find_the_fault(component, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # some of the faults are divisions by zero
        found = failures(component)
    assert set(found) == expected
    for check, message in found.values():
        assert message.startswith(type(component).__name__)
        assert f"demanded: {check.description}" in message
        assert "happened: " in message
        assert "to mend:  " in message


def test_every_check_has_a_fault_to_find():
    known = {check.name for component in CORRECT for check in component_checks(component)}
    assert known == set().union(*(expected for _, expected in WRONG))
