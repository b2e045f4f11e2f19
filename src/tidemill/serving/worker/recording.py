"""Tells the prediction log of answers: of those of one turn of the event loop together, after them.

Answers are on their way by then, so that nobody waits for it; and what is done for many in one go
takes a fraction of the time that it takes between all else that a request needs.
"""

from __future__ import annotations

import asyncio

from tidemill.core.clock import Clock, micros
from tidemill.predictions.gathering import TOGETHER
from tidemill.predictions.identity import first_of
from tidemill.predictions.requests import LoggedRequest
from tidemill.serving.worker.jobs import Job
from tidemill.serving.worker.lanes import Lane


class Recorder:
    """What was answered and is not yet with the log's writers.

    Args:
        loop: The worker's event loop.
        clock: Tells the time.
        replayed: Whether requests may say when they are; the log then has both moments.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, *, replayed: bool = False
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._replayed = replayed
        self._noted: list[Job] = []

    def note(self, job: Job) -> None:
        """Have an answered request logged, soon."""
        if self._replayed:
            job.came = micros(self._clock.now()) - int(job.latency * 1e6)
        if not self._noted:
            self._loop.call_soon(self.hand_over)
        self._noted.append(job)

    def note_now(self, job: Job) -> int:
        """Have an answered request logged, and return its number there."""
        self.note(job)
        return self.hand_over()

    def hand_over(self) -> int:
        """Hand what was noted to the log's writers, and return the number of the last."""
        noted, self._noted = self._noted, []
        number = 0
        begun = 0
        for at, job in enumerate(noted):
            if job.lane is not noted[begun].lane or at - begun == TOGETHER:
                _hand_over(noted[begun].lane, noted[begun:at])
                begun = at
        if noted:
            number = _hand_over(noted[begun].lane, noted[begun:])
        return number


def _hand_over(lane: Lane, jobs: list[Job]) -> int:
    subject = lane.subject
    told = subject.told
    requests = [
        LoggedRequest(
            job.ask.time,
            first_of(job.ids),
            job.rows.count,
            job.ask.request_id,
            int(job.latency * 1e6),
            job.status,
            job.predictions,
            job.scores,
            job.came,
            job.ask.trace,
            *told(job.rows),
        )
        for job in jobs
    ]
    return lane.writer.gather(subject.gathering, requests)
