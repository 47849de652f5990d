"""Evaluation: how good a list of recommendations is, against what happened."""

from llmrec.evaluation.metrics import ndcg_at_k, recall_at_k
from llmrec.evaluation.splits import split_by_time, split_users_by_time

__all__ = ["ndcg_at_k", "recall_at_k", "split_by_time", "split_users_by_time"]
