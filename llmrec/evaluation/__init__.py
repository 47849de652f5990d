"""Evaluation: how good a list of recommendations is, against what happened."""

from llmrec.evaluation.background import Background
from llmrec.evaluation.beyond_accuracy import (
    calibration_error,
    coverage,
    gini,
    intra_list_diversity,
    mean_popularity,
    novelty,
)
from llmrec.evaluation.comparison import Comparison, compare
from llmrec.evaluation.intervals import bootstrap_interval, paired_test
from llmrec.evaluation.metric_names import Metric, available_metrics, resolve_metric
from llmrec.evaluation.metrics import (
    auc,
    average_precision,
    capped_average_precision,
    capped_recall,
    hit_rate,
    ndcg,
    ndcg_at_k,
    precision,
    recall,
    recall_at_k,
    reciprocal_rank,
)
from llmrec.evaluation.plots import plot_accuracy_against, plot_by_history_length, plot_by_item_popularity
from llmrec.evaluation.ranked_lists import RankedLists
from llmrec.evaluation.rating_errors import mae, rmse
from llmrec.evaluation.splits import (
    Split,
    leave_one_out,
    split_by_time,
    split_cold_items,
    split_cold_users,
    split_k_fold,
    split_users_at_random,
    split_users_by_time,
)
from llmrec.evaluation.task import RankingTask
from llmrec.evaluation.trial import Costs, Trial
from llmrec.evaluation.tuning import Tuning, tune

__all__ = [
    "Background",
    "Comparison",
    "Costs",
    "Metric",
    "RankedLists",
    "RankingTask",
    "Split",
    "Trial",
    "Tuning",
    "auc",
    "available_metrics",
    "average_precision",
    "bootstrap_interval",
    "calibration_error",
    "capped_average_precision",
    "capped_recall",
    "compare",
    "coverage",
    "gini",
    "hit_rate",
    "intra_list_diversity",
    "leave_one_out",
    "mae",
    "mean_popularity",
    "ndcg",
    "ndcg_at_k",
    "novelty",
    "paired_test",
    "plot_accuracy_against",
    "plot_by_history_length",
    "plot_by_item_popularity",
    "precision",
    "recall",
    "recall_at_k",
    "reciprocal_rank",
    "resolve_metric",
    "rmse",
    "split_by_time",
    "split_cold_items",
    "split_cold_users",
    "split_k_fold",
    "split_users_at_random",
    "split_users_by_time",
    "tune",
]
