"""The bundled sample: what it must hold, what it must not, and that its script makes it."""

import gzip
import importlib.util
from collections import Counter
from pathlib import Path

import narwhals.stable.v1 as nw
import pytest

import llmrec
from llmrec.datasets import load_movietweetings

PACKAGE = Path(llmrec.__file__).parent
BUNDLE = PACKAGE / "datasets" / "movietweetings"
SCRIPT = PACKAGE.parent / "benchmarks" / "make_movietweetings_sample.py"


@pytest.fixture(scope="module")
def sample():
    return load_movietweetings()


def test_counts_are_those_of_the_citation(sample):
    interactions = nw.from_native(sample.interactions, eager_only=True)
    n_users = interactions["user"].n_unique()
    told = " ".join(sample.description.split())
    assert f"{n_users:,} users, {len(sample.items):,} movies and {len(interactions):,} ratings" in told
    assert (n_users, len(sample.items), len(interactions)) == (4333, 2414, 68_055)


def test_every_user_and_item_has_five_ratings(sample):
    interactions = nw.from_native(sample.interactions, eager_only=True)
    assert min(Counter(interactions["user"].to_list()).values()) == 5
    per_item = Counter(interactions["item"].to_list())
    assert min(per_item.values()) == 5
    assert set(per_item) == set(nw.from_native(sample.items, eager_only=True)["item"].to_list())


def test_items(sample):
    items = nw.from_native(sample.items, eager_only=True)
    assert all(len(item) == 7 and item.isdigit() for item in items["item"].to_list())
    assert items["item"].n_unique() == len(items)
    assert not any("Adult" in genres.split("|") for genres in items["genres"].to_list())
    for title, year, genres, text in items.select("title", "year", "genres", "text").iter_rows():
        listed = genres.replace("|", ", ")
        assert text == (f"{title} ({year}). {listed}" if genres else f"{title} ({year})")


def test_ratings_and_times(sample):
    interactions = nw.from_native(sample.interactions, eager_only=True)
    assert interactions.schema["rating"] == nw.Float64()
    assert (interactions["rating"].min(), interactions["rating"].max()) == (0.0, 10.0)
    assert interactions["timestamp"].is_sorted()
    assert not interactions.select("user", "item").is_duplicated().any()


def test_terms_come_along(sample):
    assert "MIT, Copyright (c) 2013 Simon Dooms" in sample.description
    assert "CrowdRec" in sample.description
    assert "Permission is hereby granted" in (BUNDLE / "LICENSE").read_text()


def test_it_is_small_and_only_data():
    files = sorted(path.name for path in BUNDLE.iterdir())
    assert files == ["CITATION", "LICENSE", "interactions.csv.gz", "items.csv.gz"]
    assert sum(path.stat().st_size for path in BUNDLE.iterdir()) < 1_000_000


@pytest.mark.parametrize("name", ["interactions.csv.gz", "items.csv.gz"])
def test_gzip_header_has_no_time_and_no_name(name):
    flags, time = (BUNDLE / name).read_bytes()[3], (BUNDLE / name).read_bytes()[4:8]
    assert (flags, time) == (0, bytes(4))


def test_the_script_makes_the_bundle(real_data, tmp_path):
    if not SCRIPT.exists():
        pytest.skip("benchmarks/ is not part of this distribution")
    if not (real_data / "movietweetings").is_dir():
        pytest.skip("movietweetings is not in LLMREC_DATA")
    spec = importlib.util.spec_from_file_location("make_movietweetings_sample", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_sample(real_data / "movietweetings", tmp_path)
    for name in ("interactions.csv.gz", "items.csv.gz"):
        # Another zlib may pack the same content into other bytes.
        assert gzip.decompress((tmp_path / name).read_bytes()) == gzip.decompress(
            (BUNDLE / name).read_bytes()
        )
