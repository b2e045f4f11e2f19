"""The facts that monitoring writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event
from tidemill.monitoring.records import Finding


class FindingRaised(Event, frozen=True, kw_only=True):
    """The monitor found something.

    Attributes:
        finding: What.
    """

    type: ClassVar[str] = "finding.raised"
    finding: Finding


class WindowJudged(Event, frozen=True, kw_only=True):
    """A window was looked at.

    Attributes:
        endpoint: Whose.
        version: The live version.
        predictions: How many it had.
        coverage: The share of them that was labelled.
        findings: How many findings it gave.
    """

    type: ClassVar[str] = "window.judged"
    endpoint: str
    version: int
    predictions: int
    coverage: float
    findings: int
