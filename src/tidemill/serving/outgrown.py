"""Writes down that a worker took too much memory: a fact about every endpoint that it served."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.serving.events import WorkerOutgrown
from tidemill.serving.memory import Outgrown
from tidemill.serving.service import Deployments

ACTOR = "supervisor"


def noting(deployments: Deployments, journal: Journal) -> Callable[[Outgrown], None]:
    """Return whom a supervisor tells of such a worker."""

    def note(outgrown: Outgrown) -> None:
        for deployment in deployments.endpoints():
            fact = WorkerOutgrown(
                endpoint=deployment.endpoint,
                number=outgrown.number,
                memory_mb=round(outgrown.memory_mb, 1),
                limit_mb=round(outgrown.limit_mb, 1),
                needed_mb=round(outgrown.needed_mb, 1),
            )
            journal.record(fact, subject=Ref("endpoint", deployment.endpoint), actor=ACTOR)

    return note
