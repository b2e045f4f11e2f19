"""How near estimates of quality came to what the labels told later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidemill.monitoring.records import (
    EstimateCheck,
    EstimateHistory,
    EstimatorError,
    WindowReport,
)


def estimate_history(windows: Sequence[WindowReport]) -> EstimateHistory:
    """Hold estimates against what the labels told.

    An estimate that stays outside of its band speaks of concept drift, or of a calibration that no
    longer holds; one that is always on the same side has a bias.

    Args:
        windows: Newest first.
    """
    checks = tuple(
        EstimateCheck(
            since=w.since,
            version=w.version,
            metric=name,
            estimated=w.estimated[name],
            realised=w.realised[name],
            within=w.bands[name][0] <= w.realised[name] <= w.bands[name][1],
        )
        for w in windows
        for name in w.realised
        if name in w.estimated and name in w.bands
    )
    names = dict.fromkeys(c.metric for c in checks)
    errors = tuple(_error(n, [c for c in checks if c.metric == n]) for n in names)
    return EstimateHistory(checks=checks, errors=errors)


def _error(metric: str, checks: Sequence[EstimateCheck]) -> EstimatorError:
    gaps = np.array([c.estimated - c.realised for c in checks])
    return EstimatorError(
        metric=metric,
        windows=len(checks),
        mean_absolute=float(np.abs(gaps).mean()),
        bias=float(gaps.mean()),
        within=sum(c.within for c in checks) / len(checks),
    )
