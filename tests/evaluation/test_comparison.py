"""Comparisons: everybody is asked, everybody is counted, and the figures are those of single lists."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from llmrec import Popularity, Recommender
from llmrec.errors import (
    ComponentError,
    DataError,
    MissingColumnError,
    NotFittedError,
    ParameterError,
    UnknownNameError,
)
from llmrec.evaluation import (
    Metric,
    Split,
    compare,
    leave_one_out,
    ndcg_at_k,
    recall_at_k,
    split_cold_items,
    split_cold_users,
    split_users_at_random,
    split_users_by_time,
)
from tests.evaluation.samples import random_events


def only(factorizer):
    return Recommender(encoder=None, factorizer=factorizer, fuser="concat")


@pytest.fixture(scope="module")
def split():
    return split_users_by_time(random_events(), 0.3)


@pytest.fixture(scope="module")
def found(split):
    recs = {"popular": only(Popularity(half_life=None)), "knn": only("item-knn")}
    return compare(recs, split, ["ndcg@5", "recall@8", "auc", "coverage@5"], n_resamples=200)


class Fixed:
    """No estimator: gives everybody the same list, and writes down what it was asked."""

    def __init__(self, items=("i0", "i1", "i2")):
        self.items, self.asked, self.fits = list(items), [], 0

    def fit(self, interactions):
        self.fits += 1
        self.known = interactions
        return self

    def recommend(self, users, k):
        self.asked.append(list(users))
        return [self.items[:k] for _ in users]


def pairs(part):
    events = part.events
    return {
        (part.users[u], part.items[i])
        for u, i in zip(events.user_rows.tolist(), events.item_rows.tolist(), strict=True)
    }


def truth(split):
    """Return what each test user met for the first time."""
    new = pairs(split.test) - pairs(split.train)
    return {user: {item for other, item in new if other == user} for user, _ in new}


def test_values_are_the_means_of_single_lists(split, found):
    rec = only("item-knn").fit(split.train)
    wanted = truth(split)
    assert sorted(found.task.users) == sorted(wanted)
    answers = {user: rec.recommend(user, k=8).items for user in wanted}
    ndcg = [ndcg_at_k(answers[user], wanted[user], 5) for user in found.task.users]
    recall = [recall_at_k(answers[user], wanted[user], 8) for user in found.task.users]
    np.testing.assert_allclose(found.trials["knn"].user_values[:, 0], ndcg)
    assert found.value("knn", "ndcg@5") == pytest.approx(np.mean(ndcg))
    assert found.value("knn", "recall@8") == pytest.approx(np.mean(recall))
    listed = {item for own in answers.values() for item in own[:5]}
    assert found.value("knn", "coverage@5") == len(listed) / split.train.n_items


def test_auc_is_the_share_of_pairs_in_the_right_order(split, found):
    rec = only(Popularity(half_life=None)).fit(split.train)
    wanted, column = truth(split), found.column("auc")
    for place, user in enumerate(found.task.users[:10]):
        answer = rec.recommend(user, k=99)
        score = dict(zip(answer.items, answer.scores.tolist(), strict=True))
        right = [score[item] for item in wanted[user] if item in score]
        wrong = [score[item] for item in score if item not in wanted[user]]
        better = np.mean([(a > b) + 0.5 * (a == b) for a in right for b in wrong])
        assert found.trials["popular"].user_values[place, column] == pytest.approx(better)


def test_what_was_passed_is_not_touched(split):
    rec, fixed = only(Popularity()), Fixed()
    compare({"a": rec, "b": fixed}, split, ["ndcg@3"], n_resamples=10, n_timed=0)
    assert fixed.fits == 0
    with pytest.raises(NotFittedError):
        rec.recommend("u1")


def test_a_fitted_one_is_fitted_anew_unless_told_otherwise(split):
    other = only(Popularity(half_life=None)).fit(random_events(seed=9))
    refitted = compare({"a": other}, split, ["ndcg@3"], n_timed=0)
    fresh = compare({"a": only(Popularity(half_life=None))}, split, ["ndcg@3"], n_timed=0)
    as_it_is = compare({"a": other}, split, ["ndcg@3"], refit=False, n_timed=0)
    assert refitted.value("a", "ndcg@3") == fresh.value("a", "ndcg@3") != as_it_is.value("a", "ndcg@3")
    assert np.isnan(as_it_is.costs["a"].fit_seconds)


def test_anything_with_fit_and_recommend_is_asked_in_batches(split):
    fixed = Fixed().fit(split.train)
    found = compare({"fixed": fixed}, split, ["recall@3"], refit=False, batch_size=7, n_timed=0)
    assert [len(batch) for batch in fixed.asked[:-1]] == [7] * (len(fixed.asked) - 1)
    assert [user for batch in fixed.asked for user in batch] == found.task.users
    wanted = truth(split)
    expected = np.mean([len({"i0", "i1", "i2"} & wanted[user]) / len(wanted[user]) for user in wanted])
    assert found.value("fixed", "recall@3") == pytest.approx(expected)


def test_the_batch_size_changes_nothing(split):
    recs = {"a": only("item-knn"), "b": only(Popularity())}
    tables = [compare(recs, split, ["ndcg@4", "auc"], batch_size=n, n_timed=0).values for n in (1, 13, 999)]
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-6)
    np.testing.assert_allclose(tables[0], tables[2], atol=1e-6)


def test_users_without_training_events_are_judged_and_reported():
    split = split_cold_users(random_events(), 0.25)
    found = compare({"popular": only(Popularity())}, split, ["ndcg@5"], n_timed=0)
    assert found.task.users == list(split.test.users)
    assert found.task.n_new_users == 10
    assert "10 users, 10 of them without training events" in repr(found)
    with pytest.raises(DataError, match="10 of these are new users"):
        compare({"popular": only(Popularity())}, split, ["ndcg@5"], new_users="leave out")


def two_tribes(n_users=12):
    """Each tribe takes its own four items; those of the first tribe are far more popular."""
    events = [(f"a{n}", f"a{item}") for n in range(2 * n_users) for item in range(4)]
    return events + [(f"b{n}", f"b{item}") for n in range(n_users) for item in range(4)]


def test_cold_users_are_asked_about_by_what_is_shown_of_them():
    split = Split.from_tables(
        two_tribes(), [("new", "b3"), ("newer", "a0")], shown=[("new", "b0"), ("new", "b1"), ("new", "b2")]
    )
    found = compare({"knn": only("item-knn"), "hits": only(Popularity())}, split, ["ndcg@1", "recall@4"])
    assert found.task.users == ["new", "newer"]
    assert found.task.histories == [["b0", "b1", "b2"], None]
    assert found.task.history_lengths.tolist() == [3, 0]
    assert (found.task.n_shown, found.task.n_new_users) == (1, 1)
    # Folded in, the neighbours of what was shown come first; by popularity the other tribe's items do.
    assert found.trials["knn"].user_values[:, 0].tolist() == [1, 1]
    assert found.trials["hits"].user_values[:, 0].tolist() == [0, 1]
    # What was shown is not recommended, and no candidate: of eight items five are left.
    assert found.trials["hits"].user_values[:, 1].tolist() == [0, 1]
    assert found.task.n_candidates.tolist() == [5, 8]
    assert "1 of them asked about by their history, 1 of them without training events" in repr(found)
    alone = compare({"knn": only("item-knn")}, split, ["ndcg@1"], new_users="leave out", n_timed=0)
    assert alone.task.users == ["new"]


def test_values_of_folded_in_users_are_those_of_single_requests():
    split = split_cold_users(random_events(), 0.25, shown=0.6)
    found = compare({"svd": only("svd")}, split, ["ndcg@5"], batch_size=3, n_timed=2)
    rec = only("svd").fit(split.train)
    wanted, shown = truth(split), split.shown
    expected = []
    for user in found.task.users:
        row = shown.users.row(user)
        own = [shown.items[item] for item in shown.events.item_rows[shown.events.user_rows == row]]
        answer = rec.recommend(history=[one for one in own if one in split.train.items], k=5)
        assert answer.basis == "history"
        expected.append(ndcg_at_k(answer.items, wanted[user] - set(own), 5))
    np.testing.assert_allclose(found.trials["svd"].user_values[:, 0], expected)


def test_a_list_too_few_is_refused_where_others_are_asked_about_by_what_is_shown():
    class Short:
        def recommend(self, user=None, k=10, history=None):
            return ["x"] if history is not None else [["x"]]

    split = Split.from_tables(
        [("a", "x"), ("b", "y")], [("new", "x"), ("a", "y"), ("b", "x")], shown=[("new", "y")]
    )
    with pytest.raises(DataError, match="answered 2 users with 1 lists"):
        compare({"short": Short()}, split, ["recall@1"], n_timed=0, refit=False)


def test_shown_ratings_reach_a_model_of_ratings():
    rated = [{"user": u, "item": i, "rating": r} for u, i, r in [("a", "x", 5), ("a", "y", 1), ("b", "x", 4)]]
    shown = [{"user": "new", "item": "y", "rating": 2}, {"user": "new", "item": "unheard", "rating": 3}]
    split = Split.from_tables(rated, [{"user": "new", "item": "x", "rating": 5}], shown=shown)
    found = compare({"hits": only(Popularity())}, split, ["ndcg@2"], n_timed=0)
    assert found.task.histories == [[("y", 2.0)]]
    assert found.value("hits", "ndcg@2") == 1


def test_who_cannot_be_asked_by_a_history_is_told():
    split = Split.from_tables([("a", "x"), ("b", "y")], [("new", "x")], shown=[("new", "y")])
    with pytest.raises(ComponentError, match="takes no history="):
        compare({"fixed": Fixed("xy")}, split, ["ndcg@1"])
    known = Split.from_tables([("a", "x"), ("b", "y")], [("a", "y")], shown=[("b", "x")])
    with pytest.raises(DataError, match="'b' is shown"):
        compare({"fixed": Fixed("xy")}, known, ["ndcg@1"])


def test_users_who_are_left_out_are_reported():
    train = [("a", "x"), ("b", "x"), ("b", "y"), ("c", "z")]
    test = [("a", "y"), ("b", "x"), ("new", "z"), ("newer", "x")]
    split = Split.from_tables(train, test)
    found = compare({"fixed": Fixed("xyz")}, split, ["ndcg@3"], new_users="leave out", n_timed=0)
    assert found.task.users == ["a"]
    assert (found.task.n_nothing_new, found.task.n_strangers) == (1, 2)
    assert "left out: 1 who met nothing new and 2 without training events" in repr(found)


def test_seen_items_count_where_they_may_be_recommended():
    split = Split.from_tables([("a", "x"), ("b", "y")], [("a", "x"), ("b", "x")])

    class Repeats(Fixed):
        def recommend(self, users, k, exclude_seen=True):
            assert not exclude_seen
            return super().recommend(users, k)

    found = compare({"same": Repeats("xy")}, split, ["ndcg@1"], exclude_seen=False, n_timed=0)
    assert found.task.users == ["a", "b"]
    assert found.value("same", "ndcg@1") == 1
    assert compare({"same": Fixed("xy")}, split, ["ndcg@1"], n_timed=0).task.users == ["b"]


def test_items_are_passed_on_and_cold_ones_can_be_found():
    events = random_events()
    split = split_cold_items(events, 0.3)
    items = {item: f"text of {item} kind{int(item[1:]) % 4}" for item in events.items}
    rec = Recommender(encoder="tfidf", factorizer=None, fuser="concat")
    found = compare({"text": rec}, split, ["recall@20", "coverage@20", "diversity@5"], items=items, n_timed=0)
    assert found.value("text", "recall@20") > 0.3
    assert found.value("text", "coverage@20") == 1
    assert 0 < found.value("text", "diversity@5") < 1
    without = compare({"popular": only(Popularity())}, split, ["recall@20"], n_timed=0)
    assert without.value("popular", "recall@20") == 0


def test_item_columns_and_vectors(split):
    items = {
        "item": list(split.train.items),
        "genres": ["a|b" if int(item[1:]) % 2 else "b" for item in split.train.items],
    }
    names = ["calibration(genres)@3", "diversity@3", "novelty@3", "popularity@3", "gini@3"]
    vectors = {item: [1.0, float(item == "i0")] for item in split.train.items}
    found = compare({"fixed": Fixed()}, split, names, items=items, item_vectors=vectors, n_timed=0)
    assert found.value("fixed", "diversity@3") == pytest.approx((2 * (1 - 0.5**0.5)) / 3, abs=1e-6)
    row = {item: n for n, item in enumerate(split.train.items)}
    counts = np.array([split.train.item_counts[row[item]] for item in ("i0", "i1", "i2")])
    assert found.value("fixed", "popularity@3") == pytest.approx(counts.mean())
    audiences = [len({u for u, i in pairs(split.train) if i == item}) for item in ("i0", "i1", "i2")]
    n_users = len(split.train.users)
    assert found.value("fixed", "novelty@3") == pytest.approx(
        np.mean(-np.log2(np.array(audiences) / n_users))
    )
    assert found.value("fixed", "gini@3") == pytest.approx(1 - 3 / split.train.n_items)
    # The genres of the list are b, a|b, b.
    q = np.array([0.5 / 3, 2.5 / 3])
    user = found.task.users[0]
    profile = np.zeros(2)
    events = split.train.events
    for u, i in zip(events.user_rows.tolist(), events.item_rows.tolist(), strict=True):
        if split.train.users[u] == user:
            profile += [0.5, 0.5] if int(split.train.items[i][1:]) % 2 else [0, 1]
    p = profile / profile.sum()
    expected = (p * np.log(p / (0.99 * q + 0.01 * p))).sum()
    assert found.trials["fixed"].user_values[0, 0] == pytest.approx(expected, abs=1e-5)


def test_intervals_and_tests_stand_beside_the_values(found):
    per_user = [0, 1, 2]
    assert (found.low[:, per_user] <= found.values[:, per_user]).all()
    assert (found.high[:, per_user] >= found.values[:, per_user]).all()
    assert np.isnan(found.low[:, 3]).all()
    assert np.isnan(found.p_values[0]).all()
    assert ((found.p_values[1, per_user] > 0) & (found.p_values[1, per_user] <= 1)).all()
    assert np.isnan(found.p_values[1, 3])
    mean, low, high = found.difference("knn", "ndcg@5")
    assert mean == pytest.approx(found.value("knn", "ndcg@5") - found.value("popular", "ndcg@5"))
    assert low <= mean <= high
    # Paired: the interval of the difference is narrower than those of the two alone would make it.
    assert high - low < (found.high - found.low)[:, 0].sum()
    with pytest.raises(ParameterError, match="no value for each user"):
        found.difference("knn", "coverage@5")


def test_costs_are_measured(found):
    for costs in found.costs.values():
        assert costs.fit_seconds > 0
        assert 0 < costs.request_ms < 1000
        assert 0.001 < costs.model_mb < 10


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_frames_hold_the_table(found, backend):
    pytest.importorskip(backend)
    frame = found.to_frame(backend)
    column = frame["ndcg@5"].to_pylist() if backend == "pyarrow" else frame["ndcg@5"].to_list()
    assert column == found.values[:, 0].tolist()
    names = frame.column_names if backend == "pyarrow" else list(frame.columns)
    assert {"recommender", "ndcg@5 low", "auc p", "fit_seconds", "model_mb"} <= set(names)


def test_shown_as_text_and_as_html(found):
    lines = repr(found).splitlines()
    assert len(lines) == 4
    assert "ndcg@5" in lines[1]
    assert f"{found.value('knn', 'ndcg@5'):.4f} [" in lines[3]
    assert "p=" in lines[3]
    assert "p=" not in lines[2]
    shown = compare({"<b>": Fixed("x")}, Split.from_tables([("a", "y")], [("a", "x")]), ["ndcg@3"], n_timed=0)
    assert "&lt;b&gt;" in shown._repr_html_()
    assert "<b>" not in shown._repr_html_()


def test_a_metric_of_your_own(split):
    first = Metric("first", lambda lists, known: lists.hits_at(1).any(axis=1), k=1)
    found = compare({"fixed": Fixed()}, split, [first, "precision@1"], n_timed=0)
    assert found.value("fixed", "first") == found.value("fixed", "precision@1")


def test_wrong_arguments_are_refused(split):
    rec = {"fixed": Fixed()}
    with pytest.raises(ParameterError, match="mapping of names"):
        compare([Fixed()], split)
    with pytest.raises(ParameterError, match="list of at least one"):
        compare(rec, split, "ndcg@10")
    with pytest.raises(UnknownNameError, match="Did you mean 'ndcg@10'"):
        compare(rec, split, ["ndgc@10"])
    with pytest.raises(ParameterError, match=r"Split\.from_tables"):
        compare(rec, (split.train, split.test))
    with pytest.raises(MissingColumnError, match="'genres'"):
        compare(rec, split, ["calibration(genres)@3"])
    with pytest.raises(DataError, match="item vectors"):
        compare(rec, split, ["diversity@3"])
    with pytest.raises(ParameterError, match="new_users"):
        compare(rec, split, new_users="drop")
    with pytest.raises(ComponentError, match="no method fit"):
        compare({"none": object()}, split)


def test_wrong_answers_are_refused(split):
    with pytest.raises(DataError, match="'stranger', which is neither"):
        compare({"fixed": Fixed(["stranger"])}, split)

    class Short(Fixed):
        def recommend(self, users, k):
            return super().recommend(users, k)[1:]

    with pytest.raises(DataError, match="answered"):
        compare({"short": Short()}, split)


def test_unknown_rows_and_columns_say_the_nearest(found):
    with pytest.raises(UnknownNameError, match="Did you mean 'popular'"):
        found.value("populr", "ndcg@5")
    with pytest.raises(UnknownNameError, match="Did you mean 'ndcg@5'"):
        found.value("popular", "ndcg@6")


def test_nobody_to_judge_by_and_nothing_to_learn_from():
    with pytest.raises(DataError, match="nobody to judge by"):
        compare({"fixed": Fixed()}, Split.from_tables([("a", "x")], [("a", "x")]))
    with pytest.raises(DataError, match="no events"):
        compare({"fixed": Fixed()}, Split.from_tables([], [("a", "x")]))


def test_the_model_itself_is_counted():
    from llmrec.evaluation.resources import model_bytes

    small = only("als").fit(leave_one_out(random_events()).train)
    array = np.zeros(100_000)
    views = [array[:10], array[5:]]
    assert 800_000 <= model_bytes(views) < 801_000
    assert model_bytes(small) > small.views_["als"].item_vectors_.nbytes + small.interactions_.n_events * 12


@pytest.mark.parametrize("options", [{}, {"histories": "sequences"}, {"histories": "sets"}], ids=str)
def test_a_random_split_with_times_is_pointed_out_to_whom_it_may_mislead(options):
    split = split_users_at_random(random_events(), keep_times=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compare({"knn": only("item-knn").set_params(**options)}, split, n_timed=0)
    told = [str(one.message) for one in caught if "before the last training event" in str(one.message)]
    assert len(told) == (not options)
    assert all('histories="sets"' in one for one in told)


@pytest.mark.parametrize(
    "cut",
    [leave_one_out, split_users_by_time, split_users_at_random, split_cold_items],
    ids=lambda one: one.__name__,
)
def test_other_splits_ask_for_nothing_that_came_before(cut):
    assert cut(random_events()).share_of_earlier_events() == 0


def test_the_share_of_earlier_events_is_counted_by_user():
    train = [("ann", "tea", 1.0, 20.0), ("bob", "jam", 1.0, 5.0)]
    test = [
        ("ann", "jam", 1.0, 10.0),
        ("ann", "ham", 1.0, 10.0),
        ("bob", "tea", 1.0, 10.0),
        ("eve", "jam", 1.0, 1.0),
    ]
    assert Split.from_tables(train, test).share_of_earlier_events() == 0.25
