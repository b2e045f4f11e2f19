"""Whether one model is better than another on the same rows: paired tests.

The rows are the same for both, so their difficulty cancels out; comparing two separate intervals
would throw that away.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.core.tasks import Task, improvement
from tidemill.models.metrics import evaluate, midranks

Floats = NDArray[np.float64]
RESAMPLES = 500


class Improvement(msgspec.Struct, frozen=True):
    """By how much a candidate is better than the champion.

    Attributes:
        value: The improvement, positive where the candidate is better.
        low: The lower end of its one-sided confidence interval.
        high: The upper end, likewise one-sided.
    """

    value: float
    low: float
    high: float


class Answers(msgspec.Struct, frozen=True):
    """What a model said of some rows, as `models.session.Prediction` has it."""

    values: NDArray[Any]
    scores: Floats | None


def delong(
    yes: NDArray[np.bool_], candidate: Floats, champion: Floats, confidence: float
) -> Improvement:
    """Compare two areas under the ROC curve on the same rows.

    Args:
        yes: Which rows are positive, shape (n,).
        candidate: The candidate's scores, shape (n,).
        champion: The champion's scores, shape (n,).
        confidence: Of each one-sided bound.

    Reference: DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated
    receiver operating characteristic curves, Biometrics 44, 1988; computed by midranks after Sun
    and Xu, Fast implementation of DeLong's algorithm, IEEE Signal Processing Letters 21, 2014.

    Example:
        >>> yes = np.array([True, True, True, False, False, False])
        >>> good = np.array([0.9, 0.8, 0.3, 0.4, 0.2, 0.1])
        >>> bad = np.array([0.9, 0.3, 0.2, 0.8, 0.4, 0.1])
        >>> found = delong(yes, good, bad, 0.95)
        >>> round(found.value, 4), found.low < found.value < found.high
        (0.3333, True)
    """
    first, second = _placements(yes, candidate), _placements(yes, champion)
    area = first[0] - second[0]
    positives = first[1] - second[1]
    negatives = first[2] - second[2]
    variance = _variance(positives) / len(positives) + _variance(negatives) / len(negatives)
    margin = NormalDist().inv_cdf(confidence) * float(np.sqrt(variance))
    return Improvement(area, area - margin, area + margin)


def bootstrap(
    metric: str,
    task: Task,
    labels: NDArray[Any],
    candidate: Answers,
    champion: Answers,
    *,
    classes: tuple[Any, ...],
    positive: Any,
    confidence: float,
    seed: int,
) -> Improvement:
    """Compare any metric on the same rows by resampling the rows.

    Args:
        metric: Its name.
        task: What the models do.
        labels: What came true, shape (n,).
        candidate: The candidate's answers.
        champion: The champion's answers.
        classes: The labels a classifier knows.
        positive: The label that counts as yes.
        confidence: Of each one-sided bound.
        seed: Of the resampling.

    Reference: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13 (percentile
    intervals), rows drawn in pairs.
    """
    rng = np.random.default_rng(seed)
    rows = len(labels)

    def gain(chosen: NDArray[np.int64] | slice) -> float:
        values = [
            evaluate(
                task,
                labels[chosen],
                answers.values[chosen],
                None if answers.scores is None else answers.scores[chosen],
                classes=classes,
                positive=positive,
                names=(metric,),
            )[metric]
            for answers in (candidate, champion)
        ]
        return improvement(metric, *values)

    drawn = np.array([gain(rng.integers(0, rows, rows)) for _ in range(RESAMPLES)])
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Improvement(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [1 - confidence, confidence])
    return Improvement(gain(slice(None)), float(low), float(high))


def _placements(yes: NDArray[np.bool_], scores: Floats) -> tuple[float, Floats, Floats]:
    """Return the area, and for each positive and negative the share of the others it beats."""
    ranks = midranks(scores)
    positives, negatives = scores[yes], scores[~yes]
    above = (ranks[yes] - midranks(positives)) / len(negatives)
    below = 1 - (ranks[~yes] - midranks(negatives)) / len(positives)
    return float(above.mean()), above, below


def aligned(answers: Answers, own: Sequence[Any], classes: Sequence[Any]) -> Answers:
    """Return a classifier's answers with its scores in the order of other classes.

    A class that it does not know gets the score 0: it never predicts it, and pays for that.

    Example:
        >>> said = Answers(np.array(["b"]), np.array([[0.3, 0.7]]))
        >>> aligned(said, ["a", "b"], ["b", "c", "a"]).scores
        array([[0.7, 0. , 0.3]])
    """
    if answers.scores is None or answers.scores.ndim == 1 or tuple(own) == tuple(classes):
        return answers
    place = {c: i for i, c in enumerate(own)}
    scores = np.zeros((len(answers.scores), len(classes)))
    for i, c in enumerate(classes):
        if c in place:
            scores[:, i] = answers.scores[:, place[c]]
    return Answers(answers.values, scores)


def _variance(values: Floats) -> float:
    """Return the variance; of a single value it is unknown, and certainly not zero."""
    return float(values.var(ddof=1)) if len(values) > 1 else float("nan")
