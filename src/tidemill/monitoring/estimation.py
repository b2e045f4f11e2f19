"""Quality before labels come: confidence-based performance estimation (CBPE).

A calibrated score says how likely a row is positive; summed over a window it says how many of the
answers are right. It holds as long as the relation of features and label does; so a gap between
estimate and truth, once labels come, speaks of concept drift.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Calibrator:
    """Turns scores into probabilities, by isotonic regression on held-out rows.

    Reference: Zadrozny and Elkan, Transforming classifier scores into accurate multiclass
    probability estimates, KDD 2002.

    Args:
        scores: P(positive) of held-out rows, shape (n,).
        positives: Which of them were positive, shape (n,).
    """

    def __init__(self, scores: Floats, positives: NDArray[np.bool_]) -> None:
        from sklearn.isotonic import IsotonicRegression

        self._model: Any = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model.fit(scores, positives.astype(np.float64))

    def __call__(self, scores: Floats) -> Floats:
        """Return calibrated probabilities, shape (n,)."""
        return np.asarray(self._model.predict(scores), dtype=np.float64)


def estimate_binary(
    probabilities: Floats, scores: Floats, said: NDArray[np.bool_]
) -> dict[str, float]:
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
    kept = np.clip(scores, 1e-15, 1 - 1e-15)
    loss = -(probabilities * np.log(kept) + (1 - probabilities) * np.log(1 - kept))
    return {
        "accuracy": float((hits + right) / len(probabilities)),
        "precision": _ratio(hits, hits + false),
        "recall": _ratio(hits, hits + misses),
        "f1": _ratio(2 * hits, 2 * hits + false + misses),
        "roc_auc": _expected_auc(probabilities, scores),
        "log_loss": float(loss.mean()),
        "brier": float(
            (probabilities * (1 - scores) ** 2 + (1 - probabilities) * scores**2).mean()
        ),
    }


def _expected_auc(probabilities: Floats, scores: Floats) -> float:
    """The area under the curve of expected true against expected false positives, ties joined."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true = np.append(0.0, np.cumsum(probabilities[order])[last])
    false = np.append(0.0, np.cumsum(1 - probabilities[order])[last])
    if true[-1] <= 0 or false[-1] <= 0:
        return float("nan")
    return float(np.trapezoid(true / true[-1], false / false[-1]))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
