"""Made-up data folders and archives for the tests of the data sets."""

import gzip
import os
import zipfile
from pathlib import Path

import pytest

SHOP = {
    "interactions": "user,item,rating,timestamp\n1,10,4,60\n1,20,2.5,70\n2,10,5,80\n",
    "items": 'item,title,text,year\n10,Sencha,"green, from Shizuoka",2020\n20,Assam,,\n30,煎茶,绿茶,\n',
    "users": "user,age\n1,30\n2,\n",
    "tags": "user,item,tag\n2,10,NA\n",
    "train": "user,item\n1,10\n2,10\n",
    "test": "user,item\n1,20\n",
    "cold_items": "item\n30\n",
}


def write_dataset(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path_factory):
    """Keep the tests off the user's data and cache; return the data folder that was set, if any."""
    folder = os.environ.get("LLMREC_DATA")
    monkeypatch.delenv("LLMREC_DATA", raising=False)
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path_factory.mktemp("cache")))
    return folder


@pytest.fixture
def real_data(own_environment):
    if not own_environment:
        pytest.skip("LLMREC_DATA is not set: no real data sets to read")
    return Path(own_environment)


@pytest.fixture
def shop(tmp_path):
    """A data folder with one made-up data set, 'tea-shop'."""
    write_dataset(tmp_path / "tea-shop", SHOP)
    return tmp_path
