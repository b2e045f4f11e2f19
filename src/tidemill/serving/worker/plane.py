"""The data plane: rows in, an answer out. Every protocol is a door to this one room.

A request is validated, routed, answered in a batch, logged and counted here; a door only
translates. A candidate that fails is not the caller's trouble: the champion answers instead, and
the failure is logged against the candidate.
"""

from __future__ import annotations

import asyncio
import logging
import random
from concurrent.futures import Executor

from tidemill.core.clock import Clock
from tidemill.core.errors import Busy
from tidemill.models.calls import Call
from tidemill.models.errors import ChildEnded, InvalidInput, ModelRaised, TooBusy, TooSlow
from tidemill.predictions.errors import LogStopped
from tidemill.predictions.identity import request_number
from tidemill.predictions.sampling import unlogged
from tidemill.serving.routes import RouteTarget
from tidemill.serving.worker.asks import Answer, Ask
from tidemill.serving.worker.batching import Queue
from tidemill.serving.worker.counting import Metrics
from tidemill.serving.worker.http import HttpError, Response, error_response
from tidemill.serving.worker.jobs import Job
from tidemill.serving.worker.lanes import Lane, Lanes
from tidemill.serving.worker.log import Log
from tidemill.serving.worker.opening import queue_before
from tidemill.serving.worker.recording import Recorder
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.table import Table
from tidemill.serving.worker.trace import Trace
from tidemill.serving.worker.version import Outcome, Version

logger = logging.getLogger(__name__)
UNKNOWN = "?"
"""What stands for an endpoint or a column that does not exist."""
RETRY = ((b"retry-after", b"1"),)


class Plane:
    """Answers requests for predictions.

    Args:
        loop: The worker's event loop.
        executor: Where large requests run.
        log: Where predictions go.
        metrics: What is counted.
        clock: Tells durations.
        rng: For ids, sampling and keys.
        waiting: How many rows may be in the worker's hands before it says 429.
        durable: Whether every answer waits for its log record.
        replayed: Whether requests may say when they are; the log then has both moments.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        log: Log,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        waiting: int = 200_000,
        durable: bool = False,
        replayed: bool = False,
    ) -> None:
        self._loop = loop
        self._executor = executor
        self._log = log
        self._recorder = Recorder(loop, clock, replayed=replayed)
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._most = waiting
        self._durable = durable
        self._queues: dict[Version, Queue] = {}
        self._lanes: dict[str, Lanes] = {}
        self.table = Table()
        self.waiting = 0

    def install(self, table: Table) -> None:
        """Serve by this table from the next request on."""
        versions = [v for e in table.endpoints.values() for v in e.versions.values()]
        known = self._queues
        self._queues = {
            v: known.get(v) or queue_before(v, self._loop, self._executor) for v in versions
        }
        self._metrics.keep({name: e.versions for name, e in table.endpoints.items()})
        self._lanes = {
            name: Lanes(endpoint, self._queues.__getitem__, self._metrics, self._log)
            for name, endpoint in table.endpoints.items()
        }
        self.table = table
        for version in known.keys() - self._queues.keys():
            known[version].close()

    def submit(self, ask: Ask) -> Reply:
        """Have a request answered.

        Raises:
            HttpError: It is refused; the status says why.
        """
        lanes = self._lanes.get(ask.endpoint)
        lane = None if lanes is None or ask.version is not None else lanes.whole
        if lanes is None or lane is None:
            lanes, lane = self._chosen(ask)
        try:
            rows = ask.content.rows(lane.version)
        except InvalidInput as error:
            self._violated(lane, error)
            raise HttpError(400, str(error)) from error
        if self.waiting + rows.count > self._most:
            self._refused(lane, 429)
            raise HttpError(429, "Too many rows are waiting. Try again in a second.", RETRY)
        number = request_number(self._rng, ask.key)
        # Of one request the log has all answers or none, so that they can be compared.
        share = lane.endpoint.routes.log
        if share < 1.0 and self._rng.random() >= share:
            number = unlogged(number)
        job = Job(self, ask, lane, rows, self._clock.monotonic(), number)
        self.waiting += rows.count
        lane.queue.add(rows, job.done)
        if lanes.shadows and ask.version is None:
            self._mirror(job, lanes)
        return job

    def hand_over(self) -> None:
        """Hand what was answered to the log, which is told of it a moment after the caller."""
        self._recorder.hand_over()

    def close(self) -> None:
        """Let go of every version."""
        for queue in self._queues.values():
            queue.close()

    def refuse(self, endpoint: str, status: int) -> None:
        """Count a request that a door refused."""
        known = endpoint in self.table.endpoints
        labels = (("endpoint", endpoint if known else UNKNOWN), ("status", str(status)))
        self._metrics.count("tidemill_refused_total", labels)

    # The steps of a request.

    def _chosen(self, ask: Ask) -> tuple[Lanes, Lane]:
        """Return who answers a request that names a version, or whose endpoint is split.

        Raises:
            HttpError: There is no such endpoint, or no such version at it.
        """
        try:
            endpoint = self.table.endpoint(ask.endpoint)
            target = endpoint.target(ask.key, ask.version, self._rng)
        except HttpError as error:
            self.refuse(ask.endpoint, error.status)
            raise
        lanes = self._lanes[ask.endpoint]
        return lanes, lanes.of[target.version]

    def finish(self, job: Job, outcome: Outcome | Exception) -> None:
        """Take what a version said, or why it did not."""
        if isinstance(outcome, Outcome):
            self._succeed(job, outcome)
        elif isinstance(outcome, InvalidInput):
            self._violated(job.lane, outcome)
            self._resolve(job, error_response(400, str(outcome)))
        else:
            self._fail(job, outcome)

    def give_up(self, job: Job) -> None:
        """Answer that we have failed."""
        self._resolve(job, error_response(500, "The server failed; its log says why."))

    def _succeed(self, job: Job, outcome: Outcome) -> None:
        ask, lane = job.ask, job.lane
        now = self._clock.monotonic()
        lane.served.answered(outcome.call, ask.arrived, job.began, now)
        lane.served.rows += job.rows.count
        job.end(now - ask.arrived, "ok", outcome)
        number = None
        if job.logged:
            if self._durable or lane.endpoint.routes.durable:
                number = self._recorder.note_now(job)
            else:
                self._recorder.note(job)
        if job.mirrored:
            self._settle(job)
            return
        if now > ask.deadline:
            self._refused(lane, 504)
            self._resolve(job, error_response(504, "The answer came after the deadline."))
            return
        recorded = ask.recorded
        logged = 0.0 if recorded is None else self._clock.monotonic()
        response = ask.content.render(Answer(lane.version, outcome, job.ids, job.rows.count))
        encoded = self._clock.monotonic()
        lane.served.encode.observe(encoded - now)
        if recorded is not None:
            _fill(recorded, job, outcome.call, (now, logged, encoded))
        if number is not None:
            self._when_durable(job, number, response)
        else:
            self._resolve(job, response)

    def _fail(self, job: Job, error: Exception) -> None:
        lane, lanes = job.lane, self._lanes.get(job.ask.endpoint)
        latency = self._clock.monotonic() - job.ask.arrived
        lane.served.errors += 1
        lane.served.rows += job.rows.count
        lane.served.request.observe(latency)
        job.end(latency, "error")
        if job.logged:  # Now, since it may be asked again, of another version.
            self._recorder.note_now(job)
        if job.mirrored:
            self._settle(job)
        elif lanes is None or lane.target.role == "champion" or job.ask.version is not None:
            failed = _failure(lane.target, error)
            self._refused(lane, failed.status)
            self._resolve(job, failed)
        else:
            self._ask_again(job, lanes.champion)

    def _ask_again(self, job: Job, lane: Lane) -> None:
        """Have the champion answer what a candidate could not."""
        try:
            rows = job.ask.content.rows(lane.version)
        except InvalidInput as refused:
            self._resolve(job, error_response(400, str(refused)))
            return
        self.waiting += rows.count - job.rows.count
        job.lane, job.rows = lane, rows
        job.began = self._clock.monotonic()
        lane.queue.add(rows, job.done)

    def _mirror(self, answered: Job, lanes: Lanes) -> None:
        ask = answered.ask
        if self.waiting > self._most // 2:
            self._metrics.count("tidemill_shadow_dropped_total", (("endpoint", ask.endpoint),))
            return
        for lane in lanes.shadows:
            try:
                rows = ask.content.rows(lane.version)
            except InvalidInput:
                # The shadow takes other columns than the champion: that is an error of its own.
                lane.served.errors += 1
                continue
            self.waiting += rows.count
            now, number = self._clock.monotonic(), answered.number
            job = Job(self, ask, lane, rows, now, number, mirrored=True)
            lane.queue.add(rows, job.done)

    def _when_durable(self, job: Job, number: int, response: Response) -> None:
        def answer(failure: LogStopped | None) -> None:
            if failure is not None:
                self._resolve(job, error_response(503, str(failure), RETRY))
            else:
                self._resolve(job, response)

        def settled(failure: LogStopped | None) -> None:
            self._loop.call_soon_threadsafe(answer, failure)

        job.lane.writer.when_durable(number, settled)

    def _resolve(self, job: Job, response: Response) -> None:
        self._settle(job)
        job.resolve(response)

    def _settle(self, job: Job) -> None:
        if not job.settled:
            job.settled = True
            self.waiting -= job.rows.count

    def _refused(self, lane: Lane, status: int) -> None:
        self.refuse(lane.endpoint.name, status)

    def _violated(self, lane: Lane, error: InvalidInput) -> None:
        """Count a request that is refused for its values, by the column whose rule they break."""
        self._refused(lane, 400)
        known = error.column in lane.version.inputs.types
        labels = (
            ("endpoint", lane.endpoint.name),
            ("column", error.column if known else UNKNOWN),
            ("rule", error.rule),
        )
        self._metrics.count("tidemill_violations_total", labels)


def _fill(trace: Trace, job: Job, call: Call, times: tuple[float, float, float]) -> None:
    """Tell a trace what its request came to."""
    trace.began, trace.call = job.began, call
    trace.answered, trace.logged, trace.encoded = times
    trace.attributes = {
        "tidemill.endpoint": job.lane.endpoint.name,
        "tidemill.model": job.lane.target.model,
        "tidemill.version": job.lane.target.version,
        "tidemill.role": job.lane.target.role,
        "tidemill.rows": job.rows.count,
    }


def _failure(target: RouteTarget, error: Exception) -> Response:
    """Say why a version has no answer: it has too much to do, is too slow, or broke."""
    if isinstance(error, TooBusy):
        return error_response(429, str(error), RETRY)
    if isinstance(error, Busy):
        return error_response(503, str(error), RETRY)
    if isinstance(error, TooSlow):
        return error_response(504, f"Version {target.version} did not answer in time.")
    why = _FAILURES.get(type(error), type(error).__name__)
    said = f"Version {target.version} failed: {why}. The log of the workers says more."
    return error_response(500, said)


# What the model said may hold what it was asked: that is for the log, and not for callers.
_FAILURES: dict[type[Exception], str] = {
    ModelRaised: "its model raised an error",
    ChildEnded: "the process of its model ended",
}
