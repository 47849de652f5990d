"""Files of a model folder: written aside, flushed to the disk, renamed into place, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, BinaryIO
from uuid import uuid4

from llmrec.errors import LLMRecWarning, ModelFileError

__all__ = ["MANIFEST", "check_unclaimed", "create_folder", "is_data_name", "locked", "place_file", "sweep"]

MANIFEST = "model.json"
_LOCK = ".llmrec-lock"
_DATA_NAME = re.compile(r"arrays-[0-9a-f]{16}\.safetensors")
_TEMPORARY_NAME = re.compile(r"\.llmrec-[0-9a-f]{32}\.tmp")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def is_data_name(name: str) -> bool:
    """Say whether a name is one that saving gives to a data file; it holds no path."""
    return _DATA_NAME.fullmatch(name) is not None


def check_unclaimed(folder: Path) -> None:
    """Refuse a path that holds something else than a model, before anything is written there.

    What an interrupted save left behind is no obstacle.
    """
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise ModelFileError(
                f"{str(folder)!r} is a file; a model needs a folder. Choose an empty or new folder."
            )
        return
    names = {path.name for path in folder.iterdir()}
    foreign = sorted(name for name in names if not _is_our_name(name))
    if foreign and MANIFEST not in names:
        raise ModelFileError(
            f"{str(folder)!r} holds other files ({foreign[0]!r}) and no model; choose an empty or new folder."
        )


def _is_our_name(name: str) -> bool:
    return name == _LOCK or is_data_name(name) or _TEMPORARY_NAME.fullmatch(name) is not None


def create_folder(folder: Path) -> None:
    """Create a folder and its parents, and make the disk remember them."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for created in missing:
        _sync_folder(created.parent)


def place_file(folder: Path, write: Callable[[BinaryIO], str]) -> None:
    """Write a file aside and rename it into place: at any moment the old file or the new one is there, whole.

    Parameters
    ----------
    folder : Path
    write : callable
        Writes to a binary stream and returns the file's name, which may depend on the content.
    """
    temporary = folder / f".llmrec-{uuid4().hex}.tmp"
    try:
        with temporary.open("xb") as stream:
            name = write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(folder)


def sweep(folder: Path, keep: Collection[str]) -> None:
    """Delete data files that no manifest names any more, and what interrupted saves left.

    Only under the lock: without it, they may belong to a save that is going on.
    """
    for path in list(folder.iterdir()):
        if path.name != _LOCK and path.name not in keep and _is_our_name(path.name):
            # The model is saved by now: a file that a reader holds open (on Windows) waits for the next save.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Wait until no other save works in this folder; yield whether that can be known.

    The lock is advisory and the system frees it when a process dies. Some network file systems have none:
    then a warning says so and the save goes on, atomic but without deleting anything.
    """
    with (folder / _LOCK).open("ab") as stream:
        is_held = _is_acquired(stream)
        if not is_held:
            warnings.warn(
                f"the file system of {str(folder)!r} has no locks: do not save there twice at the same time, "
                "and expect old data files to stay.",
                LLMRecWarning,
                stacklevel=4,
            )
        yield is_held  # closing the file frees the lock


def _is_acquired(stream: IO[bytes]) -> bool:
    try:
        _acquire(stream)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


if sys.platform == "win32":

    def _acquire(stream: IO[bytes]) -> None:
        import msvcrt

        while True:
            try:
                msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
            except OSError as error:
                # It gives up after ten seconds; a save may take longer.
                if error.errno != errno.EDEADLOCK:
                    raise
            else:
                return

    def _sync_folder(folder: Path) -> None:
        """Do nothing: Windows cannot flush a folder."""

else:

    def _acquire(stream: IO[bytes]) -> None:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX)

    def _sync_folder(folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
