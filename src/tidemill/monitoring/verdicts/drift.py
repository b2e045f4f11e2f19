"""Verdicts on columns, alone and together, and on answers that moved."""

from __future__ import annotations

from tidemill.monitoring.records import ColumnDrift, Finding
from tidemill.monitoring.verdicts.evidence import Evidence
from tidemill.monitoring.wording import MOST_NAMED, movement

_MONTH = 30 * 86400.0


def drifted(evidence: Evidence) -> Finding | None:
    """Say which columns moved, or that some did together."""
    report = evidence.report
    moved = sorted((c for c in report.columns if c.drifted), key=lambda c: -c.effect)
    if not moved:
        return _together(evidence)
    named = "; ".join(movement(c) for c in moved[:MOST_NAMED])
    more = f" and {len(moved) - MOST_NAMED} more" if len(moved) > MOST_NAMED else ""
    return evidence.finding(
        "drift",
        "warning",
        f"{len(moved)} of {len(report.columns)} columns moved: {named}{more}.",
        numbers={
            "false_alarms_per_30_days": evidence.policy.drift_q * _MONTH / evidence.policy.window,
            **{f"effect.{c.column}": round(c.effect, 4) for c in moved[:8]},
            **{f"p.{c.column}": c.p_value for c in moved[:8]},
        },
        columns=tuple(c.column for c in moved),
    )


def _together(evidence: Evidence) -> Finding | None:
    """Say that columns moved together where none did by itself."""
    moved = [j for j in evidence.report.joint if j.drifted]
    if not moved:
        return None
    first = min(moved, key=lambda j: j.p_value)
    named = ", ".join(f"`{c}`" for c in first.columns[:MOST_NAMED])
    more = f" and {len(first.columns) - MOST_NAMED} more" * (len(first.columns) > MOST_NAMED)
    said = (
        f"a classifier tells their rows from the usual ones (area {first.current:.2f})"
        if first.method == "classifier"
        else f"their relations hold less (error {first.usual:.3g} → {first.current:.3g})"
    )
    return evidence.finding(
        "drift",
        "warning",
        f"No single column moved, but {named}{more} did together: {said}.",
        numbers={
            "false_alarms_per_30_days": evidence.policy.drift_q * _MONTH / evidence.policy.window,
            **{f"joint.{j.method}": j.current for j in moved},
            **{f"joint.{j.method}.p": j.p_value for j in moved},
        },
        columns=first.columns,
    )


def answers_moved(evidence: Evidence, answer: ColumnDrift | None) -> Finding | None:
    """Say that the answers moved."""
    if answer is None or not answer.drifted:
        return None
    return evidence.finding(
        "prediction-drift",
        "warning",
        f"The answers moved: {answer.reference} → {answer.current}.",
        numbers={"effect": round(answer.effect, 4), "p": answer.p_value},
    )
