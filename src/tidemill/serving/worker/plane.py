"""The data plane: rows in, an answer out. Every protocol is a door to this one room.

A request is validated, routed, answered in a batch, logged and counted here; a door only
translates. A candidate that fails is not the caller's trouble: the champion answers instead, and
the failure is logged against the candidate.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Literal

import msgspec

from tidemill.core.clock import Clock, micros
from tidemill.core.errors import Busy
from tidemill.models.calls import Call
from tidemill.models.errors import InvalidInput, TooBusy, TooSlow
from tidemill.predictions.errors import LogStopped
from tidemill.predictions.identity import ids_of, request_number
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.sampling import is_logged, unlogged
from tidemill.serving.routes import RouteTarget
from tidemill.serving.worker.batching import Queue
from tidemill.serving.worker.http import HttpError, Response, error_response
from tidemill.serving.worker.log import Log, Receipt
from tidemill.serving.worker.metrics import Metrics, Served
from tidemill.serving.worker.opening import queue_before
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.table import Endpoint, Table
from tidemill.serving.worker.trace import Trace
from tidemill.serving.worker.version import Outcome, Version

logger = logging.getLogger(__name__)
UNKNOWN = "?"
"""What stands for an endpoint or a column that does not exist."""
RETRY = ((b"retry-after", b"1"),)
RowsFor = Callable[[Version], Rows]
Render = Callable[["Answer"], Response]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request for predictions, from whichever door.

    Attributes:
        endpoint: Its name.
        rows: Makes the rows for the version that answers; versions may take different columns.
        render: Makes the response.
        version: The version asked for, where one is.
        key: What the split goes by; a random one where it is left out.
        request_id: The caller's name for the request.
        time: Of the prediction, in microseconds since 1970.
        arrived: When the request was whole, in seconds of the monotonic clock.
        deadline: When the caller gives up, in seconds of the monotonic clock.
        trace: The trace that the request belongs to, where there is one.
        recorded: Its part of that trace, where it is recorded.
    """

    endpoint: str
    rows: RowsFor
    render: Render
    version: str | None
    key: str | None
    request_id: str
    time: int
    arrived: float
    deadline: float
    trace: str = ""
    recorded: Trace | None = None


class Answer(msgspec.Struct, frozen=True):
    """What the doors render.

    Attributes:
        version: The version that answered.
        outcome: What it said.
        ids: The predictions' ids, one a row.
    """

    version: Version
    outcome: Outcome
    ids: list[str]


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
        self._replayed = replayed
        self._loop = loop
        self._executor = executor
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._most = waiting
        self._durable = durable
        self._queues: dict[Version, Queue] = {}
        self.table = Table()
        self.waiting = 0

    def install(self, table: Table) -> None:
        """Serve by this table from the next request on."""
        versions = [v for e in table.endpoints.values() for v in e.versions.values()]
        known = self._queues
        self._queues = {v: known.get(v) or self._queue(v) for v in versions}
        self.table = table
        self._metrics.keep({name: e.versions for name, e in table.endpoints.items()})
        for version in known.keys() - self._queues.keys():
            known[version].close()

    def submit(self, ask: Ask) -> Reply:
        """Have a request answered.

        Raises:
            HttpError: It is refused; the status says why.
        """
        try:
            endpoint = self.table.endpoint(ask.endpoint)
            target = endpoint.target(ask.key, ask.version, self._rng)
        except HttpError as error:
            self.refuse(ask.endpoint, error.status)
            raise
        rows = self._rows(endpoint, target, ask)
        if self.waiting + rows.count > self._most:
            self._refused(endpoint, 429)
            raise HttpError(429, "Too many rows are waiting. Try again in a second.", RETRY)
        number = request_number(self._rng, ask.key)
        # Of one request the log has all answers or none, so that they can be compared.
        if endpoint.routes.log < 1.0 and self._rng.random() >= endpoint.routes.log:
            number = unlogged(number)
        job = _Job(self, ask, endpoint, target, rows, self._clock.monotonic(), number)
        self.waiting += rows.count
        self._start(job)
        if ask.version is None and endpoint.shadows:
            self._mirror(job)
        return job.reply

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

    def _rows(self, endpoint: Endpoint, target: RouteTarget, ask: Ask) -> Rows:
        try:
            return ask.rows(endpoint.versions[target.version])
        except InvalidInput as error:
            self._violated(endpoint, target.version, error)
            raise HttpError(400, str(error)) from error

    def _start(self, job: _Job) -> None:
        version = job.endpoint.versions[job.target.version]
        queue = self._queues.get(version) or self._queue(version)
        queue.add(job.rows, job.done)

    def _queue(self, version: Version) -> Queue:
        return queue_before(version, self._loop, self._executor)

    def finish(self, job: _Job, outcome: Outcome | Exception) -> None:
        """Take what a version said, or why it did not."""
        if isinstance(outcome, Outcome):
            self._succeed(job, outcome)
        elif isinstance(outcome, InvalidInput):
            self._violated(job.endpoint, job.target.version, outcome)
            self._resolve(job, error_response(400, str(outcome)))
        else:
            self._fail(job, outcome)

    def give_up(self, job: _Job) -> None:
        """Answer that we have failed."""
        self._resolve(job, error_response(500, "The server failed; its log says why."))

    def _succeed(self, job: _Job, outcome: Outcome) -> None:
        ids = job.ids()
        now = self._clock.monotonic()
        served = self._served(job)
        served.answered(outcome.call, job.ask.arrived, job.began)
        receipt = self._record(job, served, "ok", ids, outcome, now)
        if job.mirrored:
            self._settle(job)
            return
        version = job.endpoint.versions[job.target.version]
        if now > job.ask.deadline:
            self._refused(job.endpoint, 504)
            self._resolve(job, error_response(504, "The answer came after the deadline."))
            return
        recorded = job.ask.recorded
        logged = 0.0 if recorded is None else self._clock.monotonic()
        response = job.ask.render(Answer(version, outcome, ids))
        encoded = self._clock.monotonic()
        served.encode.observe(encoded - now)
        if recorded is not None:
            _fill(recorded, job, outcome.call, (now, logged, encoded))
        if receipt is not None and (self._durable or job.endpoint.routes.durable):
            self._when_durable(job, receipt, response)
        else:
            self._resolve(job, response)

    def _fail(self, job: _Job, error: Exception) -> None:
        served = self._served(job)
        served.errors += 1
        self._record(job, served, "error", job.ids(), None, self._clock.monotonic())
        champion = job.endpoint.champion
        if job.mirrored:
            self._settle(job)
        elif job.target.role == "champion" or job.ask.version is not None:
            failed = _failure(job.target, error)
            self._refused(job.endpoint, failed.status)
            self._resolve(job, failed)
        else:
            job.target = champion
            try:
                rows = job.ask.rows(job.endpoint.versions[champion.version])
            except InvalidInput as refused:
                self._resolve(job, error_response(400, str(refused)))
                return
            self.waiting += rows.count - job.rows.count
            job.rows = rows
            job.began = self._clock.monotonic()
            self._start(job)

    def _mirror(self, answered: _Job) -> None:
        ask, endpoint = answered.ask, answered.endpoint
        if self.waiting > self._most // 2:
            self._metrics.count("tidemill_shadow_dropped_total", (("endpoint", endpoint.name),))
            return
        for target in endpoint.shadows:
            try:
                rows = ask.rows(endpoint.versions[target.version])
            except InvalidInput:
                # The shadow takes other columns than the champion: that is an error of its own.
                self._metrics.served(endpoint.name, target.version, target.role).errors += 1
                continue
            self.waiting += rows.count
            now, number = self._clock.monotonic(), answered.number
            self._start(_Job(self, ask, endpoint, target, rows, now, number, mirrored=True))

    def _record(
        self,
        job: _Job,
        served: Served,
        status: Literal["ok", "error"],
        ids: list[str],
        outcome: Outcome | None,
        now: float,
    ) -> Receipt | None:
        """Count the answer, and log it."""
        target, name, routes = job.target, job.endpoint.name, job.endpoint.routes
        latency = now - job.ask.arrived
        served.rows += job.rows.count
        served.request.observe(latency)
        if not job.logged:
            return None
        inputs = job.endpoint.versions[target.version].inputs
        features: dict[str, Any] = job.rows.features(inputs)
        keys = job.rows.keys
        redacted: dict[str, list[str | None]] = {}
        if routes.redact:
            redaction = self._log.redactions.of(routes.redact)
            features, redacted = redaction.parted(features)
            keys = redaction.keys(inputs.key, keys)
        record = PredictionRecord(
            job.ask.time,
            target.model,
            target.version,
            target.role,
            job.ask.request_id,
            int(latency * 1e6),
            status,
            ids,
            keys,
            features,
            [] if outcome is None else outcome.values,
            None if outcome is None else outcome.scores,
            arrived=self._came(latency) if self._replayed else 0,
            weight=1.0 / routes.log,
            trace=job.ask.trace,
            redacted=redacted,
        )
        return self._log.prediction(name, record)

    def _came(self, latency: float) -> int:
        """Return when a request came by the machine's clock, in microseconds since 1970."""
        return micros(self._clock.now()) - int(latency * 1e6)

    def _when_durable(self, job: _Job, receipt: Receipt, response: Response) -> None:
        def answer(failure: LogStopped | None) -> None:
            if failure is not None:
                self._resolve(job, error_response(503, str(failure), RETRY))
            else:
                self._resolve(job, response)

        def settled(failure: LogStopped | None) -> None:
            self._loop.call_soon_threadsafe(answer, failure)

        receipt.when_durable(settled)

    def _resolve(self, job: _Job, response: Response) -> None:
        self._settle(job)
        job.reply.resolve(response)

    def _settle(self, job: _Job) -> None:
        if not job.settled:
            job.settled = True
            self.waiting -= job.rows.count

    def _refused(self, endpoint: Endpoint, status: int) -> None:
        self.refuse(endpoint.name, status)

    def _violated(self, endpoint: Endpoint, version: int, error: InvalidInput) -> None:
        """Count a request that is refused for its values, by the column whose rule they break."""
        self._refused(endpoint, 400)
        known = error.column in endpoint.versions[version].inputs.types
        labels = (
            ("endpoint", endpoint.name),
            ("column", error.column if known else UNKNOWN),
            ("rule", error.rule),
        )
        self._metrics.count("tidemill_violations_total", labels)

    def _served(self, job: _Job) -> Served:
        return self._metrics.served(job.endpoint.name, job.target.version, job.target.role)


def _fill(trace: Trace, job: _Job, call: Call, times: tuple[float, float, float]) -> None:
    """Tell a trace what its request came to."""
    trace.began, trace.call = job.began, call
    trace.answered, trace.logged, trace.encoded = times
    trace.attributes = {
        "tidemill.endpoint": job.endpoint.name,
        "tidemill.model": job.target.model,
        "tidemill.version": job.target.version,
        "tidemill.role": job.target.role,
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
    return error_response(500, f"Version {target.version} failed: {type(error).__name__}.")


class _Job:
    """One request on its way through the plane."""

    __slots__ = (
        "_plane",
        "ask",
        "began",
        "endpoint",
        "logged",
        "mirrored",
        "number",
        "reply",
        "rows",
        "settled",
        "target",
    )

    def __init__(
        self,
        plane: Plane,
        ask: Ask,
        endpoint: Endpoint,
        target: RouteTarget,
        rows: Rows,
        began: float,
        number: int,
        *,
        mirrored: bool = False,
    ) -> None:
        self._plane = plane
        self.logged = is_logged(number)
        self.began = began
        self.ask = ask
        self.endpoint = endpoint
        self.target = target
        self.rows = rows
        self.number = number
        self.mirrored = mirrored
        self.settled = False
        self.reply = Reply()

    def ids(self) -> list[str]:
        """Return the predictions' ids; a shadow's differ from the answer's by its version."""
        return ids_of(self.ask.time, self.target.version, self.number, self.rows.count)

    def done(self, outcome: Outcome | Exception) -> None:
        try:
            self._plane.finish(self, outcome)
        except Exception:  # the others of the batch are not to wait for ever because of one
            logger.exception("a request to %s failed", self.endpoint.name)
            self._plane.give_up(self)
