"""Our own classes keep the contract of their role."""

import pytest

from llmrec import TfidfEncoder, WhitenedEncoder
from llmrec.testing import component_checks

CASES = [
    pytest.param(check, id=f"{type(component).__name__}-{check}")
    for component in (
        TfidfEncoder(),
        TfidfEncoder(components=4),
        WhitenedEncoder(TfidfEncoder(components=6), components=3),
    )
    for check in component_checks(component)
]


@pytest.mark.parametrize("check", CASES)
def test_contract(check):
    check()
