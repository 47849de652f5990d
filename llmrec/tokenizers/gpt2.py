"""Subwords of a pretrained Hugging Face tokenizer."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmrec.errors import ModelUnavailableError, ParameterError
from llmrec.tokenizers._word_level import RememberingTokenizer, checked_flag, checked_text, imported

__all__ = ["GPT2Tokenizer"]


class GPT2Tokenizer(RememberingTokenizer):
    r"""Cut a text into the subwords of GPT-2, or of any other tokenizer that Hugging Face can load.

    Choose it to count or inspect what a language model reads, or for word counts over many languages with
    a vocabulary of bounded size. It is no preparation for a transformer encoder, which takes raw text and
    does its own cutting. Stop words and stems make no sense of subwords; for those see
    :class:`NLTKTokenizer` and :class:`JiebaTokenizer`. Needs the extra ``transformers``.

    Parameters
    ----------
    model : str or path, default "gpt2"
        A name on the Hugging Face hub, or a local folder. For a folder, ``vocab.json`` and ``merges.txt``
        of a GPT-2 are enough.
    local_files_only : bool, default False
        Whether to look in folders and in the hub's local cache only. Otherwise a model that is not cached
        is fetched; where the hub does not answer, that takes most of a minute to fail. The environment
        variables ``HF_HUB_OFFLINE`` and ``TRANSFORMERS_OFFLINE`` have the same effect.

    Notes
    -----
    Byte-level tokens (GPT-2, Llama 3, Qwen) are given as the text they stand for, a leading blank included:
    ``" world"``, not ``"Ġworld"``. Tokens that hold only some bytes of a character, as is common in Chinese,
    are joined until the character is whole, so the tokens of GPT-2 always add up to the text. Tokens of
    other kinds are given as they are (``"##ing"``, ``"▁world"``). A lone surrogate, which has no bytes, is
    read as U+FFFD. No special tokens are added, and no text is cut short.

    The tokenizer is loaded on first use; copies, clones and pickles hold the parameters only.

    Examples
    --------
    A tokenizer of one's own, with two merges:

    >>> import json, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> vocabulary = ["h", "i", "Ġ", "hi", "Ġhi", "<|endoftext|>"]
    >>> _ = (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    >>> _ = (folder / "merges.txt").write_text("#version: 0.2\nh i\nĠ hi\n", encoding="utf-8")
    >>> GPT2Tokenizer(folder).tokenize("hi hi")
    ['hi', ' hi']
    """

    def __init__(self, model: str | os.PathLike[str] = "gpt2", *, local_files_only: bool = False):
        self.model = model
        self.local_files_only = local_files_only

    def tokenize(self, text: str) -> list[str]:
        """Return the subwords of ``text`` in their order; an empty text gives an empty list.

        Raises
        ------
        DataError
            If ``text`` is not a str.
        ParameterError
            If a parameter has a value that is not allowed.
        ModelUnavailableError
            If the tokenizer is neither in a folder nor cached, and the hub lacks it or does not answer.
        MissingExtraError
            If transformers is not installed.
        """
        text = _without_surrogates(checked_text(text))
        loaded = self._remembered("model", self._load)
        tokens: Iterable[str] = loaded.cut(text)
        if loaded.is_byte_level:
            tokens = _readable(tokens, loaded.added)
        return [token for token in tokens if token]

    def _load(self) -> _Loaded:
        if not isinstance(self.model, (str, os.PathLike)) or not str(self.model):
            raise ParameterError(f"model must be a name or the path of a folder, got {self.model!r}.")
        transformers = imported("transformers", self, "transformers")
        stay_local = checked_flag("local_files_only", self.local_files_only) or _is_offline()
        # The cache is asked before the hub: a cached tokenizer should not wait for a network.
        for local_files_only in [True] if stay_local or Path(self.model).is_dir() else [True, False]:
            try:
                return _loaded(_from_pretrained(transformers, str(self.model), local_files_only))
            except Exception as error:  # damaged files raise a bare Exception in the tokenizers package
                reason = error
        first_line = str(reason).strip().partition("\n")[0]
        raise ModelUnavailableError(
            f"the tokenizer {str(self.model)!r} could not be loaded: {first_line} Give a name that is on the "
            "hub or in its local cache, or a folder with its files (vocab.json and merges.txt are "
            "enough for a GPT-2). NLTKTokenizer and JiebaTokenizer need no model."
        ) from reason


@dataclass(frozen=True)
class _Loaded:
    cut: Callable[[str], list[str]]
    is_byte_level: bool
    added: frozenset[str]


def _from_pretrained(transformers: Any, model: str, local_files_only: bool) -> Any:
    kind = transformers.GPT2TokenizerFast if _is_bare_gpt2(Path(model)) else transformers.AutoTokenizer
    tokenizer = kind.from_pretrained(model, local_files_only=local_files_only)
    # From a config.json alone, transformers 5 makes a tokenizer that knows no word and gives no token.
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ValueError("there are no vocabulary files.")
    return tokenizer


def _loaded(tokenizer: Any) -> _Loaded:
    added = frozenset(tokenizer.get_added_vocab())
    if not tokenizer.is_fast:
        return _Loaded(tokenizer.tokenize, is_byte_level=False, added=added)
    # The backend is called directly: its wrapper sets truncation at each call, which threads cannot share.
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()

    def cut(text: str) -> list[str]:
        return backend.encode(text, add_special_tokens=False).tokens  # type: ignore[no-any-return]

    return _Loaded(cut, is_byte_level="ByteLevel" in repr(backend.decoder), added=added)


def _is_bare_gpt2(folder: Path) -> bool:
    described = ("config.json", "tokenizer.json", "tokenizer_config.json")
    needed = ("vocab.json", "merges.txt")
    return all((folder / name).is_file() for name in needed) and not any(
        (folder / name).exists() for name in described
    )


def _is_offline() -> bool:
    flags = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(flag.upper() in {"1", "ON", "YES", "TRUE"} for flag in flags)


def _without_surrogates(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form; a pair of them is the character it stands for."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _readable(tokens: Iterable[str], added: Collection[str]) -> Iterator[str]:
    """Decode byte-level tokens, joining those that share a character; ``added`` ones are text already."""
    byte_of = _byte_of()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    piece = ""
    for token in tokens:
        if token in added:
            yield piece + decoder.decode(b"", final=True)
            yield token
            decoder.reset()
            piece = ""
            continue
        piece += decoder.decode(bytes(byte_of[letter] for letter in token))
        is_whole = not decoder.getstate()[0]
        if is_whole:
            yield piece
            piece = ""
    yield piece + decoder.decode(b"", final=True)


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    # Byte-level vocabularies write a byte as the Latin-1 character of its number where that one is visible,
    # and the others, in order, as the characters from U+0100 on.
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(others)}
