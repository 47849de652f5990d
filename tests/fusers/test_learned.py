"""LearnedFuser: which view should lead is found from later events, for all users and by length of history."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from llmrec import DotRanker
from llmrec.errors import NotFittedError, ParameterError
from llmrec.fusers import ConcatFuser, LearnedFuser, RankFusion, learned
from llmrec.fusers.blend_trial import BlendTrial
from llmrec.interactions import Histories
from tests.fusers.views import fused_scores, view

N_USERS, N_ITEMS, DIM = 160, 90, 6
PRIOR = {"text": 0.5, "behaviour": 1.0, "popularity": 0.3}


def world(informative, *, n_users=N_USERS, n_seen=3, seed=0):
    """Return views and histories in which users take next what one of the views scores highest.

    ``informative`` is that view's kind, for all users or one a user.
    """
    rng = np.random.default_rng(seed)
    kinds = ["text", "behaviour"]
    items = {kind: rng.normal(size=(N_ITEMS, DIM)) for kind in kinds}
    users = {kind: rng.normal(size=(n_users, DIM)) for kind in kinds}
    leading = [informative] * n_users if isinstance(informative, str) else informative
    lengths = np.broadcast_to(n_seen, n_users)
    seen, later = [], []
    for user, kind in enumerate(leading):
        met = rng.choice(N_ITEMS, lengths[user], replace=False)
        order = np.argsort(-(items[kind] @ users[kind][user]))
        seen.append(met.tolist())
        later.append([int(item) for item in order if item not in met][:4])
    views = [
        view(kind, items[kind], kind=kind, queries=view(kind, users[kind], kind=kind, support=lengths))
        for kind in kinds
    ]
    return views, Histories.of(seen, N_ITEMS), Histories.of(later, N_ITEMS)


@pytest.mark.parametrize("kind", ["text", "behaviour"])
def test_the_informative_view_leads(kind):
    fuser = LearnedFuser()
    fuser.tune(*world(kind))
    other = "text" if kind == "behaviour" else "behaviour"
    assert fuser.weights_[kind] == 1
    assert fuser.weights_[other] <= 0.05
    assert fuser.validation_ndcg_ > 0.99


def test_what_was_learned_beats_the_prior_on_other_users():
    fuser, prior = LearnedFuser(), LearnedFuser()
    fuser.tune(*world("text"))
    views, seen, later = world("text", seed=1)
    fuser.fit(views, None), prior.fit(views, None)
    queries = [one.queries for one in views]
    right = later.weight_matrix().toarray() > 0
    met = seen.weight_matrix().toarray() > 0

    def hits(one):
        scores = np.where(met, -np.inf, fused_scores(one, views, queries))
        return np.take_along_axis(right, np.argsort(-scores, axis=1)[:, :4], axis=1).mean()

    assert hits(fuser) > 0.95 > hits(prior)


def test_users_with_few_and_with_many_events_get_their_own_weights():
    lengths = np.where(np.arange(240) < 120, 2, 25)
    informative = ["text" if length == 2 else "behaviour" for length in lengths]
    fuser = LearnedFuser()
    fuser.tune(*world(informative, n_users=240, n_seen=lengths))
    assert [least for least, _ in fuser.bucket_weights_] == [1, 20]
    few, many = fuser.weights_for(2), fuser.weights_for(25)
    assert few["text"] > 2 * few["behaviour"]
    assert many["behaviour"] > 2 * many["text"]
    assert fuser.weights_for(0) == fuser.weights_


def test_each_query_is_weighed_by_the_length_of_its_history():
    views, _, _ = world("text")
    fuser = LearnedFuser().fit(views, None)
    few, many = {"text": 2.0, "behaviour": 0.0}, {"text": 0.0, "behaviour": 3.0}
    fuser.bucket_weights_ = [(1, few), (20, many)]
    queries = [
        view(one.name, one.queries.vectors[:2], kind=one.kind, support=[[1, 1], [4, 20]][one.kind != "text"])
        for one in views
    ]
    scores = fused_scores(fuser, views, queries)
    for query, weights in enumerate((few, many)):
        same = ConcatFuser(weights).fit(views, None)
        np.testing.assert_allclose(scores[query], fused_scores(same, views, queries)[query], atol=1e-5)


def test_too_few_users_leave_the_prior():
    views, seen, later = world("text", n_users=49)
    fuser = LearnedFuser()
    fuser.tune(views, seen, later)
    assert fuser.weights_ == {"text": 0.5, "behaviour": 1.0}
    assert fuser.bucket_weights_ == []
    assert fuser.validation_ndcg_ is None
    eager = LearnedFuser(min_users=49)
    eager.tune(views, seen, later)
    assert eager.validation_ndcg_ is not None


@pytest.mark.parametrize(
    ("n_users", "n_items", "by_rank"), [(49, 1000, True), (49, 999, False), (50, 1000, False)]
)
def test_too_few_users_fuse_the_ranks_of_a_large_catalogue(monkeypatch, n_users, n_items, by_rank):
    monkeypatch.setattr("tests.fusers.test_learned.N_ITEMS", n_items)
    views, seen, later = world("text", n_users=n_users)
    fuser = LearnedFuser()
    fuser.tune(views, seen, later)
    fuser.fit(views, None)
    assert fuser.by_rank_ is by_rank
    queries = [one.queries for one in views]
    ranker = fuser.ranker_over(DotRanker()).index(fuser.fuse_items(views))
    rows, scores = ranker.rank(fuser.fuse_queries(queries), 5)
    if by_rank:
        ranked = RankFusion(fuser.weights_).fit(views, None)
        same = ranked.ranker_over(DotRanker()).index(ranked.fuse_items(views))
        expected, shares = same.rank(ranked.fuse_queries(queries), 5)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(scores, shares, rtol=1e-6)
        assert (scores <= 1.5 / 61).all()
    else:
        assert isinstance(ranker, DotRanker)
        best = fused_scores(fuser, views, queries).max(axis=1)
        np.testing.assert_allclose(scores[:, 0], best, rtol=1e-5)


def test_one_view_is_never_fused_by_ranks(monkeypatch):
    monkeypatch.setattr("tests.fusers.test_learned.N_ITEMS", 1000)
    assert not LearnedFuser().fit(world("text", n_users=9)[0][:1], None).by_rank_


def test_groups_too_small_for_weights_of_their_own_take_the_general_ones():
    lengths = np.repeat([2, 8, 25], 34)
    fuser = LearnedFuser()
    fuser.tune(*world("text", n_users=len(lengths), n_seen=lengths))
    assert fuser.bucket_weights_ == []
    assert fuser.weights_["text"] == 1


def test_one_view_has_nothing_to_weigh():
    views, seen, later = world("text")
    fuser = LearnedFuser()
    fuser.tune(views[:1], seen, later)
    assert fuser.weights_ == {"text": 0.5}
    assert fuser.validation_ndcg_ is None


def test_fit_without_tune_takes_the_prior_by_kind():
    views, _, _ = world("text")
    hits = view("hits", np.ones((N_ITEMS, 1)), kind="popularity")
    fuser = LearnedFuser().fit([*views, hits], None)
    assert fuser.weights_ == {"text": 0.5, "behaviour": 1.0, "hits": 0.3}


def test_fit_keeps_what_tune_found_and_drops_it_for_other_views():
    views, seen, later = world("text")
    fuser = LearnedFuser()
    fuser.tune(views, seen, later)
    learned = dict(fuser.weights_)
    assert fuser.fit(views, None).weights_ == learned
    renamed = [view("als", views[1].vectors), views[0]]
    assert fuser.fit(renamed, None).weights_ == {"als": 1.0, "text": 0.5}
    assert fuser.bucket_weights_ == []


def test_tuning_again_forgets_the_first():
    fuser, fresh = LearnedFuser(), LearnedFuser()
    fuser.tune(*world("text"))
    fuser.tune(*world("behaviour"))
    fresh.tune(*world("behaviour"))
    assert fuser.weights_ == fresh.weights_
    assert fuser.bucket_weights_ == fresh.bucket_weights_


def test_met_items_do_not_count_as_right():
    """Met items score highest; were they candidates, no weight could lift what came later to the top."""
    views, seen, later = world("text", n_seen=1)
    met = np.split(seen.columns, seen.indptr[1:-1])
    next_four = np.split(later.columns, later.indptr[1:-1])
    fuser = LearnedFuser()
    fuser.tune(
        views,
        Histories.of([[*old, *four[:2]] for old, four in zip(met, next_four, strict=True)], N_ITEMS),
        Histories.of([four[2:] for four in next_four], N_ITEMS),
    )
    assert fuser.validation_ndcg_ > 0.99


@pytest.mark.parametrize("value", [0, -3, 1.5, None])
def test_a_wrong_parameter_is_named(value):
    with pytest.raises(ParameterError, match="min_users"):
        LearnedFuser(min_users=value).tune(*world("text"))


# -- items with few events -----------------------------------------------------------------------------------


def world_with_new_items(informative_for_new, *, n_users=200, seed=0):
    """Return views in which a third of the items has no events, and is chosen by one kind of view alone."""
    rng = np.random.default_rng(seed)
    counts = np.where(np.arange(N_ITEMS) % 3 == 0, 0, 30).astype(np.float32)
    text, users = rng.normal(size=(N_ITEMS, DIM)), rng.normal(size=(n_users, DIM))
    tastes, behaviour = rng.normal(size=(n_users, DIM)), rng.normal(size=(N_ITEMS, DIM))
    behaviour[counts == 0] = 0
    truth = behaviour @ tastes.T
    truth[counts == 0] = informative_for_new * (text @ users.T)[counts == 0] if informative_for_new else -99
    seen, later = [], []
    for user in range(n_users):
        met = rng.choice(np.flatnonzero(counts), 3, replace=False)
        order = np.argsort(-truth[:, user])
        seen.append(met.tolist())
        later.append([int(item) for item in order if item not in met][:6])
    lengths = np.full(n_users, 3)
    views = [
        view("text", text, kind="text", queries=view("text", users, kind="text", support=lengths)),
        view(
            "behaviour",
            behaviour,
            support=counts,
            queries=view("behaviour", tastes, support=lengths),
        ),
    ]
    return views, Histories.of(seen, N_ITEMS), Histories.of(later, N_ITEMS)


def test_new_items_that_people_take_are_lifted():
    fuser, (views, seen, later) = LearnedFuser(), world_with_new_items(2.0)
    fuser.tune(views, seen, later)
    assert fuser.item_scales_[0, 0] > 1 or fuser.item_offsets_[0] > 0
    np.testing.assert_array_equal(fuser.item_scales_[-1], 1)
    fuser.fit(views, None)
    lifted = fused_scores(fuser, views, [one.queries for one in views])
    terms = fuser.item_scales_, fuser.item_offsets_
    fuser.item_scales_, fuser.item_offsets_ = np.ones_like(terms[0]), np.zeros_like(terms[1])
    plain = fused_scores(fuser, views, [one.queries for one in views])
    right = later.weight_matrix().toarray() > 0

    def found(scores):
        return np.take_along_axis(right, np.argsort(-scores, axis=1)[:, :6], axis=1).mean()

    assert found(lifted) > found(plain) + 0.02
    np.testing.assert_allclose(lifted[:, 1::3], plain[:, 1::3], atol=1e-5)


def test_new_items_that_nobody_takes_are_not_lifted():
    fuser = LearnedFuser()
    fuser.tune(*world_with_new_items(0))
    assert fuser.item_offsets_[0] <= 0


def test_an_item_changes_its_bucket_with_its_events():
    views, seen, later = world_with_new_items(2.0)
    fuser = LearnedFuser()
    fuser.tune(views, seen, later)
    fuser.fit(views, None)
    fuser.item_offsets_ = np.array([5, 0, 0, 0], dtype=np.float32)
    assert fuser.fuse_items(views)[0, 0] == 5
    grown = view("behaviour", np.ones((N_ITEMS, DIM)), support=np.full(N_ITEMS, 3.0))
    assert fuser.fuse_items([views[0], grown])[0, 0] == 0


def test_shares_add_up_for_each_group_of_users():
    lengths = np.where(np.arange(240) < 120, 2, 25)
    fuser = LearnedFuser()
    kinds = ["text" if length == 2 else "behaviour" for length in lengths]
    fuser.tune(*world(kinds, n_users=240, n_seen=lengths))
    shares = fuser.shares()
    assert list(shares) == ["all users", "1 to 19 events", "20 events or more"]
    for one in shares.values():
        assert sum(one.values()) == pytest.approx(1)
    assert shares["1 to 19 events"]["text"] > shares["20 events or more"]["text"]
    with pytest.raises(NotFittedError):
        LearnedFuser().shares()


def test_weights_are_drawn_as_bars():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    fuser = LearnedFuser()
    fuser.tune(*world("text"))
    axes = fuser.plot_weights()
    assert [text.get_text() for text in axes.get_yticklabels()] == list(fuser.shares())
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    np.testing.assert_allclose(np.sum(widths, axis=0), 1)
    assert fuser.plot_weights(axes) is axes


def test_an_easy_part_of_the_users_does_not_outvote_a_hard_one():
    parts = np.arange(N_USERS) % 2
    views, seen, later = world(["text" if part else "behaviour" for part in parts])
    # Of the second half one right item of twenty can be found at all, so that its NDCG is small.
    hidden = [
        later.columns[later.indptr[user] : later.indptr[user + 1]].tolist()[: 4 if parts[user] else 1]
        + ([] if parts[user] else np.random.default_rng(user).choice(N_ITEMS, 20).tolist())
        for user in range(N_USERS)
    ]
    later = Histories.of(hidden, N_ITEMS)
    outvoted, fair = LearnedFuser(), LearnedFuser()
    outvoted.tune(views, seen, later)
    fair.tune(views, seen, later, parts=parts.astype(np.int32))
    share = [one.weights_["behaviour"] / one.weights_["text"] for one in (outvoted, fair)]
    assert share[1] > share[0]


@pytest.mark.parametrize(("pooled", "is_kept"), [((0.05, 1.0), False), ((0.5, 0.5), True)])
def test_of_two_parts_none_fares_far_worse_than_with_a_view_alone(monkeypatch, pooled, is_kept):
    parts = np.arange(N_USERS) % 2
    views, seen, later = world(["text" if part else "behaviour" for part in parts])
    met, relevant = seen.weight_matrix(), later.weight_matrix()
    buckets = np.zeros(N_ITEMS, dtype=np.int64)
    trial = BlendTrial.of(ConcatFuser().fit(views, None), views, met, relevant, buckets)
    trial = trial.with_equal_parts(parts)
    own = [trial.of_users(np.flatnonzero(parts == part)) for part in (0, 1)]
    alone = learned._weights_for_sets

    def found(asked, *rest):
        return (np.array(pooled), 0.0) if asked is trial else alone(asked, *rest)

    monkeypatch.setattr(learned, "_weights_for_sets", found)
    monkeypatch.setattr(learned, "_FAIR", 0.55)
    weights, _ = learned._weights_for_parts(trial, [0.5, 1.0], 50)
    assert (weights.tolist() == list(pooled)) == is_kept
    assert learned._least_relative(own, weights) > 0.55 > learned._least_relative(own, np.array([0.05, 1.0]))


def test_text_keeps_a_say_however_little_it_helps():
    fuser = LearnedFuser()
    fuser.tune(*world("behaviour"))
    assert fuser.weights_["text"] >= 0.02


def cold_world(leading, seed=0):
    """Two text views of hidden items, of which one ranks first what users had met."""
    rng = np.random.default_rng(seed)
    names = ["words", "topics"]
    items = {name: rng.normal(size=(N_ITEMS, DIM)) for name in names}
    users = {name: rng.normal(size=(N_USERS, DIM)) for name in names}
    relevant = np.zeros((N_USERS, N_ITEMS), dtype=np.float32)
    best = np.argsort(-(users[leading] @ items[leading].T), axis=1)[:, :5]
    np.put_along_axis(relevant, best, 1, axis=1)
    views = [
        view(name, items[name], kind="text", queries=view(name, users[name], kind="text")) for name in names
    ]
    return views, sparse.csr_array(relevant)


@pytest.mark.parametrize("leading", ["words", "topics"])
def test_texts_of_new_items_are_weighed_by_what_ranks_hidden_ones(leading):
    fuser = LearnedFuser()
    fuser.weights_ = {"words": 0.5, "als": 1.0, "topics": 0.1}
    fuser.item_scales_ = np.ones((4, 3), dtype=np.float32)
    fuser.tune_cold(*cold_world(leading))
    in_force = fuser.item_scales_[0] * [0.5, 1.0, 0.1]
    at = {"words": 0, "topics": 2}
    other = "words" if leading == "topics" else "topics"
    assert in_force[at[leading]] > 10 * in_force[at[other]]
    assert in_force[1] == 1
    assert (fuser.item_scales_[1:] == 1).all()


@pytest.mark.parametrize("leading", ["words", "topics"])
def test_the_best_new_items_stand_as_high_as_before(leading):
    fuser = LearnedFuser()
    fuser.weights_ = {"words": 0.5, "topics": 0.7}
    fuser.item_scales_ = np.ones((4, 2), dtype=np.float32)
    views, relevant = cold_world(leading)
    fuser.tune_cold(views, relevant)
    usual = np.array([0.5, 0.7])
    scores = np.array([one.queries.vectors @ one.vectors.T for one in views])
    scores = (scores - scores.mean(axis=2, keepdims=True)) / scores.std(axis=2, keepdims=True)
    heights = [
        np.einsum("v,vui->ui", weights, scores).max(axis=1).mean()
        for weights in (usual, usual * fuser.item_scales_[0])
    ]
    np.testing.assert_allclose(heights[1], heights[0], rtol=0.02)


def test_too_few_users_leave_the_texts_of_new_items_as_they_are():
    fuser = LearnedFuser(min_users=N_USERS + 1)
    fuser.weights_ = {"words": 0.5, "topics": 0.1}
    fuser.item_scales_ = np.ones((4, 2), dtype=np.float32)
    fuser.tune_cold(*cold_world("words"))
    assert (fuser.item_scales_ == 1).all()


def test_a_view_without_weight_has_no_say_on_new_items():
    fuser = LearnedFuser()
    fuser.weights_ = {"words": 0.0, "topics": 0.1}
    fuser.item_scales_ = np.ones((4, 2), dtype=np.float32)
    fuser.tune_cold(*cold_world("words"))
    np.testing.assert_allclose(fuser.item_scales_, 1, rtol=1e-6)


def test_a_view_that_places_items_by_their_texts_keeps_its_share_beside_text():
    """Among users with few and with many events, as for text views: new items are compared by both."""
    lengths = np.where(np.arange(240) < 120, 2, 25)
    informative = ["text" if length == 2 else "behaviour" for length in lengths]
    views, seen, later = world(informative, n_users=240, n_seen=lengths)
    support = np.ones(N_ITEMS, dtype=np.float32)
    support[:3] = 0.5
    views[1] = view("behaviour", views[1].vectors, support=support, queries=views[1].queries)
    fuser = LearnedFuser()
    fuser.tune(views, seen, later)
    assert fuser.bucket_weights_
    usual = fuser.weights_["behaviour"] / fuser.weights_["text"]
    for _, own in fuser.bucket_weights_:
        np.testing.assert_allclose(own["behaviour"] / own["text"], usual, rtol=1e-5)


def noisy_world(seed, n_users=120):
    """Return views of which one says what users take, and the others, as many as six, nothing."""
    rng = np.random.default_rng(seed)
    leading = rng.normal(size=(n_users, N_ITEMS))
    taken = np.argsort(-(leading + rng.normal(size=leading.shape)), axis=1)[:, :3]
    scores = [leading, *(rng.normal(size=leading.shape) for _ in range(6))]
    one = np.eye(n_users)
    views = [
        view(f"v{n}", table.T, kind="behaviour", queries=view(f"v{n}", one, kind="behaviour"))
        for n, table in enumerate(scores)
    ]
    return views, Histories.of([[]] * n_users, N_ITEMS), Histories.of(taken.tolist(), N_ITEMS)


def test_for_sets_what_chance_gains_is_not_learned():
    noise = {"sequences": 0.0, "sets": 0.0}
    for seed in range(3):
        views, seen, later = noisy_world(seed)
        for kind, parts in (("sequences", None), ("sets", np.arange(len(seen), dtype=np.int32) % 2)):
            fuser = LearnedFuser()
            fuser.tune(views, seen, later, parts=parts)
            assert fuser.weights_["v0"] == 1
            noise[kind] += sum(fuser.weights_.values()) - 1
    assert noise["sets"] < 0.7 * noise["sequences"]
