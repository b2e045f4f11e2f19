"""What the monitor's facts say of things that may be alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Literal

from tidemill.core.events import Fact
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts.records import Observation, Reading
from tidemill.monitoring.events import FindingEnded, FindingRaised, WindowJudged
from tidemill.monitoring.records import Finding, WindowReport

Windows = Callable[[str, datetime | None], Sequence[WindowReport]]
_LATER = 8
"""How many of the newest verdicts are looked at when a window of before is judged again."""


class MonitorSource:
    """Reads findings, and the figures of windows.

    Args:
        journal: Where they are.
        windows: Returns the reports of an endpoint's windows since a moment.
    """

    types = (FindingRaised.type, FindingEnded.type, WindowJudged.type)

    def __init__(self, journal: Journal, windows: Windows) -> None:
        self._journal = journal
        self._windows = windows

    def __call__(self, fact: Fact) -> Sequence[Observation | Reading]:
        """Return what a fact says."""
        if fact.type == WindowJudged.type:
            return list(self._window(fact, fact.read(WindowJudged)))
        if fact.type == FindingEnded.type:
            return [_ended(fact, fact.read(FindingEnded))]
        return self._raised(fact, fact.read(FindingRaised).finding)

    def _raised(self, fact: Fact, finding: Finding) -> list[Observation]:
        windowed = fact.cause is not None
        seen = Observation(
            kind=finding.kind,
            holds=True,
            time=fact.time,
            subject=fact.subject,
            about=finding.about,
            endpoint=finding.endpoint,
            model=finding.model,
            version=finding.version,
            until=finding.until if windowed else None,
            severity=finding.severity,
            message=finding.message,
            fact=fact.id,
            standing=not windowed,
        )
        later = self._over_later(fact, finding) if windowed else None
        return [seen] if later is None else [seen, _clear(fact, finding.kind, later)]

    def _over_later(self, fact: Fact, finding: Finding) -> datetime | None:
        """Return the end of a later window that does not show it, if one was judged before.

        Late labels may tell of a window what the next one has already shown to be over.
        """
        facts = self._journal.read(
            before=fact.position,
            types=(WindowJudged.type,),
            subject=Ref.parse(fact.subject),
            newest_first=True,
            limit=_LATER,
        )
        for judged in (f.read(WindowJudged) for f in facts):
            newer = judged.until is not None and judged.until > finding.until
            if newer and finding.kind in judged.clear:
                return judged.until
        return None

    def _window(self, fact: Fact, judged: WindowJudged) -> Iterator[Observation | Reading]:
        if judged.until is None:
            return
        for kind in judged.clear:
            yield _clear(fact, kind, judged.until)
        reports = self._windows(judged.endpoint, judged.since)
        for report in reports:
            if report.since == judged.since:
                yield from readings_of(report, fact)


def readings_of(report: WindowReport, fact: Fact) -> Iterator[Reading]:
    """Go through the figures of a window."""

    def reading(
        name: str, value: float, source: Literal["realised", "estimated"] = "realised"
    ) -> Reading:
        return Reading(
            name=name,
            value=value,
            time=fact.time,
            subject=fact.subject,
            source=source,
            endpoint=report.endpoint,
            model=report.model,
            version=report.version,
            until=report.until,
            fact=fact.id,
        )

    for name, value in report.realised.items():
        yield reading(name, value)
    for name, value in report.estimated.items():
        yield reading(name, value, "estimated")
    yield reading("predictions", report.predictions)
    if report.predictions:
        yield reading("coverage", report.coverage)
        yield reading("error_rate", report.errors / report.predictions)
        yield reading("latency_p50_ms", report.latency_p50_us / 1000)
        yield reading("latency_p99_ms", report.latency_p99_us / 1000)
    if report.columns:
        yield reading("drift", max(c.effect for c in report.columns))
        yield reading("drifted_columns", sum(c.drifted for c in report.columns))
    for column in report.columns:
        yield reading(f"drift.{column.column}", column.effect)
        yield reading(f"missing.{column.column}", column.missing)


def _ended(fact: Fact, ended: FindingEnded) -> Observation:
    return Observation(
        kind=ended.kind,
        holds=False,
        time=fact.time,
        subject=fact.subject,
        about=ended.about,
        endpoint=ended.endpoint,
        model=ended.model,
        message=ended.message,
        fact=fact.id,
        standing=True,
    )


def _clear(fact: Fact, kind: str, until: datetime) -> Observation:
    return Observation(
        kind=kind, holds=False, time=fact.time, subject=fact.subject, until=until, fact=fact.id
    )
