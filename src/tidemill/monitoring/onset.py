"""Since when something is worse: the moment that parts a series of blocks into before and after."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def onset(values: Floats, weights: Floats, known: int) -> int | None:
    """Return the first block of the stretch in which values are higher, or nothing.

    The blocks are parted where the two means leave the least squared rest.

    Args:
        values: The mean of each block, by time, shape (n,).
        weights: How many rows each block has, shape (n,).
        known: How many blocks, at the beginning, are from before.

    Reference: Hinkley, Inference about the change-point in a sequence of random variables,
    Biometrika 57, 1970.

    Example:
        >>> values = np.array([0.5, 0.4, 0.6, 0.5, 0.5, 0.9, 1.1, 1.0])
        >>> onset(values, np.ones(8), known=3)
        5
        >>> onset(np.ones(4), np.ones(4), known=2) is None
        True
    """
    usable = np.isfinite(values) & (weights > 0)
    best, found = 1e-12, None
    for cut in range(max(known, 1), len(values)):
        before, after = usable.copy(), usable.copy()
        before[cut:], after[:cut] = False, False
        if not before.any() or not after.any():
            continue
        low = np.average(values[before], weights=weights[before])
        high = np.average(values[after], weights=weights[after])
        first, second = weights[before].sum(), weights[after].sum()
        gained = (high - low) ** 2 * first * second / (first + second)
        if high > low and gained > best:
            best, found = gained, cut
    return found
