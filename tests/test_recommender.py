"""The recommender from fit to file: known answers, and what holds for any data."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from llmrec import ALSFactorizer, ItemKNN, Popularity, Recommender, TextView, TfidfEncoder
from llmrec.base import Encoder
from llmrec.errors import (
    DataError,
    LLMRecWarning,
    MissingColumnError,
    ParameterError,
    UnknownItemError,
    UnknownUserError,
    UntrustedComponentError,
)
from llmrec.updaters import FoldInUpdater

HORROR = ["alien", "thing", "ring", "saw"]
ROMANCE = ["emma", "amour", "heart", "kiss"]
EVENTS = [
    *((f"h{n}", film) for n in range(6) for film in HORROR if HORROR.index(film) != n % 4),
    *((f"r{n}", film) for n in range(6) for film in ROMANCE if ROMANCE.index(film) != n % 4),
]
TEXTS = {
    **{film: f"{film} monster blood night fear" for film in HORROR},
    **{film: f"{film} love letter wedding tears" for film in ROMANCE},
    "orphan": "monster fear cellar night",
}


class LengthEncoder(Encoder):
    """An encoder of the user's own: how long a text is, and how many blanks it has."""

    def encode(self, texts):
        pairs = [[len(text), text.count(" ")] if text.strip() else [0, 0] for text in texts]
        return np.array(pairs, dtype=np.float32).reshape(-1, 2)

    @property
    def dim(self):
        return 2


class BrokenEncoder(LengthEncoder):
    """Fails on texts that say so."""

    def encode(self, texts):
        if any("break" in text for text in texts):
            raise RuntimeError("broken")
        return super().encode(texts)


def small(**parameters):
    defaults = {"factorizer": (ALSFactorizer(factors=4), "popularity")}
    return Recommender(**{**defaults, **parameters})


@pytest.fixture(scope="module")
def fitted():
    """For reading only."""
    return small().fit(EVENTS, items=TEXTS)


@pytest.fixture
def rec():
    return small().fit(EVENTS, items=TEXTS)


def answers(rec, users=("h0", "r1", "nobody"), k=9):
    return [(one.items, one.scores.tolist(), one.basis) for one in rec.recommend(list(users), k=k)]


def saved(rec, folder):
    """Return all that a model folder says: its manifest, and its arrays byte by byte."""
    rec.save(folder)
    manifest = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    arrays = {}
    for path in folder.glob("*.safetensors"):
        arrays.update(load_file(path))
    return manifest, {name: (one.dtype.str, one.shape, one.tobytes()) for name, one in arrays.items()}


# -- fit ---------------------------------------------------------------------------------------------------


def test_taste_decides(fitted):
    assert fitted.recommend("h0", k=1).items == ["alien"]
    assert fitted.recommend("r1", k=1).items == ["amour"]
    assert set(fitted.recommend("h2", k=2).items) == {"ring", "orphan"}


def test_fit_on_events_alone():
    rec = small().fit(EVENTS)
    assert list(rec.views_) == ["als", "popularity"]
    assert rec.recommend("h0", k=1).items == ["alien"]
    with pytest.raises(DataError, match="search needs item texts"):
        rec.search("monster")


def test_fit_on_items_alone():
    rec = small().fit(items=TEXTS)
    assert list(rec.views_) == ["words"]
    by_history = rec.recommend(history=["alien", "thing"], k=3)
    assert set(by_history.items) == {"ring", "saw", "orphan"}
    assert by_history.basis == "history"
    by_context = rec.recommend(context="a wedding", k=4)
    assert set(by_context.items) == set(ROMANCE)
    assert by_context.basis == "context"
    assert set(rec.search("tears", k=4).items) == set(ROMANCE)
    assert set(rec.similar_items("emma", k=3).items) == set(ROMANCE) - {"emma"}
    with pytest.raises(UnknownUserError, match="nothing is popular"):
        rec.recommend("ann")


def test_events_and_items_by_position_or_name():
    by_name = small().fit(interactions=EVENTS, items=TEXTS)
    assert answers(by_name) == answers(small().fit(EVENTS, TEXTS))


def test_refit_equals_a_fresh_fit(rec):
    rec.partial_fit([("h0", "emma"), ("new", "kiss")], items=[("moon", "alone in space")])
    others = [("x", "a"), ("y", "a"), ("x", "b"), ("z", "c")]
    rec.fit(others, items={"a": "one two", "b": "two three", "c": "three four"})
    fresh = small().fit(others, items={"a": "one two", "b": "two three", "c": "three four"})
    assert answers(rec, ("x", "y", "z", "h0")) == answers(fresh, ("x", "y", "z", "h0"))
    assert rec.interactions_.items.ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    "events",
    [[("a", None)], [("a", "b", -1)], pd.DataFrame({"who": [1], "item": [2]}), "events"],
    ids=["no id", "negative weight", "no column", "no table"],
)
def test_failed_fit_keeps_the_old_model_serving(rec, events):
    before = answers(rec)
    with pytest.raises(DataError):
        rec.fit(events)
    assert answers(rec) == before


def test_fit_does_not_change_the_components_it_was_given():
    factorizer, encoder = ALSFactorizer(factors=4), TfidfEncoder()
    Recommender(factorizer=factorizer, encoder=encoder).fit(EVENTS, items=TEXTS)
    assert not [name for name in (*vars(factorizer), *vars(encoder)) if name.endswith("_")]


def test_same_data_gives_the_same_answers():
    assert answers(small().fit(EVENTS, TEXTS)) == answers(small().fit(EVENTS, TEXTS))


def test_fit_on_interactions_leaves_them_alone(rec):
    known = rec.interactions_
    n_events = known.n_events
    other = small().fit(known)
    other.partial_fit([("someone", "something")])
    assert rec.interactions_.n_events == n_events
    assert "something" not in rec.interactions_.items


def test_several_views_of_one_kind_get_names_apart():
    rec = small(encoder=["tfidf", TextView("tfidf", metric="ridge")]).fit(EVENTS, items=TEXTS)
    assert list(rec.views_) == ["tfidf", "tfidf-2", "als", "popularity"]


def test_text_template_joins_columns():
    items = [{"item": "a", "title": "Jaws", "plot": "a shark"}, {"item": "b", "title": "Emma", "plot": None}]
    rec = Recommender(text_template="{title}. {plot}").fit(items=items)
    assert rec.search("shark", k=1).items == ["a"]
    assert rec.search("emma", k=1).items == ["b"]


def test_columns_apply_to_both_tables_and_to_later_ones():
    names = {"user": "userId", "item": "movieId", "text": "plot"}
    rec = small().fit(
        pd.DataFrame(EVENTS, columns=["userId", "movieId"]),
        pd.DataFrame({"movieId": list(TEXTS), "plot": list(TEXTS.values())}),
        columns=names,
    )
    assert answers(rec) == answers(small().fit(EVENTS, items=TEXTS))
    rec.partial_fit(
        pl.DataFrame({"userId": ["new"], "movieId": ["pyre"]}),
        pl.DataFrame({"movieId": ["pyre"], "plot": ["monster fear"]}),
    )
    assert "pyre" in rec.recommend("h0", k=9).items


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, lambda t: t], ids=["pandas", "polars", "dict"])
def test_form_of_the_table_does_not_matter(frame, fitted):
    events = frame({"user": [user for user, _ in EVENTS], "item": [item for _, item in EVENTS]})
    items = frame({"item": list(TEXTS), "text": list(TEXTS.values())})
    assert answers(small().fit(events, items)) == answers(fitted)


def test_item_listed_twice_has_its_last_text():
    rec = Recommender().fit(items=[("a", "old words"), ("b", "other"), ("a", "new words")])
    assert rec.interactions_.items.ids == ["a", "b"]
    assert rec.search("new", k=1).items == ["a"]
    with pytest.warns(LLMRecWarning, match="no encoder knows"):
        rec.search("old")


# -- recommend ---------------------------------------------------------------------------------------------


def test_batch_equals_one_by_one(fitted):
    users = ["h0", "nobody", "r3", "h0"]
    batch = fitted.recommend(users, k=5)
    assert batch.users == users
    for user, row in zip(users, batch, strict=True):
        alone = fitted.recommend(user, k=5)
        assert (row.items, row.basis, row.user) == (alone.items, alone.basis, user)
        np.testing.assert_allclose(row.scores, alone.scores, atol=1e-5)


@pytest.mark.parametrize("form", [list, np.array, pd.Series, pl.Series], ids=lambda form: form.__module__)
def test_users_in_any_form(fitted, form):
    assert fitted.recommend(form(["h0", "r1"]), k=3).items == fitted.recommend(["h0", "r1"], k=3).items


def test_no_users_give_an_empty_batch(fitted):
    assert len(fitted.recommend([])) == 0


def test_tuple_is_one_user():
    rec = small().fit([(("shop", 1), "a"), (("shop", 2), "a"), (("shop", 2), "b")])
    assert rec.recommend(("shop", 1)).items == ["b"]
    assert rec.recommend([("shop", 1)]).items == [["b"]]


def test_known_user_and_history(fitted):
    """What is not behaviour's latent vectors is the same computation for both."""
    rec = Recommender(factorizer=("item-knn", "popularity")).fit(EVENTS, items=TEXTS)
    history = [film for user, film in EVENTS if user == "h3"]
    assert rec.recommend(history=history, k=5).items == rec.recommend("h3", k=5).items


@pytest.mark.parametrize(
    "history",
    [["alien", "thing"], ("alien", "thing"), {"alien": 1, "thing": 1.0}, [("alien", 1), ("thing", 1)]],
)
def test_forms_of_history(fitted, history):
    answer = fitted.recommend(history=history, k=4)
    expected = fitted.recommend(history=iter(["alien", "thing"]), k=4)
    assert (answer.items, answer.user, answer.basis) == (expected.items, None, "history")
    assert not {"alien", "thing"} & set(answer.items)


def test_history_weights_count(fitted):
    assert fitted.recommend(history={"alien": 9, "emma": 1}, k=1).items[0] in [*HORROR, "orphan"]
    assert fitted.recommend(history={"alien": 1, "emma": 9}, k=1).items[0] in ROMANCE


def test_items_that_are_tuples_of_two_are_items_in_a_history():
    rec = small().fit([("u", ("a", 1)), ("u", ("b", 2)), ("v", ("a", 1)), ("v", ("c", 3))])
    assert ("a", 1) not in rec.recommend(history=[("a", 1)], k=5).items


def test_basis_says_on_what_an_answer_stands(fitted):
    assert fitted.recommend("h0").basis == "history"
    assert fitted.recommend("h0", context="wedding").basis == "history+context"
    assert fitted.recommend("nobody", context="wedding").basis == "context"
    assert fitted.recommend(context="wedding").basis == "context"
    assert fitted.recommend("nobody").basis == "popular"
    assert fitted.recommend(history=[]).basis == "popular"
    assert fitted.recommend(context="zzz qqq").basis == "popular"
    assert fitted.similar_items("alien").basis == "similar"
    assert fitted.search("wedding").basis == "search"


def test_context_moves_the_answer(fitted):
    assert set(fitted.recommend(context="love wedding", k=4).items) == set(ROMANCE)
    assert fitted.recommend("nobody", k=1, context="cellar").items == ["orphan"]


def test_popular_is_what_most_have_met():
    rec = small().fit([("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("b", "y"), ("c", "z")])
    assert rec.recommend("nobody", k=3).items == ["x", "y", "z"]
    assert rec.recommend("nobody", k=3, exclude=["x"], candidates=["x", "z"]).items == ["z"]


def test_popular_without_a_popularity_view():
    rec = Recommender(factorizer=ALSFactorizer(factors=4)).fit([*EVENTS, ("x", "saw"), ("y", "saw")])
    assert list(rec.views_) == ["als"]
    assert rec.recommend("nobody", k=1).items == ["saw"]


def test_unknown_users_raise_if_asked_to():
    rec = small(unknown_users="raise").fit(EVENTS, items=TEXTS)
    with pytest.raises(UnknownUserError, match=r"nothing is known of user 'h00'.*Did you mean 'h0'"):
        rec.recommend("h00")
    with pytest.raises(UnknownUserError):
        rec.recommend(["h0", "h00"])
    assert rec.recommend("h00", context="wedding", k=1).items[0] in ROMANCE


def test_candidates_exclude_and_where_narrow_down(fitted):
    assert set(fitted.recommend("nobody", candidates=["saw", "emma"]).items) == {"saw", "emma"}
    assert "alien" not in fitted.recommend("h0", k=9, exclude=["alien"]).items
    assert fitted.recommend("h0", candidates=["alien"], exclude={"alien"}).items == []
    assert fitted.recommend("h0", candidates=[]).items == []


def test_where_filters_by_item_columns():
    items = [
        {"item": "a", "text": "one word", "year": 1990, "tag": "x"},
        {"item": "b", "text": "two words", "year": 2000, "tag": "y"},
        {"item": "c", "text": "three words", "year": None, "tag": "x"},
        {"item": "d", "text": "four words", "year": 2010, "tag": None},
    ]
    rec = small().fit([("u", "a"), ("v", "b"), ("v", "c"), ("w", "d"), ("w", "e")], items=items)

    def found(where):
        return sorted(rec.recommend("nobody", where=where).items)

    assert found({"tag": "x"}) == ["a", "c"]
    assert found({"tag": ["x", "y"]}) == found({"tag": {"x", "y"}}) == ["a", "b", "c"]
    assert found({"year": lambda year: year >= 2000}) == ["b", "d"]
    assert found({"year": lambda year: year >= 2000, "tag": "y"}) == ["b"]
    assert found({"tag": "z"}) == []
    assert found({}) == ["a", "b", "c", "d", "e"]
    assert rec.search("words", where={"tag": "y"}).items == ["b"]
    assert rec.similar_items("b", where={"tag": "x"}).items == ["c", "a"]
    assert rec.recommend("v", candidates=["d", "a"], where={"tag": "x"}).items == ["a"]
    with pytest.raises(MissingColumnError, match=r"the items have .*Did you mean 'year'"):
        found({"yaer": 1})
    with pytest.raises(ParameterError, match="where must map"):
        found(["tag"])
    with pytest.raises(DataError, match="condition on 'tag' failed on the value 'x'"):
        found({"tag": lambda tag: tag > 5})


def test_exclude_seen(fitted):
    seen = {film for user, film in EVENTS if user == "h0"}
    assert not seen & set(fitted.recommend("h0", k=9).items)
    assert seen < set(fitted.recommend("h0", k=9, exclude_seen=False).items)
    assert "alien" in fitted.recommend(history=["alien"], k=9, exclude_seen=False).items


def test_user_who_has_seen_everything_gets_nothing():
    rec = small().fit([("all", "a"), ("all", "b"), ("one", "a")])
    answer = rec.recommend("all")
    assert (answer.items, len(answer.scores), answer.basis) == ([], 0, "history")
    assert rec.recommend(["all", "one"]).items == [[], ["b"]]


def test_more_than_there_is(fitted):
    assert set(fitted.recommend("h0", k=10**6).items) == {*TEXTS} - {"thing", "ring", "saw"}
    assert len(fitted.recommend("nobody", k=10**6)) == len(TEXTS)


def test_fewer_is_the_head_of_more(fitted):
    assert fitted.recommend("r2", k=3).items == fitted.recommend("r2", k=6).items[:3]


@pytest.mark.parametrize("where", ["history", "candidates"])
def test_unknown_items(where):
    rec = small().fit(EVENTS, items=TEXTS)
    others = {"context": "wedding"} if where == "candidates" else {}
    known = rec.recommend(**{where: ["alien", "emma"]}, **others)
    with pytest.warns(LLMRecWarning, match=rf"unknown item 'allien' in {where}\. It is left out"):
        warned = rec.recommend(**{where: ["alien", "allien", "emma"]}, **others)
    assert warned.items == known.items
    rec.unknown_items = "ignore"
    assert rec.recommend(**{where: ["alien", "allien", "emma"]}, **others).items == known.items
    rec.unknown_items = "raise"
    with pytest.raises(UnknownItemError, match=r"'allien'.*Did you mean 'alien'"):
        rec.recommend(**{where: ["alien", "allien"]}, **others)


def test_unknown_item_in_exclude_is_excluded_already(fitted):
    assert (
        fitted.recommend("h0", k=2, exclude=["zzz", ["unhashable"]]).items
        == fitted.recommend("h0", k=2).items
    )


def test_warning_points_at_the_line_of_the_caller(fitted):
    with pytest.warns(LLMRecWarning) as warned:
        fitted.recommend(history=["zzz", "alien"])
    assert warned[0].filename == __file__


SMALL_EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(10, 16)), min_size=1, max_size=25)
SMALL_TEXTS = st.dictionaries(
    st.integers(10, 18), st.sampled_from(["", "red hat", "blue hat", "red sea", "猫 hat"])
)


@settings(max_examples=60, deadline=None)
@given(
    events=SMALL_EVENTS,
    texts=SMALL_TEXTS,
    excluded=st.sets(st.integers(10, 20), max_size=4),
    k=st.integers(1, 12),
    later=st.lists(st.tuples(st.integers(3, 6), st.integers(14, 20)), max_size=4),
    context=st.sampled_from([None, "red", "nothing known"]),
)
def test_answers_are_valid_whatever_the_data(events, texts, excluded, k, later, context):
    texts = texts | {10: "red hat"}
    rec = Recommender(factorizer=(ALSFactorizer(factors=4, sweeps=2), "item-knn", "popularity"))
    rec.fit(events, items=texts).partial_fit(later)
    known = {item for _, item in [*events, *later]} | set(texts)
    users = [0, 1, 3, 5, 99]
    for user, answer in zip(users, rec.recommend(users, k=k, exclude=excluded, context=context), strict=True):
        seen = {item for who, item in [*events, *later] if who == user}
        assert answer.user == user
        assert len(set(answer.items)) == len(answer.items) == len(answer.scores) <= k
        assert set(answer.items) <= known - seen - excluded
        assert np.isfinite(answer.scores).all()
        assert (np.diff(answer.scores) <= 0).all()
        alone = rec.recommend(user, k=k, exclude=excluded, context=context)
        np.testing.assert_allclose(answer.scores, alone.scores, atol=1e-5)


# -- similar items and search ------------------------------------------------------------------------------


def test_similar_items_are_of_a_kind(fitted):
    answer = fitted.similar_items("emma", k=3)
    assert set(answer.items) == set(ROMANCE) - {"emma"}
    assert (np.abs(answer.scores) <= 1 + 1e-5).all()
    assert set(fitted.similar_items("orphan", k=4).items) == set(HORROR)
    assert fitted.similar_items("emma", k=3, candidates=["saw", "kiss"]).items[0] == "kiss"


def test_similar_items_of_an_unknown_item(fitted):
    with pytest.raises(UnknownItemError, match=r"unknown item 'ema'.*Did you mean 'emma'"):
        fitted.similar_items("ema")


def test_search_finds_words(fitted):
    assert fitted.search("cellar").items[0] == "orphan"
    assert fitted.search("emma", k=1).items == ["emma"]
    assert fitted.search("cellar", candidates=["emma"]).items in ([], ["emma"])
    with pytest.warns(LLMRecWarning, match="no encoder knows a word"):
        assert fitted.search("zzz").items == []
    with pytest.raises(ParameterError, match="query must be a text"):
        fitted.search(["wedding"])


# -- partial_fit -------------------------------------------------------------------------------------------


def test_next_answer_reflects_the_event(rec):
    assert "emma" in rec.recommend("h0", k=9).items
    rec.partial_fit([("h0", "emma")])
    assert "emma" not in rec.recommend("h0", k=9).items


def test_new_user_has_a_taste_after_one_event(rec):
    rec.partial_fit([("new", "saw")])
    answer = rec.recommend("new", k=3)
    assert answer.basis == "history"
    assert set(answer.items) < {*HORROR, "orphan"}


def test_new_item_with_text_is_recommended_at_once(rec):
    rec.partial_fit(items=[("crypt", "monster blood night fear cellar")])
    assert "crypt" in rec.recommend("h0", k=3).items
    assert rec.search("crypt cellar", k=2).items[0] in ("crypt", "orphan")
    assert rec.recommend("nobody", k=20).items.count("crypt") == 1


def test_new_item_without_text_is_recommended_after_events(rec):
    rec.partial_fit([(f"h{n}", "new") for n in range(5)])
    assert "new" in rec.recommend("h5", k=9).items
    assert "new" not in rec.recommend("h0", k=9).items


def test_item_that_comes_with_another_text_gets_the_new_one(rec):
    rec.partial_fit(items=[("orphan", "tears wedding")])
    assert "orphan" in rec.search("wedding", k=5).items
    assert "orphan" not in rec.search("cellar", k=1).items or rec.search("cellar").scores[0] == 0


def test_item_that_comes_again_without_a_text_keeps_it(rec):
    rec.partial_fit(items=[("orphan", "")])
    assert rec.search("cellar", k=1).items == ["orphan"]


def test_popular_follows_events(rec):
    rec.partial_fit([(f"new{n}", "orphan") for n in range(30)])
    assert rec.recommend("nobody", k=1).items == ["orphan"]


def test_many_small_updates_equal_one_large():
    one, many = (
        Recommender(factorizer=("item-knn", "popularity")).fit(EVENTS, items=TEXTS) for _ in range(2)
    )
    later = [("h0", "orphan"), ("new", "kiss"), ("r0", "saw"), ("new", "novel")]
    one.partial_fit(later)
    for event in later:
        many.partial_fit([event])
    assert one.interactions_.matrix.toarray().tolist() == many.interactions_.matrix.toarray().tolist()
    assert one.recommend("nobody", k=12).items == many.recommend("nobody", k=12).items
    assert set(one.recommend("new", k=12).items) == set(many.recommend("new", k=12).items)


def test_partial_fit_before_fit_is_fit():
    assert answers(small().partial_fit(EVENTS, items=TEXTS)) == answers(small().fit(EVENTS, items=TEXTS))


def test_partial_fit_of_nothing_changes_nothing(rec):
    before = answers(rec)
    assert rec.partial_fit() is rec
    rec.partial_fit([]).partial_fit([], items=[])
    assert answers(rec) == before


RATED = {
    "user": ["a", "a", "b", "b", "c", "c", "d", "d"],
    "item": ["x", "y", "x", "z", "y", "z", "x", "w"],
    "rating": [5.0, 1.0, 4.0, 2.0, 3.0, 5.0, 1.0, 5.0],
}


def rated():
    return Recommender(factorizer=ALSFactorizer(factors=4, feedback="explicit")).fit(RATED)


def test_model_of_ratings_learns_ratings():
    rec = rated()
    rec.partial_fit([("a", "z", 4.0), ("new", "x", 5.0)])
    assert rec.interactions_.events.ratings.tolist() == [*RATED["rating"], 4.0, 5.0]
    assert rec.interactions_.events.weights.tolist() == [1.0] * 10
    assert rec.recommend("a", k=9).items == ["w"]
    assert set(rec.recommend("new", k=9).items) == {"y", "z", "w"}


def test_model_of_ratings_takes_rated_histories():
    rec = rated()
    assert set(rec.recommend(history={"x": -1.5, "y": 0}).items) == {"z", "w"}
    assert set(rec.recommend(history=["x"]).items) == {"y", "z", "w"}
    with pytest.raises(ParameterError, match="history rating must be a finite number"):
        rec.recommend(history={"x": float("nan")})


def test_model_of_ratings_refuses_events_without():
    rec = rated()
    with pytest.raises(DataError, match="new ones have none"):
        rec.partial_fit([("a", "z")])
    assert rec.interactions_.n_events == 8


def test_events_without_times_follow_the_latest():
    rec = small().fit([("a", "x", 1.0, 100.0), ("b", "y", 1.0, 50.0), ("b", "x", 1.0, 60.0)])
    rec.partial_fit([("b", "z")])
    assert rec.interactions_.events.timestamps.tolist() == [50.0, 60.0, 100.0, 100.0]


def test_times_are_dropped_where_none_were_known(rec):
    with pytest.warns(LLMRecWarning, match="have no times"):
        rec.partial_fit([("h0", "emma", 2.0, 100.0)])
    assert rec.interactions_.events.timestamps is None
    assert rec.interactions_.events.weights[-1] == 2.0


@pytest.mark.parametrize(
    ("events", "items"),
    [
        ([("new", "saw"), ("new", None)], None),
        ([("new", "saw", 0)], None),
        ({"who": ["new"], "item": ["saw"]}, None),
        ([("new", "saw")], [(None, "text")]),
        ([("new", "saw")], [{"item": "crypt", "plot": "no text column"}]),
        ([("new", "saw")], [("crypt", "break it")]),
    ],
    ids=["no item", "weight 0", "no column", "item without id", "no text", "encoder fails"],
)
def test_failed_partial_fit_changes_nothing(events, items, tmp_path):
    rec = small(encoder=BrokenEncoder()).fit(EVENTS, items=TEXTS)
    before, asked = saved(rec, tmp_path / "before"), answers(rec)
    with pytest.raises((DataError, RuntimeError)):
        rec.partial_fit(events, items=items)
    assert saved(rec, tmp_path / "after") == before
    assert answers(rec) == asked


class FailingUpdater(FoldInUpdater):
    """Fails after the events were taken."""

    def update(self, state, events):
        raise RuntimeError("no more")


def test_an_updater_that_fails_leaves_events_items_and_index_in_step(tmp_path):
    rec = small(updater=FailingUpdater()).fit(EVENTS, items=TEXTS)
    with pytest.raises(RuntimeError, match="no more"):
        rec.partial_fit([("h0", "crypt"), ("new", "alien")], items=[("crypt", "monster night fear")])
    assert rec.interactions_.n_events == len(EVENTS) + 2
    assert "crypt" in rec.recommend("h1", k=9).items
    assert "crypt" not in rec.recommend("h0", k=9).items
    assert "alien" not in rec.recommend("new", k=9).items
    rec.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model", trust=[f"{__name__}:FailingUpdater"])
    assert answers(again) == answers(rec)


def test_reads_leave_the_model_as_it_was(rec, tmp_path):
    before = saved(rec, tmp_path / "before")
    rec.recommend(["h0", "nobody"], k=3, context="wedding monster", exclude=["zzz"])
    rec.recommend(history=["alien", "emma"])
    rec.similar_items("alien")
    rec.search("wedding")
    _ = rec.views_, rec.interactions_.matrix, repr(rec)
    with pytest.warns(LLMRecWarning):
        rec.recommend(history=["zzz"])
    assert saved(rec, tmp_path / "after") == before


def test_fit_without_events_then_events_warns():
    rec = small().fit(items=TEXTS)
    with pytest.warns(LLMRecWarning, match="refit it to learn factors"):
        rec.partial_fit([("new", "alien")])
    answer = rec.recommend("new", k=3)
    assert answer.basis == "history"
    assert set(answer.items) < {*HORROR, "orphan"}


@pytest.mark.parametrize("updater", ["fold-in", "sgd", None])
def test_every_updater_serves_new_users_and_items(updater):
    rec = small(updater=updater).fit(EVENTS, items=TEXTS)
    rec.partial_fit([("new", "saw"), ("new", "novel"), ("h0", "novel")], items=[("crypt", "monster fear")])
    answer = rec.recommend("new", k=20)
    assert {"saw", "novel"}.isdisjoint(answer.items)
    assert "crypt" in answer.items
    assert np.isfinite(answer.scores).all()


@pytest.mark.parametrize(
    ("fuser", "ranker"),
    [
        (fuser, ranker)
        for fuser in ("concat", "learned", "weighted")
        for ranker in ("dot", "cosine", "euclidean", "pearson")
    ],
)
def test_every_fuser_with_every_ranker(fuser, ranker):
    rec = small(fuser=fuser, ranker=ranker).fit(EVENTS, items=TEXTS)
    rec.partial_fit([("new", "saw"), ("new", "novel")])
    for answer in rec.recommend(["h0", "new", "nobody"], k=20):
        assert np.isfinite(answer.scores).all()
        assert len(set(answer.items)) == len(answer)
    assert {"saw", "novel"}.isdisjoint(rec.recommend("new", k=20).items)


# -- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [str, lambda one: uuid.uuid5(uuid.NAMESPACE_DNS, one), lambda one: ("shop", one), hash], ids=str
)
def test_loaded_model_answers_the_same(make, tmp_path):
    ids = {one: make(one) for one in [*(user for user, _ in EVENTS), *TEXTS]}
    rec = small().fit(
        [(ids[u], ids[i]) for u, i in EVENTS], items={ids[i]: text for i, text in TEXTS.items()}
    )
    rec.partial_fit([(ids["h0"], ids["emma"])])
    rec.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    users = [ids["h0"], ids["r1"], make("nobody")]
    assert again.recommend(users, k=9).items == rec.recommend(users, k=9).items
    for mine, theirs in zip(rec.recommend(users), again.recommend(users), strict=True):
        np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-6)
    assert again.similar_items(ids["saw"]).items == rec.similar_items(ids["saw"]).items
    assert again.search("cellar").items == rec.search("cellar").items
    assert [type(one) for one in again.interactions_.items] == [type(one) for one in rec.interactions_.items]


def test_loaded_model_goes_on_learning(rec, tmp_path):
    rec.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    for one in (rec, again):
        one.partial_fit([("h0", "emma"), ("new", "saw")], items=[("crypt", "monster fear")])
    users = ["h0", "new", "r1", "nobody"]
    assert again.recommend(users, k=12).items == rec.recommend(users, k=12).items
    assert "crypt" in again.recommend("new", k=12).items


def test_load_keeps_filters_column_names_and_parameters(tmp_path):
    rec = Recommender(unknown_users="raise", factorizer=(Popularity(), ItemKNN(5)))
    table = {"userId": ["u", "v", "v"], "film": ["a", "a", "b"]}
    items = [{"film": "a", "text": "red", "year": 1990}, {"film": "b", "text": "blue", "year": 2000}]
    rec.fit(pd.DataFrame(table), items, columns={"user": "userId", "item": "film"})
    rec.save(tmp_path / "model")
    again = Recommender.load(tmp_path / "model")
    assert again.unknown_users == "raise"
    assert again.recommend("u", where={"year": 2000}).items == ["b"]
    again.partial_fit(pd.DataFrame({"userId": ["u"], "film": ["b"]}))
    assert again.recommend("u").items == []


def test_encoder_of_the_user_needs_trust(tmp_path):
    rec = small(encoder=LengthEncoder()).fit(EVENTS, items=TEXTS)
    rec.save(tmp_path / "model")
    with pytest.raises(UntrustedComponentError, match="LengthEncoder"):
        Recommender.load(tmp_path / "model")
    again = Recommender.load(tmp_path / "model", trust=[f"{__name__}:LengthEncoder"])
    assert answers(again) == answers(rec)
