"""Saving a component to a model folder and loading it back."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from llmrec.base import Component
from llmrec.errors import ComponentError, LLMRecError, ModelFileError, nearest
from llmrec.storage.classes import check_trust, class_name, is_ours, resolve_classes
from llmrec.storage.folders import (
    MANIFEST,
    check_unclaimed,
    create_folder,
    is_data_name,
    locked,
    place_file,
    sweep,
)
from llmrec.storage.tensors import file_digest, open_tensors, write_tensors
from llmrec.storage.values import ValueDecoder, ValueEncoder, class_names_in

__all__ = ["FORMAT_VERSION", "inspect_model", "load_model", "save_model"]

FORMAT_VERSION = 1
"""Version of the folder's layout that this library writes; it reads all versions up to it."""

_FORMAT = "llmrec-model"
_ATTEMPTS = 5

Manifest = dict[str, Any]


class _MissingDataFileError(ModelFileError):
    pass


def save_model(model: Component, folder: str | PathLike[str]) -> None:
    """Write a component, with all it has learned, to a model folder.

    The folder gets a ``model.json`` (versions, class names, parameters, checksums) and a safetensors file
    with the arrays. A folder that already holds a model is replaced, all at once: an error, a full disk or
    ``kill -9`` at any moment leaves the old model or the new one, whole and readable. Other files that you
    put beside them stay.

    Values that can be stored, in parameters and in state: None, bool, int of any size, float, str, bytes,
    list, tuple, set, frozenset, dict, UUID, datetime, date, timedelta, Decimal, Path, NumPy scalars and
    arrays, ``csr_array`` and ``csc_array``, components, dataclasses, and objects that follow
    :class:`~llmrec.storage.Storable`. Each comes back with its own type and dtype. A long list or dict of
    plain ids is stored as one array; other long lists are JSON, which is some ten times slower.

    Parameters
    ----------
    model : Component
        An encoder, a factorizer, a whole recommender. It must not change while it is saved.
    folder : str or path
        A new or empty folder, or one that holds a model. Parents are created.

    Raises
    ------
    ComponentError
        If a value in the model cannot be stored; the message has the path to it, and nothing is written.
    ModelFileError
        If the folder is a file, holds other files and no model, or a model of a newer format.
    OSError
        If the disk is full, or the folder may not be written.

    Notes
    -----
    Two processes that save to one folder take turns. Arrays are written from where they are: the extra
    memory is that of the ids as bytes.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from llmrec.rankers import DotRanker
    >>> ranker = DotRanker().index(np.eye(3, dtype=np.float32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(ranker, folder)
    ...     loaded = load_model(folder)
    >>> rows, scores = loaded.rank(np.array([[0, 2, 1]], dtype=np.float32), k=2)
    >>> rows.tolist()
    [[1, 2]]
    >>> save_model(DotRanker(block_size=len), "new_folder")
    Traceback (most recent call last):
        ...
    llmrec.errors.ComponentError: DotRanker.block_size is a function; ...
    """
    if not isinstance(model, Component):
        raise ComponentError(f"model must be a component, got a {type(model).__name__}.")
    encoder = ValueEncoder(type(model).__name__)
    tree = encoder.encode(model)
    path = Path(folder)
    _check_destination(path)
    create_folder(path)
    with locked(path) as is_locked:
        files = _place_tensors(path, encoder) if encoder.tensors else {}
        manifest = {
            "format": _FORMAT,
            "format_version": FORMAT_VERSION,
            "llmrec_version": _library_version(),
            "class": class_name(type(model)),
            "files": files,
            "tree": tree,
        }
        text = _manifest_text(manifest)
        place_file(path, lambda stream: _written(stream, text.encode("ascii"), MANIFEST))
        if is_locked:
            sweep(path, keep=files)


def load_model(
    folder: str | PathLike[str], *, trust: Sequence[str] = (), expect: type[Any] | None = None
) -> Component:
    """Load what :func:`save_model` wrote, after checking all of it.

    Nothing in a folder is run: arrays and texts are data, and a class is imported only if it is the
    library's or you trust it.

    Parameters
    ----------
    folder : str or path
    trust : sequence of str, optional
        Classes outside the library that may be imported: ``"package.module:Class"``, or a module or
        package, which covers all that lies in it.
    expect : type, optional
        Refuse a model of another class, before anything large is read.

    Returns
    -------
    Component
        Its arrays are its own: writable, C-contiguous, of the dtype they had, in native byte order.

    Raises
    ------
    UntrustedComponentError
        If the folder names a class outside the library that ``trust`` does not cover; the message has the
        ``trust`` to pass.
    ModelFileError
        If there is no model, it is damaged or changed, a newer version wrote it, or a class no longer
        takes what was saved.

    Notes
    -----
    Reads each file twice, the first time for its checksum (SHA-256, 1 to 2 GB/s where the processor has
    instructions for it). Peak memory is that of the model, plus the ids as bytes.

    Examples
    --------
    >>> load_model("no/such/folder")
    Traceback (most recent call last):
        ...
    llmrec.errors.ModelFileError: there is no folder 'no/such/folder'; a model is the folder it was saved to.
    """
    path = Path(folder)
    entries = check_trust(trust)
    manifest = _read_manifest(path)
    for _ in range(_ATTEMPTS):
        try:
            return _load(path, manifest, entries, expect)
        except _MissingDataFileError:
            # A save that ended meanwhile has swept the file away: then the manifest is a new one.
            latest = _read_manifest(path)
            if latest["checksum"] == manifest["checksum"]:
                raise
            manifest = latest
    raise ModelFileError(f"{str(path)!r} is being saved again and again; load it when that is over.")


def inspect_model(folder: str | PathLike[str]) -> dict[str, Any]:
    """Say what a model folder holds, without importing a class or reading an array.

    Parameters
    ----------
    folder : str or path

    Returns
    -------
    dict
        ``class`` and ``classes`` (the model's own, and all within it), ``trust`` (those outside the
        library, as :func:`load_model` wants them), ``format_version``, ``llmrec_version``, ``files``
        (sizes in bytes by name) and ``bytes`` (their sum).

    Raises
    ------
    ModelFileError
        If there is no model, its ``model.json`` is damaged, or a newer version wrote it.

    Examples
    --------
    >>> inspect_model("no/such/folder")
    Traceback (most recent call last):
        ...
    llmrec.errors.ModelFileError: there is no folder 'no/such/folder'; a model is the folder it was saved to.
    """
    path = Path(folder)
    manifest = _read_manifest(path)
    classes = sorted(_well_formed(path, lambda: class_names_in(manifest["tree"])))
    sizes = {name: entry["bytes"] for name, entry in manifest["files"].items()}
    sizes[MANIFEST] = (path / MANIFEST).stat().st_size
    return {
        "class": manifest["class"],
        "classes": classes,
        "trust": [name for name in classes if not is_ours(name)],
        "format_version": manifest["format_version"],
        "llmrec_version": manifest["llmrec_version"],
        "files": sizes,
        "bytes": sum(sizes.values()),
    }


# -------------------------------------------------------------------- saving


def _check_destination(folder: Path) -> None:
    check_unclaimed(folder)
    if (folder / MANIFEST).exists():
        try:
            _check_format(folder, _read_json(folder))
        except ModelFileError as error:
            raise ModelFileError(
                f"cannot save over what is there; choose an empty or new folder: {error}"
            ) from error


def _place_tensors(folder: Path, encoder: ValueEncoder) -> dict[str, dict[str, Any]]:
    files = {}

    def write(stream: BinaryIO) -> str:
        digest = write_tensors(encoder.tensors, stream)
        name = f"arrays-{digest[:16]}.safetensors"
        files[name] = {"sha256": digest, "bytes": stream.tell()}
        return name

    place_file(folder, write)
    return files


def _written(stream: BinaryIO, content: bytes, name: str) -> str:
    stream.write(content)
    return name


def _library_version() -> str:
    try:
        return importlib.metadata.version("llmrec")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _manifest_text(manifest: Manifest) -> str:
    sealed = {**manifest, "checksum": _checksum(manifest)}
    lines = ",\n".join(f"{json.dumps(name)}: {_canonical(value)}" for name, value in sealed.items())
    return f"{{\n{lines}\n}}\n"


def _checksum(manifest: Manifest) -> str:
    content = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(_canonical(content).encode("ascii")).hexdigest()


def _canonical(value: Any) -> str:
    # The order of a dict is part of a model, so keys are not sorted.
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


# -------------------------------------------------------------------- loading


def _read_manifest(folder: Path) -> Manifest:
    if not folder.is_dir():
        if folder.exists():
            raise ModelFileError(f"{str(folder)!r} is a file; a model is a folder with a {MANIFEST}.")
        siblings = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ModelFileError(
            f"there is no folder {str(folder)!r}; a model is the folder it was saved to."
            f"{nearest(folder.name, siblings)}"
        )
    if not (folder / MANIFEST).is_file():
        raise ModelFileError(
            f"{str(folder)!r} has no {MANIFEST}: no model was saved there, or its first save did not finish."
        )
    manifest: Manifest = _read_json(folder)
    _check_format(folder, manifest)
    if manifest.get("checksum") != _well_formed(folder, lambda: _checksum(manifest)):
        raise ModelFileError(
            f"{MANIFEST} in {str(folder)!r} does not match its own checksum: it was edited or damaged. "
            "Load a copy of the folder, or save the model again."
        )
    _check_files(folder, manifest)
    return manifest


def _read_json(folder: Path) -> Any:
    def refuse(literal: str) -> None:
        raise ValueError(f"{literal} is no JSON")

    try:
        return json.loads((folder / MANIFEST).read_bytes().decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{MANIFEST} in {str(folder)!r} is not valid JSON: it is cut off or damaged ({error})."
        ) from error


def _check_format(folder: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise ModelFileError(
            f"{MANIFEST} in {str(folder)!r} was not written by llmrec: its format is not {_FORMAT!r}."
        )
    version = manifest.get("format_version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{MANIFEST} in {str(folder)!r} is damaged: its format_version is {version!r}.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{str(folder)!r} was written by llmrec {manifest.get('llmrec_version')} in format {version}; "
            f"llmrec {_library_version()} reads formats up to {FORMAT_VERSION}. "
            "Upgrade with: pip install -U llmrec"
        )


def _check_files(folder: Path, manifest: Manifest) -> None:
    def check() -> None:
        if not isinstance(manifest["llmrec_version"], str):
            raise ValueError("its llmrec_version is malformed")
        if manifest["tree"]["$component"]["class"] != manifest["class"]:
            raise ValueError("its class is not that of its tree")
        for name, entry in manifest["files"].items():
            if not is_data_name(name):
                raise ValueError(f"{name!r} is not the name of a data file")
            if type(entry["bytes"]) is not int or not isinstance(entry["sha256"], str):
                raise ValueError(f"the size or checksum of {name!r} is malformed")

    _well_formed(folder, check)


def _well_formed(folder: Path, read: Callable[[], Any]) -> Any:
    """Call ``read``; what it trips over is malformed content, which no save has written."""
    try:
        return read()
    except LLMRecError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise ModelFileError(
            f"the model in {str(folder)!r} is malformed ({type(error).__name__}: {error})."
        ) from error


def _load(folder: Path, manifest: Manifest, trust: Sequence[str], expect: type[Any] | None) -> Component:
    written_by = manifest["llmrec_version"]
    names = _well_formed(folder, lambda: class_names_in(manifest["tree"]))
    classes = resolve_classes(names, trust, written_by)
    if expect is not None and not issubclass(classes[manifest["class"]], expect):
        raise ModelFileError(f"{str(folder)!r} holds a {manifest['class']}, not a {expect.__name__}.")
    paths = [_checked_file(folder / name, entry) for name, entry in manifest["files"].items()]

    def read() -> Component:
        with open_tensors(paths) as tensor:
            decoder = ValueDecoder(tensor, classes, written_by)
            return decoder.component(manifest["tree"]["$component"])

    try:
        return _well_formed(folder, read)  # type: ignore[no-any-return]
    except FileNotFoundError as error:
        raise _MissingDataFileError(f"a data file of {str(folder)!r} disappeared: {error}.") from error


def _checked_file(path: Path, entry: dict[str, Any]) -> Path:
    advice = "Copy the folder again, or save the model again."
    try:
        size, digest = path.stat().st_size, file_digest(path)
    except FileNotFoundError as error:
        raise _MissingDataFileError(f"{str(path)!r} is missing from its model folder. {advice}") from error
    if size < entry["bytes"]:
        raise ModelFileError(
            f"{str(path)!r} is cut off: {size} of {entry['bytes']} bytes are there. {advice}"
        )
    if size > entry["bytes"] or digest != entry["sha256"]:
        raise ModelFileError(f"{str(path)!r} is damaged: its content does not match its checksum. {advice}")
    return path
