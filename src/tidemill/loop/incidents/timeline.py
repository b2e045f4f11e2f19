"""Gathers an incident's facts: what led to its alerts, and what followed from them.

Each fact names the one that led to it. From the alerts the chain is followed backwards to what was
found, and forwards through decision, training, gate, canary and promotion. What else the loop did
meanwhile to the same endpoint or model is told too, without a cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from tidemill.core.events import Fact
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.loop.events import CarriedOut, Decided
from tidemill.loop.incidents.records import Moment
from tidemill.loop.incidents.words import TYPES, moment_of
from tidemill.monitoring.alerts.records import Alert, Incident
from tidemill.monitoring.events import FindingEnded, FindingRaised
from tidemill.serving.events import RolloutJudged, RolloutMoved

MOST = 5000
"""How many facts are looked at from an incident's beginning on."""
_TOLD_BY_DECISIONS = frozenset({"advance", "promote", "rollback"})


def timeline(journal: Journal, incident: Incident, alerts: Sequence[Alert]) -> list[Moment]:
    """Return what happened, in its order."""
    roots = _roots(journal, alerts)
    if not roots:
        return []
    first = min(fact.position for fact in roots)
    facts = journal.read(after=first - 1, types=TYPES, limit=MOST)
    thread = _Thread(incident, alerts, roots)
    for fact in facts:
        thread.consider(fact)
    thread.look_back({fact.id: fact for fact in facts})
    return thread.moments()


def _roots(journal: Journal, alerts: Sequence[Alert]) -> list[Fact]:
    """Return the facts that alerts rest on, with all that led to them, and that they fired."""
    roots: dict[str, Fact] = {}
    for alert in alerts:
        wanted = alert.facts[0] if alert.facts else None
        while wanted is not None and wanted not in roots:
            fact = roots[wanted] = journal.get(wanted)
            wanted = fact.cause
        for fact in journal.read(types=TYPES, subject=_subject(alert), limit=1):
            roots[fact.id] = fact
    return [fact for fact in roots.values() if fact.type in TYPES]


class _Thread:
    """Follows causes forwards."""

    def __init__(self, incident: Incident, alerts: Sequence[Alert], roots: Sequence[Fact]) -> None:
        self._incident = incident
        self._alerts = alerts
        self._roots = {fact.id for fact in roots} | {fact for a in alerts for fact in a.facts}
        self._kinds = {(a.kind, a.about, a.subject) for a in alerts}
        self._subjects = {str(_subject(a)) for a in alerts}
        self._models = {a.model for a in alerts if a.model}
        self._facts: dict[str, Fact] = {}
        self._decisions: dict[str, Decided] = {}
        self._findings: set[str] = set()
        self._rollouts: dict[str, list[str]] = {}

    def consider(self, fact: Fact) -> None:
        """Keep a fact if it belongs to the incident."""
        if fact.type in {FindingRaised.type, FindingEnded.type}:
            if self._is_ours(fact):
                self._findings.add(fact.id)
            if fact.id in self._roots:
                self._facts[fact.id] = fact
            return
        decided = fact.read(Decided) if fact.type == Decided.type else None
        follows = (
            fact.cause in self._facts or fact.cause in self._findings or self._is_verdict(fact)
        )
        rests = decided is not None and not self._findings.isdisjoint(decided.decision.findings)
        meanwhile = self._is_during(fact.time) and self._concerns(fact, decided)
        if (
            follows
            or rests
            or meanwhile
            or fact.id in self._roots
            or fact.subject in self._subjects
        ):
            self._keep(fact)

    def _keep(self, fact: Fact) -> None:
        self._facts[fact.id] = fact
        if fact.type == Decided.type:
            self._decisions[fact.id] = fact.read(Decided)
        if fact.type == RolloutMoved.type:
            # What is decided about a rollout later follows from its beginning.
            rollout = f"rollout:{fact.read(RolloutMoved).rollout}"
            self._subjects.add(rollout)
            self._rollouts.setdefault(rollout, [fact.id])
        if fact.type == RolloutJudged.type:
            rollout = f"rollout:{fact.read(RolloutJudged).rollout}"
            self._rollouts.setdefault(rollout, []).append(fact.id)

    def _is_verdict(self, fact: Fact) -> bool:
        """Tell whether a fact is a verdict on a rollout that belongs to the incident."""
        if fact.type != RolloutJudged.type:
            return False
        return f"rollout:{fact.read(RolloutJudged).rollout}" in self._rollouts

    def look_back(self, known: dict[str, Fact]) -> None:
        """Keep what led to what was kept, too."""
        waiting = list(self._facts.values())
        while waiting:
            cause = known.get(waiting.pop().cause or "")
            if cause is not None and cause.id not in self._facts:
                self._keep(cause)
                waiting.append(cause)

    def moments(self) -> list[Moment]:
        """Return what was kept, each thing told once."""
        kept = sorted(self._facts.values(), key=lambda f: f.position)
        told = [f for f in kept if not self._is_told_elsewhere(f)]
        results = {f.cause: f for f in told if f.type == CarriedOut.type}
        texts: dict[str, str] = {}
        found = []
        for fact in told:
            if fact.type == CarriedOut.type and fact.cause in self._decisions:
                continue
            moment = moment_of(fact, self._cause(fact))
            texts[fact.id] = moment.text
            if moment.cause is not None and moment.text.endswith(texts.get(moment.cause) or "\0"):
                moment = replace(moment, text="")
            result = results.get(fact.id)
            if result is not None and fact.id in self._decisions:
                said = result.read(CarriedOut).result
                moment = replace(moment, text=f"{moment.text} {said}".strip())
            found.append(moment)
        return found

    def _cause(self, fact: Fact) -> str | None:
        if fact.cause in self._facts:
            return fact.cause
        rests: Sequence[str] = ()
        subject = fact.subject
        if fact.id in self._decisions:
            rests = self._decisions[fact.id].decision.findings
        elif fact.type == RolloutJudged.type:
            subject = f"rollout:{fact.read(RolloutJudged).rollout}"
        before = [*self._rollouts.get(subject, ()), *rests]
        position = fact.position
        known = (self._facts[f] for f in reversed(before) if f in self._facts)
        return next((f.id for f in known if f.position < position), None)

    def _is_ours(self, fact: Fact) -> bool:
        if fact.type != FindingRaised.type:
            return False
        finding = fact.read(FindingRaised).finding
        return (finding.kind, finding.about, fact.subject) in self._kinds and self._is_during(
            fact.time
        )

    def _is_during(self, time: datetime) -> bool:
        end = self._incident.resolved
        return time >= self._incident.opened and (end is None or time < end)

    def _concerns(self, fact: Fact, decided: Decided | None) -> bool:
        """Tell whether a fact changes what answers where the incident is."""
        if fact.subject == self._incident.subject:
            return True
        if decided is None:
            return False
        kind, _, name = decided.decision.subject.partition(":")
        return kind == "model" and name in self._models

    def _is_told_elsewhere(self, fact: Fact) -> bool:
        """Tell whether a decision on the time line says the same: it was written before."""
        decided = self._decisions.get(fact.cause or "")
        if decided is None or fact.type != RolloutMoved.type:
            return False
        return decided.decision.kind in _TOLD_BY_DECISIONS


def _subject(alert: Alert) -> Ref:
    return Ref("alert", str(alert.number))
