"""With the loop, against January's model for ever, against a monthly habit: the same flights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tidemill.core.tasks import improvement
from tidemill.models.metrics import evaluate

METRICS = ("roc_auc", "f1", "log_loss")


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """How one way of keeping a model fared over the replay.

    Attributes:
        name: What it is called in the report.
        retrains: Trainings after the first model.
        total: Each metric over all labelled flights of the replay.
        weekly: The start of each week, and each metric in it.
    """

    name: str
    retrains: int
    total: dict[str, float]
    weekly: tuple[tuple[datetime, dict[str, float]], ...]


def strategy(
    name: str, retrains: int, labelled: pl.DataFrame, scores: np.ndarray[Any, Any]
) -> Strategy:
    """Measure one way of keeping a model.

    Args:
        name: What it is called.
        retrains: How often it trained after the first model.
        labelled: The flights with a label, with `scheduled_departure` and `late`.
        scores: P(late) for each of them.
    """
    late = labelled["late"].to_numpy().astype(bool)
    weeks = labelled["scheduled_departure"].dt.truncate("1w")
    weekly = []
    for week in weeks.unique().sort():
        rows = (weeks == week).to_numpy()
        if rows.sum() >= 500:
            weekly.append((week, _quality(late[rows], scores[rows])))
    return Strategy(
        name=name, retrains=retrains, total=_quality(late, scores), weekly=tuple(weekly)
    )


def verdict(strategies: Sequence[Strategy]) -> str:
    """Say in one paragraph how the first strategy fared against the others, fair or not.

    Args:
        strategies: The loop first.
    """
    loop, others = strategies[0], strategies[1:]
    sentences = []
    for other in others:
        better = [m for m in METRICS if _ahead(m, loop.total, other.total)]
        worse = [m for m in METRICS if m not in better]
        said = f"Against “{other.name}” ({other.retrains} retrains) the loop, with {loop.retrains},"
        if not worse:
            said += " was better on every metric."
        elif not better:
            said += " was better on no metric."
        else:
            said += f" was better on {_names(better)} and not on {_names(worse)}."
        sentences.append(said)
    return " ".join(sentences)


def _ahead(metric: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    return improvement(metric, ours[metric], theirs[metric]) > 0


def _names(metrics: Sequence[str]) -> str:
    shown = {"roc_auc": "AUC", "f1": "F1", "log_loss": "log loss"}
    return " and ".join(shown[m] for m in metrics)


def _quality(late: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> dict[str, float]:
    return evaluate(
        "binary", late, scores >= 0.5, scores, classes=(False, True), positive=True, names=METRICS
    )
