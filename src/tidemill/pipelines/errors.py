"""What can go wrong with pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.core.errors import Findings, NotFound, TidemillError, Usage, UserCodeFailed

if TYPE_CHECKING:
    from tidemill.pipelines.records import GateReport


class PipelinesError(TidemillError):
    """The branch of everything that goes wrong with pipelines."""


class PipelineRunNotFound(PipelinesError, NotFound):
    """No pipeline run has that id."""


class BadPipeline(PipelinesError, Usage):
    """The pipeline function cannot be made into a graph."""


class BadValue(PipelinesError, Usage):
    """A step's value cannot be handed to another step."""


class StepFailed(PipelinesError, UserCodeFailed):
    """A step raised, was killed, or took too long; its log has the whole story."""


class GateFailed(PipelinesError, Findings):
    """The candidate did not pass its gate; nothing was registered and nothing live has changed.

    Attributes:
        report: Every rule with its figures.
    """

    def __init__(self, report: GateReport) -> None:
        failed = [r.sentence for r in report.rules if not r.passed]
        super().__init__(
            "The gate held the candidate back: " + " ".join(failed),
            expected="every rule of the gate to hold",
            hint="The live model is untouched.",
        )
        self.report = report
