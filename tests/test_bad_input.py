"""Bad and odd input: each case has a clear error or a stated outcome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from llmrec import ALSFactorizer, DotRanker, Popularity, Recommender, SVDFactorizer
from llmrec.errors import (
    ComponentError,
    DataError,
    LLMRecError,
    LLMRecWarning,
    MissingColumnError,
    NotFittedError,
    ParameterError,
    UnknownItemError,
    UnknownNameError,
    UnknownUserError,
)
from llmrec.validation import check_matrix

EVENTS = [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "oil"), ("eve", "jam")]
TEXTS = {"tea": "a green leaf", "jam": "a sweet fruit", "oil": "pressed from a fruit"}


def small(**parameters):
    return Recommender(**{"factorizer": (ALSFactorizer(factors=4), "popularity"), **parameters})


@pytest.fixture(scope="module")
def fitted():
    return small().fit(EVENTS, items=TEXTS)


# -- nothing to learn from ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        None,
        [],
        pd.DataFrame({"user": [], "item": []}),
        pl.DataFrame({"user": [], "item": []}),
        sparse.csr_array((3, 4)),
    ],
    ids=["none", "list", "pandas", "polars", "sparse"],
)
def test_no_events_and_no_items(table):
    with pytest.raises(DataError, match="there is nothing to learn from: pass interactions, items"):
        small().fit(table)


def test_frame_without_columns():
    with pytest.raises(MissingColumnError, match="no column 'user' in the events; found no columns"):
        small().fit(pd.DataFrame())


def test_no_component_that_could_learn():
    with pytest.raises(DataError, match="no factorizer is set, and there are no texts"):
        Recommender(factorizer=None).fit(EVENTS)
    with pytest.raises(DataError, match="no encoder is set"):
        Recommender(encoder=None).fit(items=TEXTS)


def test_items_whose_texts_are_all_blank():
    with pytest.warns(LLMRecWarning, match="no item has a text"), pytest.raises(DataError, match="no events"):
        small().fit(items={"tea": "", "jam": "  "})
    with pytest.warns(LLMRecWarning, match="no item has a text"):
        rec = small().fit(EVENTS, items={"tea": "", "jam": "  "})
    assert list(rec.views_) == ["als", "popularity"]


# -- events ------------------------------------------------------------------------------------------------


def test_missing_column_says_what_is_there():
    frame = pd.DataFrame({"user": [1], "product": [2], "ts": [3]})
    with pytest.raises(
        MissingColumnError, match="no column 'item' in the events; found 'user', 'product', 'ts'"
    ):
        small().fit(frame)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -float("inf"), 0, -1, None, "much"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_unusable_weight(method, weight):
    rec = small().fit(EVENTS)
    with pytest.raises(DataError, match="weight"):
        getattr(rec, method)([("ann", "oil", 1.0), ("ann", "tea", weight)])
    assert rec.interactions_.n_events == len(EVENTS)


@pytest.mark.parametrize("event", [(None, "tea"), ("ann", None), (float("nan"), "tea"), ("ann", pd.NA)])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_missing_id(method, event):
    rec = small().fit(EVENTS)
    with pytest.raises(DataError, match=r"row 1 has no (user|item)"):
        getattr(rec, method)([("ann", "oil"), event])
    assert rec.interactions_.n_events == len(EVENTS)


def test_missing_item_id_in_items():
    with pytest.raises(DataError, match="row 1 has no item"):
        small().fit(EVENTS, items=[("tea", "leaf"), (None, "text")])


@pytest.mark.parametrize("factorizer", [ALSFactorizer, SVDFactorizer])
def test_explicit_feedback_without_ratings(factorizer):
    with pytest.raises(DataError, match="explicit feedback needs ratings"):
        small(factorizer=factorizer(factors=2, feedback="explicit")).fit(EVENTS)


@pytest.mark.parametrize("factorizer", [ALSFactorizer, SVDFactorizer])
@pytest.mark.parametrize("rating", [0.0, 3.0])
def test_ratings_that_are_all_equal(factorizer, rating):
    rated = {"user": [u for u, _ in EVENTS], "item": [i for _, i in EVENTS], "rating": [rating] * len(EVENTS)}
    rec = Recommender(factorizer=factorizer(factors=2, feedback="explicit")).fit(rated)
    answer = rec.recommend("eve")
    assert set(answer.items) == {"tea", "oil"}
    assert np.isfinite(answer.scores).all()


# -- sizes -------------------------------------------------------------------------------------------------

FACTORIZERS = ["als", "svd", "item-knn", "popularity", ("als", "item-knn", "popularity")]


@pytest.mark.parametrize("factorizer", FACTORIZERS, ids=str)
def test_one_user(factorizer):
    rec = Recommender(factorizer=factorizer).fit([("ann", "tea"), ("ann", "jam")])
    assert rec.recommend("ann").items == []
    answer = rec.recommend("nobody")
    assert sorted(answer.items) == ["jam", "tea"]
    assert np.isfinite(answer.scores).all()


@pytest.mark.parametrize("factorizer", FACTORIZERS, ids=str)
def test_one_item(factorizer):
    rec = Recommender(factorizer=factorizer).fit([("ann", "tea"), ("bob", "tea")])
    assert rec.recommend("ann").items == []
    assert rec.recommend("nobody").items == ["tea"]
    assert rec.similar_items("tea").items == []


@pytest.mark.parametrize("factorizer", FACTORIZERS, ids=str)
def test_one_event_then_another(factorizer):
    rec = Recommender(factorizer=factorizer).fit([("ann", "tea")])
    rec.partial_fit([("bob", "jam")])
    for answer in rec.recommend(["ann", "bob", "nobody"]):
        assert np.isfinite(answer.scores).all()
        assert {"ann": "tea", "bob": "jam"}.get(answer.user) not in answer.items


def test_events_for_items_without_text_and_text_for_items_without_events():
    rec = small().fit(EVENTS, items={"tea": "a green leaf", "matcha": "a green leaf, ground"})
    assert set(rec.recommend("eve", k=9).items) == {"tea", "oil", "matcha"}
    assert rec.recommend(history=["tea"], k=9, candidates=["matcha", "oil"]).items[0] in ("matcha", "oil")
    assert rec.similar_items("matcha", k=1).items == ["tea"]


def test_item_of_which_nothing_is_known_is_not_guessed():
    rec = small().fit(EVENTS, items={**TEXTS, "blank": ""})
    assert "blank" not in rec.recommend("ann", k=9).items
    assert "blank" not in rec.similar_items("tea", k=9).items
    assert "blank" not in rec.search("fruit", k=9).items
    assert rec.similar_items("blank").items == []


# -- texts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("long word " * 10_000 + "needle", "needle"),
        ("🍵🍵 brew", "brew"),
        ("绿茶 green 茶叶 чай", "чай"),
        ("a\x00b\ud7ff needle\n\t", "needle"),
        ("NEEDLE", "needle"),
    ],
    ids=["100 kB", "emoji", "mixed script", "control characters", "capitals"],
)
def test_odd_texts_are_read(text, query):
    rec = small().fit(EVENTS, items={**TEXTS, "odd": text})
    assert rec.search(query, k=1).items == ["odd"]
    rec.partial_fit(items={"odder": text})
    assert set(rec.search(query, k=2).items) == {"odd", "odder"}
    assert np.isfinite(rec.recommend("ann", k=9, context=text).scores).all()


def test_empty_context_is_no_context(fitted):
    for blank in ("", "   ", "🍵"):
        assert fitted.recommend("ann", context=blank).basis == "history"
        assert fitted.recommend("ann", context=blank).items == fitted.recommend("ann").items


# -- requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True, float("nan")])
@pytest.mark.parametrize("ask", ["recommend", "similar_items", "search"])
def test_k_must_be_a_whole_number_above_zero(fitted, ask, k):
    with pytest.raises(ParameterError, match="k must be a whole number of at least 1"):
        getattr(fitted, ask)("tea", k=k)


def test_k_may_be_a_numpy_integer(fitted):
    assert len(fitted.recommend("nobody", k=np.int64(2))) == 2


def test_k_above_the_catalogue(fitted):
    assert fitted.recommend("ann", k=1000).items == ["oil"]
    assert len(fitted.similar_items("tea", k=1000)) == 2
    assert len(fitted.search("fruit", k=1000)) <= 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda rec: rec.recommend("ann"),
        lambda rec: rec.similar_items("tea"),
        lambda rec: rec.search("leaf"),
        lambda rec: rec.views_,
        lambda rec: rec.interactions_,
        lambda rec: rec.ranker_,
    ],
    ids=["recommend", "similar_items", "search", "views_", "interactions_", "ranker_"],
)
def test_before_fit(ask):
    with pytest.raises(NotFittedError, match="this Recommender has seen no data yet; call fit first"):
        ask(small())


def test_what_a_component_lacks_is_told_from_what_it_has_not_learned():
    class Broken(Popularity):
        @property
        def shares_(self):
            return self.counts_ / self.nothing

    broken = Broken()
    with pytest.raises(NotFittedError, match="this Broken has seen no data yet; call fit first"):
        _ = broken.counts_
    with pytest.raises(NotFittedError, match="this DotRanker has seen no data yet; call index first"):
        _ = DotRanker().items_
    with pytest.raises(AttributeError, match="has no attribute 'halflife'"):
        _ = broken.halflife
    broken.counts_ = 1
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = broken.shares_
    assert not hasattr(broken, "weights_")


def test_save_before_fit_writes_nothing(tmp_path):
    with pytest.raises(NotFittedError):
        small().save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_failed_first_fit_leaves_an_unfitted_recommender():
    rec = small()
    with pytest.raises(DataError):
        rec.fit([])
    with pytest.raises(NotFittedError):
        rec.recommend("ann")


def test_request_for_nobody(fitted):
    with pytest.raises(ParameterError, match="needs a user, a history or a context"):
        fitted.recommend()
    with pytest.raises(ParameterError, match="a user or a history, not both"):
        fitted.recommend("ann", history=["tea"])
    with pytest.raises(ParameterError, match="context must be a text, got int"):
        fitted.recommend("ann", context=5)


@pytest.mark.parametrize("users", [["ann", None], ["ann", ["bob"]], ["ann", {"x": 1}]], ids=repr)
def test_list_with_what_is_no_user(fitted, users):
    with pytest.raises(ParameterError, match="users must be ids; the one at 1"):
        fitted.recommend(users)


@pytest.mark.parametrize("where", ["history", "candidates", "exclude"])
def test_one_string_where_a_list_is_meant(fitted, where):
    user = None if where == "history" else "ann"
    with pytest.raises(ParameterError, match=f"{where} must be a list of items, got one: 'tea'"):
        fitted.recommend(user, **{where: "tea"})


@pytest.mark.parametrize("where", ["history", "candidates", "exclude"])
def test_what_is_no_list_at_all(fitted, where):
    with pytest.raises(ParameterError, match=f"{where} must be a list of items"):
        fitted.recommend(None if where == "history" else "ann", **{where: 5})


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "much"])
def test_history_weight(fitted, weight):
    with pytest.raises(ParameterError, match="a history weight must be a finite number above 0"):
        fitted.recommend(history={"tea": weight})


def test_unhashable_item_is_unknown(fitted):
    with pytest.warns(LLMRecWarning, match="unknown item"):
        fitted.recommend(history=[["tea", "jam", "oil"]])


def test_unknown_ids(fitted):
    assert fitted.recommend("annn").basis == "popular"
    with pytest.warns(LLMRecWarning, match="unknown item 'teaa' in history"):
        assert fitted.recommend(history=["teaa"]).basis == "popular"
    with pytest.warns(LLMRecWarning, match="unknown item 'teaa' in candidates"):
        assert fitted.recommend("ann", candidates=["teaa"]).items == []
    assert fitted.recommend("ann", exclude=["teaa"]).items == ["oil"]
    with pytest.raises(UnknownItemError, match="'tee'"):
        fitted.similar_items("tee")


def test_id_of_another_type_is_another_id(fitted):
    rec = small().fit([(1, 10), (2, 10), (2, 11)])
    assert rec.recommend("1").basis == "popular"
    assert rec.recommend(np.int64(1)).items == [11]


# -- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"ranker": "cosin"}, UnknownNameError, "no ranker is called 'cosin'.*Did you mean 'cosine'"),
        ({"factorizer": ["als", "sdv"]}, UnknownNameError, "no factorizer is called 'sdv'.*'svd'"),
        ({"encoder": "tfdif"}, UnknownNameError, "Did you mean 'tfidf'"),
        (
            {"ranker": ALSFactorizer()},
            ComponentError,
            "ranker must be a Ranker or one of .*got ALSFactorizer",
        ),
        (
            {"factorizer": ALSFactorizer},
            ComponentError,
            r"the class ALSFactorizer; call it: ALSFactorizer\(\)",
        ),
        ({"updater": 5}, ComponentError, "updater must be an? OnlineUpdater"),
        ({"unknown_users": "ignore"}, ParameterError, "unknown_users must be one of 'popular', 'raise'"),
        ({"unknown_items": "rase"}, ParameterError, "Did you mean 'raise'"),
        ({"factorizer": ALSFactorizer(factors=0)}, ParameterError, "factors must be a whole number"),
        ({"text_template": "{txt}"}, MissingColumnError, "no column 'txt' in the items.*Did you mean 'text'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_parameter(parameters, error, message):
    with pytest.raises(error, match=message):
        small(**parameters).fit(EVENTS, items=TEXTS)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (DataError, ValueError),
        (ParameterError, ValueError),
        (MissingColumnError, LookupError),
        (NotFittedError, ValueError),
        (ComponentError, TypeError),
        (UnknownUserError, LookupError),
        (UnknownItemError, LookupError),
        (UnknownNameError, ValueError),
    ],
)
def test_errors_are_ours_and_builtin(error, builtin):
    assert issubclass(error, LLMRecError)
    assert issubclass(error, builtin)
    assert str(error("plain 'message'")) == "plain 'message'"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_matrix_may_hold_what_float32_holds_and_nothing_else(form):
    longest = form(np.full((2, 3), 3e38, dtype=np.float32))  # their squares overflow
    assert check_matrix(longest, "vectors").shape == (2, 3)
    assert check_matrix(form(np.zeros((0, 3), dtype=np.float32)), "vectors").shape == (0, 3)
    for value in (np.nan, np.inf, -np.inf):
        matrix = np.full((2, 3), 3e38, dtype=np.float32)
        matrix[1, 2] = value
        with pytest.raises(DataError, match="NaN or infinite"):
            check_matrix(form(matrix), "vectors")
