"""Data sets in a local folder: one subfolder each, of gzip-compressed CSV files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llmrec.datasets.dataset import Dataset, LazyFrames
from llmrec.datasets.descriptions import describe
from llmrec.datasets.tables import (
    CodedIds,
    Columns,
    are_integers,
    build_frame,
    choose_backend,
    csv_rows,
    decode_ids,
    read_columns,
)
from llmrec.errors import DataError, UnknownNameError, nearest

__all__ = [
    "REQUIRED",
    "available_datasets",
    "data_folder",
    "dataset_of_tables",
    "load_dataset",
    "read_folder",
]

_SUFFIX = ".csv.gz"

REQUIRED = {
    "interactions": ("user", "item"),
    "items": ("item", "title", "text"),
    "users": ("user",),
    "tags": ("user", "item", "tag"),
}
"""The files that have a meaning of their own, and the columns that each must have."""


def load_dataset(
    name: str, *, folder: str | os.PathLike[str] | None = None, backend: str | None = None
) -> Dataset:
    r"""Load a data set of a local folder by its name.

    Choose it for data that you hold yourself: benchmark sets that may not be redistributed, or your own
    events in the same layout. :func:`load_movietweetings` needs no folder, and :func:`load_movielens` can
    download.

    A data set is a subfolder of gzip-compressed CSV files in UTF-8, each with a header row::

        NAME/interactions.csv.gz    user,item[,rating][,timestamp][,position]
        NAME/items.csv.gz           item,title,text,...
        NAME/users.csv.gz           user,...              if there are any
        NAME/tags.csv.gz            user,item,tag,...     if there are any
        NAME/train.csv.gz ...       further files, which become ``splits``

    Parameters
    ----------
    name : str
        The subfolder, such as "ml-100k", "citeulike-a" or "gowalla".
    folder : path, optional
        The folder of all data sets; the environment variable ``LLMREC_DATA`` if not given.
    backend : {"pandas", "polars", "pyarrow"}, optional
        Kind of the frames; the first of these that is installed if not given.

    Returns
    -------
    Dataset
        A million interactions take about two seconds to read.

    Raises
    ------
    UnknownNameError
        If the folder has no such data set; the message lists those it has.
    DataError
        If there is no folder, a file is missing or damaged, or a row cannot be read.
    MissingColumnError
        If a file lacks a column that it must have.
    MissingExtraError
        If the backend is not installed.

    Examples
    --------
    >>> import gzip, tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "tea-shop").mkdir()
    >>> for file, text in {
    ...     "interactions": "user,item,timestamp\nann,1,60\nbob,2,70\n",
    ...     "items": "item,title,text\n1,Sencha,green tea\n2,Assam,black tea\n",
    ... }.items():
    ...     with gzip.open(folder / "tea-shop" / f"{file}.csv.gz", "wt") as target:
    ...         _ = target.write(text)
    >>> load_dataset("tea-shop", folder=folder)
    Dataset('tea-shop': 2 interactions, 2 users, 2 items)
    """
    root = data_folder(folder)
    subfolders = [path.name for path in root.iterdir() if path.is_dir()]
    if name not in subfolders:
        there = available_datasets(root)
        listed = ", ".join(repr(known) for known in there) or "none"
        raise UnknownNameError(f"no data set {name!r} in {root}; there: {listed}.{nearest(name, there)}")
    return read_folder(root / name, name=name, description=describe(name), backend=backend)


def available_datasets(folder: str | os.PathLike[str] | None = None) -> list[str]:
    """List the names that :func:`load_dataset` knows: the subfolders that hold ``interactions.csv.gz``.

    Parameters
    ----------
    folder : path, optional
        The folder of all data sets; the environment variable ``LLMREC_DATA`` if not given.

    Raises
    ------
    DataError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> available_datasets(tempfile.mkdtemp())
    []
    """
    root = data_folder(folder)
    return sorted(path.parent.name for path in root.glob(f"*/interactions{_SUFFIX}"))


def data_folder(folder: str | os.PathLike[str] | None) -> Path:
    """Return the folder of all data sets: ``folder``, or the one that ``LLMREC_DATA`` names.

    Raises
    ------
    DataError
        If neither is given, or it is no folder.
    """
    given = folder if folder is not None else os.environ.get("LLMREC_DATA")
    if not given:
        raise DataError(
            "there is no data folder; set the environment variable LLMREC_DATA to the folder that has one "
            "subfolder a data set, or pass folder=..."
        )
    path = Path(given).expanduser()
    if not path.is_dir():
        origin = "LLMREC_DATA" if folder is None else "folder"
        raise DataError(
            f"{origin} is {str(path)!r}, which is no folder; set LLMREC_DATA, or pass folder=..., to the "
            "folder that has one subfolder a data set."
        )
    return path


def read_folder(path: Path, *, name: str, description: str, backend: str | None) -> Dataset:
    """Read the data set whose files are in ``path``."""
    backend = choose_backend(backend)
    files = {file.name.removesuffix(_SUFFIX): file for file in sorted(path.glob(f"*{_SUFFIX}"))}
    for needed in ("interactions", "items"):
        files.setdefault(needed, path / f"{needed}{_SUFFIX}")
    tables = {
        kind: read_columns(csv_rows(files[kind]), str(files[kind]), required)
        for kind, required in REQUIRED.items()
        if kind in files
    }
    further = {kind: file for kind, file in files.items() if kind not in REQUIRED}
    return dataset_of_tables(
        tables,
        name=name,
        description=description,
        backend=backend,
        sources={kind: str(file) for kind, file in files.items()},
        further=further,
    )


def dataset_of_tables(
    tables: Mapping[str, Columns],
    *,
    name: str,
    description: str,
    backend: str,
    sources: Mapping[str, str],
    further: Mapping[str, Path] | None = None,
) -> Dataset:
    """Build a data set of the columns read: ids of one type in all frames, further files read lazily."""
    integers = {role: are_integers(_id_columns(tables.values(), role)) for role in ("user", "item")}
    frames = {
        kind: build_frame(_decoded(columns, integers, sources[kind]), backend)
        for kind, columns in tables.items()
    }
    splits = {split: partial(_read_split, file, integers, backend) for split, file in (further or {}).items()}
    return Dataset(
        name=name,
        interactions=frames["interactions"],
        items=frames["items"],
        users=frames.get("users"),
        tags=frames.get("tags"),
        splits=LazyFrames(splits),
        description=description,
    )


def _read_split(file: Path, integers: Mapping[str, bool], backend: str) -> Any:
    columns = read_columns(csv_rows(file), str(file))
    return build_frame(_decoded(columns, integers, str(file)), backend)


def _id_columns(tables: Iterable[Columns], role: str) -> list[CodedIds]:
    columns = [columns.get(role) for columns in tables]
    return [column for column in columns if isinstance(column, CodedIds)]


def _decoded(columns: Columns, integers: Mapping[str, bool], source: str) -> dict[str, Any]:
    return {
        name: decode_ids(column, integers[name], source) if isinstance(column, CodedIds) else column
        for name, column in columns.items()
    }
