"""Tokenizers: cut text into words, for the encoders that count or look up words.

=======================  =============================================================  ==================
class                    cuts into                                                      needs
=======================  =============================================================  ==================
:class:`WordTokenizer`   runs of letters, pairs of Han characters; the default          nothing
:class:`TagTokenizer`    entries of a list, such as ``small world; graphs``                nothing
:class:`NLTKTokenizer`   English words, stemmed if asked to                             extra ``nltk``
:class:`JiebaTokenizer`  Chinese words                                                  extra ``jieba``
:class:`ScriptTokenizer` words of mixed text, by the tokenizer for each script          those of its two
:class:`GPT2Tokenizer`   subwords of any Hugging Face tokenizer                         ``transformers``
=======================  =============================================================  ==================

Transformer encoders take raw text and need none of these: a language model was trained on whole sentences,
and reads them worse without their function words.
"""

from __future__ import annotations

from llmrec.tokenizers.gpt2 import GPT2Tokenizer
from llmrec.tokenizers.jieba import JiebaTokenizer
from llmrec.tokenizers.nltk import NLTKTokenizer
from llmrec.tokenizers.script import ScriptTokenizer
from llmrec.tokenizers.stop_words import load_stop_words
from llmrec.tokenizers.tag import TagTokenizer
from llmrec.tokenizers.word import WordTokenizer

__all__ = [
    "GPT2Tokenizer",
    "JiebaTokenizer",
    "NLTKTokenizer",
    "ScriptTokenizer",
    "TagTokenizer",
    "WordTokenizer",
    "load_stop_words",
]
