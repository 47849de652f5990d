"""WhitenedEncoder: what whitening promises, on vectors whose structure is known."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from sklearn.base import clone

from llmrec.base import Encoder
from llmrec.encoders import MiniLMEncoder, TfidfEncoder, TransformerEncoder, WhitenedEncoder
from llmrec.errors import ComponentError, DataError, LLMRecWarning, NotFittedError, ParameterError

TEXTS = [f"item {a}{b}" for a in "abcdefghij" for b in "0123456789"]
SCALES = np.linspace(3, 0.5, 12)


class NarrowCone(Encoder):
    """A deterministic vector a text: a large common part, and small differences of unequal scale."""

    def encode(self, texts):
        vectors = np.zeros((len(texts), 12), dtype=np.float32)
        for row, text in enumerate(texts):
            if text:
                seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
                vectors[row] = 20 + SCALES * np.random.default_rng(seed).normal(size=12)
        return vectors

    @property
    def dim(self):
        return 12


def mean_cosine(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return cosines[~np.eye(len(unit), dtype=bool)].mean()


def test_texts_become_unlike():
    inner = NarrowCone()
    assert mean_cosine(inner.encode(TEXTS)) > 0.95
    encoder = WhitenedEncoder(inner, components=8).fit(TEXTS)
    assert abs(mean_cosine(encoder.encode(TEXTS))) < 0.1
    assert abs(mean_cosine(encoder.encode([f"new {text}" for text in TEXTS]))) < 0.1


def test_a_decoder_becomes_useful(tiny_gpt2):
    inner = TransformerEncoder(tiny_gpt2)
    before = mean_cosine(inner.encode(TEXTS))
    after = mean_cosine(WhitenedEncoder(inner, components=16).fit(TEXTS).encode(TEXTS))
    assert before > 0.3
    assert abs(after) < 0.1


def test_full_whitening_has_unit_covariance():
    encoder = WhitenedEncoder(NarrowCone(), components=12, shrinkage=0).fit(TEXTS)
    projected = (NarrowCone().encode(TEXTS) - encoder.mean_) @ encoder.projection_
    np.testing.assert_allclose(np.cov(projected.T), np.eye(12), atol=1e-3)
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-3)


def test_shrinkage_is_added_to_the_variances():
    vectors = NarrowCone().encode(TEXTS)
    variances = np.linalg.eigvalsh(np.cov(vectors.T.astype(np.float64)))[::-1][:4]
    floor = 0.5 * np.cov(vectors.T).trace() / 12
    encoder = WhitenedEncoder(NarrowCone(), components=4, shrinkage=0.5).fit(TEXTS)
    projected = (vectors - encoder.mean_) @ encoder.projection_
    np.testing.assert_allclose(projected.var(axis=0, ddof=1), variances / (variances + floor), rtol=1e-3)


def test_the_map_is_fixed_by_fit():
    encoder = WhitenedEncoder(NarrowCone(), components=5).fit(TEXTS)
    alone = encoder.encode(["brand new"])
    np.testing.assert_allclose(encoder.encode([*TEXTS, "brand new"])[-1:], alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(alone), 1, rtol=1e-5)
    assert alone.dtype == np.float32


def test_an_empty_text_stays_zero_and_is_not_learned_from():
    encoder = WhitenedEncoder(NarrowCone(), components=5).fit(TEXTS)
    with_empty = WhitenedEncoder(NarrowCone(), components=5).fit([*TEXTS, "", ""])
    np.testing.assert_array_equal(encoder.projection_, with_empty.projection_)
    assert encoder.encode(["", "item"]).any(axis=1).tolist() == [False, True]
    assert encoder.encode([]).shape == (0, 5) == (0, encoder.dim)


@pytest.mark.parametrize(("n_texts", "allowed"), [(100, 12), (5, 4)])
def test_more_components_than_the_texts_allow(n_texts, allowed):
    with pytest.warns(LLMRecWarning, match=f"using {allowed}"):
        encoder = WhitenedEncoder(NarrowCone()).fit(TEXTS[:n_texts])
    assert encoder.dim == allowed
    assert np.isfinite(encoder.encode(TEXTS)).all()


def test_the_inner_encoder_is_copied_and_fitted():
    inner = TfidfEncoder(components=20)
    encoder = WhitenedEncoder(inner, components=10).fit(TEXTS)
    assert not hasattr(inner, "vocabulary_")
    np.testing.assert_array_equal(encoder.encoder_.encode(TEXTS), clone(inner).fit(TEXTS).encode(TEXTS))


def test_state_goes_and_comes():
    encoder = WhitenedEncoder(NarrowCone(), components=5).fit(TEXTS)
    assert set(encoder.get_state()) == {"encoder_", "mean_", "projection_"}
    restored = clone(encoder)
    restored.set_state(encoder.get_state())
    np.testing.assert_array_equal(restored.encode(TEXTS), encoder.encode(TEXTS))


def test_likeness_survives_in_a_real_model():
    topics = ["jazz record", "running shoes", "garden hose", "science fiction film", "red wine", "toy train"]
    texts = [
        f"{topic}, {kind}" for topic in topics for kind in ["used", "new", "cheap", "for children", "large"]
    ]
    vectors = WhitenedEncoder(MiniLMEncoder(), components=10).fit(texts).encode(texts)
    cosines = (vectors @ vectors.T).reshape(6, 5, 6, 5).mean(axis=(1, 3))
    assert (cosines.diagonal() > 0.35).all()
    assert (cosines - np.diag(cosines.diagonal())).max() < 0.1


def test_before_fit():
    with pytest.raises(NotFittedError):
        WhitenedEncoder(NarrowCone()).encode(["a"])
    with pytest.raises(NotFittedError):
        _ = WhitenedEncoder(NarrowCone()).dim


@pytest.mark.parametrize(
    ("encoder", "texts", "error", "message"),
    [
        (WhitenedEncoder(TfidfEncoder()), TEXTS, ComponentError, "sparse"),
        (WhitenedEncoder("minilm"), TEXTS, ComponentError, "got str"),
        (WhitenedEncoder(NarrowCone(), components=0), TEXTS, ParameterError, "components"),
        (WhitenedEncoder(NarrowCone(), shrinkage=-1), TEXTS, ParameterError, "shrinkage"),
        (WhitenedEncoder(NarrowCone()), ["a"], DataError, "at least two texts"),
        (WhitenedEncoder(NarrowCone()), ["a", "", ""], DataError, "at least two texts"),
        (WhitenedEncoder(NarrowCone()), ["a", "a", "a"], DataError, "all vectors are the same"),
        (WhitenedEncoder(NarrowCone()), ["a", None], DataError, "text 1 is NoneType"),
    ],
)
def test_bad_input(encoder, texts, error, message):
    with pytest.raises(error, match=message):
        encoder.fit(texts)
