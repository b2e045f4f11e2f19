"""Verdicts on what came in: nothing, values out of the contract, or unlike those of training."""

from __future__ import annotations

from tidemill.monitoring.live import features_of
from tidemill.monitoring.records import Finding
from tidemill.monitoring.serving_values import skews
from tidemill.monitoring.verdicts.evidence import Evidence
from tidemill.monitoring.wording import foremost

_LEAST_BROKEN = 5


def silence(evidence: Evidence) -> Finding | None:
    """Say that nothing came, where no rhythm tells of it by the hour."""
    report = evidence.report
    rhythmic = evidence.judge.rhythmic
    if report.predictions == 0:
        if "predictions" in rhythmic:
            return None
        said = f"No prediction was asked for in {evidence.stretch}."
        return evidence.finding("silence", "warning", said)
    if report.labelled or report.errors == report.predictions or "labels" in rhythmic:
        return None
    said = f"None of {report.predictions:,} predictions in {evidence.stretch} has a label yet."
    return evidence.finding("silence", "warning", said, numbers={"coverage": 0.0})


def broken_contract(evidence: Evidence) -> Finding | None:
    """Say which values break the contract that the version was packed with."""
    least = max(_LEAST_BROKEN, evidence.policy.max_out_of_contract * evidence.answered.height)
    broken = [b for b in evidence.broken if b.rows >= least]
    if not broken:
        return None
    return evidence.finding(
        "quality",
        "warning",
        f"Values break the contract in {evidence.stretch}: {foremost([b.words for b in broken])}.",
        numbers={
            "rows": float(evidence.answered.height),
            **{f"{b.rule}.{b.column}": round(b.share, 6) for b in broken[:8]},
        },
        columns=tuple(dict.fromkeys(b.column for b in broken)),
    )


def skewed(evidence: Evidence) -> Finding | None:
    """Say in what a version's first served values are unlike those that it learned from."""
    judge = evidence.judge
    if not judge.newborn or judge.live is None or evidence.mine.height < _LEAST_BROKEN:
        return None
    found = skews(
        judge.live.features,
        judge.live.training,
        features_of(evidence.mine),
        evidence.policy.min_effect,
    )
    if not found:
        return None
    return evidence.finding(
        "skew",
        "critical",
        f"Serving gives version {judge.version} other values than training had, from its first "
        f"predictions on: {foremost([s.words for s in found])}.",
        numbers={
            **{f"training.{s.column}": s.training for s in found[:8]},
            **{f"serving.{s.column}": s.serving for s in found[:8]},
        },
        columns=tuple(dict.fromkeys(s.column for s in found)),
    )
