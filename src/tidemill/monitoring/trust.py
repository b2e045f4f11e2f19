"""Whether estimates of quality can be believed, by how near they came when labels told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from tidemill.monitoring.records import EstimateCheck

WINDOWS = 6
"""How many of the newest windows are looked at."""
LEAST_WINDOWS = 3
_OUTSIDE = 0.0027
"""The chance that a band of three standard errors misses, if sampling were all."""
_LEVEL = 1e-3


class Distrust(msgspec.Struct, frozen=True, kw_only=True):
    """Why estimates of a metric cannot be believed.

    Attributes:
        metric: Which metric.
        windows: How many windows were looked at.
        outside: In how many of them the band missed what came true.
        mean_absolute: The mean distance of estimate and truth.
        bias: The mean of estimate less truth.
        p_value: The chance of so many misses, if sampling were all.
    """

    metric: str
    windows: int
    outside: int
    mean_absolute: float
    bias: float
    p_value: float

    @property
    def words(self) -> str:
        """The reason, for people."""
        side = "too high" if self.bias > 0 else "too low"
        return (
            f"estimates of {self.metric} missed in {self.outside} of the last {self.windows} "
            f"windows, by {self.mean_absolute:.3f} on average and mostly {side}"
        )


def distrust(checks: Sequence[EstimateCheck], metric: str, least: float) -> Distrust | None:
    """Return why estimates cannot be believed, or nothing where they can or nothing is known.

    Args:
        checks: Windows that have both figures, newest first.
        metric: Which metric.
        least: The least mean error that matters.

    Reference: the exact binomial test, Clopper and Pearson, Biometrika 26, 1934.

    Example:
        >>> from datetime import UTC, datetime
        >>> day = datetime(2013, 2, 1, tzinfo=UTC)
        >>> missed = EstimateCheck(since=day, version=1, metric="f1", estimated=0.5, realised=0.3,
        ...                        within=False)
        >>> distrust([missed] * 3, "f1", 0.02).words
        'estimates of f1 missed in 3 of the last 3 windows, by 0.200 on average and mostly too high'
        >>> near = EstimateCheck(since=day, version=1, metric="f1", estimated=0.5, realised=0.49,
        ...                      within=True)
        >>> distrust([missed, near, near, near], "f1", 0.02) is None
        True
    """
    from scipy.stats import binom

    mine = [c for c in checks if c.metric == metric][:WINDOWS]
    if len(mine) < LEAST_WINDOWS:
        return None
    outside = sum(not c.within for c in mine)
    gaps = np.array([c.estimated - c.realised for c in mine])
    chance = float(binom.sf(outside - 1, len(mine), _OUTSIDE))
    error = float(np.abs(gaps).mean())
    # One odd window is no habit: half of them must have missed.
    if chance > _LEVEL or 2 * outside < len(mine) or error < least:
        return None
    return Distrust(
        metric=metric,
        windows=len(mine),
        outside=outside,
        mean_absolute=error,
        bias=float(gaps.mean()),
        p_value=chance,
    )
