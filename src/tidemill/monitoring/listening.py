"""Listens whether predictions and labels come as usual, and whether callers' clocks are right."""

from __future__ import annotations

from datetime import datetime, timedelta

from tidemill.core.clock import Clock, from_micros, micros
from tidemill.core.references import Ref
from tidemill.monitoring import arrivals, store
from tidemill.monitoring.episodes import Episodes
from tidemill.monitoring.records import Finding
from tidemill.storage.db.engine import Database

CLOCK = "clock"
TOLERANCE = timedelta(hours=1)
"""How far ahead of the monitor's a caller's clock may be."""


class Listening:
    """Says once that something stopped coming, and once that it comes again.

    Args:
        db: The database.
        episodes: Says what stands.
        clock: Tells how long a gap is.
    """

    def __init__(self, db: Database, episodes: Episodes, clock: Clock) -> None:
        self._db = db
        self._episodes = episodes
        self._clock = clock

    def listen(self, endpoint: str, model: str, version: int, level: float) -> list[Finding]:
        """Return what is said anew of an endpoint.

        Args:
            endpoint: Which.
            model: The model that it serves.
            version: The live version.
            level: The chance of a false alarm that is accepted for one gap.
        """
        now = self._clock.now()
        with self._db.read() as connection:
            known = {w: arrivals.heard(connection, endpoint, w, now) for w in arrivals.WHATS}
            ahead, latest = store.ahead(connection, endpoint, micros(now + TOLERANCE))
        silences = [
            found
            for what, heard in known.items()
            if heard is not None
            and (found := arrivals.silence(what, heard, now, level)) is not None
        ]
        findings = [
            arrivals.finding_of(
                s, endpoint=endpoint, model=model, version=version, now=now, level=level
            )
            for s in arrivals.spoken(silences)
        ]
        if ahead:
            findings.append(_misdated(endpoint, model, version, now, ahead, from_micros(latest)))
        subject = Ref("endpoint", endpoint)
        said = [f for f in findings if self._episodes.begin(subject, f)]
        for standing in self._episodes.standing(subject):
            if standing.about == CLOCK and not ahead:
                message = "No prediction is dated in the future any more."
                self._episodes.end(subject, standing.kind, CLOCK, message)
            heard = known.get(standing.about)  # type: ignore[call-overload]
            if heard is not None and heard.newest > micros(standing.since):
                message = (
                    f"{standing.about.capitalize()} come again since "
                    f"{from_micros(heard.newest):%Y-%m-%d %H:%M} UTC."
                )
                self._episodes.end(subject, "silence", standing.about, message)
        return said


def _misdated(
    endpoint: str, model: str, version: int, now: datetime, many: int, latest: datetime
) -> Finding:
    return Finding(
        kind="quality",
        severity="warning",
        endpoint=endpoint,
        model=model,
        version=version,
        since=now,
        until=now,
        message=(
            f"{many:,} predictions are dated in the future, up to {latest:%Y-%m-%d %H:%M} UTC: a "
            "clock is wrong. They are judged when that time has come."
        ),
        numbers={"predictions": float(many), "ahead": (latest - now).total_seconds()},
        about=CLOCK,
    )
