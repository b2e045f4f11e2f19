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
        return _regression(labels.astype(np.float64), predictions.astype(np.float64), wanted)
    if task == "binary":
        yes = labels == positive
        said = predictions == positive
        assert scores is not None
        return {name: _BINARY[name](yes, said, scores) for name in wanted}
    assert scores is not None
    return _multiclass(labels, predictions, scores, list(classes), wanted)


def accuracy(yes: Mask, said: Mask, _scores: Floats) -> float:
    """The share of right answers."""
    return float((yes == said).mean())


def precision(yes: Mask, said: Mask, _scores: Floats) -> float:
    """The share of right answers among those that said yes; NaN where none did."""
    return _ratio(int((yes & said).sum()), int(said.sum()))


def recall(yes: Mask, said: Mask, _scores: Floats) -> float:
    """The share of the positives that were found; NaN where there is none."""
    return _ratio(int((yes & said).sum()), int(yes.sum()))


def f1(yes: Mask, said: Mask, _scores: Floats) -> float:
    """The harmonic mean of precision and recall; NaN where nothing is or was said positive."""
    return _ratio(2 * int((yes & said).sum()), int(yes.sum()) + int(said.sum()))


def roc_auc(yes: Mask, _said: Mask, scores: Floats) -> float:
    """The chance that a positive scores above a negative, ties counting half.

    Reference: Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 143,
    1982.

    Example:
        >>> yes = np.array([True, False, True, False])
        >>> roc_auc(yes, yes, np.array([0.9, 0.2, 0.2, 0.1]))
        0.875
    """
    positives = int(yes.sum())
    negatives = len(yes) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = midranks(scores)
    above = ranks[yes].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def average_precision(yes: Mask, _said: Mask, scores: Floats) -> float:
    """The mean precision at each positive, scores descending, ties taken together.

    Reference: Zhu, Recall, precision and average precision, University of Waterloo, 2004.
    """
    if not yes.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(yes[order]), scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found = hits[last]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (last + 1)).sum() / found[-1])


def log_loss(yes: Mask, _said: Mask, scores: Floats) -> float:
    """The mean negative log-likelihood, in nats; probabilities are kept off 0 and 1."""
    return float(log_losses(yes, scores).mean())


def brier(yes: Mask, _said: Mask, scores: Floats) -> float:
    """The mean squared distance of the probability from what came true.

    Reference: Brier, Verification of forecasts expressed in terms of probability, Monthly Weather
    Review 78, 1950.
    """
    return float(((scores - yes) ** 2).mean())


def calibration_error(yes: Mask, _said: Mask, scores: Floats) -> float:
    """The expected calibration error over ten bins of equal width.

    Reference: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian
    binning, AAAI 2015.
    """
    bins = np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    gap = np.bincount(bins, weights=scores - yes, minlength=_BINS)
    return float(np.abs(gap).sum() / len(scores))


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


_BINARY: dict[str, Callable[[Mask, Mask, Floats], float]] = {
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
) -> dict[str, float]:
    """Macro means over the classes, one against the rest; accuracy and losses over the rows."""
    position = {c: i for i, c in enumerate(classes)}
    index = np.array([position.get(label, -1) for label in labels.tolist()])
    known = index >= 0
    rows = np.flatnonzero(known)
    values: dict[str, float] = {}
    for name in names:
        if name == "accuracy":
            values[name] = float((labels == predictions).mean())
        elif name == "log_loss":
            likelihood = np.where(known, scores[np.arange(len(index)), index], 0.0)
            values[name] = float(-np.log(np.clip(likelihood, _TINY, 1.0)).mean())
        elif name == "brier":
            truth = np.zeros_like(scores)
            truth[rows, index[rows]] = 1.0
            values[name] = float(((scores - truth) ** 2).sum(axis=1).mean())
        else:
            each = [
                _BINARY[name](labels == c, predictions == c, scores[:, i])
                for i, c in enumerate(classes)
            ]
            defined = [v for v in each if not np.isnan(v)]
            values[name] = float(np.mean(defined)) if defined else float("nan")
    return values


def _regression(labels: Floats, predictions: Floats, names: Sequence[str]) -> dict[str, float]:
    error = predictions - labels
    spread = float(((labels - labels.mean()) ** 2).sum())
    computed = {
        "mae": lambda: float(np.abs(error).mean()),
        "rmse": lambda: float(np.sqrt((error**2).mean())),
        "mape": lambda: float(
            (np.abs(error) / np.maximum(np.abs(labels), np.finfo(np.float64).eps)).mean()
        ),
        "r2": lambda: 1 - float((error**2).sum()) / spread if spread > 0 else float("nan"),
    }
    return {name: computed[name]() for name in names}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
