"""Our tokenizers keep the contract of their role."""

from __future__ import annotations

import pytest

from llmrec.testing import component_checks
from llmrec.tokenizers import (
    GPT2Tokenizer,
    JiebaTokenizer,
    NLTKTokenizer,
    ScriptTokenizer,
    TagTokenizer,
    WordTokenizer,
)

COMPONENTS = [
    WordTokenizer(),
    WordTokenizer(stop_words=("en", "zh"), lowercase=False),
    NLTKTokenizer(stem="porter"),
    JiebaTokenizer(),
    ScriptTokenizer(),
    TagTokenizer(),
]


@pytest.mark.parametrize("check", [one for own in COMPONENTS for one in component_checks(own)], ids=repr)
def test_contract(check):
    check()


def test_contract_of_subwords(gpt2_folder):
    for check in component_checks(GPT2Tokenizer(str(gpt2_folder))):
        check()
