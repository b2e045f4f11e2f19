"""The facts that pipelines write."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event
from tidemill.pipelines.records import GateReport


class StepEnded(Event, frozen=True, kw_only=True):
    """A step came to its end.

    Attributes:
        run_id: Its run.
        step: Its name.
        status: `finished`, `cached`, `failed` or `held`.
        seconds: How long it took, by the clock of the home.
        error: What went wrong, in one sentence.
    """

    type: ClassVar[str] = "run.step-ended"
    run_id: str
    step: str
    status: str
    seconds: float
    error: str | None


class GateJudged(Event, frozen=True, kw_only=True):
    """A candidate was judged.

    Attributes:
        run_id: The run that made it.
        model: The model.
        report: Every rule with its figures.
    """

    type: ClassVar[str] = "gate.judged"
    run_id: str
    model: str
    report: GateReport
