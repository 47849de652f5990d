"""Our factorizers keep the contract of their role."""

from __future__ import annotations

import pytest

from llmrec.factorizers import (
    EASE,
    ALSFactorizer,
    GraphFilter,
    ItemKNN,
    LinearAutoencoder,
    NeuralCF,
    Popularity,
    Recent,
    SequenceRules,
    SparseEASE,
    SVDFactorizer,
    TwoTower,
    UserKNN,
)
from llmrec.testing import component_checks

COMPONENTS = [
    ALSFactorizer(4, sweeps=5, progress=False),
    ALSFactorizer(4, feedback="explicit", regularization=0.1, sweeps=5, progress=False),
    ALSFactorizer(4, rating_exponent=0.5, sweeps=5, progress=False),
    SVDFactorizer(3),
    SVDFactorizer(3, feedback="explicit"),
    EASE(),
    EASE(2.0, content_weight=1.0, rating_exponent=0.5),
    SparseEASE(),
    SparseEASE(3, regularization=2.0, dropout=0, length_exponent=0),
    GraphFilter(),
    GraphFilter(5, factors=2),
    ItemKNN(5),
    ItemKNN(5, similarity="pearson", normalize=True),
    ItemKNN(5, similarity="adjusted-cosine"),
    ItemKNN(5, similarity="jaccard"),
    ItemKNN(5, similarity="dot", weighting="bm25"),
    LinearAutoencoder(3, epochs=8, batch_size=8, progress=False),
    UserKNN(5),
    UserKNN(5, similarity="pearson"),
    UserKNN(5, similarity="adjusted-cosine"),
    UserKNN(5, similarity="jaccard", shrinkage=2),
    UserKNN(5, similarity="dot", weighting="bm25", popularity_exponent=0.5),
    UserKNN(5, weighting="tf-idf", content_weight=0.3),
    SequenceRules(),
    Recent(ItemKNN(5)),
    Recent(UserKNN(5)),
    Recent(EASE(), half_life=7, unit="days"),
    TwoTower(3, hidden=4, epochs=10, batch_size=8, progress=False),
    TwoTower(3, hidden=4, candidates=6, epochs=10, patience=None, batch_size=8, progress=False),
    NeuralCF(2, layers=(4, 2), epochs=8, batch_size=64, learning_rate=0.05, progress=False),
    NeuralCF(
        2, layers=(4, 2), feedback="explicit", epochs=8, batch_size=64, learning_rate=0.05, progress=False
    ),
    Popularity(),
    Popularity(half_life=5),
    Popularity(half_life=None),
]


@pytest.mark.parametrize("check", [one for own in COMPONENTS for one in component_checks(own)], ids=repr)
def test_contract(check):
    check()
