"""The facts that monitoring writes."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from tidemill.core.events import Event
from tidemill.core.findings import FindingKind
from tidemill.monitoring.records import Finding


class FindingRaised(Event, frozen=True, kw_only=True):
    """The monitor found something.

    Attributes:
        finding: What.
    """

    type: ClassVar[str] = "finding.raised"
    finding: Finding


class FindingEnded(Event, frozen=True, kw_only=True):
    """What was found is over: it was looked for again, and is no more.

    A window says of its own kinds what is over (`WindowJudged.clear`). This is for whatever is
    watched without windows; it is written once, when the condition ends.

    Attributes:
        kind: What kind of thing it was.
        endpoint: Where.
        model: Of which model.
        about: Which of several; as the finding said.
        message: One sentence for people.
    """

    type: ClassVar[str] = "finding.ended"
    kind: FindingKind
    endpoint: str
    model: str
    message: str
    about: str = ""


class WindowJudged(Event, frozen=True, kw_only=True):
    """A window was looked at.

    Attributes:
        endpoint: Whose.
        version: The live version.
        predictions: How many it had.
        coverage: The share of them that was labelled.
        findings: How many findings it gave.
        since: Where it begins.
        until: Where it ends, exclusive.
        clear: The kinds of findings that it could have given and did not. A kind that could not
            be judged, for want of labels or rows, is not among them.
    """

    type: ClassVar[str] = "window.judged"
    endpoint: str
    version: int
    predictions: int
    coverage: float
    findings: int
    since: datetime | None = None
    until: datetime | None = None
    clear: tuple[FindingKind, ...] = ()
