"""Compares shadows with what was answered: pairs from monitoring, intervals from serving."""

from __future__ import annotations

import numpy as np

from tidemill.core.clock import Clock
from tidemill.monitoring.losses import Sums
from tidemill.monitoring.mirrors import Compared, Mirrors
from tidemill.serving.evidence import ShadowReport, Units
from tidemill.serving.records import Mirror
from tidemill.serving.sequential import Interval, difference
from tidemill.serving.service import Deployments
from tidemill.serving.shadows import ShadowReports

ACTOR = "loop"


class Shadows:
    """Keeps the comparison of every shadow up to date.

    Args:
        deployments: What is mirrored where.
        mirrors: Pairs answers.
        reports: Where comparisons are kept.
        clock: Dates them.
    """

    def __init__(
        self, deployments: Deployments, mirrors: Mirrors, reports: ShadowReports, clock: Clock
    ) -> None:
        self._deployments = deployments
        self._mirrors = mirrors
        self._reports = reports
        self._clock = clock

    def endpoints(self) -> list[str]:
        """Return the endpoints that have shadows."""
        return [d.endpoint for d in self._deployments.endpoints() if d.shadows]

    def look(self, endpoint: str) -> None:
        """Compare the shadows of an endpoint, and keep what comes of it."""
        live = self._deployments.find(endpoint)
        for mirror in () if live is None else live.shadows:
            target = mirror.target
            found = self._mirrors.compare(
                endpoint, target.model, target.version, since=mirror.since
            )
            if found is not None:
                self._reports.keep(self._report(endpoint, mirror, found), actor=ACTOR)

    def _report(self, endpoint: str, mirror: Mirror, found: Compared) -> ShadowReport:
        agreement, gap = _mean(found.agreed), _mean(found.differences)
        loss = None if found.losses is None else _mean(found.losses)
        return ShadowReport(
            endpoint=endpoint,
            model=mirror.target.model,
            version=mirror.target.version,
            since=mirror.since,
            time=self._clock.now(),
            rows=found.rows,
            requests=found.requests,
            failed=found.failed,
            agreement=agreement.estimate,
            agreement_interval=_ends(agreement, 0.0, 1.0),
            mean_difference=gap.estimate,
            difference_interval=_ends(gap),
            largest_difference=found.largest,
            labelled=0 if found.losses is None else int(found.losses.sizes.sum()),
            loss_difference=None if loss is None else loss.estimate,
            loss_interval=None if loss is None else _ends(loss),
            p99_ms=found.p99_ms,
            champion_p99_ms=found.champion_p99_ms,
            examples=found.examples,
        )


def _mean(sums: Sums) -> Interval:
    """Return a mean over pairs with an interval that holds at every look."""
    nothing = Units(np.zeros(len(sums.totals)), sums.sizes)
    return difference(Units(sums.totals, sums.sizes), nothing)


def _ends(
    found: Interval, low: float = -np.inf, high: float = np.inf
) -> tuple[float, float] | None:
    if found.unbounded:
        return None
    return max(found.low, low), min(found.high, high)
