"""The documentation says what is true: its examples run, its names exist, its reference is complete."""

import ast
import doctest
import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest

import llmrec

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "reference"),
]
FENCE = re.compile(r"^```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def blocks(page, language):
    """Return the fenced blocks of a language: (options of the fence, code)."""
    text = page.read_text(encoding="utf-8")
    return [
        (found["options"], found["code"]) for found in FENCE.finditer(text) if found["language"] == language
    ]


def sessions(page):
    """Return the page with all but its sessions blanked out, so that line numbers stay."""
    text = page.read_text(encoding="utf-8")
    kept, end = "", 0
    for found in FENCE.finditer(text):
        code = found["code"] if found["language"] == "pycon" else re.sub(r"[^\n]", "", found["code"])
        kept += re.sub(r"[^\n]", "", text[end : found.start()]) + "\n" + code + "\n"
        end = found.end() + 1
    return kept


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder from which modules can be imported."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sessions_run(page, folder):
    for options, code in blocks(page, "python"):
        title = re.search(r'title="(\w+\.py)"', options)
        if title:
            (folder / title[1]).write_text(code, encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(sessions(page), {}, name_of(page), str(page), 0)
    printed = []
    doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(examples, out=printed.append)
    assert not printed, "".join(printed)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_plain_code_imports_what_exists(page):
    for _, code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "llmrec":
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sessions_are_marked_as_such(page):
    marked = sum(code.count(">>> ") for _, code in blocks(page, "pycon"))
    assert page.read_text(encoding="utf-8").count(">>> ") == marked


def test_the_readme_has_what_a_reader_needs_first():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first_screen = readme.splitlines()[:15]
    assert any(line.startswith("make demo") for line in first_screen)
    assert any(line.startswith("make test") for line in first_screen)
    assert len(doctest.DocTestParser().get_examples(sessions(ROOT / "README.md"))) > 10


def test_the_language_model_example_of_the_readme_runs(tiny_gpt2):
    (code,) = (code for _, code in blocks(ROOT / "README.md", "python") if "GPT2Encoder" in code)
    shortened = code.replace('GPT2Encoder("gpt2")', "GPT2Encoder(folder)")
    assert shortened != code
    items = {f"i{i}": f"a film of kind {i % 3} in {1980 + i}" for i in range(12)}
    interactions = [(user, f"i{i}") for n, user in enumerate(("ann", "bob", "eve")) for i in range(n, 12, 2)]
    names = {"folder": tiny_gpt2, "items": items, "interactions": interactions}
    exec(shortened, names)
    assert set(names["rec"].recommend("ann", k=10).items) == {f"i{i}" for i in range(1, 12, 2)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_files_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not target.endswith("defaults.md"):
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_the_reference_lists_every_public_name():
    reference = "\n".join(
        page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")
    )
    listed = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)", reference, re.MULTILINE)}
    assert set(llmrec.__all__) - {"__version__"} <= listed


@pytest.mark.parametrize(
    "name",
    re.findall(
        r"^::: (\S+)",
        "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")),
        re.MULTILINE,
    ),
)
def test_the_reference_lists_what_exists(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_the_targets():
    import subprocess

    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for name in re.search(r"for target in ([\w ]+);", targets)[1].split():
        assert f"make {name} " in shown
