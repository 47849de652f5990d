"""TfidfEncoder: parity with scikit-learn, known answers, and what becomes of odd texts."""

from __future__ import annotations

import copy
import json
import pickle
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from llmrec.base import Tokenizer
from llmrec.encoders import TfidfEncoder
from llmrec.errors import ComponentError, DataError, LLMRecWarning, NotFittedError, ParameterError
from llmrec.views import TextView

TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "The dog sleeps; the fox does not. The end",
    "A film about a fox and a hound",
    "hound dog, hound dog, hound dog",
    "Brown bread",
    "",
]


class PatternTokenizer(Tokenizer):
    """Words as scikit-learn's vectorizers find them."""

    def tokenize(self, text):
        return re.findall(r"(?u)\b\w\w+\b", text.lower())


class CharacterTokenizer(Tokenizer):
    def tokenize(self, text):
        return list(text)


@pytest.mark.parametrize(
    ("parameters", "theirs"),
    [
        ({}, {}),
        ({"min_count": 2}, {"min_df": 2}),
        ({"sublinear": True}, {"sublinear_tf": True}),
        ({"max_features": 2}, {"max_features": 2}),
    ],
)
def test_parity_with_sklearn(parameters, theirs):
    encoder = TfidfEncoder(tokenizer=PatternTokenizer(), **parameters).fit(TEXTS)
    vectorizer = TfidfVectorizer(**theirs).fit(TEXTS)
    assert encoder.vocabulary_ == vectorizer.get_feature_names_out().tolist()
    np.testing.assert_allclose(encoder.idf_, vectorizer.idf_, rtol=1e-6)
    unseen = [*TEXTS, "a fox and a dog and a zebra", "zebra"]
    found = encoder.encode(unseen)
    assert isinstance(found, sparse.csr_array)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), vectorizer.transform(unseen).toarray(), atol=1e-6)


def test_words_of_both_scripts():
    encoder = TfidfEncoder().fit(["Rocky 2: C'est la vie!", "无线耳机 X9", "茶"])
    assert encoder.vocabulary_ == sorted(
        ["rocky", "2", "c", "est", "la", "vie", "无线", "线耳", "耳机", "x9", "茶"]
    )


def test_neighbouring_scripts_are_cut_apart():
    assert TfidfEncoder().fit(["iPhone手机壳case"]).vocabulary_ == ["case", "iphone", "手机", "机壳"]


def test_any_tokenizer_cuts_chinese():
    encoder = TfidfEncoder(tokenizer=CharacterTokenizer()).fit(["科幻电影", "科学"])
    assert encoder.vocabulary_ == sorted("科幻电影学")
    found, unrelated = encoder.encode(["电影", "学"]).toarray() @ encoder.encode(["科幻电影"]).toarray().T
    assert found > 0.7
    assert unrelated == 0


def test_numbers_tell_texts_apart():
    one, two = TfidfEncoder().fit(["Item 1", "Item 2"]).encode(["Item 1", "Item 2"]).toarray()
    assert one @ two < 0.9


@given(st.lists(st.text(max_size=20), max_size=6))
def test_rows_have_length_one_or_zero(texts):
    for components in (None, 2):
        vectors = TfidfEncoder(components=components).fit(TEXTS).encode(texts)
        assert vectors.shape == (len(texts), 2 if components else 15 + 3)
        lengths = np.linalg.norm(vectors if components else vectors.toarray(), axis=1)
        assert np.all(np.isclose(lengths, 0) | np.isclose(lengths, 1, atol=1e-5))


@pytest.mark.parametrize("components", [None, 3])
def test_nothing_known_is_zero(components):
    encoder = TfidfEncoder(components=components).fit(TEXTS)
    vectors = encoder.encode(["", "zebra", "😀", "\ud800", "fox"])
    dense = vectors.toarray() if components is None else vectors
    assert dense.any(axis=1).tolist() == [False, False, False, False, True]
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder.encode(["fox " * 25_000]).shape == (1, encoder.dim)


class TestComponents:
    def test_keeping_all_keeps_the_cosines(self):
        encoder = TfidfEncoder(components=5).fit(TEXTS)
        sparse_vectors = TfidfEncoder().fit(TEXTS).encode(TEXTS).toarray()
        vectors = encoder.encode(TEXTS)
        assert vectors.dtype == np.float32
        assert vectors.flags["C_CONTIGUOUS"]
        np.testing.assert_allclose(vectors @ vectors.T, sparse_vectors @ sparse_vectors.T, atol=1e-5)

    def test_texts_without_a_common_word_become_alike(self):
        texts = ["cat kitten", "kitten pet", "car engine", "engine motor"] * 5
        cat, pet, motor = TfidfEncoder(components=2).fit(texts).encode(["cat", "pet", "motor"])
        assert cat @ pet > 0.9
        assert abs(cat @ motor) < 0.1

    def test_the_same_texts_give_the_same_vectors(self):
        one, two = (TfidfEncoder(components=3).fit(TEXTS) for _ in range(2))
        np.testing.assert_array_equal(one.components_, two.components_)
        largest = np.take_along_axis(one.components_, np.abs(one.components_).argmax(axis=0)[None, :], axis=0)
        assert (largest > 0).all()

    def test_more_than_the_texts_allow(self):
        with pytest.warns(LLMRecWarning, match="components=50 is more than 6 texts"):
            encoder = TfidfEncoder(components=50).fit(TEXTS)
        assert encoder.dim == 6
        assert np.isfinite(encoder.encode(TEXTS)).all()

    def test_a_second_fit_forgets_the_first(self):
        encoder = TfidfEncoder(components=2).fit(TEXTS)
        encoder.set_params(components=None).fit(["red hat"])
        assert encoder.dim == 2
        assert set(encoder.get_state()) == {"vocabulary_", "idf_", "mean_length_"}


@pytest.mark.parametrize("components", [None, 3])
def test_state_goes_and_comes(components):
    encoder = TfidfEncoder(components=components).fit(TEXTS)
    expected = encoder.encode(TEXTS)
    state = encoder.get_state()
    state["vocabulary_"] = json.loads(json.dumps(state["vocabulary_"]))
    restored = clone(encoder).fit(["other words altogether", "and others", "and more", "still"])
    restored.encode(["other"])
    restored.set_state(state)
    for copied in (restored, copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert abs(copied.encode(TEXTS) - expected).max() == 0


def test_before_fit():
    for use in (lambda encoder: encoder.encode(["a"]), lambda encoder: encoder.dim):
        with pytest.raises(NotFittedError):
            use(TfidfEncoder())
    with pytest.raises(NotFittedError):
        TfidfEncoder().fit(TEXTS).set_params(components=2).encode(["a"])


@pytest.mark.parametrize(
    ("parameters", "texts", "error", "message"),
    [
        ({}, ["a", 1], DataError, "text 1 is int"),
        ({}, "fox", DataError, "one string"),
        ({}, [], DataError, "no word"),
        ({}, ["", "!!"], DataError, "no word"),
        ({"min_count": 9}, TEXTS, DataError, "none of them in 9 texts"),
        ({"min_count": 0}, TEXTS, ParameterError, "min_count"),
        ({"max_features": 0}, TEXTS, ParameterError, "max_features"),
        ({"components": 0}, TEXTS, ParameterError, "components"),
        ({"components": 1.5}, TEXTS, ParameterError, "components"),
        ({"tokenizer": str.split}, TEXTS, ComponentError, "Tokenizer"),
    ],
)
def test_bad_input(parameters, texts, error, message):
    with pytest.raises(error, match=message):
        TfidfEncoder(**parameters).fit(texts)


@pytest.mark.parametrize("components", [None, 64])
def test_one_title_is_encoded_fast(components):
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 5_000, 20)) for _ in range(2_000)]
    encoder = TfidfEncoder(components=components).fit(texts)
    encoder.encode(texts[:1])
    seconds = []
    for text in texts[:200]:
        start = time.perf_counter()
        encoder.encode([text[:60]])
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 1e-3  # some 0.1 ms; the margin is for busy machines


def test_bm25_is_its_formula():
    texts = ["red red red shoes", "blue shoes", "a very long tale of shoes and of ships and of wax"]
    encoder = TfidfEncoder(weighting="bm25").fit(texts)
    counts = np.array([[text.split().count(word) for word in encoder.vocabulary_] for text in texts])
    lengths = counts.sum(axis=1, keepdims=True)
    damped = 1.2 * (0.25 + 0.75 * lengths / lengths.mean())
    expected = 2.2 * counts / (counts + damped) * encoder.idf_
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(texts).toarray(), expected, rtol=1e-5)


def test_bm25_lets_repetition_count_less():
    texts = ["red red red red shoes", "blue shoes", "green shoes"]
    plain, damped = (TfidfEncoder(weighting=one).fit(texts) for one in ("tfidf", "bm25"))
    red = plain.vocabulary_.index("red")
    assert damped.encode(texts)[0, red] < plain.encode(texts)[0, red]


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ParameterError, match="weighting must be one of 'tfidf', 'bm25'"):
        TfidfEncoder(weighting="bm52").fit(["a"])


@given(st.text())
def test_texts_without_chinese_are_cut_as_those_with(text):
    encoder = TfidfEncoder().fit(["茶", f"茶 {text}"])
    alone = TfidfEncoder(min_count=1).fit([text, "茶"])
    assert alone.vocabulary_ == encoder.vocabulary_


def test_unknown_words_leave_no_trace():
    encoder = TfidfEncoder(max_features=2).fit(["red red blue", "blue red", "sky"])
    found = encoder.encode(["sky blue and red", "", "sky"])
    assert encoder.vocabulary_ == ["blue", "red"]
    assert np.diff(found.indptr).tolist() == [2, 0, 0]
    assert found.has_sorted_indices


class CountingTokenizer(PatternTokenizer):
    calls = 0

    def tokenize(self, text):
        type(self).calls += 1
        return super().tokenize(text)


def test_a_catalogue_is_cut_into_words_once(monkeypatch):
    monkeypatch.setattr(CountingTokenizer, "calls", 0)
    TextView(TfidfEncoder(tokenizer=CountingTokenizer())).fit(["red shoes", "", "blue shoes"])
    assert CountingTokenizer.calls == 2


class DoubledTfidf(TfidfEncoder):
    def encode(self, texts):
        return 2 * super().encode(texts)


def test_a_subclass_that_changes_encode_is_heard():
    texts = ["red shoes", "blue shoes"]
    doubled = DoubledTfidf().fit_encode(texts)
    np.testing.assert_allclose(doubled.toarray(), 2 * TfidfEncoder().fit_encode(texts).toarray())
