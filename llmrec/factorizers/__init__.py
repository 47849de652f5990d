"""Factorizers: vectors of items and of histories, learned from behaviour."""

from llmrec.factorizers.als import ALSFactorizer
from llmrec.factorizers.ease import EASE
from llmrec.factorizers.graph_filter import GraphFilter
from llmrec.factorizers.item_knn import ItemKNN
from llmrec.factorizers.linear_autoencoder import LinearAutoencoder
from llmrec.factorizers.neural_cf import NeuralCF
from llmrec.factorizers.popularity import Popularity
from llmrec.factorizers.recent import Recent
from llmrec.factorizers.sequence_rules import SequenceRules
from llmrec.factorizers.sparse_ease import SparseEASE
from llmrec.factorizers.svd import SVDFactorizer
from llmrec.factorizers.two_tower import TwoTower
from llmrec.factorizers.user_knn import UserKNN

__all__ = [
    "EASE",
    "ALSFactorizer",
    "GraphFilter",
    "ItemKNN",
    "LinearAutoencoder",
    "NeuralCF",
    "Popularity",
    "Recent",
    "SVDFactorizer",
    "SequenceRules",
    "SparseEASE",
    "TwoTower",
    "UserKNN",
]
