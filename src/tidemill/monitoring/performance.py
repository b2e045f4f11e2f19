"""How good predictions were once their labels came, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.models.metrics import evaluate, log_losses
from tidemill.models.records import Signature
from tidemill.monitoring.records import SegmentQuality

Floats = NDArray[np.float64]
NORMAL_95 = 1.959963984540054
LEAST_ROWS = 30
MOST_SEGMENTS = 12


def metrics_of_rows(
    signature: Signature, rows: pl.DataFrame, names: Sequence[str]
) -> dict[str, float]:
    """Return metrics of labelled rows with `label`, `prediction` and `score`."""
    labels, predictions, scores = arrays(signature, rows)
    return evaluate(
        signature.task,
        labels,
        predictions,
        scores,
        classes=signature.classes,
        positive=signature.positive,
        names=names,
    )


def intervals(
    signature: Signature, rows: pl.DataFrame, names: Sequence[str], values: dict[str, float]
) -> dict[str, tuple[float, float]]:
    """Return 95% intervals by leaving out one block of time after the other.

    Rows of a day stand or fall together, so that the day is what is left out.

    Args:
        signature: Of the model.
        rows: Labelled rows with `block`.
        names: Which metrics.
        values: The metrics over all rows.

    Reference: Künsch, The jackknife and the bootstrap for general stationary observations, Annals
    of Statistics 17, 1989; delete-one over blocks.
    """
    blocks = rows["block"].unique().to_list()
    if len(blocks) < 3:
        return {}
    parts = [
        metrics_of_rows(signature, rows.filter(pl.col("block") != block), names) for block in blocks
    ]
    found = {}
    for name in names:
        each = np.array([p[name] for p in parts])
        count = len(each)
        error = float(np.sqrt((count - 1) / count * ((each - each.mean()) ** 2).sum()))
        if np.isfinite(error) and np.isfinite(values[name]):
            margin = NORMAL_95 * error
            found[name] = (values[name] - margin, values[name] + margin)
    return found


def by_segment(
    signature: Signature, rows: pl.DataFrame, columns: Sequence[str], names: Sequence[str]
) -> tuple[SegmentQuality, ...]:
    """Return metrics apart for the most frequent values of some columns."""
    found = []
    for column in columns:
        if column not in rows.columns:
            continue
        counts = rows[column].drop_nulls().value_counts(sort=True).head(MOST_SEGMENTS)
        for value in counts[column].sort():
            part = rows.filter(pl.col(column) == value)
            if part.height >= LEAST_ROWS:
                found.append(
                    SegmentQuality(
                        column=column,
                        value=str(value),
                        rows=part.height,
                        metrics=metrics_of_rows(signature, part, names),
                    )
                )
    return tuple(found)


def losses_of(signature: Signature, rows: pl.DataFrame) -> Floats:
    """Return each labelled row's loss: log loss for classes, squared error for numbers."""
    labels, predictions, scores = arrays(signature, rows)
    if signature.task == "regression":
        return np.asarray((predictions.astype(np.float64) - labels.astype(np.float64)) ** 2)
    assert scores is not None
    if signature.task == "binary":
        return log_losses(labels == signature.positive, scores)
    position = {c: i for i, c in enumerate(signature.classes)}
    index = np.array([position.get(v, -1) for v in labels.tolist()])
    likelihood = np.where(index >= 0, scores[np.arange(len(index)), index], 0.0)
    return np.asarray(-np.log(np.clip(likelihood, 1e-15, 1.0)))


def arrays(
    signature: Signature, rows: pl.DataFrame
) -> tuple[NDArray[Any], NDArray[Any], Floats | None]:
    """Return labels, predictions and scores as arrays."""
    labels, predictions = _array(rows["label"]), _array(rows["prediction"])
    if signature.task == "regression":
        return labels, predictions, None
    scores = rows["score"]
    if signature.task == "multiclass":
        width = len(signature.classes)
        return labels, predictions, np.array(scores.to_list(), dtype=np.float64).reshape(-1, width)
    return labels, predictions, scores.cast(pl.Float64).to_numpy()


def _array(values: pl.Series) -> NDArray[Any]:
    if isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum):
        return np.array(values.cast(pl.String).to_list(), dtype=object)
    return values.to_numpy()
