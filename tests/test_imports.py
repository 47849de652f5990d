"""What an import costs: the package is light, and every public name is there."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import llmrec

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "sklearn",
    "scipy",
    "pandas",
    "polars",
    "jieba",
    "nltk",
    "numba",
)

# Not pandas: scikit-learn imports it where it is installed.
OPTIONAL = {"torch", "transformers", "sentence_transformers", "polars", "jieba", "nltk"}


def loaded_after(code):
    """Return which heavy packages a fresh interpreter has loaded after ``code``."""
    script = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_light():
    assert loaded_after("import llmrec; llmrec.__version__; dir(llmrec)") == set()


def test_every_name_but_the_optional_packages():
    assert not loaded_after("import llmrec\nfor name in llmrec.__all__: getattr(llmrec, name)") & OPTIONAL


def test_fit_and_recommend_load_no_optional_package():
    code = "import llmrec; llmrec.Recommender().fit([('a', 'x'), ('b', 'x'), ('b', 'y')]).recommend('a')"
    assert not loaded_after(code) & OPTIONAL


def test_heavy_packages_would_be_noticed():
    assert "sklearn" in loaded_after("import sklearn")


@pytest.mark.parametrize("name", llmrec.__all__)
def test_public_name_resolves(name):
    value = getattr(llmrec, name)
    assert name in dir(llmrec)
    if isinstance(value, type):
        assert value.__name__ == name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Recomender'"):
        _ = llmrec.Recomender


def test_lazy_names_are_the_ones_that_type_checkers_see():
    source = importlib.util.find_spec("llmrec").loader.get_source("llmrec")
    typed = source[source.index("if TYPE_CHECKING:") : source.index("def __getattr__")]
    assert [name for name in llmrec.__all__ if name != "__version__" and name not in typed] == []
