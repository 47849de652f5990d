"""Make the MovieTweetings sample that the package bundles, from the full 100K snapshot.

Run it with the data folder that holds ``movietweetings/``::

    LLMREC_DATA=... python benchmarks/make_movietweetings_sample.py [OUTPUT_FOLDER]

The sample is the 5-core of the snapshot without the movies of genre ``Adult``. Rows keep their order and
their text, and the gzip headers carry neither time nor file name, so a second run writes the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

BUNDLE = Path(__file__).resolve().parents[1] / "llmrec" / "datasets" / "movietweetings"
CORE = 5
Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[Row]) -> None:
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    # gzip.compress would write a header that depends on the version of Python.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as packed,
    ):
        packed.write(lines.getvalue().encode("utf-8"))


def k_core(ratings: list[Row], k: int) -> list[Row]:
    """Drop users and items with fewer than ``k`` ratings, until none is left to drop."""
    while True:
        by_user = Counter(row["user"] for row in ratings)
        by_item = Counter(row["item"] for row in ratings)
        kept = [row for row in ratings if by_user[row["user"]] >= k and by_item[row["item"]] >= k]
        if len(kept) == len(ratings):
            return kept
        ratings = kept


def make_sample(source: Path, output: Path) -> tuple[list[Row], list[Row]]:
    """Write the sample of the snapshot in ``source`` to ``output``; return its ratings and its movies."""
    movies = [row for row in read_rows(source / "items.csv.gz") if "Adult" not in row["genres"].split("|")]
    allowed = {row["item"] for row in movies}
    ratings = [row for row in read_rows(source / "interactions.csv.gz") if row["item"] in allowed]
    ratings = k_core(ratings, CORE)
    rated = {row["item"] for row in ratings}
    movies = [row for row in movies if row["item"] in rated]
    output.mkdir(parents=True, exist_ok=True)
    write_rows(output / "interactions.csv.gz", ratings)
    write_rows(output / "items.csv.gz", movies)
    shutil.copyfile(source / "LICENSE", output / "LICENSE")
    return ratings, movies


def main() -> None:
    folder = os.environ.get("LLMREC_DATA")
    if not folder:
        sys.exit("Set LLMREC_DATA to the folder that holds movietweetings/.")
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLE
    ratings, movies = make_sample(Path(folder) / "movietweetings", output)
    users = {row["user"] for row in ratings}
    size = sum(path.stat().st_size for path in output.iterdir())
    print(
        f"{len(users):,} users, {len(movies):,} movies, {len(ratings):,} ratings; {size:,} bytes in {output}"
    )


if __name__ == "__main__":
    main()
