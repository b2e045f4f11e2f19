"""What a window shows to be over: the kinds of findings that it could have given and did not."""

from __future__ import annotations

from tidemill.core.findings import KINDS, FindingKind
from tidemill.monitoring.records import WindowReport


def clear_kinds(report: WindowReport) -> tuple[FindingKind, ...]:
    """Return the kinds that a window was judged for and did not find.

    A window without labels says nothing of quality, and one with few rows nothing of drift: what
    was found before is then neither confirmed nor over.
    """
    judged: set[FindingKind] = {"silence"}
    if report.columns:
        judged |= {"drift", "prediction-drift"}
    if report.realised:
        judged |= {"performance", "concept", "estimated-performance", "estimator"}
    if report.bands:
        judged.add("estimated-performance")
    if report.predictions > report.errors:
        judged |= {"quality", "skew"}
    return tuple(kind for kind in KINDS if kind in judged and kind not in report.found)
