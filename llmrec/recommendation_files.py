"""Recommendations on their way to a file: batch after batch, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from llmrec.errors import MissingExtraError, ParameterError, nearest
from llmrec.recommendations import RecommendationBatch

__all__ = ["check_path", "write_batches"]

_COLUMNS = ("user", "item", "score", "rank")


def check_path(path: Any) -> Path:
    """Return the path of a file that can be written: a known suffix, in a folder that is there.

    Raises
    ------
    ParameterError
        If the suffix is none of ours, the folder is missing, or the path is a folder.
    MissingExtraError
        If the format needs a package that is not installed.
    """
    try:
        file = Path(path)
    except TypeError as error:
        raise ParameterError(f"path must be the path of a file, got {path!r}.") from error
    if file.suffix not in _WRITERS:
        listed = ", ".join(_WRITERS)
        raise ParameterError(
            f"path must end in one of {listed}; got {file.name!r}.{nearest(file.suffix, _WRITERS)}"
        )
    if file.is_dir() or not file.parent.is_dir():
        wrong = "is a folder" if file.is_dir() else "lies in a folder that does not exist"
        raise ParameterError(f"path must be that of a file to write; {str(file)!r} {wrong}.")
    _WRITERS[file.suffix].check_installed()
    return file


def write_batches(batches: Iterable[RecommendationBatch], path: Path) -> Path:
    """Write user, item, score and rank, a row an item; what stood at ``path`` stays until all is written."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with contextlib.closing(_WRITERS[path.suffix](aside)) as writer:
            for batch in batches:
                writer.write(batch)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return path


def _rows(batch: RecommendationBatch) -> Iterable[tuple[Any, Any, float, int]]:
    for answer in batch:
        for rank, (item, score) in enumerate(answer, start=1):
            yield answer.user, item, score, rank


class _Writer(ABC):
    """A file that takes batches."""

    @abstractmethod
    def __init__(self, path: Path): ...

    @classmethod
    def check_installed(cls) -> None:
        """Raise where the format's package is missing; most need none."""
        return

    @abstractmethod
    def write(self, batch: RecommendationBatch) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class _CsvWriter(_Writer):
    def __init__(self, path: Path):
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(_COLUMNS)

    def write(self, batch: RecommendationBatch) -> None:
        self._writer.writerows(_rows(batch))

    def close(self) -> None:
        self._file.close()


class _JsonLinesWriter(_Writer):
    def __init__(self, path: Path):
        self._file = path.open("w", encoding="utf-8")

    def write(self, batch: RecommendationBatch) -> None:
        for row in _rows(batch):
            line = dict(zip(_COLUMNS, row, strict=True))
            self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

    def close(self) -> None:
        self._file.close()


class _ParquetWriter(_Writer):
    def __init__(self, path: Path):
        self._path = path
        self._writer: Any = None

    @classmethod
    def check_installed(cls) -> None:
        if importlib.util.find_spec("pyarrow") is None:
            raise MissingExtraError("a .parquet file needs pyarrow; install it with: pip install pyarrow")

    def write(self, batch: RecommendationBatch) -> None:
        parquet = importlib.import_module("pyarrow.parquet")

        table = batch.to_frame("pyarrow")
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        if self._writer is None:
            self.write(RecommendationBatch(()))
        self._writer.close()


_WRITERS: dict[str, type[_Writer]] = {
    ".csv": _CsvWriter,
    ".jsonl": _JsonLinesWriter,
    ".parquet": _ParquetWriter,
}
