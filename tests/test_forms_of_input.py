"""What people pass in their first week: other forms of tables, lists and names, right and wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from llmrec import ALSFactorizer, Recommender, SVDFactorizer, TextView
from llmrec.base import OnlineUpdater
from llmrec.errors import (
    ComponentError,
    DataError,
    LLMRecWarning,
    MissingColumnError,
    NotFittedError,
    ParameterError,
    UnknownUserError,
)

EVENTS = [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "oil"), ("eve", "jam")]
TEXTS = {"tea": "a green leaf", "jam": "a sweet fruit", "oil": "pressed from a fruit"}


def fitted():
    factorizers = (ALSFactorizer(factors=4), "popularity")
    return Recommender(factorizer=factorizers).fit(EVENTS, items=TEXTS)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({"user": "zoe", "item": "alien"}, "For one row, pass a list of one dict"),
        ({"user": 3, "item": 4}, "a list for each column"),
        ({"user": ["a", "b"], "item": ["c"]}, "differ in length"),
        ([("new", "tea"), ((1, [2]), "tea")], "must be hashable"),
        (pd.DataFrame([["a", "b"]], columns=["user", "user"]), "one name for each column"),
        (
            pd.DataFrame([["a", "b"]], columns=pd.MultiIndex.from_tuples([("user", 1), ("item", 1)])),
            "one name for each column",
        ),
    ],
)
def test_events_that_are_no_table_change_nothing(events, message):
    rec = fitted()
    before = rec.interactions_.n_events, rec.interactions_.n_users, rec.interactions_.n_items
    with pytest.raises(DataError, match=message):
        rec.partial_fit(events)
    with pytest.raises(DataError, match=message):
        rec.fit(events)
    assert (rec.interactions_.n_events, rec.interactions_.n_users, rec.interactions_.n_items) == before


def test_item_columns_of_unlike_length_are_refused():
    with pytest.raises(DataError, match="differ in length"):
        Recommender().fit(items={"item": ["a", "b"], "text": ["c"]})


def test_numbered_frame_columns_can_be_named():
    frame = pd.DataFrame([["ann", "tea"], ["bob", "jam"]])
    rec = Recommender(encoder=None).fit(frame, columns={"user": 0, "item": 1})
    assert list(rec.interactions_.users) == ["ann", "bob"]
    with pytest.raises(MissingColumnError, match="found '0', '1'"):
        Recommender().fit(frame)


@pytest.mark.parametrize("name", ["rating", "weight", "timestamp"])
def test_a_mapping_to_a_column_that_is_not_there_is_refused(name):
    frame = pd.DataFrame({"user": ["a"], "item": ["b"], "stars": [1.0]})
    with pytest.raises(MissingColumnError, match=r"'sters'.*mean 'stars'"):
        Recommender().fit(frame, columns={name: "sters"})


@pytest.mark.parametrize("columns", ["user", ["user", "item"]])
def test_a_mapping_that_is_none_is_refused(columns):
    with pytest.raises(ParameterError, match="columns= maps"):
        Recommender().fit([("a", "b")], columns=columns)


def test_a_remembered_mapping_holds_where_its_names_occur():
    frame = pd.DataFrame({"userId": ["ann", "bob"], "movieId": ["tea", "jam"]})
    names = {"user": "userId", "item": "movieId"}
    rec = Recommender(encoder=None).fit(frame, columns=names)
    rec.partial_fit([("ann", "jam")])
    rec.partial_fit(frame.assign(movieId="oil"))
    rec.partial_fit({"user": ["bob"], "item": ["tea"]})
    assert rec.interactions_.n_events == 6
    with pytest.raises(MissingColumnError, match="no such column"):
        rec.partial_fit([("ann", "jam")], columns=names)


@pytest.mark.parametrize("make", [pd.Series, np.array, pl.Series, pa.array, tuple])
def test_histories_users_and_candidates_may_be_columns(make):
    rec = fitted()
    asked = list(rec.interactions_.items)[:2]
    plain = rec.recommend(history=asked, k=5)
    assert rec.recommend(history=make(asked), k=5).items == plain.items
    assert (
        rec.recommend("nobody", candidates=make(asked)).items
        == rec.recommend("nobody", candidates=asked).items
    )
    if make is not tuple:
        users = list(rec.interactions_.users)
        assert rec.recommend(make(users), k=3).users == users


def test_one_item_in_an_array_is_a_history():
    rec = Recommender(encoder=None).fit([(u, i) for u in range(4) for i in range(5) if (u + i) % 3])
    answer = rec.recommend(history=np.array([0]), k=9)
    assert answer.basis == "history"
    assert 0 not in answer
    assert rec.recommend(history=np.array([]), k=9).basis == "popular"


@pytest.mark.parametrize(
    "make", [iter, lambda users: (one for one in users), lambda users: dict.fromkeys(users).keys()]
)
def test_users_that_come_one_by_one_are_several(make):
    rec = fitted()
    users = list(rec.interactions_.users)
    assert rec.recommend(make(users), k=2).users == users


def test_a_frame_is_neither_users_nor_candidates():
    rec = fitted()
    frame = pd.DataFrame({"user": ["a"]})
    with pytest.raises(ParameterError, match="one column, got a DataFrame"):
        rec.recommend(frame)
    with pytest.raises(ParameterError, match="one column, got a DataFrame"):
        rec.recommend("a", candidates=frame)


@pytest.mark.parametrize("factorizer", ["als", "svd"])
def test_unknown_users_of_a_model_of_ratings_get_what_is_popular(factorizer):
    model = {
        "als": ALSFactorizer(factors=2, feedback="explicit"),
        "svd": SVDFactorizer(factors=1, feedback="explicit"),
    }
    rec = Recommender(encoder=None, factorizer=model[factorizer]).fit(
        {"user": ["ann", "bob", "bob"], "item": ["tea", "tea", "jam"], "rating": [5, 4, 5]}
    )
    assert rec.recommend("stranger").basis == "popular"
    assert rec.recommend(["ann", "stranger"]).basis == ["history", "popular"]


def test_a_model_of_texts_learns_what_is_popular():
    rec = Recommender().fit(items={"tea": "green leaves", "jam": "red berries"})
    with pytest.raises(UnknownUserError, match="no events yet"):
        rec.recommend("eve")
    with pytest.warns(LLMRecWarning, match="refit it to learn factors"):
        rec.partial_fit([("bob", "jam")])
    answer = rec.recommend("eve", k=1)
    assert (answer.basis, answer.items) == ("popular", ["jam"])


def test_columns_that_the_model_cannot_use_are_reported():
    rec = fitted()
    with pytest.warns(LLMRecWarning, match="have no ratings"):
        rec.partial_fit({"user": ["a"], "item": ["tea"], "rating": [1.0]})
    rec = Recommender().fit([("a", "tea"), ("b", "jam")])
    with pytest.warns(LLMRecWarning, match="without texts; refit"):
        rec.partial_fit(items=[("oil", "pressed olives")])


def test_weighted_fuser_names_the_sparse_view():
    with pytest.raises(ComponentError, match="'itemknn' is sparse; use ConcatFuser"):
        Recommender(fuser="weighted").fit([("a", "tea"), ("b", "tea")], items={"tea": "green leaves"})


@pytest.mark.parametrize("template", ["{title", "{year:d}", "{title!r}", 5, "no name"])
def test_a_text_template_that_is_none_is_refused(template):
    with pytest.raises(ParameterError, match="text_template"):
        Recommender(text_template=template).fit(items=[{"item": "a", "title": "Heat", "year": 1995}])


def test_a_text_template_may_name_the_id():
    rec = Recommender(text_template="{item} {title}").fit(items=[{"item": "ocean", "title": "Heat"}])
    assert rec.search("ocean").items == ["ocean"]


def test_unknown_items_are_reported_once_with_the_nearest():
    rec = fitted()
    known = next(iter(rec.interactions_.items))
    wrong = [f"{known}{n}" for n in range(5)]
    with pytest.warns(LLMRecWarning, match="5 unknown items in candidates.*mean") as caught:
        rec.recommend("nobody", candidates=[known, *wrong])
    assert len(caught) == 1


def test_dates_of_frames_are_kept_and_saved(tmp_path):
    items = pd.DataFrame(
        {
            "item": ["a", "b"],
            "text": ["red hat", "blue sea"],
            "released": pd.to_datetime(["1979-01-01", None]),
        }
    )
    rec = Recommender().fit(items=items)
    rec.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    assert again.search("hat sea", where={"released": lambda day: day.year == 1979}).items == ["a"]


def test_cells_that_hold_lists_pass_by_one_of_their_values():
    items = [
        {"item": "a", "text": "red hat", "genres": ["drama", "crime"]},
        {"item": "b", "text": "red sea", "genres": np.array(["comedy"])},
        {"item": "c", "text": "red sun", "genres": None},
    ]
    rec = Recommender().fit(items=items)
    assert rec.search("red", where={"genres": "crime"}).items == ["a"]
    assert set(rec.search("red", where={"genres": ("crime", "comedy")}).items) == {"a", "b"}


def test_nothing_in_common_is_no_find():
    rec = Recommender().fit(items={"a": "red hat", "b": "blue sea", "c": "red sea"})
    assert rec.search("hat", k=3).items == ["a"]
    assert rec.search("red", k=3, exclude=["a"]).items == ["c"]
    assert rec.similar_items("a", k=3).items == ["c"]
    assert rec.similar_items("a", k=3, exclude=["c"]).items == []
    with pytest.raises(ParameterError, match="one id"):
        rec.similar_items(["a"])


def test_seen_is_yes_or_no():
    with pytest.raises(ParameterError, match="exclude_seen must be True or False"):
        fitted().recommend("a", exclude_seen="no")


def test_texts_that_are_no_dates_say_how_to_make_them():
    with pytest.raises(DataError, match=r"pandas\.to_datetime"):
        Recommender().fit({"user": ["a"], "item": ["b"], "timestamp": ["2020-01-01"]})


@pytest.mark.parametrize("use", ["encode", "extend", "for_items"])
def test_a_text_view_before_fit_says_so(use):
    view = TextView("tfidf")
    arguments = {"encode": [["a"]], "extend": [np.zeros(1, np.int32), np.ones((1, 1))], "for_items": [None]}
    with pytest.raises(NotFittedError):
        getattr(view, use)(*arguments[use])


def test_factors_before_fit_say_so():
    als, row = ALSFactorizer(), np.zeros(1, np.int32)
    for use in (
        lambda: als.known_query_vectors(row),
        lambda: als.learnable,
        lambda: als.resize(1, 1),
        lambda: als.set_user_vectors(row, np.ones((1, 1))),
        lambda: als.set_item_vectors(row, np.ones((1, 1))),
    ):
        with pytest.raises(NotFittedError):
            use()


def test_auto_may_stand_beside_other_encoders():
    rec = Recommender(encoder=["auto", TextView("tfidf", name="mine")]).fit(items={"a": "red hat"})
    assert list(rec.views_) == ["words", "mine"]


def test_two_models_and_a_failing_updater_still_serve():
    class Boom(OnlineUpdater):
        def update(self, state, events):
            raise RuntimeError("boom")

    rec = Recommender(
        encoder=None,
        factorizer=[ALSFactorizer(factors=2), SVDFactorizer(factors=1)],
        updater=Boom(),
        fuser="concat",
    ).fit([("a", "tea"), ("a", "jam"), ("b", "tea"), ("c", "oil"), ("c", "tea")])
    with pytest.raises(RuntimeError, match="boom"):
        rec.partial_fit([("zoe", "fig")])
    assert rec.recommend(["zoe", "a"], k=2).users == ["zoe", "a"]
