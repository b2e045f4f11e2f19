"""Verdicts on estimated quality: that it probably fell, or that it cannot be believed."""

from __future__ import annotations

from tidemill.core.tasks import LOWER_IS_BETTER, improvement
from tidemill.monitoring.records import EstimateCheck, Finding
from tidemill.monitoring.trust import Distrust
from tidemill.monitoring.verdicts.evidence import Evidence
from tidemill.monitoring.wording import went


def checks_of(evidence: Evidence) -> list[EstimateCheck]:
    """Return estimates held against what came true, this window's first."""
    report, watched = evidence.report, evidence.watched
    checks = [c for c in evidence.judge.checks if c.version == report.version]
    if watched in report.realised and watched in report.bands:
        low, high = report.bands[watched]
        now = EstimateCheck(
            since=report.since,
            version=report.version,
            metric=watched,
            estimated=report.estimated[watched],
            realised=report.realised[watched],
            within=low <= report.realised[watched] <= high,
        )
        checks.insert(0, now)
    return checks


def estimated_fall(evidence: Evidence, distrusted: Distrust | None) -> Finding | None:
    """Say that quality probably fell, where labels are too few to know."""
    report, watched = evidence.report, evidence.watched
    if distrusted is not None or report.realised:
        return None
    if watched not in report.bands or watched not in report.reference:
        return None
    value, usual, span = (
        report.estimated[watched],
        report.reference[watched],
        report.bands[watched],
    )
    best = span[0] if watched in LOWER_IS_BETTER else span[1]
    fall = -improvement(watched, value, usual)
    if fall < evidence.policy.performance_drop or improvement(watched, best, usual) >= 0:
        return None
    return evidence.finding(
        "estimated-performance",
        "warning",
        f"{watched} probably {went(watched)} {usual:.3f} → {value:.3f} in {evidence.stretch}: "
        f"an estimate, since {report.coverage:.0%} of the predictions are labelled.",
        numbers={f"{watched}.reference": usual, f"{watched}.estimated": value},
    )


def unbelievable(evidence: Evidence, distrusted: Distrust | None) -> Finding | None:
    """Say that estimates cannot be believed, once labels showed it."""
    if distrusted is None or evidence.watched not in evidence.report.realised:
        return None
    return evidence.finding(
        "estimator",
        "warning",
        f"What is estimated without labels cannot be believed: {distrusted.words}.",
        numbers={
            "windows": float(distrusted.windows),
            "outside": float(distrusted.outside),
            "mean_absolute": distrusted.mean_absolute,
            "bias": distrusted.bias,
            "p": distrusted.p_value,
        },
    )
