"""Our own classes keep the contract of their role."""

import pytest

from llmrec import ALSFactorizer, ItemKNN, Popularity, SVDFactorizer
from llmrec.testing import component_checks

CASES = [
    pytest.param(check, id=f"{type(component).__name__}-{check}")
    for component in (
        ALSFactorizer(4),
        ALSFactorizer(4, feedback="explicit", regularization=0.1),
        SVDFactorizer(4),
        SVDFactorizer(4, feedback="explicit"),
        ItemKNN(5),
        Popularity(),
    )
    for check in component_checks(component)
]


@pytest.mark.parametrize("check", CASES)
def test_contract(check):
    check()
