"""Fetching a zip file once: whole or not at all, and checked."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from pathlib import Path

from llmrec.errors import DataError

__all__ = ["cache_folder", "fetch_zip"]


def cache_folder() -> Path:
    """Return ``LLMREC_CACHE``, or the folder ``llmrec`` in the user's cache folder."""
    chosen = os.environ.get("LLMREC_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "llmrec"


def fetch_zip(url: str, target: Path, *, timeout: float = 30.0) -> None:
    """Download a zip file to ``target``, which holds all of it or does not exist.

    The bytes go to a temporary file beside it, which takes the name only after its size and the checksums
    of the zip have been checked; any number of processes may fetch the same file at once.

    Parameters
    ----------
    url : str
    target : Path
        Its folder is made if it is missing.
    timeout : float, default 30
        Seconds that the server may keep silent.

    Raises
    ------
    OSError
        If the server cannot be reached, refuses, or falls silent, or the file cannot be written.
    DataError
        If what came is incomplete or no sound zip file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.", suffix=".part")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            request = urllib.request.Request(url, headers={"User-Agent": "llmrec"})
            with urllib.request.urlopen(request, timeout=timeout) as response:
                announced = response.headers.get("Content-Length")
                shutil.copyfileobj(response, file, 1 << 20)
        _check_zip(partial, url, None if announced is None else int(announced))
        partial.replace(target)
    except http.client.HTTPException as error:
        raise DataError(f"the download of {url} broke off: {error!r}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _check_zip(path: Path, url: str, announced: int | None) -> None:
    size = path.stat().st_size
    if announced is not None and size != announced:
        raise DataError(f"{url} gave {size:,} of {announced:,} bytes; try again.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{url} gave {size:,} bytes that are no sound zip file: {error}.") from error
    if damaged is not None:
        raise DataError(f"{url} gave a zip file in which {damaged!r} is damaged; try again.")
