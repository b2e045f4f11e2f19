"""Puts a fact into the words of a time line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tidemill.core.events import Event, Fact
from tidemill.core.references import Ref
from tidemill.datasets.events import DataRefused
from tidemill.loop.events import CarriedOut, Decided, Failed
from tidemill.loop.incidents.records import Lane, Moment, Tone
from tidemill.loop.records import DecisionKind
from tidemill.monitoring.alerts.events import (
    AlertAcknowledged,
    AlertFired,
    AlertRaised,
    AlertResolved,
    DeliveryGivenUp,
    Silenced,
    Unsilenced,
)
from tidemill.monitoring.events import FindingEnded, FindingRaised
from tidemill.pipelines.events import GateJudged
from tidemill.registry.events import VersionRegistered
from tidemill.serving.events import Deployed, RolloutJudged, RolloutMoved, TrafficChanged

_DECISIONS: dict[DecisionKind, tuple[str, Tone]] = {
    "train": ("The loop decides to train", "plain"),
    "advance": ("The canary gets more traffic", "good"),
    "promote": ("The candidate is promoted", "good"),
    "rollback": ("The candidate is rolled back", "bad"),
    "refuse-data": ("Data are refused", "warn"),
}
_VERDICTS: dict[str, tuple[str, Tone]] = {
    "hold": ("The canary is watched on", "plain"),
    "advance": ("The canary does well", "good"),
    "promote": ("The canary has done well", "good"),
    "rollback": ("The canary does harm", "bad"),
}
_ROLLOUTS: dict[str, tuple[str, Tone]] = {
    "running": ("A canary begins", "plain"),
    "promoted": ("The candidate answers everything", "good"),
    "rolled-back": ("The candidate is gone", "bad"),
    "superseded": ("The rollout is overtaken by another", "plain"),
}


class _Said(msgspec.Struct, frozen=True):
    lane: Lane
    title: str
    text: str
    tone: Tone = "plain"


def moment_of(fact: Fact, cause: str | None) -> Moment:
    """Return a fact as it stands on a time line.

    Args:
        fact: One of the types in `TYPES`.
        cause: The id of the fact on the same time line that led to it.
    """
    event, words = _WORDS[fact.type]
    said = words(fact.read(event))
    return Moment(
        time=fact.time,
        lane=said.lane,
        title=said.title,
        text=said.text,
        tone=said.tone,
        fact=fact.id,
        cause=cause,
        reference=fact.subject,
    )


def _finding(event: FindingRaised) -> _Said:
    found = event.finding
    tone: Tone = {"critical": "bad", "warning": "warn"}.get(found.severity, "plain")  # type: ignore[assignment]
    return _Said("finding", f"Found: {found.kind}", found.message, tone)


def _decided(event: Decided) -> _Said:
    title, tone = _DECISIONS.get(event.decision.kind, (event.decision.kind, "plain"))
    return _Said("decision", title, event.decision.reason, tone)


def _gate(event: GateJudged) -> _Said:
    rules = event.report.rules
    if event.report.passed:
        told = " ".join(r.sentence for r in rules)
        return _Said("training", "The candidate passes its gate", told, "good")
    told = " ".join(r.sentence for r in rules if not r.passed)
    return _Said("training", "The candidate is held back by its gate", told, "warn")


def _registered(event: VersionRegistered) -> _Said:
    figures = ", ".join(f"{k} {v:.3f}" for k, v in event.metrics.items() if v is not None)
    title = f"{Ref('model', event.model, str(event.version))} is registered"
    return _Said("training", title, f"On held-out rows: {figures}." if figures else "")


def _moved(event: RolloutMoved) -> _Said:
    title, tone = _ROLLOUTS.get(event.status, (event.status, "plain"))
    if event.status == "running":
        title = f"Version {event.version} gets {event.percent:g}% of the traffic"
    return _Said("rollout", title, event.reason, tone)


def _judged(event: RolloutJudged) -> _Said:
    title, tone = _VERDICTS.get(event.action, (event.action, "plain"))
    return _Said("rollout", title, event.reason, tone)


def _fired(event: AlertFired) -> _Said:
    tone: Tone = "bad" if event.severity == "critical" else "warn"
    again = " again" if event.again else ""
    return _Said("alert", f"Alert {event.alert} fires{again}", event.message, tone)


def _silenced(event: Silenced) -> _Said:
    until = f"{event.until:%Y-%m-%d %H:%M}"
    return _Said("people", f"Silenced until {until}", event.reason)


_WORDS: dict[str, tuple[type[Event], Callable[[Any], _Said]]] = {
    FindingRaised.type: (FindingRaised, _finding),
    FindingEnded.type: (
        FindingEnded,
        lambda e: _Said("finding", f"Over: {e.kind}", e.message, "good"),
    ),
    DataRefused.type: (
        DataRefused,
        lambda e: _Said("data", f"{e.source} is refused", e.reason, "warn"),
    ),
    Decided.type: (Decided, _decided),
    CarriedOut.type: (CarriedOut, lambda e: _Said("decision", "It is done", e.result)),
    Failed.type: (Failed, lambda e: _Said("decision", "It failed", e.error, "bad")),
    GateJudged.type: (GateJudged, _gate),
    VersionRegistered.type: (VersionRegistered, _registered),
    RolloutMoved.type: (RolloutMoved, _moved),
    RolloutJudged.type: (RolloutJudged, _judged),
    TrafficChanged.type: (
        TrafficChanged,
        lambda e: _Said("rollout", "Traffic is divided otherwise", e.reason),
    ),
    Deployed.type: (
        Deployed,
        lambda e: _Said("rollout", f"Version {e.version} answers everything", e.reason, "good"),
    ),
    AlertFired.type: (AlertFired, _fired),
    AlertRaised.type: (
        AlertRaised,
        lambda e: _Said("alert", f"Alert {e.alert} is {e.severity} now", e.message, "bad"),
    ),
    AlertResolved.type: (
        AlertResolved,
        lambda e: _Said("alert", f"Alert {e.alert} is over", e.ending, "good"),
    ),
    AlertAcknowledged.type: (
        AlertAcknowledged,
        lambda e: _Said("people", f"Alert {e.alert} is acknowledged", e.note),
    ),
    Silenced.type: (Silenced, _silenced),
    Unsilenced.type: (Unsilenced, lambda _: _Said("people", "The silence is ended", "")),
    DeliveryGivenUp.type: (
        DeliveryGivenUp,
        lambda e: _Said("alert", f"{e.sink} could not be told", e.error, "bad"),
    ),
}
TYPES = tuple(_WORDS)
