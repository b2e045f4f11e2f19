"""How good predictions were once their labels came, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.tasks import metrics_of
from tidemill.models.metrics import evaluate, log_losses
from tidemill.models.records import Signature

Floats = NDArray[np.float64]
LEAST_ROWS = 30
_GROUPS = 20
WEIGHT = "weight"
"""The column that says for how many predictions a row stands."""


def metrics_of_rows(
    signature: Signature,
    rows: pl.DataFrame,
    names: Sequence[str],
    weights: Floats | None = None,
) -> dict[str, float]:
    """Return metrics of labelled rows with `label`, `prediction` and `score`.

    Args:
        signature: Of the model.
        rows: The rows.
        names: Which metrics.
        weights: For how many rows each one stands; the rows' own `weight` where it is left out.
    """
    labels, predictions, scores = arrays(signature, rows)
    return evaluate(
        signature.task,
        labels,
        predictions,
        scores,
        classes=signature.classes,
        positive=signature.positive,
        names=names,
        weights=weights_of(rows) if weights is None else weights,
    )


def weights_of(rows: pl.DataFrame) -> Floats | None:
    """Return for how many predictions each row stands, or nothing where each stands for itself.

    Where the log is a sample, a row stands for one over the chance that it was logged with: Horvitz
    and Thompson, A generalization of sampling without replacement from a finite universe, Journal
    of the American Statistical Association 47, 1952.
    """
    if WEIGHT not in rows.columns:
        return None
    weights = rows[WEIGHT].cast(pl.Float64).fill_null(1.0).to_numpy()
    return None if (weights == 1.0).all() else np.asarray(weights)


def represented(rows: pl.DataFrame) -> float:
    """Return how many predictions the rows stand for."""
    weights = weights_of(rows)
    return float(rows.height if weights is None else weights.sum())


def intervals(
    signature: Signature, rows: pl.DataFrame, names: Sequence[str], values: dict[str, float]
) -> dict[str, tuple[float, float]]:
    """Return 95% intervals by leaving out one block of time after the other.

    Rows of a day stand or fall together, so that the day is what is left out; with few days,
    Student's distribution is wider than the normal one.

    Args:
        signature: Of the model.
        rows: Labelled rows with `block`.
        names: Which metrics.
        values: The metrics over all rows.

    Reference: Künsch, The jackknife and the bootstrap for general stationary observations, Annals
    of Statistics 17, 1989; delete-one over blocks.
    """
    blocks = rows["block"].unique().sort().to_list()
    if len(blocks) < 3:
        return {}
    parts = [
        metrics_of_rows(signature, rows.filter(pl.col("block") != block), names) for block in blocks
    ]
    return intervals_of(values, parts, names)


def intervals_of(
    values: dict[str, float], parts: Sequence[dict[str, float]], names: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return 95% intervals of metrics.

    Args:
        values: The metrics over all blocks.
        parts: The metrics without one block, for each; at least three.
        names: Which metrics.
    """
    from scipy.special import stdtrit

    if len(parts) < 3:
        return {}
    found = {}
    for name in names:
        error = _jackknife_error([p.get(name, float("nan")) for p in parts])
        if np.isfinite(error) and np.isfinite(values.get(name, float("nan"))):
            margin = float(stdtrit(len(parts) - 1, 0.975)) * error
            found[name] = (values[name] - margin, values[name] + margin)
    return found


def sampling_errors(signature: Signature, rows: pl.DataFrame) -> dict[str, float]:
    """Return the standard error of each metric over that many independent rows.

    Reference: Efron, The jackknife, the bootstrap and other resampling plans, SIAM 1982, chapter 3;
    groups of rows are left out, since for the area under a curve single rows are too many.

    Args:
        signature: Of the model.
        rows: Labelled rows.
    """
    names = metrics_of(signature.task)
    groups = pl.Series("group", np.arange(rows.height) % min(_GROUPS, rows.height))
    marked = rows.with_columns(groups)
    parts = [
        metrics_of_rows(signature, marked.filter(pl.col("group") != g), names)
        for g in groups.unique().sort()
    ]
    return defined({n: _jackknife_error([p[n] for p in parts]) for n in names})


def defined(values: dict[str, float]) -> dict[str, float]:
    """Return the figures that are numbers.

    Example:
        >>> defined({"recall": float("nan"), "accuracy": 0.5})
        {'accuracy': 0.5}
    """
    return {name: value for name, value in values.items() if np.isfinite(value)}


def class_positions(signature: Signature, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return each label's position among the classes; -1 where it is none of them."""
    position = {c: i for i, c in enumerate(signature.classes)}
    return np.array([position.get(v, -1) for v in labels.tolist()], dtype=np.int64)


def losses_of(signature: Signature, rows: pl.DataFrame) -> Floats:
    """Return each labelled row's loss: log loss for classes, squared error for numbers."""
    labels, predictions, scores = arrays(signature, rows)
    if signature.task == "regression":
        return np.asarray((predictions.astype(np.float64) - labels.astype(np.float64)) ** 2)
    assert scores is not None
    if signature.task == "binary":
        return log_losses(labels == signature.positive, scores)
    index = class_positions(signature, labels)
    likelihood = np.where(index >= 0, scores[np.arange(len(index)), index], 0.0)
    return np.asarray(-np.log(np.clip(likelihood, 1e-15, 1.0)))


def errors_of(signature: Signature, rows: pl.DataFrame) -> Floats:
    """Return which labelled rows were answered wrongly, 1 or 0; nothing for regression."""
    if signature.task == "regression":
        return np.zeros(0)
    labels, predictions = _array(rows["label"]), _array(rows["prediction"])
    return np.asarray(labels != predictions, dtype=np.float64)


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


def _jackknife_error(left_out: Sequence[float]) -> float:
    each = np.array(left_out)
    count = len(each)
    return float(np.sqrt((count - 1) / count * ((each - each.mean()) ** 2).sum()))


def _array(values: pl.Series) -> NDArray[Any]:
    if isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum):
        return np.array(values.cast(pl.String).to_list(), dtype=object)
    return values.to_numpy()
