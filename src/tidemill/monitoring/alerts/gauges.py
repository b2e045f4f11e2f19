"""The figures of the machine, its processes and endpoints, for rules with `system.…`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from statistics import fmean

from tidemill.core.clock import Clock
from tidemill.core.references import Ref
from tidemill.monitoring.alerts.records import Reading
from tidemill.monitoring.health.limits import ENDPOINT
from tidemill.monitoring.health.records import Series
from tidemill.monitoring.health.service import MACHINE, HealthWatch

REACH = timedelta(minutes=1)
"""Over how long a figure is told: one sample alone says little of a rate."""
_WORKER = "worker "


class HealthGauges:
    """Tells what was sampled in the last minute.

    Args:
        health: Keeps the samples.
        clock: Tells the time.
        served: Gives the model and version behind an endpoint.
    """

    def __init__(
        self, health: HealthWatch, clock: Clock, served: Callable[[str], tuple[str, int]]
    ) -> None:
        self._health = health
        self._clock = clock
        self._served = served

    def __call__(self) -> list[Reading]:
        """Return the figures as they are now; none where nothing samples."""
        now = self._clock.now()
        told = self._health.tell(since=now - REACH)
        found = []
        for series in told.series:
            values = [p.value for p in series.points if p.value is not None]
            if values:
                found.append(self._reading(series, fmean(values)))
        return found

    def _reading(self, series: Series, value: float) -> Reading:
        now = self._clock.now()
        if series.subject.startswith(ENDPOINT):
            endpoint = series.subject.removeprefix(ENDPOINT)
            model, version = self._served(endpoint)
            return Reading(
                name=name_of(series),
                value=value,
                time=now,
                subject=str(Ref("endpoint", endpoint)),
                endpoint=endpoint,
                model=model,
                version=version or None,
            )
        about = series.subject if series.subject.startswith(_WORKER) else ""
        return Reading(
            name=name_of(series), value=value, time=now, subject=str(MACHINE), about=about
        )


def name_of(series: Series) -> str:
    """Return the name by which a rule asks for a figure.

    Example:
        >>> each = ("control plane", "worker 0", "endpoint taxis")
        >>> [name_of(Series(subject=s, figure="cpu", unit="many", points=())) for s in each]
        ['system.control-plane.cpu', 'system.worker.cpu', 'system.endpoint.cpu']
    """
    subject = series.subject
    for several in (ENDPOINT, _WORKER):
        if subject.startswith(several):
            subject = several.strip()
    return f"system.{subject}.{series.figure}".replace(" ", "-")
