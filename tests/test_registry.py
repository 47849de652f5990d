"""Components by name: built-in ones, those of other packages, and what is refused."""

from __future__ import annotations

import re

import pytest

from llmrec import ALSFactorizer, DotRanker, Recommender, TextView, TfidfEncoder, WordTokenizer, registry
from llmrec.base import Component, Encoder, Factorizer, Fuser, OnlineUpdater, Ranker, Tokenizer
from llmrec.errors import ComponentError, UnknownNameError
from llmrec.registry import available, resolve

ROLES = {
    "tokenizer": Tokenizer,
    "encoder": Encoder,
    "factorizer": Factorizer,
    "fuser": Fuser,
    "ranker": Ranker,
    "updater": OnlineUpdater,
}


class EvenRanker(DotRanker):
    """A component of another package."""


class Point:
    """An entry point, as importlib.metadata gives it."""

    def __init__(self, name, target):
        self.name = name
        self.target = target

    def load(self):
        return self.target


@pytest.fixture
def plug_in(monkeypatch):
    def install(role, name, target):
        points = {f"llmrec.{role}s": [Point(name, target)]}
        monkeypatch.setattr(registry, "entry_points", lambda group: points.get(group, []))

    return install


@pytest.mark.parametrize(("role", "name"), [(role, name) for role in ROLES for name in available(role)])
def test_every_name_gives_a_component_of_its_role(role, name):
    assert isinstance(resolve(role, name), ROLES[role])


def test_every_role_has_names():
    assert all(available(role) for role in ROLES)
    assert {"als", "svd"} <= set(available("factorizer"))


def test_component_is_returned_as_it_is():
    component = ALSFactorizer(factors=3)
    assert resolve("factorizer", component) is component


def test_names_give_new_components_each_time():
    assert resolve("ranker", "dot") is not resolve("ranker", "dot")


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        ("factorizer", "asl", "no factorizer is called 'asl'; there are .*'als'.* Did you mean 'als'?"),
        ("ranker", "cosine-similarity", "no ranker is called 'cosine-similarity'; there are .*'cosine'"),
        ("tokenizer", "jeiba", "Did you mean 'jieba'"),
        ("encoder", "", "no encoder is called ''"),
    ],
)
def test_wrong_name(role, name, message):
    with pytest.raises(UnknownNameError, match=message):
        resolve(role, name)


def test_wrong_role():
    with pytest.raises(UnknownNameError, match=r"no role 'rankers'; the roles are .*Did you mean 'ranker'"):
        available("rankers")


@pytest.mark.parametrize("wrong", [WordTokenizer(), TfidfEncoder(), 5, None, ["als"]], ids=repr)
def test_component_of_the_wrong_role(wrong):
    expected = f"factorizer must be a Factorizer or one of 'als', .*; got {type(wrong).__name__}"
    with pytest.raises(ComponentError, match=expected):
        resolve("factorizer", wrong)


def test_class_instead_of_an_instance():
    with pytest.raises(
        ComponentError, match=re.escape("got the class ALSFactorizer; call it: ALSFactorizer()")
    ):
        resolve("factorizer", ALSFactorizer)


def test_further_classes_only_where_the_place_accepts_them():
    view = TextView("tfidf")
    assert resolve("encoder", view, also=(TextView,)) is view
    with pytest.raises(ComponentError):
        resolve("encoder", view)


def test_plug_in_goes_by_its_name(plug_in):
    plug_in("ranker", "even", EvenRanker)
    names = available("ranker")
    assert names == sorted(names)
    assert {"dot", "even", "pearson"} <= set(names)
    assert isinstance(resolve("ranker", "even"), EvenRanker)
    rec = Recommender(ranker="even", factorizer="popularity").fit([("a", "x"), ("b", "x"), ("b", "y")])
    assert isinstance(rec.ranker_, EvenRanker)
    assert rec.recommend("a").items == ["y"]
    assert "even" not in available("fuser")


def test_plug_in_is_among_the_nearest_names(plug_in):
    plug_in("ranker", "even", EvenRanker)
    with pytest.raises(UnknownNameError, match="Did you mean 'even'"):
        resolve("ranker", "evn")


def test_plug_in_of_the_wrong_role(plug_in):
    plug_in("ranker", "even", TfidfEncoder)
    with pytest.raises(ComponentError, match=r"ranker must be a Ranker .*got TfidfEncoder"):
        resolve("ranker", "even")


def test_plug_in_may_be_a_function_that_builds_the_component(plug_in):
    plug_in("factorizer", "als-8", lambda: ALSFactorizer(factors=8))
    component = resolve("factorizer", "als-8")
    assert isinstance(component, Component)
    assert component.factors == 8
