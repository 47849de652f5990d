"""What ``"auto"`` stands for, by what a recommender is given."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec import (
    EASE,
    ALSFactorizer,
    GraphFilter,
    ItemKNN,
    Popularity,
    Recent,
    Recommender,
    SequenceRules,
    SparseEASE,
    defaults,
)
from llmrec.defaults import default_factorizers, default_text_views
from llmrec.errors import ParameterError
from llmrec.interactions import Events, IdTable, Interactions


def kinds(interactions):
    return [type(one) for one in default_factorizers(interactions)]


def events_over(n_items, *, timed=False, n_events=2):
    rows = np.zeros(n_events, dtype=np.int32)
    times = np.zeros(n_events) if timed else None
    return Interactions(
        IdTable([0]), IdTable(range(n_items)), Events(rows, rows, np.ones(n_events, "f4"), None, times)
    )


def test_without_times_histories_are_sets():
    assert kinds(events_over(9)) == [ALSFactorizer, ItemKNN, GraphFilter, Popularity]


def test_many_events_with_few_items_are_worth_an_inverse():
    assert kinds(events_over(9, n_events=1000)) == [ALSFactorizer, EASE, GraphFilter, Popularity]


def test_larger_catalogues_have_their_items_regressed_on_the_nearest():
    assert kinds(events_over(4001, n_events=1000)) == [ALSFactorizer, SparseEASE, GraphFilter, Popularity]


def test_where_the_products_of_items_would_not_fit_neighbours_are_taken(monkeypatch):
    monkeypatch.setattr(defaults, "_MOST_GIGABYTES", 1e-9)
    assert kinds(events_over(4001, n_events=1000)) == [ALSFactorizer, ItemKNN, GraphFilter, Popularity]


def test_where_histories_may_be_either_there_are_views_of_both_kinds():
    found = default_factorizers(events_over(9, n_events=1000), n_texts=1000, histories="either")
    assert [type(one) for one in found] == [
        ALSFactorizer,
        EASE,
        GraphFilter,
        Recent,
        SequenceRules,
        Popularity,
    ]
    assert found[0].content_prior == 0


def test_with_times_order_counts():
    assert kinds(events_over(9, timed=True)) == [ALSFactorizer, Recent, SequenceRules, Popularity]


@pytest.mark.parametrize(("ratings", "exponent"), [((1, 5), 0.5), ((-1, 1), 0), ((0, 5), 0), (None, 0)])
def test_ratings_above_0_are_weights(ratings, exponent):
    rows = np.arange(2000, dtype=np.int32) % 2
    given = None if ratings is None else np.array(ratings, dtype=np.float32)[rows]
    events = Events(rows, rows, np.ones(2000, dtype=np.float32), given)
    for one in default_factorizers(Interactions(IdTable(range(2)), IdTable(range(2)), events))[:2]:
        assert one.rating_exponent == exponent


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("n_texts", [0, 999, 1000])
def test_where_sets_have_texts_enough_als_places_new_items_by_them(timed, n_texts):
    als = default_factorizers(events_over(9, timed=timed), n_texts=n_texts)[0]
    assert (als.content_prior > 0) == (n_texts == 1000 and not timed)


def test_of_sequences_in_a_large_catalogue_a_graph_filter_takes_the_place_of_als():
    assert kinds(events_over(20_001, timed=True)) == [GraphFilter, Recent, SequenceRules, Popularity]


def test_of_millions_of_events_the_strongest_rules_are_kept(monkeypatch):
    rules = default_factorizers(events_over(20_001, timed=True))[2]
    assert rules.max_rules is None
    monkeypatch.setattr(defaults, "_FEW_EVENTS", 1)
    assert default_factorizers(events_over(20_001, timed=True))[2].max_rules == defaults._MAX_RULES


def test_millions_of_events_in_a_large_catalogue_do_without_als(monkeypatch):
    assert ALSFactorizer in kinds(events_over(20_001, n_events=1000))
    monkeypatch.setattr(defaults, "_FEW_EVENTS", 999)
    assert ALSFactorizer not in kinds(events_over(20_001, n_events=1000))


def names(texts):
    return [view.name for view in default_text_views(texts)]


def test_few_texts_are_compared_by_words_alone():
    assert names(["a red hat", "a blue sea"]) == ["words"]


def test_many_texts_have_topics_too():
    texts = [f"word{n} and word{n + 1}" for n in range(1200)]
    assert names(texts) == ["words", "topics"]
    assert default_text_views(texts)[1].encoder.components == 200


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["small world; networks", "graphs; scale free", ""], "tags"),
        (["Drama|Crime", "Comedy|Romance|War"], "tags"),
        (["Drama", "Comedy", "War|Crime"], "words"),
        (["He came; he saw what nobody had ever seen before; he left without a word."] * 3, "words"),
        ([""], "words"),
    ],
    ids=["semicolons", "bars", "mostly single", "sentences", "nothing"],
)
def test_lists_of_tags_are_cut_at_their_separators(texts, expected):
    assert names(texts) == [expected]


def test_auto_names_its_views():
    events = [("a", "x", 1.0, 1.0), ("a", "y", 1.0, 2.0), ("b", "x", 1.0, 3.0)]
    rec = Recommender().fit(events, items={"x": "red hat", "y": "blue sea"})
    assert list(rec.views_) == ["words", "als", "recent-itemknn", "sequencerules", "popularity"]
    rec = Recommender().fit([event[:2] for event in events])
    assert list(rec.views_) == ["als", "itemknn", "graphfilter", "popularity"]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    ("histories", "views"),
    [
        ("sequences", ["als", "recent-itemknn", "sequencerules", "popularity"]),
        ("sets", ["als", "itemknn", "graphfilter", "popularity"]),
    ],
)
def test_who_knows_what_histories_are_may_say_so(histories, views, timed):
    events = [("a", "x", 1.0, 1.0), ("a", "y", 1.0, 2.0), ("b", "x", 1.0, 3.0)]
    rec = Recommender(histories=histories).fit(events if timed else [event[:2] for event in events])
    assert list(rec.views_) == views


def test_the_order_of_events_is_looked_at_only_where_something_depends_on_it(monkeypatch):
    def refuse(interactions):
        raise AssertionError("the order of the events was asked for")

    monkeypatch.setattr("llmrec.recommender.history_kind", refuse)
    events = [("a", "x"), ("a", "y"), ("b", "x")]
    Recommender(encoder=None, factorizer="als", fuser="concat").fit(events)
    Recommender(encoder=None, histories="sets").fit(events)
    with pytest.raises(AssertionError, match="asked for"):
        Recommender(encoder=None).fit(events)


def test_histories_of_no_such_kind_are_refused_with_the_nearest_name():
    with pytest.raises(ParameterError, match="'sets'"):
        Recommender(histories="set").fit([("a", "x")])


def test_the_views_are_chosen_once_for_the_trial_and_for_the_model(monkeypatch):
    asked = []

    def chosen(interactions, **given):
        asked.append(interactions.n_events)
        return default_factorizers(interactions, **given)

    monkeypatch.setattr("llmrec.recommender.default_factorizers", chosen)
    events = [(user, (user + step * step) % 30) for user in range(80) for step in range(6)]
    rec = Recommender(encoder=None).fit(events)
    assert len(asked) == 1
    assert rec.fuser_.validation_ndcg_ is not None
    assert set(rec.fuser_.weights_) == set(rec.views_)
