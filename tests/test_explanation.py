"""Explanations: shares that add up to the score, against sums by hand; words; what is shown."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from llmrec import (
    EASE,
    ALSFactorizer,
    ConcatFuser,
    Explanation,
    ItemKNN,
    LinearAutoencoder,
    MMRRanker,
    Recommender,
    SVDFactorizer,
    TextView,
    TfidfEncoder,
    WeightedFuser,
)
from llmrec.errors import MissingExtraError, ParameterError, UnknownItemError, UnknownUserError
from llmrec.explanation import Reason
from llmrec.interactions import Histories, Interactions

WORDS = ["space", "bank", "love", "war", "sea", "horse", "robbery", "queen"]
N_ITEMS, N_USERS = 24, 55


def small_world(*, rated=False):
    rng = np.random.default_rng(7)
    items = [
        {"item": f"i{n}", "text": " ".join(rng.choice(WORDS, 3)), "title": f"Film {n}"}
        for n in range(N_ITEMS)
    ]
    events = []
    for u in range(N_USERS):
        for time, i in enumerate(rng.choice(N_ITEMS - 2, 7, replace=False)):
            events.append({"user": f"u{u}", "item": f"i{i}", "timestamp": float(10 * time + u)})
            if rated:
                events[-1]["rating"] = float(rng.integers(1, 6))
    return events, items


class BluntFuser(ConcatFuser):
    """A fuser that cannot be taken apart."""

    def score_weights(self, items, queries):
        return None


class BluntALS(ALSFactorizer):
    """A factorizer that cannot be taken apart."""

    def history_parts(self, histories):
        return None


SMALL_ALS = ALSFactorizer(factors=4, progress=False)
RECOMMENDERS = {
    "default": Recommender(),
    "concat": Recommender(fuser="concat"),
    "weights": Recommender(fuser=ConcatFuser([0.5, 1, 2, 0, 1, 0.5, 1])),
    "topics": Recommender(
        encoder=[TfidfEncoder(components=3), TfidfEncoder()], factorizer=[SMALL_ALS, "svd"]
    ),
    "ridge of words": Recommender(encoder=TextView("tfidf", metric="ridge"), factorizer="item-knn"),
    "text alone": Recommender(encoder="tfidf", factorizer=None),
    "ease": Recommender(encoder="tfidf", factorizer=["ease", "item-knn"], fuser="concat"),
    "sgd": Recommender(factorizer=[SMALL_ALS, "popularity"], updater="sgd"),
    "no updater": Recommender(factorizer=SMALL_ALS, updater=None, fuser="concat"),
    "weighted": Recommender(encoder=TfidfEncoder(components=5), factorizer=SMALL_ALS, fuser="weighted"),
    "weighted with popularity": Recommender(
        encoder="tfidf", factorizer=["popularity", SMALL_ALS], fuser=WeightedFuser(0.4)
    ),
    "weighted without text": Recommender(encoder=None, factorizer=["svd", SMALL_ALS], fuser="weighted"),
    "weighted text alone": Recommender(encoder="tfidf", factorizer=None, fuser="weighted"),
    "blunt fuser": Recommender(fuser=BluntFuser()),
    "blunt factorizer": Recommender(factorizer=BluntALS(factors=4, progress=False), fuser="concat"),
}


def require_exact(rec, **request):
    """Demand for each recommended item that the shares add up to the score that was returned."""
    answer = rec.recommend(k=4, exclude_seen=False, **request)
    assert len(answer) == 4
    for item, score in answer:
        why = rec.explain(item=item, **request)
        total = sum(reason.share for reason in why.reasons)
        assert total == pytest.approx(score, rel=1e-4, abs=1e-5)
        assert why.score == pytest.approx(score, rel=1e-4, abs=1e-5)
        assert sum(why.views.values()) == pytest.approx(total, rel=1e-6)
        assert sum(why.kinds.values()) == pytest.approx(total, rel=1e-6)
        assert why.basis == answer.basis


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_shares_add_up_to_the_score_that_recommend_returns(name):
    events, items = small_world()
    rec = RECOMMENDERS[name].fit(events, items=items)
    require_exact(rec, user="u3")
    require_exact(rec, history={"i1": 2.0, "i2": 0.5, "i23": 1.0})
    if name not in ("no updater", "weighted without text"):
        require_exact(rec, user="u4", context="a bank at sea")
    rec.partial_fit(
        [("u3", "i5"), ("u3", "new"), ("guest", "i1"), ("guest", "i1")],
        items=[{"item": "new", "text": "war queen"}],
    )
    require_exact(rec, user="u3")
    require_exact(rec, user="guest")


@pytest.mark.parametrize("kind", [ALSFactorizer, SVDFactorizer])
def test_shares_of_predicted_ratings_add_up(kind):
    events, items = small_world(rated=True)
    rec = Recommender(factorizer=[kind(4, feedback="explicit"), "popularity"]).fit(events, items=items)
    require_exact(rec, user="u3")
    require_exact(rec, history=[("i1", 5.0), ("i2", 1.0)])
    assert {"history", "rest", "baseline"} <= {one.source for one in rec.explain("u3", "i1").reasons}


# -- parts of vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "factorizer",
    [
        SMALL_ALS,
        ALSFactorizer(4, unobserved_weight=0, frequency_exponent=0),
        SVDFactorizer(4),
        ItemKNN(),
        EASE(),
    ],
    ids=repr,
)
def test_parts_of_implicit_histories_add_up_to_the_query(factorizer):
    known = Interactions.from_table(small_world()[0])
    model = factorizer.fit(known)
    histories = Histories.of([[0, 2, 2, 5], [], [9]], known.n_items, weights=[[1, 2, 1, 0.5], [], [3]])
    parts = model.history_parts(histories)
    queries = model.query_vectors(histories)
    parts, queries = (one.toarray() if hasattr(one, "toarray") else one for one in (parts, queries))
    assert parts.shape == (4, queries.shape[1])
    np.testing.assert_allclose(parts[:3].sum(axis=0), queries[0], atol=1e-5)
    np.testing.assert_allclose(parts[3], queries[2], atol=1e-5)


def test_parts_of_a_linear_autoencoder_add_up_to_the_query():
    model = LinearAutoencoder()
    model.item_vectors_ = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    histories = Histories.of([[0, 2, 2, 5]], 9, weights=[[1, 2, 1, 0.5]])
    parts = model.history_parts(histories)
    assert parts.shape == (3, 3)
    np.testing.assert_allclose(parts.sum(axis=0), model.query_vectors(histories)[0], atol=1e-5)


@pytest.mark.parametrize("kind", [ALSFactorizer, SVDFactorizer])
def test_parts_of_rated_histories_lack_the_constants_alone(kind):
    known = Interactions.from_table(small_world(rated=True)[0])
    model = kind(4, feedback="explicit").fit(known)
    histories = Histories.of([[0, 2, 5]], known.n_items, ratings=[[5.0, 1.0, 3.0]])
    rest = model.query_vectors(histories)[0] - model.history_parts(histories).sum(axis=0)
    width = len(rest) - 2
    np.testing.assert_allclose(rest, [*[0] * width, 1, model.mean_rating_], atol=1e-5)


def test_als_parts_are_the_decomposition_of_hu_koren_and_volinsky():
    known = Interactions.from_table(small_world()[0])
    model = ALSFactorizer(4, unobserved_weight=0.2, regularization=0.05, progress=False).fit(known)
    items = model.item_vectors_.astype(float)
    rows, weights = [1, 4, 8], np.array([1.0, 2.0, 0.5])
    parts = model.history_parts(Histories.of([rows], known.n_items, weights=[weights]))
    ridge = 0.05 * (weights.sum() + 0.2 * known.n_items)
    system = 0.2 * items.T @ items + ridge * np.eye(4)
    for row, weight in zip(rows, weights, strict=True):
        system += weight * np.outer(items[row], items[row])
    expected = [
        weight * np.linalg.inv(system) @ items[row] for row, weight in zip(rows, weights, strict=True)
    ]
    np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-6)


# -- shares by hand ----------------------------------------------------------------------------------------


def test_shares_of_neighbours_are_their_similarities():
    events, _ = small_world()
    rec = Recommender(encoder=None, factorizer="item-knn", fuser="concat").fit(events)
    alike = rec.views_["itemknn"].similarities_.toarray().astype(float)
    rows = {item: rec.interactions_.items.get(item) for item in ("i1", "i2", "i7")}
    scores = alike[:, rows["i1"]] + 3 * alike[:, rows["i2"]]
    seen = rec.interactions_.item_counts > 0
    deviation = scores[seen].std()
    why = rec.explain(item="i7", history={"i1": 1.0, "i2": 3.0})
    assert why.history == pytest.approx(
        {one: n * alike[rows["i7"], rows[one]] / deviation for one, n in (("i1", 1), ("i2", 3))}, rel=1e-3
    )
    assert why.baseline == pytest.approx(-scores[seen].mean() / deviation, rel=1e-3)


def test_shares_of_texts_and_words_by_hand():
    texts = {"a": "space war", "b": "space love", "c": "bank love", "d": "space bank"}
    rec = Recommender(encoder="tfidf").fit(items=texts)
    vectors = rec.views_["tfidf"].vectors_.toarray().astype(float)
    length = np.linalg.norm(vectors[0] + vectors[1])
    scores = vectors @ (vectors[0] + vectors[1]) / length
    why = rec.explain(item="d", history=["a", "b"])
    weight = 0.5  # what a learned fuser gives to text, where there is nothing to learn from
    factor = weight / scores.std()
    expected = {one: factor * vectors[row] @ vectors[3] / length for row, one in enumerate("ab")}
    assert why.history == pytest.approx(expected, rel=1e-4)
    assert why.baseline == pytest.approx(-factor * scores.mean(), rel=1e-4)
    assert list(why.words) == ["space"]
    assert why.words["space"] == pytest.approx(sum(expected.values()), rel=1e-4)


def test_words_of_the_context_count_and_columns_that_mix_words_have_none():
    texts = {"a": "space war", "b": "space love", "c": "bank love", "d": "space bank"}
    rec = Recommender(encoder="tfidf").fit(items=texts)
    why = rec.explain(item="d", history=["a"], context="a bank")
    assert set(why.words) == {"space", "bank"}
    assert {"history", "context"} <= {one.source for one in why.reasons}
    assert why.basis == "history+context"
    assert rec.explain(item="d", context="bank").history == {}
    assert (
        Recommender(encoder=TfidfEncoder(components=2))
        .fit(items=texts)
        .explain(item="d", history=["a"])
        .words
        == {}
    )


def test_what_cannot_be_taken_apart_is_one_line():
    events, items = small_world()
    blunt = RECOMMENDERS["blunt fuser"].fit(events, items=items).explain("u1", "i1")
    assert [(one.view, one.source, one.item) for one in blunt.reasons] == [("all views", "history", None)]
    whole = RECOMMENDERS["blunt factorizer"].fit(events, items=items).explain("u1", "i1")
    assert ("bluntals", "history", None) in [(one.view, one.source, one.item) for one in whole.reasons]


def test_a_reranker_leaves_the_reasons_as_they_are():
    events, items = small_world()
    plain = Recommender(factorizer="item-knn", fuser="concat").fit(events, items=items).explain("u1", "i1")
    diverse = (
        Recommender(factorizer="item-knn", fuser="concat", ranker=MMRRanker(0.9))
        .fit(events, items=items)
        .explain("u1", "i1")
    )
    assert diverse.score == pytest.approx(plain.score, rel=1e-5)


def test_of_a_stranger_only_popularity_is_known():
    events, items = small_world()
    rec = Recommender(factorizer=["item-knn", "popularity"], fuser="concat").fit(events, items=items)
    item, score = next(iter(rec.recommend("stranger", k=1)))
    why = rec.explain("stranger", item)
    assert (why.basis, why.score) == ("popular", pytest.approx(score))
    assert why.reasons == (Reason("popularity", "popularity", "everyone", None, why.score),)
    strict = Recommender(unknown_users="raise", factorizer="popularity", fuser="concat").fit(
        events, items=items
    )
    with pytest.raises(UnknownUserError, match="nothing is known of user 'u700'"):
        strict.explain("u700", item)


def test_wrong_requests_are_refused():
    events, items = small_world()
    rec = Recommender(unknown_items="raise", factorizer="item-knn", fuser="concat").fit(events, items=items)
    with pytest.raises(UnknownItemError, match="i99"):
        rec.explain("u1", "i99")
    with pytest.raises(UnknownItemError, match="i98"):
        rec.explain(item="i1", history=["i98"])
    with pytest.raises(ParameterError, match="explain needs the item"):
        rec.explain("u1")
    with pytest.raises(ParameterError, match="explain needs a user, a history or a context"):
        rec.explain(item="i1")
    with pytest.raises(ParameterError, match="explain takes a user or a history, not both"):
        rec.explain("u1", "i1", history=["i2"])
    with pytest.raises(ParameterError, match="item must be one id, got list"):
        rec.explain("u1", ["i1"])
    with pytest.raises(ParameterError, match="context must be a text, got int"):
        rec.explain("u1", "i1", context=3)


# -- what is shown -----------------------------------------------------------------------------------------

SHOWN = Explanation(
    "i1",
    "ann",
    0.85,
    "history",
    (
        Reason("als", "behaviour", "history", "i2", 0.6),
        Reason("words", "text", "history", "i3", 0.5),
        Reason("knn", "behaviour", "history", "i3", 0.3),
        Reason("als", "behaviour", "history", "i4", -0.1),
        Reason("words", "text", "baseline", None, -0.3),
        Reason("hits", "popularity", "everyone", None, -0.15),
    ),
    {"bank": 0.4, "sea": 0.1},
    {"i1": "Heat", "i2": "<b>Alien</b>"},
)


def test_sums_by_view_kind_and_item():
    assert SHOWN.views == pytest.approx({"als": 0.5, "knn": 0.3, "words": 0.2, "hits": -0.15})
    assert SHOWN.kinds == pytest.approx({"behaviour": 0.8, "text": 0.2, "popularity": -0.15})
    assert list(SHOWN.history.items()) == [("i3", 0.8), ("i2", 0.6), ("i4", -0.1)]
    assert SHOWN.baseline == pytest.approx(-0.3)


def test_repr_says_it_in_words():
    assert repr(SHOWN).splitlines() == [
        "'Heat' for 'ann' scores 0.85 (by history)",
        "  80 % people like you, 20 % text; against it: trending (-0.15)",
        "  because of i3 (0.8), <b>Alien</b> (0.6)",
        "  words in common: bank (0.4), sea (0.1)",
    ]
    worst = Explanation("i1", None, -1.0, "context", (Reason("words", "text", "context", None, -1.0),))
    assert repr(worst) == "'i1' scores -1 (by context)\n  nothing speaks for it; against it: text (-1)"


def test_titles_come_from_the_catalogue():
    events, items = small_world()
    shown = repr(
        Recommender(factorizer="item-knn", fuser="concat").fit(events, items=items).explain("u1", "i1")
    )
    assert shown.startswith("'Film 1' for 'u1' scores")
    assert "because of Film " in shown


def test_html_is_escaped():
    shown = SHOWN._repr_html_()
    assert "&lt;b&gt;Alien" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == 5


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_frame_has_a_row_a_reason(backend):
    frame = SHOWN.to_frame(backend)
    assert type(frame).__module__.startswith(backend)
    assert list(frame.columns) == ["view", "kind", "source", "item", "share"]
    assert frame["share"].sum() == pytest.approx(0.85)
    assert frame.shape == (6, 5)


def test_plot_draws_a_bar_for_each_view_and_item():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    ax = SHOWN.plot(n_items=2)
    assert [round(bar.get_width(), 3) for bar in ax.patches] == [0.5, 0.3, 0.2, -0.15, 0.8, 0.6]
    assert [label.get_text() for label in ax.get_yticklabels()][3:5] == ["hits", "because of i3"]
    assert SHOWN.plot(ax) is ax
    pyplot.close("all")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'llmrec\[plots\]'"):
        SHOWN.plot()
