"""How good predictions are: the quality metrics of classification and regression.

Plain functions over NumPy arrays; each names its reference. Where a metric is not defined for the
rows at hand (a ROC AUC with one class only), it is NaN, never a silent zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.core.errors import Usage, nearest
from tidemill.core.tasks import Task, metrics_of

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_TINY = 1e-15
_BINS = 10


class UnknownMetric(Usage):
    """The task has no metric of that name."""


def evaluate(
    task: Task,
    labels: NDArray[Any],
    predictions: NDArray[Any],
    scores: Floats | None,
    *,
    classes: Sequence[Any] = (),
    positive: Any = None,
    names: Sequence[str] = (),
    weights: Floats | None = None,
) -> dict[str, float]:
    """Return quality metrics.

    Args:
        task: What the model does.
        labels: What came true, shape (n,).
        predictions: What was predicted, shape (n,).
        scores: Binary: P(positive), shape (n,). Multiclass: probabilities, shape (n, classes), in
            the order of `classes`. Regression: nothing.
        classes: The labels a classifier knows.
        positive: The label that counts as yes; binary only.
        names: Which metrics; all of the task's where it is empty.
        weights: For how many rows each one stands, shape (n,); for one where it is left out.

    Raises:
        UnknownMetric: The task has no metric of that name.

    Example:
        >>> late = np.array([True, False, True, False])
        >>> score = np.array([0.9, 0.2, 0.4, 0.1])
        >>> names = ["recall", "roc_auc"]
        >>> evaluate("binary", late, score >= 0.5, score, positive=True, names=names)
        {'recall': 0.5, 'roc_auc': 1.0}
    """
    known = metrics_of(task)
    for name in names:
        if name not in known:
            raise UnknownMetric(
                f"There is no metric {name!r} for {task} models.", expected=nearest(name, known)
            )
    wanted = tuple(names) or known
    if len(labels) == 0:
        return dict.fromkeys(wanted, float("nan"))
    if task == "regression":
        truth, answers = labels.astype(np.float64), predictions.astype(np.float64)
        return _regression(truth, answers, wanted, weights)
    if task == "binary":
        yes = labels == positive
        said = predictions == positive
        assert scores is not None
        return {name: _BINARY[name](yes, said, scores, weights) for name in wanted}
    assert scores is not None
    return _multiclass(labels, predictions, scores, list(classes), wanted, weights)


def accuracy(yes: Mask, said: Mask, _scores: Floats, weights: Floats | None = None) -> float:
    """The share of right answers."""
    return mean(yes == said, weights)


def precision(yes: Mask, said: Mask, _scores: Floats, weights: Floats | None = None) -> float:
    """The share of right answers among those that said yes; NaN where none did."""
    return _ratio(_many(yes & said, weights), _many(said, weights))


def recall(yes: Mask, said: Mask, _scores: Floats, weights: Floats | None = None) -> float:
    """The share of the positives that were found; NaN where there is none."""
    return _ratio(_many(yes & said, weights), _many(yes, weights))


def f1(yes: Mask, said: Mask, _scores: Floats, weights: Floats | None = None) -> float:
    """The harmonic mean of precision and recall; NaN where nothing is or was said positive."""
    return _ratio(2 * _many(yes & said, weights), _many(yes, weights) + _many(said, weights))


def roc_auc(yes: Mask, _said: Mask, scores: Floats, weights: Floats | None = None) -> float:
    """The chance that a positive scores above a negative, ties counting half.

    Reference: Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 143,
    1982.

    Example:
        >>> yes = np.array([True, False, True, False])
        >>> score = np.array([0.9, 0.2, 0.2, 0.1])
        >>> roc_auc(yes, yes, score)
        0.875
        >>> roc_auc(yes, yes, score, np.array([1.0, 1.0, 3.0, 1.0]))
        0.8125
    """
    positives, negatives = _many(yes, weights), _many(~yes, weights)
    if positives <= 0 or negatives <= 0:
        return float("nan")
    if weights is not None:
        return _weighted_area(yes, scores, weights)
    ranks = midranks(scores)
    above = ranks[yes].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def average_precision(
    yes: Mask, _said: Mask, scores: Floats, weights: Floats | None = None
) -> float:
    """The mean precision at each positive, scores descending, ties taken together.

    Reference: Zhu, Recall, precision and average precision, University of Waterloo, 2004.
    """
    if _many(yes, weights) <= 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    each = np.ones(len(yes)) if weights is None else weights[order]
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found, seen = np.cumsum(each * yes[order])[last], np.cumsum(each)[last]
    gained = np.diff(found, prepend=0.0)
    return float((gained * found / np.maximum(seen, _TINY)).sum() / found[-1])


def log_loss(yes: Mask, _said: Mask, scores: Floats, weights: Floats | None = None) -> float:
    """The mean negative log-likelihood, in nats; probabilities are kept off 0 and 1."""
    return mean(log_losses(yes, scores), weights)


def brier(yes: Mask, _said: Mask, scores: Floats, weights: Floats | None = None) -> float:
    """The mean squared distance of the probability from what came true.

    Reference: Brier, Verification of forecasts expressed in terms of probability, Monthly Weather
    Review 78, 1950.
    """
    return mean((scores - yes) ** 2, weights)


def calibration_error(
    yes: Mask, _said: Mask, scores: Floats, weights: Floats | None = None
) -> float:
    """The expected calibration error over ten bins of equal width.

    Reference: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian
    binning, AAAI 2015.
    """
    each = np.ones(len(scores)) if weights is None else weights
    bins = np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    gap = np.bincount(bins, weights=each * (scores - yes), minlength=_BINS)
    return _ratio(float(np.abs(gap).sum()), float(each.sum()))


def mean(values: NDArray[Any], weights: Floats | None = None) -> float:
    """Return the mean of values, each as often as its weight says; NaN where none weighs.

    Example:
        >>> mean(np.array([1.0, 2.0])), mean(np.array([1.0, 2.0]), np.array([3.0, 1.0]))
        (1.5, 1.25)
    """
    if weights is None:
        return float(values.mean())
    return _ratio(float((weights * values).sum()), float(weights.sum()))


def log_losses(yes: Mask, scores: Floats) -> Floats:
    """Return each row's negative log-likelihood, in nats."""
    kept = np.clip(scores, _TINY, 1 - _TINY)
    losses: Floats = -np.log(np.where(yes, kept, 1 - kept))
    return losses


def midranks(values: Floats) -> Floats:
    """Return ranks from 1, ties sharing their mean rank.

    Example:
        >>> midranks(np.array([0.3, 0.1, 0.3])).tolist()
        [2.5, 1.0, 2.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


_BINARY: dict[str, Callable[[Mask, Mask, Floats, Floats | None], float]] = {
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
    "calibration_error": calibration_error,
}


def _multiclass(
    labels: NDArray[Any],
    predictions: NDArray[Any],
    scores: Floats,
    classes: list[Any],
    names: Sequence[str],
    weights: Floats | None,
) -> dict[str, float]:
    """Macro means over the classes, one against the rest; accuracy and losses over the rows."""
    position = {c: i for i, c in enumerate(classes)}
    index = np.array([position.get(label, -1) for label in labels.tolist()])
    known = index >= 0
    rows = np.flatnonzero(known)
    values: dict[str, float] = {}
    for name in names:
        if name == "accuracy":
            values[name] = mean(labels == predictions, weights)
        elif name == "log_loss":
            likelihood = np.where(known, scores[np.arange(len(index)), index], 0.0)
            values[name] = mean(-np.log(np.clip(likelihood, _TINY, 1.0)), weights)
        elif name == "brier":
            truth = np.zeros_like(scores)
            truth[rows, index[rows]] = 1.0
            values[name] = mean(((scores - truth) ** 2).sum(axis=1), weights)
        else:
            each = [
                _BINARY[name](labels == c, predictions == c, scores[:, i], weights)
                for i, c in enumerate(classes)
            ]
            defined = [v for v in each if not np.isnan(v)]
            values[name] = float(np.mean(defined)) if defined else float("nan")
    return values


def _regression(
    labels: Floats, predictions: Floats, names: Sequence[str], weights: Floats | None
) -> dict[str, float]:
    error = predictions - labels
    relative = np.abs(error) / np.maximum(np.abs(labels), np.finfo(np.float64).eps)
    spread = mean((labels - mean(labels, weights)) ** 2, weights)
    computed = {
        "mae": lambda: mean(np.abs(error), weights),
        "rmse": lambda: float(np.sqrt(mean(error**2, weights))),
        "mape": lambda: mean(relative, weights),
        "r2": lambda: 1 - mean(error**2, weights) / spread if spread > 0 else float("nan"),
    }
    return {name: computed[name]() for name in names}


def _weighted_area(yes: Mask, scores: Floats, weights: Floats) -> float:
    """Return the area under the ROC curve by the trapezoids between its corners."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.append(0.0, np.cumsum((weights * yes)[order])[last])
    false = np.append(0.0, np.cumsum((weights * ~yes)[order])[last])
    return float(np.trapezoid(true, false) / (true[-1] * false[-1]))


def _many(flags: Mask, weights: Floats | None) -> float:
    return float(flags.sum() if weights is None else weights[flags].sum())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
