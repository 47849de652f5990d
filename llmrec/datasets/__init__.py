"""Data sets: one bundled sample, MovieLens, and whatever lies in a local folder."""

from llmrec.datasets.bundled import load_movietweetings
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.folder import available_datasets, load_dataset
from llmrec.datasets.movielens import load_movielens

__all__ = ["Dataset", "available_datasets", "load_dataset", "load_movielens", "load_movietweetings"]
