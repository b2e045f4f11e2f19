"""Quality before labels come: confidence-based performance estimation (CBPE).

A calibrated probability says how likely a row belongs to a class; summed over a window it says how
many of the answers are right. It holds as long as the relation of features and label does; so a gap
between estimate and truth, once labels come, speaks of concept drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_TINY = 1e-15


class Calibrator:
    """Turns scores into probabilities, by isotonic regression on held-out rows.

    Reference: Zadrozny and Elkan, Transforming classifier scores into accurate multiclass
    probability estimates, KDD 2002.

    Args:
        scores: P(positive) of held-out rows, shape (n,).
        positives: Which of them were positive, shape (n,).

    Example:
        >>> learned = Calibrator(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 0, 1]) == 1)
        >>> learned(np.array([0.15, 0.9])).tolist()
        [0.0, 1.0]
    """

    def __init__(self, scores: Floats, positives: Mask) -> None:
        from sklearn.isotonic import IsotonicRegression

        self._model: Any = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        self._model.fit(scores, positives.astype(np.float64))

    def __call__(self, scores: Floats) -> Floats:
        """Return calibrated probabilities, shape (n,)."""
        return np.asarray(self._model.predict(scores), dtype=np.float64)


class ClassCalibrator:
    """Calibrates each class against the rest, and makes the rows sum to one again.

    Reference: as `Calibrator`; one-against-all with normalisation is section 4 there.

    Args:
        scores: Probabilities of held-out rows, shape (n, classes).
        labels: Their classes as positions, shape (n,).
    """

    def __init__(self, scores: Floats, labels: NDArray[np.int64]) -> None:
        self._each = [Calibrator(scores[:, k], labels == k) for k in range(scores.shape[1])]

    def __call__(self, scores: Floats) -> Floats:
        """Return calibrated probabilities, shape (n, classes)."""
        raw = np.column_stack([c(scores[:, k]) for k, c in enumerate(self._each)])
        total = raw.sum(axis=1, keepdims=True)
        return np.where(total > 0, raw / np.where(total > 0, total, 1.0), scores)


def estimate_binary(probabilities: Floats, scores: Floats, said: Mask) -> dict[str, float]:
    """Return the metrics to be expected of a window without labels.

    Args:
        probabilities: Calibrated, shape (n,).
        scores: The model's own, by which rows are ranked, shape (n,).
        said: Which rows were predicted positive, shape (n,).

    Reference: the expected confusion matrix of CBPE; NannyML's documentation, "Estimation of
    performance of the monitored model", 2022.

    Example:
        >>> p = np.array([0.9, 0.6, 0.2, 0.1])
        >>> found = estimate_binary(p, p, p >= 0.5)
        >>> round(found["accuracy"], 3), round(found["f1"], 3)
        (0.8, 0.789)
    """
    hits, misses = probabilities[said].sum(), probabilities[~said].sum()
    false, right = (1 - probabilities[said]).sum(), (1 - probabilities[~said]).sum()
    area, precision = _expected_curves(probabilities, scores)
    squares = probabilities * (1 - scores) ** 2 + (1 - probabilities) * scores**2
    return {
        "accuracy": float((hits + right) / len(probabilities)),
        "precision": _ratio(hits, hits + false),
        "recall": _ratio(hits, hits + misses),
        "f1": _ratio(2 * hits, 2 * hits + false + misses),
        "roc_auc": area,
        "average_precision": precision,
        "log_loss": float(expected_log_losses(probabilities, scores).mean()),
        "brier": float(squares.mean()),
    }


def estimate_multiclass(
    probabilities: Floats, scores: Floats, said: NDArray[np.int64]
) -> dict[str, float]:
    """Return the metrics to be expected of a window: macro means over the classes.

    Args:
        probabilities: Calibrated, shape (n, classes).
        scores: The model's own, shape (n, classes).
        said: The predicted class of each row, as a position, shape (n,).

    Reference: as `estimate_binary`, each class against the rest.

    Example:
        >>> p = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
        >>> round(estimate_multiclass(p, p, p.argmax(axis=1))["accuracy"], 3)
        0.7
    """
    each = [
        estimate_binary(probabilities[:, k], scores[:, k], said == k)
        for k in range(probabilities.shape[1])
    ]
    values = {
        name: _mean_of_defined([e[name] for e in each])
        for name in ("precision", "recall", "f1", "roc_auc", "average_precision")
    }
    values["accuracy"] = float(probabilities[np.arange(len(said)), said].mean())
    values["log_loss"] = float(expected_class_losses(probabilities, scores).mean())
    spread = (scores**2).sum(axis=1) - 2 * (probabilities * scores).sum(axis=1) + 1
    values["brier"] = float(spread.mean())
    return values


def expected_log_losses(probabilities: Floats, scores: Floats) -> Floats:
    """Return the log loss to be expected of each row, in nats."""
    kept = np.clip(scores, _TINY, 1 - _TINY)
    return np.asarray(-(probabilities * np.log(kept) + (1 - probabilities) * np.log(1 - kept)))


def expected_class_losses(probabilities: Floats, scores: Floats) -> Floats:
    """Return the log loss to be expected of each row of a multiclass model, in nats."""
    return np.asarray(-(probabilities * np.log(np.clip(scores, _TINY, 1.0))).sum(axis=1))


def _expected_curves(probabilities: Floats, scores: Floats) -> tuple[float, float]:
    """Return the areas under the expected ROC and precision-recall curves, ties joined."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true = np.append(0.0, np.cumsum(probabilities[order])[last])
    false = np.append(0.0, np.cumsum(1 - probabilities[order])[last])
    if true[-1] <= 0:
        return float("nan"), float("nan")
    precision = float((np.diff(true) * true[1:] / (last + 1)).sum() / true[-1])
    if false[-1] <= 0:
        return float("nan"), precision
    return float(np.trapezoid(true / true[-1], false / false[-1])), precision


def _mean_of_defined(values: Sequence[float]) -> float:
    defined = [v for v in values if not np.isnan(v)]
    return float(np.mean(defined)) if defined else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
