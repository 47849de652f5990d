"""The archives of GroupLens: their three layouts, read into the columns of a data set."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.descriptions import MOVIELENS_TERMS
from llmrec.datasets.folder import REQUIRED, dataset_of_tables
from llmrec.datasets.tables import choose_backend, read_columns
from llmrec.errors import DataError

__all__ = ["RELEASES", "read_archive"]

Rows = Iterator[list[str]]

_RATINGS = ["user", "item", "rating", "timestamp"]
_ITEMS = ["item", "title", "year", "genres", "text"]
_TAGS = ["user", "item", "tag", "timestamp"]
_YEAR = re.compile(r"\((\d{4})\)\s*$")


class _Archive:
    """The files of a zip by their bare names, wherever in it they lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} cannot be read as a zip file: {error}. Delete it to fetch it anew."
            ) from error
        self._members = {PurePosixPath(member).name: member for member in members if not member.endswith("/")}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def csv(self, name: str, header: str) -> Rows:
        """Yield the rows of a CSV file below its header, which must be the one given."""
        expected = header.split(",")
        rows = csv.reader(self._lines(name, "utf-8"))
        try:
            found = next(rows, [])
            if found != expected:
                raise DataError(
                    f"{self.source(name)} has the header {','.join(found)!r} instead of {header!r}."
                )
            for row in rows:
                if len(row) != len(expected):
                    where = f"{self.source(name)}, line {rows.line_num}"
                    raise DataError(f"{where}: {len(row)} fields instead of {len(expected)}.")
                yield row
        except csv.Error as error:
            raise DataError(f"{self.source(name)}, line {rows.line_num}: {error}.") from error

    def fields(
        self, name: str, delimiter: str, encoding: str, *, width: int, free: int | None = None
    ) -> Rows:
        """Yield the fields of each line; a field ``free`` may hold the delimiter itself."""
        for number, line in enumerate(self._lines(name, encoding), 1):
            fields = line.rstrip("\r\n").split(delimiter)
            surplus = len(fields) - width
            if fields == [""]:
                continue
            if surplus > 0 and free is not None:
                fields[free : free + surplus + 1] = [delimiter.join(fields[free : free + surplus + 1])]
            if len(fields) != width:
                raise DataError(
                    f"{self.source(name)}, line {number}: {len(fields)} fields instead of {width}."
                )
            yield fields

    def source(self, name: str) -> str:
        """Say in an error message where a file is."""
        return f"{name} in {self.path}"

    def _lines(self, name: str, encoding: str) -> Iterator[str]:
        if name not in self:
            raise DataError(f"{self.path} has no file {name}; it is no archive of this MovieLens release.")
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._members[name]) as raw:
                yield from io.TextIOWrapper(raw, encoding=encoding, newline="")
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.source(name)} is damaged: {error}. Delete the file to fetch it anew."
            ) from error


# For each table: the file it is read from, its header, and its rows.
_Tables = dict[str, tuple[str, list[str], Rows]]


def _read_100k(archive: _Archive) -> _Tables:
    genres = [name for name, _ in archive.fields("u.genre", "|", "latin-1", width=2)]
    flags_from = 5

    def items() -> Rows:
        width = flags_from + len(genres)
        for fields in archive.fields("u.item", "|", "latin-1", width=width):
            flagged = [genre for genre, flag in zip(genres, fields[flags_from:], strict=True) if flag == "1"]
            yield _item_row(fields[0], fields[1], [genre for genre in flagged if genre != "unknown"])

    return {
        "interactions": ("u.data", _RATINGS, archive.fields("u.data", "\t", "latin-1", width=4)),
        "items": ("u.item", _ITEMS, items()),
        "users": (
            "u.user",
            ["user", "age", "gender", "occupation", "zip_code"],
            archive.fields("u.user", "|", "latin-1", width=5),
        ),
    }


def _read_dat(archive: _Archive, encoding: str) -> _Tables:
    movies = archive.fields("movies.dat", "::", encoding, width=3, free=1)
    tables: _Tables = {
        "interactions": ("ratings.dat", _RATINGS, archive.fields("ratings.dat", "::", encoding, width=4)),
        "items": ("movies.dat", _ITEMS, _items_with_listed_genres(movies)),
    }
    if "users.dat" in archive:
        tables["users"] = (
            "users.dat",
            ["user", "gender", "age", "occupation", "zip_code"],
            archive.fields("users.dat", "::", encoding, width=5),
        )
    if "tags.dat" in archive:
        tables["tags"] = ("tags.dat", _TAGS, archive.fields("tags.dat", "::", encoding, width=4, free=2))
    return tables


def _read_1m(archive: _Archive) -> _Tables:
    return _read_dat(archive, "latin-1")


def _read_10m(archive: _Archive) -> _Tables:
    return _read_dat(archive, "utf-8")


def _read_csv(archive: _Archive) -> _Tables:
    movies = archive.csv("movies.csv", "movieId,title,genres")
    tables: _Tables = {
        "interactions": (
            "ratings.csv",
            _RATINGS,
            archive.csv("ratings.csv", "userId,movieId,rating,timestamp"),
        ),
        "items": ("movies.csv", _ITEMS, _items_with_listed_genres(movies)),
    }
    if "tags.csv" in archive:
        tables["tags"] = ("tags.csv", _TAGS, archive.csv("tags.csv", "userId,movieId,tag,timestamp"))
    return tables


RELEASES: dict[str, Callable[[_Archive], _Tables]] = {
    "ml-latest-small": _read_csv,
    "ml-100k": _read_100k,
    "ml-1m": _read_1m,
    "ml-10m": _read_10m,
    "ml-20m": _read_csv,
    "ml-25m": _read_csv,
    "ml-32m": _read_csv,
    "ml-latest": _read_csv,
}
"""The releases of MovieLens that can be read, and how."""


def read_archive(path: Path, name: str, *, backend: str | None) -> Dataset:
    """Read the release ``name`` from its zip file as GroupLens publishes it.

    Raises
    ------
    DataError
        If the file is no zip, is damaged, or is the archive of something else.
    """
    backend = choose_backend(backend)
    archive = _Archive(path)
    tables = RELEASES[name](archive)
    sources = {kind: archive.source(file) for kind, (file, _, _) in tables.items()}
    columns = {
        kind: read_columns(_headed(header, rows), sources[kind], REQUIRED[kind])
        for kind, (_, header, rows) in tables.items()
    }
    return dataset_of_tables(
        columns,
        name=name,
        description=f"MovieLens, release {name}, as GroupLens publishes it. Item text: title and genres.\n"
        f"{MOVIELENS_TERMS}",
        backend=backend,
        sources=sources,
    )


def _items_with_listed_genres(movies: Iterable[list[str]]) -> Rows:
    for item, title, listed in movies:
        genres = [] if listed == "(no genres listed)" else listed.split("|")
        yield _item_row(item, title, genres)


def _item_row(item: str, title: str, genres: Sequence[str]) -> list[str]:
    year = _YEAR.search(title)
    text = f"{title}. {', '.join(genres)}" if genres else title
    return [item, title, year[1] if year else "", "|".join(genres), text]


def _headed(header: list[str], rows: Rows) -> Rows:
    yield header
    yield from rows
