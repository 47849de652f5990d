"""TransformerEncoder and GPT2Encoder, on tiny models with random weights."""

from __future__ import annotations

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from transformers import AutoModel, AutoTokenizer

from llmrec.encoders import GPT2Encoder, TransformerEncoder
from llmrec.errors import DataError, LLMRecWarning, ParameterError

TEXTS = [
    "the red shoes of item 1",
    "hat",
    "blue",
    "item 2",
    "the blue hat of the red item 77",
    "a b c d e f g",
]
MODELS = ["tiny_gpt2", "tiny_bert"]


@pytest.fixture(params=MODELS)
def folder(request):
    return request.getfixturevalue(request.param)


def states(folder, text, layer):
    """Hidden states of one unpadded text, by the transformers package alone."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        output = AutoModel.from_pretrained(folder)(**tokens, output_hidden_states=True)
    return output.hidden_states[layer][0].numpy()


@pytest.mark.parametrize("layer", [0, 1, 2, -2, -1])
@pytest.mark.filterwarnings("ignore:pooling='first'")
def test_vectors_are_those_of_the_model_itself(folder, layer):
    text = TEXTS[0]
    expected = states(folder, text, layer)
    found = {
        pooling: TransformerEncoder(folder, pooling=pooling, layer=layer).encode(TEXTS)[0]
        for pooling in ("mean", "last", "first")
    }
    np.testing.assert_allclose(found["mean"], expected[1:].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found["last"], expected[-1], atol=1e-5)
    np.testing.assert_allclose(found["first"], expected[0], atol=1e-5)


def test_a_text_of_one_token_has_the_state_of_that_token(tiny_gpt2):
    vector = TransformerEncoder(tiny_gpt2).encode(["hat"])[0]
    expected = states(tiny_gpt2, "hat", -1)
    assert expected.shape[0] == 1
    np.testing.assert_allclose(vector, expected[0], atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_vector_does_not_depend_on_the_texts_beside_it(folder, pooling):
    encoder = TransformerEncoder(folder, pooling=pooling, batch_tokens=10_000)
    together = encoder.encode(TEXTS)
    alone = np.vstack([encoder.encode([text]) for text in TEXTS])
    in_small_batches = clone(encoder).set_params(batch_tokens=1).encode(TEXTS)
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    for other in (alone, in_small_batches, backwards):
        np.testing.assert_allclose(other, together, atol=1e-5)
    assert np.abs(together).max() > 0.1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text(alphabet="ab 1é😀\n", max_size=30), max_size=8),
    st.integers(min_value=1, max_value=200),
)
def test_batching_changes_nothing(tiny_gpt2, texts, batch_tokens):
    found = TransformerEncoder(tiny_gpt2, batch_tokens=batch_tokens).encode(texts)
    expected = TransformerEncoder(tiny_gpt2, batch_tokens=10_000).encode(texts)
    assert found.shape == (len(texts), 32)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equal_texts_are_encoded_once(tiny_gpt2, monkeypatch):
    encoder = TransformerEncoder(tiny_gpt2)
    seen = []
    inner = encoder._encode_distinct
    monkeypatch.setattr(encoder, "_encode_distinct", lambda texts: seen.append(texts) or inner(texts))
    vectors = encoder.encode(["hat", "blue", "hat", "", "hat"])
    assert seen == [["hat", "blue"]]
    np.testing.assert_array_equal(vectors[[0, 0]], vectors[[2, 4]])
    assert not np.allclose(vectors[0], vectors[1])


class TestFirstPosition:
    def test_a_causal_model_cannot_tell_texts_apart_by_it(self, tiny_gpt2):
        with pytest.warns(LLMRecWarning, match="sees the first token alone"):
            first = TransformerEncoder(tiny_gpt2, pooling="first").encode(["Item 1", "Item 2"])
        np.testing.assert_allclose(first[0], first[1], atol=1e-6)
        for pooling in ("mean", "last"):
            vectors = TransformerEncoder(tiny_gpt2, pooling=pooling).encode(["Item 1", "Item 2"])
            assert np.abs(vectors[0] - vectors[1]).max() > 0.01

    def test_a_masked_model_can(self, tiny_bert):
        vectors = TransformerEncoder(tiny_bert, pooling="first").encode(["Item 1", "Item 2"])
        assert np.abs(vectors[0] - vectors[1]).max() > 0.01

    def test_not_even_a_masked_model_can_before_its_first_block(self, tiny_bert):
        with pytest.warns(LLMRecWarning, match="first token alone"):
            TransformerEncoder(tiny_bert, pooling="first", layer=0).encode(["Item 1", "Item 2"])


@settings(max_examples=20, deadline=None)
@given(st.text(alphabet="abcxyz", min_size=1, max_size=8), st.text(alphabet="abcxyz", min_size=1, max_size=8))
def test_what_follows_the_first_token_counts(folder_of_gpt2, one, other):
    encoder = TransformerEncoder(folder_of_gpt2)
    shared, extended, different = encoder.encode(
        [f"Item {one}", f"Item {one} {other}", f"Item {other} {one} {one}"]
    )
    assert np.abs(shared - extended).max() > 1e-3
    assert np.abs(extended - different).max() > 1e-3


@pytest.fixture(scope="module")
def folder_of_gpt2(tiny_gpt2):
    return tiny_gpt2


def test_no_texts_and_empty_texts(folder):
    encoder = TransformerEncoder(folder)
    assert encoder.encode([]).shape == (0, encoder.dim)
    vectors = encoder.encode(["", "hat", " \n"])
    assert vectors.dtype == np.float32
    assert vectors.flags["C_CONTIGUOUS"]
    assert vectors.any(axis=1).tolist() == [False, True, False]


def test_a_text_of_unknown_words_is_zero(tiny_bert):
    assert TransformerEncoder(tiny_bert).encode(["🙂 ☂", "hat"]).any(axis=1).tolist() == [False, True]


def test_odd_texts(folder):
    odd = [
        "emoji 😀👩‍👩‍👧 hat",
        "mixed 混合 текст red",
        "lone \ud800 surrogate",
        "\ud83d\ude00 b",
        "nul \0 a",
        "red " * 25_000,
    ]
    encoder = TransformerEncoder(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "(?s).*Chinese")
        vectors = encoder.encode(odd)
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).all()
    # A pair of surrogates is the character it stands for.
    np.testing.assert_allclose(vectors[3], encoder.encode(["😀 b"])[0], atol=1e-5)


def test_long_texts_are_cut(tiny_gpt2):
    encoder = TransformerEncoder(tiny_gpt2)
    at_limit, beyond = encoder.encode(["red" + " red" * 63, "red" + " red" * 63 + " hat" * 500])
    np.testing.assert_allclose(at_limit, beyond, atol=1e-5)
    short = TransformerEncoder(tiny_gpt2, max_length=3).encode(["red red red hat", "red red red"])
    np.testing.assert_allclose(short[0], short[1], atol=1e-5)


def test_prefix_comes_before_the_text(tiny_gpt2):
    found = TransformerEncoder(tiny_gpt2, prefix="the ").encode(["hat", ""])
    np.testing.assert_allclose(found[0], TransformerEncoder(tiny_gpt2).encode(["the hat"])[0], atol=1e-5)
    assert not found[1].any()


class TestParameters:
    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"pooling": "maen"}, "Did you mean 'mean'"),
            ({"layer": 5}, "from -5 to 4"),
            ({"layer": -6}, "from -5 to 4"),
            ({"layer": "top"}, "'middle'"),
            ({"layer": True}, "'middle'"),
            ({"batch_tokens": 0}, "batch_tokens"),
            ({"max_length": 65}, "at most 64"),
            ({"max_length": 0}, "max_length"),
            ({"device": "abacus"}, "torch device"),
        ],
    )
    def test_bad_values(self, tiny_gpt2, parameters, message):
        with pytest.raises(ParameterError, match=message):
            TransformerEncoder(tiny_gpt2, **parameters).encode(["hat"])

    @pytest.mark.parametrize("model", [None, 3, ""])
    def test_bad_model(self, model):
        with pytest.raises(ParameterError, match="model must be"):
            TransformerEncoder(model).encode(["hat"])

    def test_bad_texts(self, tiny_gpt2):
        encoder = TransformerEncoder(tiny_gpt2)
        for call in (encoder.encode, encoder.fit):
            with pytest.raises(DataError, match="text 1 is NoneType"):
                call(["hat", None])
            with pytest.raises(DataError, match="one string"):
                call("hat")


def test_middle_layer_is_half_the_depth(tiny_gpt2):
    np.testing.assert_array_equal(
        GPT2Encoder(tiny_gpt2).encode(TEXTS), TransformerEncoder(tiny_gpt2, layer=2).encode(TEXTS)
    )


def test_blocks_above_the_layer_are_not_run(tiny_gpt2):
    encoder = TransformerEncoder(tiny_gpt2, layer=1)
    assert len(encoder._load(1).model.h) == 2
    assert len(TransformerEncoder(tiny_gpt2)._load(4).model.h) == 4


def test_the_model_is_neither_parameter_nor_state(tiny_gpt2):
    encoder = TransformerEncoder(tiny_gpt2, layer=-2)
    expected = encoder.fit(TEXTS).encode(TEXTS)
    assert encoder.get_state() == {}
    assert len(pickle.dumps(encoder)) < 2_000
    for copied in (clone(encoder), copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(copied.encode(TEXTS), expected)
        assert copied._load(3) is encoder._load(3)


def test_dim_needs_no_weights(tiny_gpt2, tiny_bert, monkeypatch):
    monkeypatch.setattr(AutoModel, "from_pretrained", None)
    assert (TransformerEncoder(tiny_gpt2).dim, GPT2Encoder(tiny_bert).dim) == (32, 24)


def test_many_threads(folder):
    encoder = TransformerEncoder(folder, batch_tokens=16)
    expected = encoder.encode(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(encoder.encode, [TEXTS] * 24):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_chinese_is_not_for_gpt2(tiny_gpt2):
    encoder = TransformerEncoder(tiny_gpt2)
    with pytest.warns(LLMRecWarning, match=r"2 of 2 texts.*multilingual"):
        encoder.encode(["无线蓝牙耳机", "科幻电影"])
    encoder.encode(["red hat"] * 2 + [f"hat {i}" for i in range(20)] + ["一"])  # one in twenty: no warning


def test_weights_that_a_file_lacks_are_told(tiny_gpt2, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_gpt2, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    del weights["h.0.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(LLMRecWarning, match=r"lack 1 weights.*h\.0\.mlp\.c_fc\.weight"):
        TransformerEncoder(str(folder)).encode(["hat"])


@pytest.mark.parametrize("kind", ["T5", "Bart"])
def test_of_an_encoder_decoder_the_encoder_is_used(tiny_gpt2, tmp_path, kind):
    import transformers

    from llmrec.encoders.pretrained import quiet_loading

    sizes = {
        "T5": {"d_model": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 16, "vocab_size": 50_257},
        "Bart": {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
                 "decoder_attention_heads": 2, "vocab_size": 50_257},
    }[kind]  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**sizes)
    with quiet_loading():
        getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_gpt2).save_pretrained(tmp_path)
    encoder = TransformerEncoder(str(tmp_path), pooling="first")
    vectors = encoder.encode(["Item 1", "Item 2"])
    assert vectors.shape == (2, encoder.dim) == (2, 16)
    assert not np.allclose(vectors[0], vectors[1])
