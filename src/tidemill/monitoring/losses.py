"""What each answer has lost once its label came, by the metric that is asked for."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.models.records import Signature
from tidemill.monitoring.performance import arrays, class_positions, losses_of
from tidemill.predictions.units import units_of

Floats = NDArray[np.float64]


class Sums(msgspec.Struct, frozen=True):
    """Sums by unit, and how many rows each unit has."""

    totals: Floats
    sizes: Floats


def row_losses(signature: Signature, rows: pl.DataFrame, metric: str | None) -> Floats:
    """Return each labelled row's loss, whose mean is what a metric tells."""
    if metric in {None, "log_loss"} or (metric == "rmse" and signature.task == "regression"):
        return losses_of(signature, rows)
    labels, predictions, scores = arrays(signature, rows)
    if signature.task == "regression":
        return np.abs(predictions.astype(np.float64) - labels.astype(np.float64))
    if metric == "accuracy" or scores is None:
        return np.asarray(labels != predictions, dtype=np.float64)
    if signature.task == "binary":
        yes = np.asarray(labels == signature.positive, dtype=np.float64)
        return np.asarray((scores - yes) ** 2)
    true = np.zeros_like(scores)
    known = class_positions(signature, labels)
    here = known >= 0
    true[np.flatnonzero(here), known[here]] = 1.0
    return np.asarray(((scores - true) ** 2).sum(axis=1))


def sums_of(ids: pl.Series, values: Floats) -> Sums:
    """Return sums by unit."""
    frame = pl.DataFrame({"unit": units_of(ids), "value": values})
    sums = frame.group_by("unit").agg(pl.col("value").sum(), pl.len().alias("size")).sort("unit")
    return Sums(sums["value"].to_numpy(), sums["size"].cast(pl.Float64).to_numpy())
