"""What the loop decides, what happened, and upkeep."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from tidemill.core.events import Fact
from tidemill.core.policy.durations import duration
from tidemill.loop.records import Decision, Intention, Trace
from tidemill.server.operations.records import Job
from tidemill.server.operations.subject import USER, Limit, Subject, changes
from tidemill.upkeep.errors import BadAge

Position = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_LONGEST = 100 * 366 * 24 * 3600.0


class Loop(Subject):
    """What the loop decides, what happened, and upkeep."""

    def decisions(self, limit: Limit = 100) -> list[Decision]:
        """What the loop decided, newest first."""
        return self._home.controller.decisions(limit=limit)

    def explain(self, model: str | None = None) -> list[Intention]:
        """What the loop would do now, and why."""
        names = [model] if model else list(self._home.policy.models)
        return [self._home.controller.explain(name) for name in names]

    def trace(self, prediction: str) -> Trace:
        """From a prediction back to the rows."""
        return self._home.tracer.trace(prediction.removeprefix("prediction:"))

    def journal(self, after: Position = 0, limit: Limit = 100) -> list[Fact]:
        """Facts beyond a position."""
        return self._home.journal.read(after=after, limit=limit)

    @changes
    def tick(self) -> list[Decision]:
        """Have the loop go once around now."""
        decisions = self._home.controller.tick()
        if self.serving is None:
            # Nobody stays behind who could deliver later.
            self._home.dispatcher.flush()
        return decisions

    @changes
    def gc(self, older_than: str = "30d", dry_run: bool = False) -> Job:
        """Erase what was deleted long ago, and give back the space that nothing needs."""
        seconds = duration(older_than)
        if seconds is None or seconds > _LONGEST:
            raise BadAge(
                f"{older_than!r} is no age.", expected="a number and a unit, such as 30d or 12h"
            )
        age = timedelta(seconds=seconds)

        def collect(job: Job) -> None:
            reclaimed = self._home.upkeep.collect(older_than=age, actor=USER, dry=dry_run)
            if not dry_run:
                self._home.keeper.compact()
            log = self._home.keeper.expire(dry=dry_run)
            job.reclaimed = msgspec.structs.replace(reclaimed, log=log)

        return self._jobs.start(collect, "gc")
