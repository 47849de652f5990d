"""MovieLens: GroupLens' layouts, where a release is looked for, and downloads that fail."""

import http.server
import io
import threading
import zipfile

import narwhals.stable.v1 as nw
import pytest

from llmrec.datasets import load_movielens, movielens
from llmrec.datasets.download import cache_folder, fetch_zip
from llmrec.datasets.grouplens import read_archive
from llmrec.errors import DataError, UnknownNameError
from tests.datasets.conftest import SHOP, write_dataset, write_zip

SMALL = {
    "ml-latest-small/ratings.csv": b"userId,movieId,rating,timestamp\n1,1,4.0,964982703\n2,3,0.5,964981247\n",
    "ml-latest-small/movies.csv": (
        "movieId,title,genres\n1,Toy Story (1995),Adventure|Animation\n"
        '3,"American President, The (1995)",Drama\n'
        "4,Café 2000,(no genres listed)\n"
    ).encode(),
    "ml-latest-small/tags.csv": b"userId,movieId,tag,timestamp\n2,3,funny,1445714994\n",
    "ml-latest-small/README.txt": b"terms",
}

GENRES = ["unknown", "Action", "Drama"]
OLD = {
    "ml-100k/u.data": b"196\t242\t3\t881250949\n186\t2\t5\t891717742\n",
    "ml-100k/u.genre": "".join(f"{name}|{i}\n" for i, name in enumerate(GENRES)).encode() + b"\n",
    "ml-100k/u.item": (
        "2|Les Misérables (1995)|01-Jan-1995||http://example.org|0|1|1\n242|unknown||||1|0|0\n"
    ).encode("latin-1"),
    "ml-100k/u.user": b"186|24|M|technician|85711\n196|53|F|other|0943X\n",
}

ONE_M = {
    "ml-1m/ratings.dat": b"1::1193::5::978300760\n2::661::3::978302109\n",
    "ml-1m/movies.dat": "661::Misérables, Les (1995)::Drama|Musical\n1193::A::B (1975)::Drama\n".encode(
        "latin-1"
    ),
    "ml-1m/users.dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
}

TEN_M = {
    "ml-10M100K/ratings.dat": b"1::122::5::838985046\n2::122::3.5::838983525\n",
    "ml-10M100K/movies.dat": "122::Café (1992)::Comedy|Romance\n".encode(),
    "ml-10M100K/tags.dat": b"2::122::a::b::1215184630\n",
}


def columns(frame):
    return nw.from_native(frame, eager_only=True).to_dict(as_series=False)


def test_latest_small(tmp_path):
    dataset = read_archive(write_zip(tmp_path / "a.zip", SMALL), "ml-latest-small", backend=None)
    assert columns(dataset.interactions) == {
        "user": [1, 2],
        "item": [1, 3],
        "rating": [4.0, 0.5],
        "timestamp": [964982703, 964981247],
    }
    assert columns(dataset.items) == {
        "item": [1, 3, 4],
        "title": ["Toy Story (1995)", "American President, The (1995)", "Café 2000"],
        "year": ["1995", "1995", ""],
        "genres": ["Adventure|Animation", "Drama", ""],
        "text": [
            "Toy Story (1995). Adventure, Animation",
            "American President, The (1995). Drama",
            "Café 2000",
        ],
    }
    assert columns(dataset.tags) == {"user": [2], "item": [3], "tag": ["funny"], "timestamp": [1445714994]}
    assert dataset.users is None
    assert "research use" in dataset.description


def test_100k(tmp_path):
    dataset = read_archive(write_zip(tmp_path / "a.zip", OLD), "ml-100k", backend=None)
    assert columns(dataset.interactions)["rating"] == [3.0, 5.0]
    assert columns(dataset.items) == {
        "item": [2, 242],
        "title": ["Les Misérables (1995)", "unknown"],
        "year": ["1995", ""],
        "genres": ["Action|Drama", ""],
        "text": ["Les Misérables (1995). Action, Drama", "unknown"],
    }
    assert columns(dataset.users) == {
        "user": [186, 196],
        "age": ["24", "53"],
        "gender": ["M", "F"],
        "occupation": ["technician", "other"],
        "zip_code": ["85711", "0943X"],
    }


def test_1m(tmp_path):
    dataset = read_archive(write_zip(tmp_path / "a.zip", ONE_M), "ml-1m", backend=None)
    assert columns(dataset.interactions)["timestamp"] == [978300760, 978302109]
    assert columns(dataset.items)["title"] == ["Misérables, Les (1995)", "A::B (1975)"]
    assert columns(dataset.users)["gender"] == ["F", "M"]
    assert columns(dataset.users)["age"] == ["1", "56"]


def test_10m(tmp_path):
    dataset = read_archive(write_zip(tmp_path / "a.zip", TEN_M), "ml-10m", backend=None)
    assert columns(dataset.interactions)["rating"] == [5.0, 3.5]
    assert columns(dataset.items)["title"] == ["Café (1992)"]
    assert columns(dataset.tags)["tag"] == ["a::b"]


@pytest.mark.parametrize(
    ("name", "files", "change", "message"),
    [
        (
            "ml-1m",
            ONE_M,
            {"ml-1m/ratings.dat": b"1::1193::5\n"},
            r"ratings\.dat in .*, line 1: 3 fields instead of 4",
        ),
        ("ml-1m", ONE_M, {"ml-1m/ratings.dat": b"1::1193::5::x\n"}, r"ratings\.dat in .*'timestamp'"),
        (
            "ml-100k",
            OLD,
            {"ml-100k/u.item": b"2|Short|||x|1\n"},
            r"u\.item in .*, line 1: 6 fields instead of 8",
        ),
        ("ml-10m", TEN_M, {"ml-10M100K/movies.dat": b"1::Caf\xe9::Drama\n"}, r"movies\.dat in .* is damaged"),
        (
            "ml-latest-small",
            SMALL,
            {"ml-latest-small/movies.csv": b"movieId,title\n1,A\n"},
            r"'movieId,title' instead",
        ),
        (
            "ml-latest-small",
            SMALL,
            {"ml-latest-small/movies.csv": b"movieId,title,genres\n1,A\n"},
            "line 2: 2 fields",
        ),
        ("ml-20m", OLD, {}, r"has no file ratings\.csv"),
    ],
)
def test_archive_of_something_else_is_named(tmp_path, name, files, change, message):
    path = write_zip(tmp_path / "a.zip", {**files, **change})
    with pytest.raises(DataError, match=message):
        read_archive(path, name, backend=None)


def test_damaged_archive_is_named(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"a\.zip cannot be read as a zip file"):
        read_archive(path, "ml-1m", backend=None)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ONE_M.items():
            archive.writestr(name, content)
    path.write_bytes(path.read_bytes().replace(b"1::1193::5::978300760", b"1::1193::4::978300760"))
    with pytest.raises(DataError, match=r"ratings\.dat in .* is damaged"):
        read_archive(path, "ml-1m", backend=None)


class Server:
    """A local stand-in for GroupLens: answers every path with ``body``."""

    def __init__(self):
        self.body = b""
        self.status = 200
        self.announced = None
        self.paths = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.paths.append(self.path)
                self.send_response(outer.status)
                self.send_header("Content-Length", str(outer.announced or len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    monkeypatch.setattr(movielens, "_BASE_URL", running.url)
    yield running
    running.server.shutdown()
    running.server.server_close()


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def cached():
    return sorted(path.name for path in (cache_folder() / "datasets").iterdir())


def test_download_happens_once(server):
    server.body = packed(SMALL)
    first = load_movielens()
    second = load_movielens(download=False)
    assert server.paths == ["/ml-latest-small.zip"]
    assert columns(first.items) == columns(second.items)
    assert cached() == ["ml-latest-small.zip"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": 404}, "HTTP Error 404"),
        ({"body": b"<html>log in</html>"}, "no sound zip file"),
        ({"body": packed(ONE_M)[:-40]}, "no sound zip file"),
        ({"body": packed(ONE_M), "announced": 10_000_000}, "of 10,000,000 bytes"),
        ({"body": b""}, "no sound zip file"),
    ],
    ids=["refused", "page", "cut", "broken off", "empty"],
)
def test_failed_download_leaves_nothing_and_says_what_to_do(server, answer, message):
    for name, value in answer.items():
        setattr(server, name, value)
    with pytest.raises(
        DataError, match=rf"ml-1m could not be downloaded.*{message}.*LLMREC_DATA.*folder="
    ) as caught:
        load_movielens("ml-1m")
    assert f"{server.url}ml-1m.zip" in str(caught.value)
    assert cached() == []


def test_damage_inside_the_zip_is_found_before_it_is_kept(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("ratings.dat", b"1::1193::5::978300760")
    server.body = buffer.getvalue().replace(b"1::1193::5", b"1::1193::4")
    with pytest.raises(DataError, match=r"'ratings\.dat' is damaged"):
        fetch_zip(server.url + "ml-1m.zip", tmp_path / "ml-1m.zip")
    assert list(tmp_path.iterdir()) == []


def test_no_network(server):
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(DataError, match=r"could not be downloaded.*LLMREC_DATA"):
        load_movielens("ml-100k")


def test_silent_server_times_out(tmp_path, monkeypatch):
    import socket

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match="timed out"):
        fetch_zip(f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip", tmp_path / "a.zip", timeout=0.05)
    assert list(tmp_path.iterdir()) == []


def test_local_folder_comes_first(server, tmp_path, monkeypatch):
    write_dataset(tmp_path / "ml-100k", SHOP)
    write_zip(tmp_path / "ml-1m.zip", ONE_M)
    monkeypatch.setenv("LLMREC_DATA", str(tmp_path))
    assert columns(load_movielens("ml-100k").items)["title"][0] == "Sencha"
    assert len(load_movielens("ml-1m", folder=tmp_path).interactions) == 2
    assert server.paths == []


def test_folder_of_the_environment_without_the_release_does_not_stop_the_download(
    server, tmp_path, monkeypatch
):
    monkeypatch.setenv("LLMREC_DATA", str(tmp_path))
    server.body = packed(ONE_M)
    assert len(load_movielens("ml-1m").interactions) == 2


def test_a_folder_given_is_the_only_place(server, tmp_path):
    with pytest.raises(DataError, match=r"neither ml-1m/interactions\.csv\.gz nor ml-1m\.zip"):
        load_movielens("ml-1m", folder=tmp_path)
    assert server.paths == []


def test_download_off(server):
    with pytest.raises(DataError, match=r"download is off.*LLMREC_DATA"):
        load_movielens("ml-1m", download=False)
    assert server.paths == []


def test_unknown_release_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'ml-100k'\?"):
        load_movielens("ml-100K")


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "{base}/llmrec"),
        ("win32", "LOCALAPPDATA", "{base}/llmrec"),
        ("linux", None, "{base}/.cache/llmrec"),
        ("darwin", None, "{base}/Library/Caches/llmrec"),
    ],
)
def test_cache_folder_is_that_of_the_system(monkeypatch, tmp_path, platform, variable, expected):
    for name in ("LLMREC_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    assert cache_folder().as_posix() == expected.format(base=tmp_path.as_posix())
