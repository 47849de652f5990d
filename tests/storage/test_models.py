"""A model folder is checked in every part before anything in it is believed, and each refusal says why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llmrec.base import Component, Ranker
from llmrec.errors import ComponentError, ModelFileError, ParameterError, UntrustedComponentError
from llmrec.storage import FORMAT_VERSION, inspect_model, load_model, save_model
from llmrec.storage.models import _manifest_text

from .samples import HERE, Bag, Names, Pair, Strict

BAG = f"{HERE}:Bag"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    save_model(Bag(content=np.arange(1000.0), name="first"), path)
    return path


def manifest_of(folder):
    return json.loads((folder / "model.json").read_text())


def forge(folder, change):
    """Change a manifest and seal it anew, as someone could who knows the format."""
    manifest = manifest_of(folder)
    del manifest["checksum"]
    change(manifest)
    (folder / "model.json").write_text(_manifest_text(manifest))


def forge_class(folder, name):
    def change(manifest):
        manifest["class"] = manifest["tree"]["$component"]["class"] = name

    forge(folder, change)


def forge_content(folder, content):
    forge(folder, lambda manifest: manifest["tree"]["$component"]["params"].update(content=content))


def data_file(folder):
    (path,) = folder.glob("arrays-*.safetensors")
    return path


# -------------------------------------------------------------------- what a folder looks like


def test_a_folder_is_json_and_safetensors(folder):
    from safetensors.numpy import load_file

    manifest = manifest_of(folder)
    assert manifest["format"] == "llmrec-model"
    assert manifest["format_version"] == FORMAT_VERSION == 1
    assert manifest["class"] == BAG
    assert manifest["tree"]["$component"]["params"]["name"] == "first"
    (tensor,) = load_file(data_file(folder)).values()
    assert np.array_equal(tensor, np.arange(1000.0))
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert visible == {"model.json", data_file(folder).name}


def test_the_manifest_is_strict_json(tmp_path):
    save_model(Bag(content=[float("nan"), float("inf")]), tmp_path)

    def refuse(literal):
        raise AssertionError(literal)

    json.loads((tmp_path / "model.json").read_text(), parse_constant=refuse)


def test_equal_models_give_equal_files(tmp_path):
    for name in ("one", "other"):
        save_model(Bag(content={"a": np.ones(3), "ids": ["x"] * 50}), tmp_path / name)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "other")
    ]
    assert files[0] == files[1]


def test_a_model_without_arrays_is_one_file(tmp_path):
    save_model(Bag(content=1), tmp_path)
    assert manifest_of(tmp_path)["files"] == {}
    assert load_model(tmp_path, trust=[HERE]).content == 1


def test_inspect_does_not_import(folder):
    forge_class(folder, "no_such_package.parts:Thing")
    report = inspect_model(folder)
    assert report["class"] == "no_such_package.parts:Thing"
    assert report["trust"] == ["no_such_package.parts:Thing"]
    assert report["bytes"] == sum(report["files"].values()) > 8000
    assert report["format_version"] == 1


def test_inspect_lists_all_classes(tmp_path):
    from llmrec.rankers import DotRanker

    save_model(Bag(content=[DotRanker(), Pair(Names([]), Bag())]), tmp_path)
    report = inspect_model(tmp_path)
    ours = f"{DotRanker.__module__}:DotRanker"
    assert report["classes"] == sorted([ours, BAG, f"{HERE}:Names", f"{HERE}:Pair"])
    assert report["trust"] == sorted([BAG, f"{HERE}:Names", f"{HERE}:Pair"])
    load_model(tmp_path, trust=report["trust"])


def test_components_of_the_library_need_no_trust(tmp_path):
    from llmrec.rankers import DotRanker

    ranker = DotRanker(block_size=7).index(np.eye(3, dtype=np.float32))
    save_model(ranker, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.get_params() == ranker.get_params()
    query = np.array([[3, 1, 2]], dtype=np.float32)
    assert loaded.rank(query, 3)[0].tolist() == [[0, 2, 1]]


# -------------------------------------------------------------------- folders that are none, or damaged


def test_no_folder(folder):
    with pytest.raises(
        ModelFileError,
        match=r"there is no folder .*modle'; a model is the folder it was saved to\. Did you mean 'model'\?",
    ):
        load_model(folder.parent / "modle")


def test_no_parent_folder(tmp_path):
    with pytest.raises(ModelFileError, match="there is no folder"):
        inspect_model(tmp_path / "a/b/c")


def test_a_file_is_no_folder(folder):
    with pytest.raises(ModelFileError, match="is a file; a model is a folder"):
        load_model(folder / "model.json")


def test_a_foreign_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"has no model\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b'{"format": NaN}', b"[" * 100_000, b"1" * 5000],
    ids=["empty", "cut", "not UTF-8", "NaN", "deep", "long number"],
)
def test_a_manifest_that_is_no_json(folder, content):
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ModelFileError, match="is not valid JSON: it is cut off or damaged"):
        load_model(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_manifest(folder, share):
    content = (folder / "model.json").read_bytes()
    (folder / "model.json").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelFileError, match="cut off or damaged"):
        load_model(folder)


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"format": "other", "format_version": 1}'])
def test_a_manifest_of_another_format(folder, content):
    (folder / "model.json").write_text(content)
    with pytest.raises(ModelFileError, match="not written by llmrec"):
        load_model(folder)


def test_a_newer_format(folder):
    def age(manifest):
        manifest.update(format_version=2, llmrec_version="9.8.7")

    forge(folder, age)
    with pytest.raises(
        ModelFileError, match=r"written by llmrec 9\.8\.7 in format 2.*up to 1\. Upgrade with: pip"
    ):
        load_model(folder, trust=[HERE])


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
def test_a_format_version_that_is_none(folder, version):
    forge(folder, lambda manifest: manifest.update(format_version=version))
    with pytest.raises(ModelFileError, match="format_version is"):
        load_model(folder)


def test_an_edited_manifest(folder):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace('"first"', '"other"'))
    with pytest.raises(ModelFileError, match="edited or damaged"):
        load_model(folder, trust=[HERE])
    with pytest.raises(ModelFileError, match="edited or damaged"):
        inspect_model(folder)


def test_a_manifest_without_checksum(folder):
    manifest = manifest_of(folder)
    del manifest["checksum"]
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelFileError, match="edited or damaged"):
        load_model(folder, trust=[HERE])


def test_new_line_ends_do_no_harm(folder):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(json.dumps(json.loads(text), indent=4).replace("\n", "\r\n"))
    assert load_model(folder, trust=[HERE]).name == "first"


def test_a_missing_data_file(folder):
    name = data_file(folder).name
    data_file(folder).unlink()
    with pytest.raises(ModelFileError, match=f"{re.escape(name)}' is missing"):
        load_model(folder, trust=[HERE])


@pytest.mark.parametrize("size", [0, 7, 100, 8000])
def test_a_truncated_data_file(folder, size):
    path = data_file(folder)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelFileError, match=rf"is cut off: {size} of \d+ bytes"):
        load_model(folder, trust=[HERE])


def test_a_data_file_with_more_in_it(folder):
    path = data_file(folder)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelFileError, match="does not match its checksum"):
        load_model(folder, trust=[HERE])


@pytest.mark.parametrize("position", [0, 8, 50, 200, 4000, -1])
def test_a_flipped_bit(folder, position):
    path = data_file(folder)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="does not match its checksum"):
        load_model(folder, trust=[HERE])


def test_no_changed_byte_of_the_manifest_goes_unseen(folder):
    content = (folder / "model.json").read_bytes()
    for position, byte in enumerate(content):
        if chr(byte).isspace():
            continue  # blanks between values mean nothing
        changed = bytes([byte ^ 1])
        (folder / "model.json").write_bytes(content[:position] + changed + content[position + 1 :])
        with pytest.raises(ModelFileError):
            load_model(folder, trust=[HERE])


# -------------------------------------------------------------------- folders that someone forged


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "arrays-../../0000000.safetensors", "arrays-0.safetensors", "model.json"],
)
def test_a_file_name_cannot_lead_out_of_the_folder(folder, name):
    def change(manifest):
        (entry,) = manifest["files"].values()
        manifest["files"] = {name: entry}

    forge(folder, change)
    with pytest.raises(ModelFileError, match="is not the name of a data file"):
        load_model(folder, trust=[HERE])


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("tree"),
        lambda manifest: manifest.pop("files"),
        lambda manifest: manifest.pop("llmrec_version"),
        lambda manifest: manifest.update(tree=[]),
        lambda manifest: manifest.update(tree={"$list": []}),
        lambda manifest: manifest.update(files=[1]),
        lambda manifest: manifest.update({"class": "llmrec.rankers.dot:DotRanker"}),
        lambda manifest: manifest["tree"]["$component"].pop("params"),
        lambda manifest: manifest["tree"]["$component"].pop("state"),
        lambda manifest: manifest["tree"]["$component"].update(params=[1]),
        lambda manifest: manifest["tree"]["$component"].update(state=[1]),
        lambda manifest: next(iter(manifest["files"].values())).pop("sha256"),
        lambda manifest: next(iter(manifest["files"].values())).update(bytes="1"),
    ],
)
def test_a_manifest_with_other_parts(folder, change):
    forge(folder, change)
    with pytest.raises(ModelFileError):
        load_model(folder, trust=[HERE])


MALFORMED = {
    "unknown tag": {"$pickle": "gASVBQAAAAAAAAAu"},
    "two tags": {"$int": "0x1", "$float": "nan"},
    "unknown tensor": {"$array": "nowhere"},
    "number": {"$int": "zero"},
    "float": {"$float": []},
    "text": {"$text": "zz"},
    "bytes": {"$bytes": "*"},
    "date": {"$date": "tomorrow"},
    "uuid": {"$uuid": "1"},
    "decimal": {"$decimal": "one"},
    "zone": {"$datetime": ["2024-01-01T00:00:00", 0, "../../etc/passwd"]},
    "unhashable key": {"$dict": [[[]], [1]]},
    "fewer values than keys": {"$dict": [[1, 2], [1]]},
    "unhashable element": {"$set": [[]]},
    "tuple of nothing": {"$tuple": None},
    "dtype": {"$scalar": ["O", 1]},
    "shape": {"$objects": ["O", [7], [1]]},
    "class that is not in the list": {"$component": {"params": {}, "state": {}}},
    "infinity": 1e999,
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_values(folder, content):
    if content == float("inf"):
        text = (folder / "model.json").read_text()
        (folder / "model.json").write_text(text.replace('"first"', "1e999"))
    else:
        forge_content(folder, content)
    with pytest.raises(ModelFileError, match="malformed"):
        load_model(folder, trust=[HERE])


def test_an_endless_nesting(folder):
    deep = {"$tuple": []}
    for _ in range(300):
        deep = {"$tuple": [deep]}
    forge_content(folder, deep)
    with pytest.raises(ModelFileError):
        load_model(folder, trust=[HERE])


def test_a_sparse_array_cannot_point_outside_itself(tmp_path):
    parts = {"data": np.ones(1), "indices": np.array([10**6]), "indptr": np.array([0, 1])}
    save_model(Bag(content=parts), tmp_path)
    tensors = [
        part["$array"] for part in manifest_of(tmp_path)["tree"]["$component"]["params"]["content"].values()
    ]
    forge_content(tmp_path, {"$csr": [[1, 3], *tensors]})
    with pytest.raises(ModelFileError, match="malformed"):
        load_model(tmp_path, trust=[HERE])


def test_a_data_file_that_is_no_safetensors(folder):
    import hashlib

    content = b"\xff" * 100
    digest = hashlib.sha256(content).hexdigest()
    name = f"arrays-{digest[:16]}.safetensors"
    (folder / name).write_bytes(content)
    forge(folder, lambda manifest: manifest.update(files={name: {"sha256": digest, "bytes": 100}}))
    with pytest.raises(ModelFileError, match="no safetensors file"):
        load_model(folder, trust=[HERE])


# -------------------------------------------------------------------- classes


def test_an_untrusted_class_is_named_with_what_to_pass(folder):
    with pytest.raises(UntrustedComponentError, match=re.escape(f'trust=["{BAG}"]')) as caught:
        load_model(folder)
    assert isinstance(caught.value, ModelFileError)
    assert load_model(folder, trust=[BAG]).name == "first"


def test_all_untrusted_classes_are_named_at_once(tmp_path):
    save_model(Bag(content=[Names([]), Pair(1, 2)]), tmp_path)
    wanted = f'trust=["{BAG}", "{HERE}:Names", "{HERE}:Pair"]'
    with pytest.raises(UntrustedComponentError, match=re.escape(wanted)):
        load_model(tmp_path)
    with pytest.raises(UntrustedComponentError, match="Names"):
        load_model(tmp_path, trust=[BAG, f"{HERE}:Pair"])


@pytest.fixture
def explosive(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported."""
    package = tmp_path / "site" / "explosive_parts"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\nclass Bomb: pass\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "mark"
    sys.modules.pop("explosive_parts", None)


def test_an_untrusted_module_is_not_imported(folder, explosive):
    forge_class(folder, "explosive_parts:Bomb")
    for trust in (
        [],
        [HERE],
        ["explosive"],
        ["explosive_parts.inner"],
        ["explosive_parts:Bom"],
        ["explosive_parts:"],
    ):
        with pytest.raises(UntrustedComponentError):
            load_model(folder, trust=trust)
    assert not explosive.exists()
    with pytest.raises(ModelFileError, match="is no Component"):
        load_model(folder, trust=["explosive_parts"])
    assert explosive.exists()


def test_one_untrusted_class_keeps_trusted_ones_from_being_imported(tmp_path, folder, explosive):
    forge_content(folder, {"$component": {"class": "explosive_parts:Bomb", "params": {}, "state": {}}})
    with pytest.raises(UntrustedComponentError, match="Bag"):
        load_model(folder, trust=["explosive_parts"])
    assert not explosive.exists()


@pytest.mark.parametrize("entry", [BAG, HERE, "tests.storage", "tests"])
def test_what_trust_covers(folder, entry):
    assert load_model(folder, trust=["other", entry]).name == "first"


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "test",
        "tests.storage.sample",
        "tests.",
        f"{HERE}:",
        f"{HERE}:Ba",
        f"{HERE}.Bag",
        "tests:Bag",
        "*",
    ],
)
def test_what_trust_does_not_cover(folder, entry):
    with pytest.raises(UntrustedComponentError):
        load_model(folder, trust=[entry])


def test_a_near_miss_of_trust_is_named(folder):
    with pytest.raises(UntrustedComponentError, match=r"Did you mean 'tests\.storage\.samples:Bags'"):
        load_model(folder, trust=[f"{HERE}:Bags"])


@pytest.mark.parametrize("trust", ["tests", [1], [None]])
def test_trust_must_be_a_list_of_names(folder, trust):
    with pytest.raises(ParameterError, match="trust must be a list"):
        load_model(folder, trust=trust)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("llmrec.storage.folders:os.system", "has no class"),
        ("llmrec.storage.folders:os", "has no class"),
        ("llmrec.storage.folders:sweep", "has no class"),
        ("llmrec.storage.models:Path", "outside llmrec"),
        ("llmrec.base:BaseEstimator", "outside llmrec"),
        ("llmrec.base:Component.get_state", "has no class"),
        ("llmrec.storage.values:ValueEncoder", "is no Component"),
        ("llmrec.errors:LLMRecError", "is no Component"),
        ("llmrec.no_such_module:Thing", "cannot import"),
        ("llmrec.base:Rankr", "Did you mean 'Ranker'"),
        ("llmrec.base:Ranker", "cannot take back"),
        ("llmrec.__main__:Ranker", "outside llmrec"),
        ("llmrecommend.base:Ranker", "outside llmrec"),
        ("llmrec:Ranker", "outside llmrec"),
        ("os:system", "outside llmrec"),
        ("builtins:eval", "outside llmrec"),
        ("..base:Ranker", "no class name"),
        ("llmrec.base:", "no class name"),
        ("llmrec.base", "no class name"),
        ("llmrec/base:Ranker", "no class name"),
    ],
)
def test_names_that_lead_nowhere_or_out_of_the_library(tmp_path, name, reason):
    from llmrec.rankers import DotRanker

    save_model(DotRanker(), tmp_path)

    def change(manifest):
        manifest["class"] = manifest["tree"]["$component"]["class"] = name
        manifest["tree"]["$component"]["params"] = {}

    forge(tmp_path, change)
    with pytest.raises(ModelFileError, match=reason):
        load_model(tmp_path)


def test_a_trusted_module_does_not_vouch_for_what_it_imports(folder):
    forge_class(folder, f"{__name__}:Bag")
    with pytest.raises(UntrustedComponentError, match=re.escape(f'trust=["{BAG}"]')):
        load_model(folder, trust=[__name__])
    assert load_model(folder, trust=[__name__, HERE]).name == "first"


def test_trusted_but_not_importable(folder):
    forge_class(folder, "no_such_package.parts:Thing")
    with pytest.raises(ModelFileError, match="trusted, but cannot be imported; install"):
        load_model(folder, trust=["no_such_package"])


@pytest.mark.parametrize(("tag", "part"), [("$object", "state"), ("$dataclass", "fields")])
def test_a_class_must_be_what_its_tag_says(folder, tag, part):
    forge_content(folder, {tag: {"class": "llmrec.storage.values:ValueEncoder", part: {"root": "a"}}})
    with pytest.raises(ModelFileError, match="ValueEncoder"):
        load_model(folder, trust=[HERE])


def test_a_parameter_that_the_class_no_longer_takes(folder):
    forge(folder, lambda manifest: manifest["tree"]["$component"]["params"].update(nam="x"))
    wanted = r"takes no parameter 'nam'.*it takes 'content', 'name'\. Did you mean 'name'\?"
    with pytest.raises(ModelFileError, match=wanted):
        load_model(folder, trust=[HERE])


def test_a_parameter_that_is_new_keeps_its_default(folder):
    forge(folder, lambda manifest: manifest["tree"]["$component"]["params"].pop("name"))
    assert load_model(folder, trust=[HERE]).name == "bag"


def test_a_state_that_the_class_does_not_take_back(tmp_path):
    save_model(Strict(), tmp_path)
    with pytest.raises(ModelFileError, match=r"Strict cannot take back .*a weight is gone") as caught:
        load_model(tmp_path, trust=[HERE])
    assert isinstance(caught.value.__cause__, KeyError)


def test_expect(folder):
    assert load_model(folder, trust=[HERE], expect=Component).name == "first"
    data_file(folder).unlink()
    with pytest.raises(ModelFileError, match=r"holds a .*:Bag, not a Ranker"):
        load_model(folder, trust=[HERE], expect=Ranker)


MAIN_SCRIPT = """
import sys
from llmrec.base import Component
from llmrec.errors import UntrustedComponentError
from llmrec.storage import load_model, save_model

class Mine(Component):
    def __init__(self, *, size=1):
        self.size = size

save_model(Mine(size=3), sys.argv[1])
try:
    load_model(sys.argv[1])
except UntrustedComponentError:
    print(load_model(sys.argv[1], trust=["__main__:Mine"]).size)
"""


def test_a_class_of_the_main_script(tmp_path):
    command = [sys.executable, "-c", MAIN_SCRIPT, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3\n"
    with pytest.raises(ModelFileError, match="has no class 'Mine'"):
        load_model(tmp_path, trust=["__main__"])


# -------------------------------------------------------------------- where a model may be saved


def test_parents_are_created(tmp_path):
    save_model(Bag(), tmp_path / "a/b/c")
    assert isinstance(load_model(str(tmp_path / "a/b/c"), trust=[HERE]), Bag)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ModelFileError, match=r"thesis\.tex.*choose an empty or new folder"):
        save_model(Bag(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(ModelFileError, match="is a file"):
        save_model(Bag(), tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"format": "other"}',
        json.dumps({"format": "llmrec-model", "format_version": FORMAT_VERSION + 1}),
    ],
    ids=["damaged", "foreign", "newer"],
)
def test_a_manifest_that_is_not_ours_is_not_replaced(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ModelFileError, match="cannot save over what is there"):
        save_model(Bag(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]
    assert (tmp_path / "model.json").read_text() == content


def test_a_model_replaces_a_model_and_leaves_other_files(folder):
    old = data_file(folder)
    kept = [folder / "README.md", folder / "arrays-mine.safetensors", folder / "notes/arrays.txt"]
    kept[2].parent.mkdir()
    for path in kept:
        path.write_text("mine")
    save_model(Bag(content=np.zeros(3), name="second"), folder)
    assert not old.exists()
    assert all(path.read_text() == "mine" for path in kept)
    assert load_model(folder, trust=[HERE]).name == "second"


def test_a_refused_model_keeps_the_old_one(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ComponentError):
        save_model(Bag(content=len), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_saving_again_repairs_a_damaged_data_file(folder):
    model = load_model(folder, trust=[HERE])
    data_file(folder).write_bytes(b"\0" * 8000)
    save_model(model, folder)
    assert load_model(folder, trust=[HERE]).content[999] == 999


def test_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(Bag(content=np.ones(2)), Path("here"))
    save_model(Bag(content=np.ones(3)), "here")
    assert load_model("here", trust=[HERE]).content.shape == (3,)
