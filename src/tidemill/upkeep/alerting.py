"""What upkeep's facts say of things that may be alerts."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.core.events import Fact
from tidemill.core.findings import Happening
from tidemill.core.references import Ref
from tidemill.monitoring.alerts.records import Observation
from tidemill.upkeep.events import LogDamaged, PredictionsLost


class LogSource:
    """Reads what the prediction log lost."""

    types = (PredictionsLost.type, LogDamaged.type)

    def __call__(self, fact: Fact) -> Sequence[Observation]:
        """Return what a fact says."""
        if fact.type == PredictionsLost.type:
            lost = fact.read(PredictionsLost)
            said = f"{lost.records:,} records of answered requests could not be logged."
            return [_seen(fact, "log-lost", lost.endpoint, said)]
        damaged = fact.read(LogDamaged)
        files = ", ".join(damaged.files[:3])
        said = f"{len(damaged.files):,} stretches of the log cannot be read; they are in {files}."
        return [_seen(fact, "log-damaged", damaged.endpoint, said)]


def _seen(fact: Fact, kind: Happening, endpoint: str, message: str) -> Observation:
    return Observation(
        kind=kind,
        holds=True,
        time=fact.time,
        subject=str(Ref("endpoint", endpoint)),
        endpoint=endpoint,
        severity="critical",
        message=message,
        fact=fact.id,
        standing=True,
        momentary=True,
    )
