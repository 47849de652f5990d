"""Our own classes keep the contract of their role."""

import pytest

from llmrec import JiebaTokenizer, NLTKTokenizer, ScriptTokenizer, WordTokenizer
from llmrec.testing import component_checks

CASES = [
    pytest.param(check, id=f"{type(component).__name__}-{check}")
    for component in (
        WordTokenizer(),
        NLTKTokenizer(),
        JiebaTokenizer(),
        ScriptTokenizer(),
    )
    for check in component_checks(component)
]


@pytest.mark.parametrize("check", CASES)
def test_contract(check):
    check()
