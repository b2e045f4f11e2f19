"""Concept drift: the loss is larger than the scores themselves lead one to expect.

Where only the mix of rows changes, a calibrated model's loss changes with it and as expected. What
is left, the realised less the expected loss, moves only when the relation of features and label
does. ADWIN watches that residual in the order in which labels arrived and says since when; a test
over whole blocks of time says whether it is more than the way of the days.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DELTA = 0.002
LEAST_BLOCKS = 3


class ConceptChange(msgspec.Struct, frozen=True):
    """A change in the stream of residuals.

    Attributes:
        index: After which row it was noticed.
        mean: The mean residual of the rows since the change.
        width: How many rows that is.
    """

    index: int
    mean: float
    width: int


def first_change(
    residuals: Floats, *, known: int = 0, delta: float = DELTA
) -> ConceptChange | None:
    """Return the first upward change in a stream of residuals, or nothing.

    Args:
        residuals: Realised less expected loss, in the order of arrival, shape (n,).
        known: How many of them, at the beginning, only say what is usual.
        delta: ADWIN's confidence: the chance of a false alarm at any one test.

    Reference: Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, SDM
    2007; river's implementation.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> calm = rng.normal(0.0, 0.5, 3000)
        >>> first_change(calm) is None
        True
        >>> worse = np.concatenate([calm, rng.normal(0.4, 0.5, 1000)])
        >>> change = first_change(worse, known=3000)
        >>> change is not None and 3000 < change.index < 3300
        True
    """
    from river.drift import ADWIN

    detector: Any = ADWIN(delta=delta)  # type: ignore[no-untyped-call]
    for index, value in enumerate(residuals.tolist()):
        before = detector.estimation
        detector.update(value)
        if index >= known and detector.drift_detected and detector.estimation > before:
            return ConceptChange(index, float(detector.estimation), int(detector.width))
    return None


def excess(
    usual: Floats, usual_blocks: NDArray[Any], now: Floats, blocks: NDArray[Any]
) -> tuple[float, float]:
    """Return by how much the mean residual of a block grew, and the chance of that.

    Args:
        usual: The reference's residuals.
        usual_blocks: The block of each.
        now: The window's residuals.
        blocks: The block of each.

    Returns:
        The growth, and the one-sided p-value; 1 where either has too few blocks.

    Reference: Welch, The generalization of Student's problem when several different population
    variances are involved, Biometrika 34, 1947; over means of blocks, since rows of one day stand
    or fall together.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> days = np.repeat(np.arange(7), 100)
        >>> calm, worse = rng.normal(size=700), rng.normal(loc=0.5, size=700)
        >>> growth, p_value = excess(calm, days, worse, days)
        >>> 0.3 < growth < 0.7, p_value < 0.001
        (True, True)
    """
    from scipy.stats import ttest_ind

    left, right = _means(usual, usual_blocks), _means(now, blocks)
    if min(len(left), len(right)) < LEAST_BLOCKS:
        return float("nan"), 1.0
    growth = float(right.mean() - left.mean())
    if left.std() == 0 and right.std() == 0:
        return growth, 0.0 if growth > 0 else 1.0
    tested = ttest_ind(right, left, equal_var=False, alternative="greater")
    return growth, float(tested.pvalue)


def _means(values: Floats, blocks: NDArray[Any]) -> Floats:
    if not len(values):
        return np.zeros(0)
    _, rows = np.unique(blocks, return_inverse=True)
    return np.asarray(np.bincount(rows, weights=values) / np.bincount(rows))
