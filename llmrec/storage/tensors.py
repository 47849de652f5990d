"""Safetensors files: arrays are written straight from their memory, one at a time, hashed on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from llmrec.errors import ComponentError

__all__ = ["TensorReader", "file_digest", "is_tensor_dtype", "open_tensors", "write_tensors"]

_CODES = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
_ALIGNMENT = 8
_HEADER_LIMIT = 100_000_000  # readers of the format refuse a longer header
_BLOCK = 1 << 20


def is_tensor_dtype(dtype: np.dtype[Any]) -> bool:
    """Say whether the format has this kind of number, in whichever byte order."""
    return dtype.name in _CODES


class _HashedStream:
    """A binary stream that knows the SHA-256 of what was written to it."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._hash = hashlib.sha256()

    def write(self, content: Any) -> None:
        self._hash.update(content)
        self._stream.write(content)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def write_tensors(tensors: Mapping[str, np.ndarray[Any, Any]], stream: BinaryIO) -> str:
    """Write arrays in the safetensors format; return the SHA-256 of the file, in hexadecimal.

    The library's own writer would need every array contiguous at once, and a second pass for the hash.
    Here only an array that is not contiguous, or not in little-endian order, is copied, and only while it
    is written.

    Raises
    ------
    ComponentError
        If there are too many arrays for one file (about a million).
    """
    # Wide numbers first: then each array starts at a multiple of its own width.
    ordered = sorted(tensors.items(), key=lambda named: -named[1].dtype.itemsize)
    hashed = _HashedStream(stream)
    header = _header(ordered)
    hashed.write(len(header).to_bytes(8, "little"))
    hashed.write(header)
    for _, array in ordered:
        hashed.write(_little_endian(array).reshape(-1).view(np.uint8).data)
    return hashed.hexdigest()


def _header(ordered: list[tuple[str, np.ndarray[Any, Any]]]) -> bytes:
    entries: dict[str, Any] = {}
    start = 0
    for name, array in ordered:
        end = start + array.nbytes
        entries[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        start = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    if len(header) > _HEADER_LIMIT:
        raise ComponentError(
            f"the model holds {len(ordered)} separate arrays, too many for one file; "
            "join rows of many small arrays into one array or csr_array."
        )
    return header + b" " * (-len(header) % _ALIGNMENT)


def _little_endian(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal, read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class TensorReader:
    """Arrays by name, out of open safetensors files; each call gives a new array that the caller owns."""

    def __init__(self, files: list[Any]):
        self._files = {name: opened for opened in files for name in opened.keys()}  # noqa: SIM118

    def __call__(self, name: str) -> np.ndarray[Any, Any]:
        """Return the array ``name``: writable, C-contiguous, of its own dtype."""
        return self._files[name].get_tensor(name)  # type: ignore[no-any-return]


@contextmanager
def open_tensors(paths: list[Path]) -> Iterator[TensorReader]:
    """Open safetensors files for as long as the context lasts."""
    import safetensors

    with ExitStack() as stack:
        try:
            files = [stack.enter_context(safetensors.safe_open(path, framework="np")) for path in paths]
        except safetensors.SafetensorError as error:
            raise ValueError(f"no safetensors file: {error}") from error
        yield TensorReader(files)
