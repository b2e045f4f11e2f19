"""What a model does, and which way each quality metric is better."""

from __future__ import annotations

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]

CLASSIFICATION_METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "calibration_error",
)
REGRESSION_METRICS = ("mae", "rmse", "mape", "r2")
ROW_METRICS = ("log_loss", "brier", "accuracy", "mae", "rmse")
"""Metrics that are means over rows, or the root of one, and so have a loss for each row."""
LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "calibration_error", "mae", "rmse", "mape", "latency_p99_ms"}
)


def metrics_of(task: Task) -> tuple[str, ...]:
    """Return the metrics that are defined for a task.

    Example:
        >>> "roc_auc" in metrics_of("binary"), "roc_auc" in metrics_of("regression")
        (True, False)
    """
    return REGRESSION_METRICS if task == "regression" else CLASSIFICATION_METRICS


def improvement(metric: str, candidate: float, champion: float) -> float:
    """Return by how much the candidate is better, whichever way the metric points.

    Example:
        >>> improvement("roc_auc", 0.75, 0.5), improvement("log_loss", 0.5, 0.75)
        (0.25, 0.25)
    """
    return champion - candidate if metric in LOWER_IS_BETTER else candidate - champion
