"""Encoders: texts in, one vector a text out."""

from __future__ import annotations

from llmrec.encoders.pretrained import packaged_model_folder
from llmrec.encoders.sentence import MiniLMEncoder, SentenceEncoder
from llmrec.encoders.tfidf import TfidfEncoder
from llmrec.encoders.transformer import GPT2Encoder, TransformerEncoder
from llmrec.encoders.whitened import WhitenedEncoder

__all__ = [
    "GPT2Encoder",
    "MiniLMEncoder",
    "SentenceEncoder",
    "TfidfEncoder",
    "TransformerEncoder",
    "WhitenedEncoder",
    "packaged_model_folder",
]
