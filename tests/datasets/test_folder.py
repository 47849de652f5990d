"""Data sets of a local folder: what is read, what is missing, what is damaged."""

import gzip
import pickle

import narwhals.stable.v1 as nw
import pytest

from llmrec.datasets import available_datasets, load_dataset
from llmrec.errors import DataError, MissingColumnError, UnknownNameError
from tests.datasets.conftest import SHOP, write_dataset


def columns(frame):
    return nw.from_native(frame, eager_only=True).to_dict(as_series=False)


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_every_file_is_read(shop, backend):
    pytest.importorskip(backend)
    dataset = load_dataset("tea-shop", folder=shop, backend=backend)
    assert type(dataset.items).__module__.split(".")[0] == backend
    assert columns(dataset.interactions) == {
        "user": [1, 1, 2],
        "item": [10, 20, 10],
        "rating": [4.0, 2.5, 5.0],
        "timestamp": [60, 70, 80],
    }
    assert columns(dataset.items) == {
        "item": [10, 20, 30],
        "title": ["Sencha", "Assam", "煎茶"],
        "text": ["green, from Shizuoka", "", "绿茶"],
        "year": ["2020", "", ""],
    }
    assert columns(dataset.users) == {"user": [1, 2], "age": ["30", ""]}
    assert columns(dataset.tags) == {"user": [2], "item": [10], "tag": ["NA"]}
    assert sorted(dataset.splits) == ["cold_items", "test", "train"]
    assert columns(dataset.splits["train"]) == {"user": [1, 2], "item": [10, 10]}
    assert columns(dataset.splits["cold_items"]) == {"item": [30]}


def test_folder_of_the_environment(shop, monkeypatch):
    monkeypatch.setenv("LLMREC_DATA", str(shop))
    assert available_datasets() == ["tea-shop"]
    assert load_dataset("tea-shop").name == "tea-shop"


def test_no_users_no_tags_no_splits(tmp_path):
    write_dataset(tmp_path / "bare", {name: SHOP[name] for name in ("interactions", "items")})
    dataset = load_dataset("bare", folder=tmp_path)
    assert dataset.users is None
    assert dataset.tags is None
    assert len(dataset.splits) == 0


def test_ids_have_one_type_in_all_frames(shop):
    # One film of the catalogue has leading zeros, none of those rated has.
    write_dataset(shop / "tea-shop", {"items": "item,title,text\n10,a,b\n20,a,b\n0030,a,b\n"})
    dataset = load_dataset("tea-shop", folder=shop)
    assert columns(dataset.interactions)["item"] == ["10", "20", "10"]
    assert columns(dataset.items)["item"] == ["10", "20", "0030"]
    assert columns(dataset.splits["test"]) == {"user": [1], "item": ["20"]}
    assert columns(dataset.tags)["item"] == ["10"]


def test_a_split_is_read_when_asked_for_and_once(shop):
    (shop / "tea-shop" / "test.csv.gz").write_bytes(b"no gzip")
    dataset = load_dataset("tea-shop", folder=shop)
    assert "test" in dataset.splits
    assert dataset.splits["train"] is dataset.splits["train"]
    with pytest.raises(DataError, match=r"test\.csv\.gz is damaged"):
        dataset.splits["test"]
    with pytest.raises(KeyError):
        dataset.splits["valid"]


def test_a_split_with_ids_of_another_type_is_an_error(shop):
    write_dataset(shop / "tea-shop", {"test": "user,item\n1,x9\n"})
    with pytest.raises(DataError, match=r"test\.csv\.gz has the id 'x9'"):
        load_dataset("tea-shop", folder=shop).splits["test"]


def test_repr_counts_and_escapes(shop):
    write_dataset(shop / "tea<shop>", SHOP)
    dataset = load_dataset("tea<shop>", folder=shop)
    assert repr(dataset) == (
        "Dataset('tea<shop>': 3 interactions, 2 users, 3 items, 1 tags; splits: cold_items, test, train)"
    )
    html = dataset._repr_html_()
    assert "tea&lt;shop&gt;" in html
    assert "tea<shop>" not in html
    assert "<th>interactions</th><td>3</td>" in html


def test_dataset_survives_pickling(shop):
    copy = pickle.loads(pickle.dumps(load_dataset("tea-shop", folder=shop)))
    assert columns(copy.splits["test"]) == {"user": [1], "item": [20]}


def test_unknown_name_lists_what_is_there(shop):
    (shop / "notes").mkdir()
    assert available_datasets(shop) == ["tea-shop"]
    with pytest.raises(UnknownNameError, match=r"'tee-shop'.*there: 'tea-shop'\. Did you mean 'tea-shop'\?"):
        load_dataset("tee-shop", folder=shop)
    with pytest.raises(UnknownNameError):
        load_dataset("../" + shop.name, folder=shop)


def test_no_folder_says_what_to_set(tmp_path, monkeypatch):
    for call in (available_datasets, lambda: load_dataset("ml-100k")):
        with pytest.raises(DataError, match="set the environment variable LLMREC_DATA"):
            call()
    with pytest.raises(DataError, match=r"folder is '.*nowhere', which is no folder; set LLMREC_DATA"):
        available_datasets(tmp_path / "nowhere")
    monkeypatch.setenv("LLMREC_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"LLMREC_DATA is '.*nowhere'"):
        available_datasets()


@pytest.mark.parametrize("missing", ["interactions", "items"])
def test_missing_file_is_named(shop, missing):
    (shop / "tea-shop" / f"{missing}.csv.gz").unlink()
    with pytest.raises(DataError, match=rf"{missing}\.csv\.gz is missing"):
        load_dataset("tea-shop", folder=shop)


@pytest.mark.parametrize(
    ("file", "text", "column"),
    [
        ("interactions", "user,movie\n1,2\n", "item"),
        ("items", "item,title\n10,Sencha\n", "text"),
        ("users", "name\nann\n", "user"),
        ("tags", "user,item\n1,10\n", "tag"),
    ],
)
def test_missing_column_names_the_file(shop, file, text, column):
    write_dataset(shop / "tea-shop", {file: text})
    with pytest.raises(MissingColumnError, match=rf"no column '{column}' in .*{file}\.csv\.gz"):
        load_dataset("tea-shop", folder=shop)


def truncated(packed):
    return packed[: len(packed) // 2]


def flipped(packed):
    middle = len(packed) // 2
    return packed[:middle] + bytes(255 - byte for byte in packed[middle : middle + 8]) + packed[middle + 8 :]


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(truncated, id="truncated"),
        pytest.param(flipped, id="flipped"),
        pytest.param(lambda packed: b"user,item\n1,10\n", id="not packed"),
        pytest.param(
            lambda packed: gzip.compress("user,item\n1,caf\xe9\n".encode("latin-1")), id="not UTF-8"
        ),
        pytest.param(lambda packed: gzip.compress(b'user,item\n1,"open\n'), id="open quote"),
    ],
)
def test_damaged_file_is_named(shop, damaged):
    file = shop / "tea-shop" / "interactions.csv.gz"
    file.write_bytes(damaged(file.read_bytes()))
    with pytest.raises(DataError, match=r"interactions\.csv\.gz is damaged or is no gzip-compressed CSV"):
        load_dataset("tea-shop", folder=shop)


def test_byte_order_mark_and_blank_lines_do_no_harm(shop):
    write_dataset(shop / "tea-shop", {"interactions": "\ufeffuser,item\r\n1,10\r\n\r\n"})
    assert columns(load_dataset("tea-shop", folder=shop).interactions) == {"user": [1], "item": [10]}


REAL = {
    "ml-100k": (943, 1682, 100_000, int, int),
    "ml-latest-small": (610, 9742, 100_836, int, int),
    "ml-latest-small-zh": (608, 896, 27_758, int, int),
    "citeulike-a": (5551, 16_980, 204_986, int, int),
    "gowalla": (29_858, 40_981, 1_027_370, int, int),
    "amazon-beauty": (22_363, 12_101, 198_502, str, str),
    "movietweetings": (16_554, 10_506, 100_000, int, str),
}


@pytest.mark.parametrize("name", REAL)
def test_real_data_set(real_data, name):
    if name not in available_datasets(real_data):
        pytest.skip(f"{name} is not in LLMREC_DATA")
    dataset = load_dataset(name, folder=real_data)
    n_users, n_items, n_interactions, user_type, item_type = REAL[name]
    interactions = nw.from_native(dataset.interactions, eager_only=True)
    items = nw.from_native(dataset.items, eager_only=True)
    assert (interactions["user"].n_unique(), len(items), len(interactions)) == (
        n_users,
        n_items,
        n_interactions,
    )
    assert isinstance(interactions["user"].to_list()[0], user_type)
    assert isinstance(interactions["item"].to_list()[0], item_type)
    assert interactions["item"].is_in(items["item"]).all()
    assert all(isinstance(text, str) for text in items["text"].to_list())
    assert "Licence:" in dataset.description


def test_real_split(real_data):
    if "gowalla" not in available_datasets(real_data):
        pytest.skip("gowalla is not in LLMREC_DATA")
    dataset = load_dataset("gowalla", folder=real_data)
    assert len(dataset.splits["test"]) == 217_242
    assert len(dataset.splits["train"]) == 810_128
