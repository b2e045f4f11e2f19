"""One request on its way through the plane."""

from __future__ import annotations

import logging
from typing import Protocol

from tidemill.models.inputs import Values
from tidemill.predictions.identity import ids_of
from tidemill.predictions.records import Status
from tidemill.predictions.sampling import is_logged
from tidemill.serving.worker.asks import Ask
from tidemill.serving.worker.lanes import Lane
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.version import Outcome

logger = logging.getLogger(__name__)


class Owner(Protocol):
    """Who sees to it that jobs are answered."""

    def finish(self, job: Job, outcome: Outcome | Exception) -> None:
        """Take what a version said, or why it did not."""
        ...

    def give_up(self, job: Job) -> None:
        """Answer that we have failed."""
        ...


class Job(Reply):
    """A request, and the reply to it.

    Attributes:
        ask: What was asked.
        lane: Who answers.
        rows: The rows, as that version takes them.
        began: When they were ready, in seconds of the monotonic clock.
        number: What its ids are made of.
        mirrored: Whether a shadow is asked, and nobody waits.
        logged: Whether it goes to the log.
        settled: Whether its rows are in hand no more.
        ids: Of the predictions, with commas between; those of a shadow differ by its version.
        status: Whether it was answered, once that is known. So is what follows.
        latency: From its arrival to then, in seconds.
        predictions: What the version said.
        scores: What it said of its certainty.
        came: When it came by the worker's own clock, in microseconds since 1970, where that is not
            the time of the request.
    """

    __slots__ = (
        "_owner",
        "ask",
        "began",
        "came",
        "ids",
        "lane",
        "latency",
        "logged",
        "mirrored",
        "number",
        "predictions",
        "rows",
        "scores",
        "settled",
        "status",
    )

    def __init__(
        self,
        owner: Owner,
        ask: Ask,
        lane: Lane,
        rows: Rows,
        began: float,
        number: int,
        *,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        self._owner = owner
        self.logged = is_logged(number)
        self.began = began
        self.ask = ask
        self.lane = lane
        self.rows = rows
        self.number = number
        self.mirrored = mirrored
        self.settled = False
        self.came = 0

    def end(self, latency: float, status: Status, outcome: Outcome | None = None) -> None:
        """Keep what came of it."""
        self.ids = ids_of(self.ask.time, self.lane.target.version, self.number, self.rows.count)
        self.latency, self.status = latency, status
        self.predictions: Values = [] if outcome is None else outcome.values
        self.scores = None if outcome is None else outcome.scores

    def done(self, outcome: Outcome | Exception) -> None:
        """Take what the version said."""
        try:
            self._owner.finish(self, outcome)
        except Exception:  # the others of the batch are not to wait for ever because of one
            logger.exception("a request to %s failed", self.lane.endpoint.name)
            self._owner.give_up(self)
