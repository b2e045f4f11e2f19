"""What the loop's facts, and those of the rooms below it, say of things that may be alerts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tidemill.core.events import Fact
from tidemill.core.findings import Happening, Severity
from tidemill.core.references import Ref
from tidemill.datasets.events import DataAppended, DataRefused
from tidemill.loop.events import CarriedOut, Failed
from tidemill.monitoring.alerts.records import Observation
from tidemill.pipelines.events import GateJudged
from tidemill.serving.events import RolloutMoved

_ROLLOUTS: dict[str, tuple[Happening, Severity]] = {
    "rolled-back": ("rolled-back", "warning"),
    "promoted": ("promoted", "info"),
}


class LoopSource:
    """Reads trainings, gates, rollouts and arrivals of data."""

    types = (
        Failed.type,
        CarriedOut.type,
        GateJudged.type,
        RolloutMoved.type,
        DataRefused.type,
        DataAppended.type,
    )

    def __call__(self, fact: Fact) -> Sequence[Observation]:
        """Return what a fact says."""
        match fact.type:
            case Failed.type:
                return _training(fact, fact.read(Failed).error)
            case CarriedOut.type:
                return _training(fact, "")
            case GateJudged.type:
                return _gate(fact, fact.read(GateJudged))
            case RolloutMoved.type:
                return _rollout(fact, fact.read(RolloutMoved))
            case DataRefused.type:
                refused = fact.read(DataRefused)
                said = f"{refused.source} was refused: {refused.reason}"
                return [_seen(fact, "data-refused", Ref("dataset", refused.dataset), said)]
            case _:
                appended = fact.read(DataAppended)
                said = f"{appended.rows:,} rows were taken in."
                subject = Ref("dataset", appended.dataset)
                return [_seen(fact, "data-refused", subject, said, holds=False)]


def _rollout(fact: Fact, moved: RolloutMoved) -> list[Observation]:
    if moved.status not in _ROLLOUTS:
        return []
    kind, severity = _ROLLOUTS[moved.status]
    return [
        _seen(
            fact,
            kind,
            Ref("endpoint", moved.endpoint),
            moved.reason,
            about=f"version {moved.version}",
            endpoint=moved.endpoint,
            model=moved.model,
            version=moved.version,
            severity=severity,
            momentary=True,
        )
    ]


def _training(fact: Fact, error: str) -> list[Observation]:
    """A training that was decided on is about a model; other decisions have no such end."""
    subject = Ref.parse(fact.subject)
    if subject.kind != "model":
        return []
    said = error or "A training came to its end."
    return [
        _seen(
            fact,
            "training-failed",
            subject,
            said,
            model=subject.name,
            holds=bool(error),
            severity="critical",
        )
    ]


def _gate(fact: Fact, judged: GateJudged) -> list[Observation]:
    if judged.report.passed:
        return []
    failed = [r.sentence for r in judged.report.rules if not r.passed]
    said = " ".join(failed) or "A candidate was held back by its gate."
    return [
        _seen(
            fact,
            "gate-held",
            Ref("model", judged.model),
            said,
            about=f"run {judged.run_id}",
            model=judged.model,
            severity="info",
            momentary=True,
        )
    ]


def _seen(
    fact: Fact, kind: Happening, subject: Ref, message: str, *, holds: bool = True, **more: Any
) -> Observation:
    return Observation(
        kind=kind,
        holds=holds,
        time=fact.time,
        subject=str(subject),
        message=message,
        fact=fact.id,
        standing=True,
        **more,
    )
