"""Our encoders keep the contract of their role."""

from __future__ import annotations

import pytest

from llmrec.encoders import GPT2Encoder, SentenceEncoder, TfidfEncoder, TransformerEncoder, WhitenedEncoder
from llmrec.errors import LLMRecWarning
from llmrec.testing import component_checks
from llmrec.tokenizers import WordTokenizer

COMPONENTS = [
    TfidfEncoder(),
    TfidfEncoder(tokenizer=WordTokenizer(), min_count=2, sublinear=True),
    TfidfEncoder(components=4),
    WhitenedEncoder(TfidfEncoder(components=6), components=3),
]


@pytest.mark.parametrize("check", [one for own in COMPONENTS for one in component_checks(own)], ids=repr)
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("make", "model"),
    [
        (GPT2Encoder, "tiny_gpt2"),
        (TransformerEncoder, "tiny_bert"),
        (SentenceEncoder, "tiny_bert"),
        (lambda folder: WhitenedEncoder(TransformerEncoder(folder), components=4), "tiny_bert"),
    ],
    ids=["GPT2Encoder", "TransformerEncoder", "SentenceEncoder", "WhitenedEncoder"],
)
@pytest.mark.filterwarnings(f"ignore::{LLMRecWarning.__module__}.{LLMRecWarning.__name__}")
def test_contract_of_language_models(make, model, request):
    for check in component_checks(make(request.getfixturevalue(model))):
        check()
