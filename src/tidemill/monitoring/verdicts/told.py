"""All verdicts on a window, and the window's report with what they rest on."""

from __future__ import annotations

import msgspec

from tidemill.monitoring.records import ColumnDrift, Finding, WindowReport
from tidemill.monitoring.trust import distrust
from tidemill.monitoring.verdicts.concept import changed_relation
from tidemill.monitoring.verdicts.drift import answers_moved, drifted
from tidemill.monitoring.verdicts.estimates import checks_of, estimated_fall, unbelievable
from tidemill.monitoring.verdicts.evidence import Evidence
from tidemill.monitoring.verdicts.quality import (
    attributions_for,
    explanation_for,
    fell,
    performance,
)
from tidemill.monitoring.verdicts.values import broken_contract, silence, skewed


def told(evidence: Evidence, answer: ColumnDrift | None) -> tuple[WindowReport, list[Finding]]:
    """Return the findings, and the report with what they rest on.

    Args:
        evidence: The window.
        answer: How far the answers moved, where that could be judged.
    """
    report = evidence.report
    drop = evidence.policy.performance_drop
    distrusted = distrust(checks_of(evidence), evidence.watched, drop)
    explanation = explanation_for(evidence) if fell(evidence) else None
    influence = attributions_for(evidence) if explanation is not None else ()
    findings = [
        drifted(evidence),
        answers_moved(evidence, answer),
        performance(evidence, explanation, influence),
        changed_relation(evidence),
        estimated_fall(evidence, distrusted),
        unbelievable(evidence, distrusted),
        silence(evidence),
        broken_contract(evidence),
        skewed(evidence),
    ]
    found = [f for f in findings if f is not None]
    notes = report.notes
    if distrusted is not None:
        notes = (*notes, f"Estimates cannot be believed: {distrusted.words}.")
    if explanation is not None and explanation.note:
        notes = (*notes, explanation.note)
    report = msgspec.structs.replace(
        report,
        found=tuple(f.kind for f in found),
        notes=notes,
        explanation=explanation,
        attributions=influence,
    )
    return report, found
