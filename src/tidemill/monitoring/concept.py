"""Concept drift: the loss is larger than the scores themselves lead one to expect.

Where only the mix of rows changes, a calibrated model's loss changes with it and as expected. What
is left, the realised less the expected loss, moves only when the relation of features and label
does. ADWIN watches that residual in the order in which labels arrived.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DELTA = 0.002


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


def first_change(residuals: Floats, delta: float = DELTA) -> ConceptChange | None:
    """Return the first upward change in a stream of residuals, or nothing.

    Args:
        residuals: Realised less expected loss, in the order of arrival, shape (n,).
        delta: ADWIN's confidence: the chance of a false alarm at any one test.

    Reference: Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, SDM
    2007; river's implementation.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> calm = rng.normal(0.0, 0.5, 3000)
        >>> first_change(calm) is None
        True
        >>> worse = np.concatenate([calm, rng.normal(0.4, 0.5, 1000)])
        >>> change = first_change(worse)
        >>> change is not None and 3000 < change.index < 3300
        True
    """
    from river.drift import ADWIN

    detector: Any = ADWIN(delta=delta)  # type: ignore[no-untyped-call]
    before = 0.0
    for index, value in enumerate(residuals.tolist()):
        detector.update(value)
        if detector.drift_detected:
            if detector.estimation > before:
                return ConceptChange(index, float(detector.estimation), int(detector.width))
            before = detector.estimation
    return None


def block_mean(values: Floats, blocks: pl.Series) -> tuple[float, float]:
    """Return a mean and its standard error, a block of time counting as one observation.

    Args:
        values: One a row, shape (n,).
        blocks: The block of each.

    Reference: the batch-means estimate; Law and Carson, A sequential procedure for determining the
    length of a steady-state simulation, Operations Research 27, 1979.

    Example:
        >>> block_mean(np.array([1.0, 3.0, 2.0, 2.0]), pl.Series([0, 0, 1, 1]))
        (2.0, 0.0)
    """
    frame = pl.DataFrame({"value": values, "block": blocks})
    means = frame.group_by("block", maintain_order=True).agg(pl.col("value").mean())["value"]
    if len(means) < 2:
        return float(values.mean()), float("inf")
    error = float(means.std() or 0.0) / len(means) ** 0.5  # type: ignore[arg-type]
    return float(values.mean()), error
