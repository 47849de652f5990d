"""Views and the catalogue: text metrics, profiles, growth, support, and filters on columns."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from llmrec import ALSFactorizer, ItemKNN, Popularity, Recommender, TextView, TfidfEncoder
from llmrec.base import ContentFactorizer, Encoder
from llmrec.catalogue import Catalogue
from llmrec.errors import DataError, MissingColumnError, NotFittedError, ParameterError
from llmrec.factorizers import UserKNN
from llmrec.interactions import Histories, IdTable, Interactions, rows_of_events
from llmrec.tables import ItemTable, read_events, read_items
from llmrec.updaters import FoldInUpdater
from llmrec.vectors import replace_rows
from llmrec.views import FactorView

VECTORS = {"red": [3, 4, 0], "blue": [0, 2, 0], "green": [1, 0, 1], "grey": [1, 1, 1], "": [0, 0, 0]}


class ColourEncoder(Encoder):
    """Known vectors, and a count of the texts that were encoded."""

    def __init__(self, *, as_sparse=False, dim=3):
        self.as_sparse = as_sparse
        self.calls = []
        self.width = dim

    def encode(self, texts):
        self.calls.extend(texts)
        vectors = np.array([VECTORS[text] for text in texts], dtype=np.float32).reshape(-1, 3)
        return sparse.csr_array(vectors) if self.as_sparse else vectors

    @property
    def dim(self):
        return self.width

    def get_params(self, deep=True):
        return {"as_sparse": self.as_sparse, "dim": self.width}


class ShortEncoder(ColourEncoder):
    """Loses a text."""

    def encode(self, texts):
        return super().encode(texts)[1:]


TEXTS = ["red", "blue", "", "green"]
KNOWN = Interactions.from_table([("u", n) for n in range(4)])
UNIT = np.array([[0.6, 0.8, 0], [0, 1, 0], [0, 0, 0], [0.5**0.5, 0, 0.5**0.5]], dtype=np.float32)


def dense(vectors):
    return vectors.toarray() if hasattr(vectors, "toarray") else vectors


@pytest.mark.parametrize("as_sparse", [False, True])
def test_item_vectors_are_unit_texts_and_blank_ones_are_absent(as_sparse):
    view = TextView(ColourEncoder(as_sparse=as_sparse), name="colours").fit(TEXTS)
    items = view.item_vectors(KNOWN)
    np.testing.assert_allclose(dense(items.vectors), UNIT, atol=1e-6)
    assert items.present.tolist() == [True, True, False, True]
    assert (items.name, items.kind) == ("colours", "text")
    some = view.item_vectors(KNOWN, np.array([3, 0], dtype=np.int32))
    np.testing.assert_allclose(dense(some.vectors), UNIT[[3, 0]], atol=1e-6)


@pytest.mark.parametrize("as_sparse", [False, True])
def test_cosine_query_is_the_unit_profile(as_sparse):
    view = TextView(ColourEncoder(as_sparse=as_sparse), metric="cosine", name="colours").fit(TEXTS)
    histories = Histories.of([[0, 1], [2], [], [1, 1]], n_columns=4)
    queries = view.query_vectors(histories)
    profile = UNIT[0] + UNIT[1]
    expected = [profile / np.linalg.norm(profile), [0, 0, 0], [0, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(dense(queries.vectors), expected, atol=1e-6)
    assert queries.support.tolist() == [2, 0, 0, 1]


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("warm", [None, [0, 3], [1]])
def test_ridge_query_is_the_closed_form(as_sparse, warm):
    rows = None if warm is None else np.array(warm, dtype=np.int32)
    view = TextView(ColourEncoder(as_sparse=as_sparse), metric="ridge", ridge=0.5, name="colours")
    view.fit(TEXTS, rows)
    queries = view.query_vectors(Histories.of([[0]], n_columns=4))
    Z = UNIT.astype(np.float64) if warm is None else UNIT[warm].astype(np.float64)
    expected = UNIT[:1] @ np.linalg.inv(Z.T @ Z + 0.5 * np.eye(3))
    np.testing.assert_allclose(queries.vectors, expected, atol=1e-5)


def test_automatic_metric_is_ridge_for_dense_and_cosine_for_sparse():
    history = Histories.of([[0]], n_columns=4)
    for as_sparse, metric in ((False, "ridge"), (True, "cosine")):
        by_itself = TextView(ColourEncoder(as_sparse=as_sparse), name="a").fit(TEXTS)
        stated = TextView(ColourEncoder(as_sparse=as_sparse), metric=metric, name="a").fit(TEXTS)
        np.testing.assert_array_equal(
            dense(by_itself.query_vectors(history).vectors), dense(stated.query_vectors(history).vectors)
        )


def test_metric_of_other_warm_items_leaves_the_first_view_alone():
    view = TextView(ColourEncoder(), metric="ridge", ridge=0.5, name="a").fit(TEXTS)
    history = Histories.of([[0]], n_columns=4)
    before = view.query_vectors(history).vectors.copy()
    other = view.for_items(np.array([1], dtype=np.int32))
    fresh = TextView(ColourEncoder(), metric="ridge", ridge=0.5, name="a").fit(TEXTS, np.array([1], np.int32))
    np.testing.assert_allclose(other.query_vectors(history).vectors, fresh.query_vectors(history).vectors)
    np.testing.assert_array_equal(view.query_vectors(history).vectors, before)


def test_context_joins_the_history():
    view = TextView(ColourEncoder(), metric="cosine", context_weight=2.0, name="a").fit(TEXTS)
    queries = view.query_vectors(Histories.of([[0], []], n_columns=4), context="blue")
    np.testing.assert_allclose(queries.vectors, [UNIT[0] + 2 * UNIT[1], 2 * UNIT[1]], atol=1e-6)
    assert queries.support.tolist() == [2, 1]
    blank = view.query_vectors(Histories.of([[0]], n_columns=4), context="")
    np.testing.assert_allclose(blank.vectors, UNIT[:1], atol=1e-6)
    assert blank.support.tolist() == [1]
    assert (view.knows("blue"), view.knows(""), view.knows(None)) == (True, False, False)


def test_equal_texts_are_encoded_once_and_moments_remembered():
    view = TextView(ColourEncoder(), name="a").fit(["red", "red", "red", ""])
    calls = view.encoder_.calls
    assert calls.count("red") == 1
    view.moment("blue")
    view.moment("blue")
    assert calls.count("blue") == 1


def test_new_texts_extend_and_replace():
    view = TextView(ColourEncoder(), metric="cosine", name="a").fit(TEXTS)
    view.extend(np.array([5, 0], dtype=np.int32), view.encode(["grey", "blue"]))
    grown = Interactions.from_table([("u", n) for n in range(7)])
    items = view.item_vectors(grown)
    assert items.present.tolist() == [True, True, False, True, False, True, False]
    np.testing.assert_allclose(items.vectors[0], UNIT[1], atol=1e-6)
    np.testing.assert_allclose(items.vectors[5], np.full(3, 3**-0.5), atol=1e-6)
    assert not items.vectors[4].any()


@pytest.mark.parametrize("is_growing", [False, True])
def test_a_single_profile_is_that_of_several(is_growing):
    view = TextView(ColourEncoder(as_sparse=True), metric="cosine").fit(TEXTS)
    if is_growing:
        view.extend(np.array([1, 5], np.int32), view.encode(["green", "red"]))
    histories = Histories.of([[3, 1, 3, 0], [], [5, 9, 1]], 12, weights=[[1, 2, 3, 1], [], [1, 5, 2]])
    many = view.query_vectors(histories)
    for place in range(3):
        one = view.query_vectors(histories.take(np.array([place])))
        assert one.vectors.indices.dtype == np.int32
        np.testing.assert_allclose(dense(one.vectors)[0], dense(many.vectors)[place], atol=1e-6)
        assert one.support[0] == many.support[place]


def test_history_may_know_fewer_items_than_the_view_or_more():
    view = TextView(ColourEncoder(), metric="cosine", name="a").fit(TEXTS)
    for width in (2, 9):
        queries = view.query_vectors(Histories.of([[1]], n_columns=width))
        np.testing.assert_allclose(queries.vectors, UNIT[1:2], atol=1e-6)


@pytest.mark.parametrize(
    ("view", "error", "message"),
    [
        (TextView(ColourEncoder(), metric="dot"), ParameterError, "metric must be one of"),
        (TextView(ColourEncoder(), ridge=0), ParameterError, "ridge must be a finite number above 0"),
        (TextView(ColourEncoder(), context_weight=-1), ParameterError, "context_weight"),
        (TextView(ColourEncoder(dim=5)), DataError, "vectors of ColourEncoder must have 5 columns, got 3"),
        (TextView(ShortEncoder()), DataError, "ShortEncoder gave 2 vectors for 3 texts"),
    ],
    ids=["metric", "ridge", "context_weight", "dim", "rows"],
)
def test_bad_text_view(view, error, message):
    with pytest.raises(error, match=message):
        view.fit(TEXTS)


def test_text_view_before_fit():
    with pytest.raises(NotFittedError):
        TextView(TfidfEncoder(), name="a").item_vectors(KNOWN)


# -- factor views ------------------------------------------------------------------------------------------

EVENTS = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "z"), ("c", "y"), ("c", "x")]


def factor_view(factorizer, updater=None):
    known = Interactions.from_table(EVENTS)
    return known, FactorView("f", factorizer.fit(known), updater)


def test_support_of_behaviour_is_the_number_of_events():
    known, view = factor_view(ALSFactorizer(factors=2))
    known.items.add("new")
    items = view.item_vectors(known)
    assert items.support.tolist() == [3, 2, 1, 0]
    assert not items.vectors[3].any()
    queries = view.query_vectors(Histories.of([[0, 1], []], n_columns=4))
    assert queries.support.tolist() == [2, 0]


def test_all_rows_of_a_sparse_model_are_not_copied_and_stay_as_they_were():
    known = Interactions.from_table([("u", "a"), ("u", "b"), ("v", "b"), ("v", "c")])
    view = FactorView("neighbours", UserKNN().fit(known))
    whole = view.item_vectors(known).vectors
    assert np.shares_memory(whole.data, view.factorizer.item_vectors().data)
    before = whole.toarray()
    for user in ("u", "v"):
        events = rows_of_events(read_events([(user, "d"), (user, "a")]), known.users, known.items)
        known.append(events)
        view.learn(known, events)
        later = view.item_vectors(known)
        # Rows that grow are handed out as they are now.
        assert not np.shares_memory(later.vectors.data, view.factorizer.item_vectors().data)
        rows = np.arange(4, dtype=np.int32)
        np.testing.assert_array_equal(
            later.vectors.toarray(), view.item_vectors(known, rows).vectors.toarray()
        )
        np.testing.assert_array_equal(later.support, view.item_vectors(known, rows).support)
    np.testing.assert_array_equal(whole.toarray(), before)


def test_popularity_supports_everything():
    known, view = factor_view(Popularity())
    known.items.add("new")
    assert view.item_vectors(known).support.tolist() == [1, 1, 1, 1]
    assert view.query_vectors(Histories.of([[], []], n_columns=4)).support.tolist() == [1, 1]


def test_known_users_have_kept_vectors_only_where_an_updater_keeps_them():
    rows = np.array([1], dtype=np.int32)
    for updater in (FoldInUpdater(), None):
        known, view = factor_view(ALSFactorizer(factors=2), updater)
        marker = np.full((1, 2), 7, dtype=np.float32)
        view.factorizer.set_user_vectors(rows, marker)
        vectors = view.query_vectors(known.histories(rows), rows).vectors
        assert (vectors.tolist() == marker.tolist()) is (updater is not None)


@pytest.mark.parametrize("updater", [FoldInUpdater(), None])
@pytest.mark.parametrize("factorizer", [ALSFactorizer(factors=2), ItemKNN(), Popularity()], ids=repr)
def test_learning_events_serves_new_users_and_items(factorizer, updater):
    known, view = factor_view(factorizer, updater)
    events = rows_of_events(read_events([("new", "novel"), ("a", "novel")]), known.users, known.items)
    known.append(events)
    moved = view.learn(known, events)
    assert set(moved.tolist()) <= set(range(4))
    assert view.item_vectors(known).vectors.shape[0] == 4
    rows = np.array([3, 0], dtype=np.int32)
    queries = view.query_vectors(known.histories(rows), rows)
    assert queries.vectors.shape[0] == 2
    assert np.isfinite(dense(queries.vectors)).all()


# -- the catalogue -----------------------------------------------------------------------------------------


def catalogue():
    filled = Catalogue()
    columns = {"year": [1990, 2000, None], "tags": [["a"], ["b"], None], "pair": [(1, 2), (3, 4), None]}
    filled.update(ItemTable(["x", "y", "z"], columns), IdTable(["x", "y", "z", "w"]))
    return filled


@pytest.mark.parametrize(
    ("where", "passed"),
    [
        ({}, [1, 1, 1, 1]),
        ({"year": 1990}, [1, 0, 0, 0]),
        ({"year": [1990, 2000]}, [1, 1, 0, 0]),
        ({"year": {2000, 5}}, [0, 1, 0, 0]),
        ({"year": range(1995, 2005)}, [0, 1, 0, 0]),
        ({"year": []}, [0, 0, 0, 0]),
        ({"year": None}, [0, 0, 1, 1]),
        ({"year": lambda year: year > 1995}, [0, 1, 0, 0]),
        ({"tags": lambda tags: "a" in tags}, [1, 0, 0, 0]),
        ({"pair": (3, 4)}, [0, 1, 0, 0]),
        ({"year": 1990, "pair": (3, 4)}, [0, 0, 0, 0]),
    ],
    ids=str,
)
def test_conditions(where, passed):
    assert catalogue().mask(where, n_items=4).tolist() == [bool(one) for one in passed]


def test_condition_on_a_column_that_is_not_there():
    with pytest.raises(MissingColumnError, match=r"the items have 'year', .*Did you mean 'year'"):
        catalogue().mask({"years": 1990}, n_items=4)


def test_condition_that_fails_names_the_value():
    with pytest.raises(DataError, match="condition on 'year' failed on the value 1990"):
        catalogue().mask({"year": lambda year: year.lower()}, n_items=4)


def test_later_values_replace_and_missing_ones_do_not_erase():
    filled, items = catalogue(), IdTable(["x", "y", "z", "w"])
    filled.update(ItemTable(["x", "w"], {"year": [None, 2010], "new": [1, None]}), items)
    assert filled.columns["year"] == [1990, 2000, None, 2010]
    assert filled.columns["new"] == [1, None, None, None]
    filled.update(ItemTable(["x"], {"year": [1991]}), items)
    assert filled.columns["year"][0] == 1991


@pytest.mark.parametrize("missing", [float("nan"), None, pd.NA, pd.NaT], ids=repr)
def test_missing_value_of_a_frame_does_not_erase(missing):
    filled, items = catalogue(), IdTable(["x", "y", "z", "w"])
    frame = pd.DataFrame({"item": ["x", "y"], "year": pd.Series([missing, 2001], dtype=object)})
    filled.update(read_items(frame), items)
    assert filled.columns["year"] == [1990, 2001, None, None]


class Placed(ContentFactorizer):
    """Item vectors are text vectors: a stand-in for a model that learns from content."""

    def fit(self, interactions, content=None):
        self.vectors_ = np.array(content)
        return self

    def item_vectors(self):
        return self.vectors_

    def query_vectors(self, histories):
        return histories.weight_matrix() @ self.vectors_

    def learn_content(self, item_rows, content):
        self.vectors_ = replace_rows(self.vectors_, item_rows, content)
        return item_rows

    def item_support(self, item_counts, item_rows):
        return np.maximum(item_counts, 1)


def test_a_factorizer_may_read_the_vectors_of_the_texts_and_of_new_ones():
    rec = Recommender(encoder=TfidfEncoder(components=2), factorizer=Placed(), fuser="concat")
    texts = {"a": "red wine", "b": "red hat", "c": "blue sea"}
    rec.fit([("u", "a"), ("u", "b"), ("v", "c")], items=texts)
    np.testing.assert_array_equal(rec.views_["placed"].vectors_, rec.views_["tfidf"].vectors_)
    rec.partial_fit(items=[("d", "blue wine")])
    np.testing.assert_array_equal(rec.views_["placed"].vectors_, rec.views_["tfidf"].vectors_)
    assert "d" in rec.recommend("v", k=3).items


def test_content_is_that_of_the_first_dense_view():
    rec = Recommender(encoder=["tfidf", TfidfEncoder(components=2)], factorizer=Placed(), fuser="concat").fit(
        [("u", "a"), ("v", "b")], items={"a": "red wine", "b": "red hat"}
    )
    assert rec.views_["placed"].vectors_.shape == (2, 2)
    rec = Recommender(encoder=None, factorizer=Unread(), fuser="concat").fit([("u", "a"), ("v", "b")])
    assert rec.views_["unread"].content_is_none_


class Unread(Placed):
    def fit(self, interactions, content=None):
        self.content_is_none_ = content is None
        return super().fit(interactions, np.eye(interactions.n_items, dtype=np.float32))


class LongEncoder(ColourEncoder):
    """Reads any text, and gives the same vector for all."""

    def encode(self, texts):
        self.calls.extend(texts)
        return np.ones((len(texts), 3), dtype=np.float32)


def test_what_is_remembered_of_requests_is_bounded_by_its_size(monkeypatch):
    monkeypatch.setattr("llmrec.views._REMEMBERED_BYTES", 10_000)
    view = TextView(LongEncoder(), name="a").fit(["red"])
    for n in range(50):
        view.moment(f"{n:03d}" + "x" * 1000)
        assert sum(len(text) for text in view._moments._vectors) < 10_000
    assert len(view._moments._vectors) > 3
    calls = view.encoder_.calls
    # One that is larger than all that is allowed is remembered alone: a request asks for it more than once.
    view.moment("y" * 20_000), view.moment("y" * 20_000)
    assert calls.count("y" * 20_000) == 1
    assert list(view._moments._vectors) == ["y" * 20_000]
    view.moment("short")
    assert list(view._moments._vectors) == ["short"]


def test_what_is_remembered_of_requests_is_bounded_by_its_number(monkeypatch):
    monkeypatch.setattr("llmrec.views._REMEMBERED_TEXTS", 4)
    view = TextView(LongEncoder(), name="a").fit(["red"])
    for n in range(9):
        view.moment(str(n))
        assert len(view._moments._vectors) <= 4


@pytest.mark.parametrize("as_sparse", [False, True])
def test_the_vectors_count_in_the_size_of_what_is_remembered(as_sparse, monkeypatch):
    view = TextView(ColourEncoder(as_sparse=as_sparse), name="a").fit(TEXTS)
    view.moment("red")
    own = view._moments._vectors["red"][1]
    monkeypatch.setattr("llmrec.views._REMEMBERED_BYTES", 2 * own)
    view.moment("grey")
    assert list(view._moments._vectors) in (["red", "grey"], ["grey"])
    assert own >= sys.getsizeof("red") + 12


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_another_text_moves_an_item_without_events(feedback):
    rng = np.random.default_rng(0)
    events = pd.DataFrame(
        [
            (user, item, 1 + (user + item) % 5)
            for user in range(30)
            for item in rng.permutation(20)[:6].tolist()
        ],
        columns=["user", "item", "rating"],
    )
    texts = {item: f"word{item % 4} word{item % 5}" for item in range(24)}
    als = ALSFactorizer(4, feedback=feedback, content_prior=5.0, progress=False)
    rec = Recommender(encoder="tfidf", factorizer=als, fuser="concat").fit(events, items=texts)
    rec.partial_fit(items={"late": "word1 word3", 22: "word1 word3"})
    rec.partial_fit(items={"late": "word2 word4", 22: "word2 word4", "once": "word2 word4"})
    rows = [rec.interactions_.items.get(item) for item in ("once", "late", 22)]
    once, *again = rec.views_["als"].item_vectors_[rows]
    assert np.abs(once[:4]).max() > 0
    np.testing.assert_allclose(again, [once, once], rtol=0, atol=1e-6)
    kept = rec.views_["als"].item_vectors_[0].copy()
    rec.partial_fit(items={0: "word2 word4"})
    np.testing.assert_array_equal(rec.views_["als"].item_vectors_[0], kept)
