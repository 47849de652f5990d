"""NeuMF: scores against a plain network, the fold-in against dense ridge regression, negatives, refusals."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from llmrec import Recommender
from llmrec.errors import DataError, MissingExtraError, NotFittedError, ParameterError
from llmrec.evaluation import ndcg_at_k
from llmrec.factorizers import NeuralCF
from llmrec.factorizers.neural_cf import _Trainer
from llmrec.interactions import Histories, Interactions
from tests.factorizers.samples import from_dense, random_ratings, random_weights

torch = pytest.importorskip("torch")


def two_kinds(n_users=60, n_items=12, seed=0):
    rng = np.random.default_rng(seed)
    users, items = np.indices((n_users, n_items))
    weights = (rng.random((n_users, n_items)) < np.where((users + items) % 2, 0.05, 0.6)).astype(float)
    weights[:, -1] = 0
    return weights


def fitted(events=None, **parameters):
    defaults = {"layers": (6, 5, 4), "epochs": 30, "patience": None, "batch_size": 128, "learning_rate": 0.02}
    model = NeuralCF(**{"factors": 3, "progress": False, **defaults, **parameters})
    return model.fit(from_dense(two_kinds()) if events is None else events)


def plain_scores(model, embeddings):
    """Return the scores as the paper writes them, one pair of user and item at a time."""
    network, scores = model.network_, np.zeros((len(embeddings), len(model.item_embeddings_)))
    for row, user in enumerate(embeddings):
        for column, item in enumerate(model.item_embeddings_):
            hidden = np.concatenate([user[model.factors :], item[model.factors :]])
            for layer in range(len(model.layers) - 1):
                hidden = np.maximum(hidden @ network[f"weight{layer}"] + network[f"bias{layer}"], 0)
            product = user[: model.factors] * item[: model.factors]
            scores[row, column] = np.concatenate([product, hidden]) @ network["output"]
    return scores + network["intercept"] + model.mean_rating_


@pytest.mark.parametrize("layers", [(2, 1), (6, 5), (8, 5, 4, 3)])
def test_scores_are_those_of_the_plain_network(layers):
    model = fitted(layers=layers, epochs=3)
    rows = np.array([3, 0], dtype=np.int32)
    np.testing.assert_allclose(
        model.trained_scores(rows), plain_scores(model, model.user_embeddings_[rows]), atol=1e-5
    )


def test_training_and_serving_score_alike():
    weights = sparse.csr_array(two_kinds(5).astype(np.float32))
    trainer = _Trainer(torch, weights, NeuralCF(3, layers=(6, 5, 4)))
    users, items = np.indices((5, 12)).reshape(2, -1)
    pairs = trainer._pair_scores(torch.from_numpy(users), torch.from_numpy(items)).detach().numpy()
    np.testing.assert_allclose(trainer.scores(np.arange(5)).ravel(), pairs, atol=1e-6)


def test_a_query_and_an_item_meet_in_the_score_itself():
    model = fitted(epochs=3)
    histories = Histories.of([[0, 2], [1], []], n_columns=12)
    queries, items = model.query_vectors(histories), model.item_vectors()
    assert items.shape == (12, 12)
    scores = queries @ items.T
    np.testing.assert_array_equal(scores[:, :-1], queries[:, :-1])
    assert not scores[:, -1].any()  # nobody met the last item: nothing is known of it


def test_a_history_asks_for_items_of_its_kind():
    found = fitted().query_vectors(Histories.of([[0, 2], [1, 3]], n_columns=12))
    even, odd = found[:, [4, 6, 8, 10]].mean(axis=1), found[:, [5, 7, 9]].mean(axis=1)
    assert even[0] > odd[0] + 1
    assert odd[1] > even[1] + 1


@pytest.mark.parametrize("ridge", [0.1, 3.0])
@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_the_fold_in_is_ridge_regression_of_the_trained_embeddings(feedback, ridge):
    if feedback == "implicit":
        targets = random_weights()
        events = from_dense(targets)
    else:
        ratings, is_rated = random_ratings()
        events = from_dense(ratings, ratings=ratings, is_met=is_rated)
        targets = np.where(is_rated, ratings - ratings[is_rated].mean(), 0)
    model = fitted(events, feedback=feedback, fold_in_ridge=ridge)
    known = events.user_counts > 0
    lengths = np.linalg.norm(targets, axis=1, keepdims=True)
    rows = np.divide(targets, lengths, out=np.zeros_like(targets), where=lengths > 0)[known]
    mean = model.user_embeddings_[known].mean(axis=0)
    expected = np.linalg.solve(
        rows.T @ rows + ridge * np.eye(rows.shape[1]), rows.T @ (model.user_embeddings_[known] - mean)
    )
    np.testing.assert_allclose(model.mean_embedding_, mean, atol=1e-6)
    np.testing.assert_allclose(model.fold_in_, expected, atol=1e-5)
    np.testing.assert_allclose(
        model.query_vectors(events.histories())[known], plain_scores(model, mean + rows @ expected), atol=1e-4
    )


def test_what_is_drawn_was_not_met():
    weights = sparse.csr_array(two_kinds(30).astype(np.float32))
    trainer = _Trainer(torch, weights, NeuralCF(3, negatives=3))
    users, items, targets, counted = (one.numpy() for one in trainer._pairs())
    is_met = weights.toarray()[users, items] > 0
    assert len(users) == 4 * weights.nnz
    assert is_met[targets == 1].all()
    assert not (is_met & (counted > 0) & (targets == 0)).any()
    assert counted[targets == 0].mean() > 0.9


def test_users_who_met_everything_teach_no_negatives():
    model = fitted(from_dense(np.ones((6, 4))), epochs=5)
    assert np.isfinite(model.query_vectors(Histories.of([[0]], n_columns=4))).all()


def test_explicit_scores_are_near_the_ratings():
    users, items = np.indices((40, 12))
    ratings = np.where((users + items) % 2, 2.0, 4.0)
    is_rated = np.random.default_rng(0).random(ratings.shape) < 0.6
    model = fitted(from_dense(ratings, ratings=ratings, is_met=is_rated), feedback="explicit", epochs=100)
    found = model.trained_scores(np.arange(40))
    assert np.sqrt(np.mean((found - ratings)[~is_rated] ** 2)) < 0.3


def test_explicit_feedback_needs_ratings():
    with pytest.raises(DataError, match="ratings"):
        fitted(feedback="explicit")


def test_a_catalogue_that_is_too_large_is_refused_with_another_way():
    with pytest.raises(DataError, match=r"12 items, above max_items=11.*TwoTower or LinearAutoencoder"):
        fitted(max_items=11)


def test_it_is_a_view_of_the_recommender_beside_others():
    weights = two_kinds()
    events = [(f"u{u}", f"i{i}") for u, i in zip(*weights.nonzero(), strict=True)]
    model = NeuralCF(3, layers=(6, 4), epochs=20, patience=None, learning_rate=0.02, progress=False)
    rec = Recommender(encoder=None, factorizer=[model, "als"], fuser="concat").fit(events)
    rec.partial_fit([("u0", "new"), ("someone", "i1")])
    assert rec.recommend(history=["i0", "i2"], k=1).items[0] in {"i4", "i6", "i8", "i10"}
    assert rec.recommend(history=["i1", "i3"], k=1).items[0] in {"i5", "i7", "i9"}
    assert "i1" not in rec.recommend("someone", k=13).items


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("factors", "negatives", "max_items", "epochs", "batch_size", "patience")),
        *((name, 0) for name in ("fold_in_ridge", "learning_rate")),
        ("layers", (3, 2)),
        ("layers", (4,)),
        ("layers", ()),
        ("layers", (4, 0)),
        ("feedback", "implict"),
    ],
)
def test_a_wrong_parameter_is_named(name, value):
    with pytest.raises(ParameterError, match=name):
        NeuralCF().set_params(**{name: value}).fit(Interactions.from_table([("a", "x")]))


def test_use_before_fit_is_refused():
    with pytest.raises(NotFittedError):
        NeuralCF().item_vectors()
    with pytest.raises(NotFittedError):
        NeuralCF().query_vectors(Histories.of([[0]], n_columns=1))
    with pytest.raises(NotFittedError):
        NeuralCF().trained_scores(np.array([0]))


def test_the_seed_decides_and_the_global_random_state_does_not():
    first = fitted(epochs=3).item_embeddings_
    torch.manual_seed(17)
    np.testing.assert_array_equal(first, fitted(epochs=3).item_embeddings_)
    assert np.abs(first - fitted(epochs=3, random_state=1).item_embeddings_).max() > 0.01


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"NeuralCF needs torch.*llmrec\[torch\]"):
        NeuralCF().fit(Interactions.from_table([("a", "x")]))


@pytest.mark.slow
def test_movielens_gives_what_is_published():
    """The Microsoft Recommenders table has nDCG@10 .396 for NCF; one seed, so the bound is a little wider."""
    folder = Path(os.environ.get("LLMREC_DATA", ""), "ml-100k")
    if not os.environ.get("LLMREC_DATA") or not folder.is_dir():
        pytest.skip("LLMREC_DATA has no ml-100k")
    pd = pytest.importorskip("pandas")
    pairs = pd.read_csv(folder / "interactions.csv.gz")[["user", "item"]]
    shuffled = pairs.sample(frac=1, random_state=0)
    is_test = shuffled.groupby("user").cumcount() < 0.25 * shuffled.groupby("user")["item"].transform("size")
    train = Interactions.from_table(list(shuffled[~is_test].itertuples(index=False, name=None)))
    model = NeuralCF(progress=False).fit(train)
    scores = model.trained_scores(np.arange(train.n_users))
    histories = train.histories()
    scores[histories.owners, histories.columns] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :10]
    found = [
        ndcg_at_k([train.items[item] for item in best[train.users.row(user)]], set(held), 10)
        for user, held in shuffled[is_test].groupby("user")["item"]
    ]
    assert np.mean(found) > 0.95 * 0.396
