"""One worker process: opens its own socket on the shared port, watches the route table, serves.

`SO_REUSEPORT` lets every worker listen on the same port with a socket of its own, so the kernel
spreads connections, and none of them waits for another. A supervisor may hand a socket over
instead: what is in its queue then survives the worker.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvloop

from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import MissingExtra, TidemillError, Usage
from tidemill.core.ids import Ids
from tidemill.predictions.writer import INTERVAL
from tidemill.serving.routes import read_routes
from tidemill.serving.worker.access import AccessLog
from tidemill.serving.worker.app import App
from tidemill.serving.worker.columns import described
from tidemill.serving.worker.connection import Connections
from tidemill.serving.worker.counting import Metrics
from tidemill.serving.worker.doors.common import Reception
from tidemill.serving.worker.doors.labels import LabelDoor
from tidemill.serving.worker.doors.oip import OpenInference
from tidemill.serving.worker.doors.operations import Operations
from tidemill.serving.worker.doors.scoring import Scoring
from tidemill.serving.worker.figures import Figures
from tidemill.serving.worker.hands import Hands
from tidemill.serving.worker.keeping import Keeping, Orphan
from tidemill.serving.worker.limits import Left, Limits
from tidemill.serving.worker.log import Log
from tidemill.serving.worker.metrics import Sample
from tidemill.serving.worker.opening import Places
from tidemill.serving.worker.peers import State, clear, open_socket, write_state
from tidemill.serving.worker.plane import Plane
from tidemill.serving.worker.ports import listen
from tidemill.serving.worker.redaction import Redactions
from tidemill.serving.worker.settings import Settings, parse
from tidemill.serving.worker.table import Table, load_table
from tidemill.serving.worker.tracing import Traces, are_wanted, sampler_of

logger = logging.getLogger(__name__)
WATCH_SECONDS = 0.05
DRAIN_SECONDS = 10.0
THREADS = 4


class Worker:
    """Everything of one worker, wired.

    Args:
        settings: How it is started.
        clock: Tells the time.
        rng: For ids and keys.
        loop: Its event loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        rng: random.Random,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings = settings
        self._places = Places(settings.bundles, settings.environments)
        self._loop = loop
        self._clock = clock
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="tidemill-large")
        secret = settings.routes.with_name("redaction.key")
        self.log = Log(settings.predictions, Ids(clock), Redactions(secret))
        metrics = Metrics()
        self.plane = Plane(
            loop=loop,
            executor=self._executor,
            log=self.log,
            metrics=metrics,
            clock=clock,
            rng=rng,
            waiting=settings.max_rows,
            durable=settings.durable,
            replayed=settings.header_clock,
        )
        self._reception = reception = Reception(
            clock, by_header=settings.header_clock, largest=settings.max_body
        )
        self._figures = Figures(
            metrics,
            self._also,
            lambda: self.plane.table,
            clock,
            peers=settings.peers,
            number=settings.number,
        )
        self.application = App(
            oip=OpenInference(self.plane, reception),
            scoring=Scoring(self.plane, reception),
            labels=LabelDoor(self.plane, reception, self.log, metrics, self._executor),
            operations=Operations(
                self.plane,
                self.log,
                self._figures,
                self._executor,
                peers=settings.peers,
                durable=settings.durable,
            ),
            hosts=frozenset(settings.allow_hosts),
        )
        limits = Limits(body=settings.max_body, head_seconds=settings.head_seconds)
        access = None if settings.access_log is None else AccessLog(settings.access_log, clock)
        self._access = access
        memory = os.memfd_create("tidemill-hands") if settings.hands is None else settings.hands
        hands = Hands(memory, limits.body + 2 * limits.head)
        os.close(memory)
        self._connections = Connections(self.application, clock, limits, hands, access)
        self._traces: Traces | None = None
        self._rng = rng
        self._stamp: tuple[int, int, int] | None = None
        self._port = 0
        self._helping: set[asyncio.Task[None]] = set()
        self._sweeping = [self._connections.sweep]

    async def serve(self) -> None:
        """Serve until a signal to stop comes, then finish what is being answered."""
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stopped.set)
        await self.follow()
        exporter = self._begin_traces(os.environ)
        # Before it is said that all is ready, so that whoever waits for that finds both.
        rpc = None if self._settings.grpc_port is None else await self._listen_grpc()
        self._loop.add_signal_handler(signal.SIGUSR1, self._begin_to_leave, rpc, stopped)
        listening = await self._listen()
        gc.collect()
        gc.freeze()
        helpers = [asyncio.create_task(self._watch()), asyncio.create_task(self._sweep())]
        await stopped.wait()
        for server in listening:
            server.close()
        if rpc is not None:
            await rpc.stop(DRAIN_SECONDS)
        await self._connections.drain(DRAIN_SECONDS)
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        if exporter is not None:
            exporter.close()
        self.close()
        self._leave()

    def close(self) -> None:
        """Write what is waiting for the log, and stop."""
        self.plane.hand_over()
        self.log.close()
        self._figures.close()
        self.plane.close()
        self._executor.shutdown(wait=False)
        if self._access is not None:
            self._access.close()

    async def _listen(self) -> list[asyncio.Server]:
        opened = _socket(self._settings)
        self._port = opened.getsockname()[1]
        if self._settings.keeper is not None:
            line = socket.socket(fileno=self._settings.keeper)
            self._connections.keeping = Keeping(line, self._loop, self._adopt)
        servers = [await self._loop.create_server(self._connections, sock=opened, backlog=2048)]
        if self._settings.peers is not None:
            own = open_socket(self._settings.peers)
            servers.append(await self._loop.create_unix_server(self._connections, sock=own))
        self._say()
        if self._connections.keeping is not None:
            self._connections.keeping.ready()
        return servers

    def _adopt(self, connection: socket.socket, orphan: Orphan, in_hand: bytes) -> None:
        """Go on with a connection that another worker left."""
        left = Left(orphan.came, orphan.sent, orphan.attempts, in_hand, orphan.number)

        async def take_over() -> None:
            try:
                await self._connections.adopt(connection, left)
            except OSError as error:
                logger.warning("a connection could not be taken over: %s", error)
                connection.close()
                if self._connections.keeping is not None:
                    self._connections.keeping.ended(left.number)

        task = self._loop.create_task(take_over())
        self._helping.add(task)
        task.add_done_callback(self._helping.discard)

    def _begin_to_leave(self, rpc: Any, stopped: asyncio.Event) -> None:
        """Make room for another worker, which is given all that is in hand here."""
        if self._connections.keeping is None:
            stopped.set()
            return
        task = self._loop.create_task(self._give_way(rpc))
        self._helping.add(task)

    async def _give_way(self, rpc: Any) -> None:
        if rpc is not None:  # Its connections are kept by nobody: calls are finished first.
            await rpc.stop(DRAIN_SECONDS)
        # Nothing is answered between these lines, so nothing is answered that is not logged; and
        # whatever is not answered when the process ends, the keeper gives to another.
        self.plane.hand_over()
        self.log.close()
        self._figures.close()
        os._exit(0)

    def _begin_traces(self, environment: Mapping[str, str]) -> Any:
        """Record traces if there is somewhere to send them; predictions go on without."""
        if not are_wanted(environment):
            return None
        try:
            from tidemill.serving.worker.otlp import Exporter

            self._traces = Traces(sampler_of(environment), self._rng)
        except ModuleNotFoundError as error:
            logger.error(
                "no traces: they need %s. Install it with: pip install 'tidemill[otel]'",
                error.name,
            )
            return None
        except Usage as error:
            logger.error("no traces: %s", error)
            return None
        self._connections.traces = self._traces
        return Exporter(self._traces, self._clock, environment, self._settings.number)

    async def _listen_grpc(self) -> Any:
        try:
            from tidemill.serving.worker.calls import Limits as CallLimits
            from tidemill.serving.worker.doors.oip_grpc import INFER, GrpcInference
            from tidemill.serving.worker.grpc_server import GrpcServer
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"gRPC needs {error.name}, which is not installed.",
                hint='Install it with: pip install "tidemill[grpc]"',
            ) from error
        methods = GrpcInference(self.plane, self._reception).methods()
        limits = CallLimits(message=self._settings.max_body)
        server = GrpcServer(methods, self._clock, limits, self._traces, frozenset({INFER}))
        await server.listen(listen(self._settings.host, self._settings.grpc_port or 0))
        self._sweeping.append(server.connections.sweep)
        return server

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self.follow()
            except Exception:
                logger.exception("the route table could not be followed")

    async def follow(self) -> None:
        """Take the route table if it is a new one; versions load in a thread, traffic goes on."""
        stamp = _stamp(self._settings.routes)
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            routes = read_routes(self._settings.routes)
        except TidemillError as error:
            logger.error("the routes stay as they were: %s", error)
            return
        table = await self._loop.run_in_executor(
            self._executor, load_table, routes, self._places, self.plane.table, self._clock
        )
        await self._loop.run_in_executor(self._executor, self._describe, table)
        self.plane.install(table)
        logger.info("generation %s is served", table.generation)
        self._say()

    def _describe(self, table: Table) -> None:
        """Write down the types of what is going to be logged."""
        try:
            for name, endpoint in table.endpoints.items():
                self.log.describe(name, [described(v) for v in endpoint.versions.values()])
        except OSError as error:
            # The log is readable without them: types are then told from the values.
            logger.warning("the types of columns cannot be written down: %s", error)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for sweep in self._sweeping:
                sweep()
            if self._access is not None:
                await asyncio.to_thread(self._access.tend)
            await self._figures.keep()

    def _also(self) -> list[Sample]:
        """Return what others than the plane have counted."""
        worker = (("worker", str(self._settings.number)),)
        return [
            Sample("tidemill_rows_waiting", worker, self.plane.waiting),
            Sample("tidemill_connections", worker, len(self._connections.open)),
            *(
                Sample("tidemill_log_dropped_total", (("endpoint", name),), count)
                for name, count in self.log.losses.items()
            ),
            Sample("tidemill_log_window_seconds", worker, INTERVAL),
            Sample("tidemill_log_commit_seconds", worker, self.log.commit_seconds),
            Sample("tidemill_worker_restarts_total", (), int(self._settings.restarted)),
            Sample("tidemill_worker_outgrown_total", (), int(self._settings.outgrown)),
            Sample("tidemill_repeated_total", (), self._connections.repeated),
            *self._watched(),
            *(
                Sample("tidemill_http_responses_total", (("status", str(status)),), count)
                for status, count in self._connections.answered.items()
            ),
        ]

    def _watched(self) -> list[Sample]:
        """Return what the access log and the traces have lost, where there are any."""
        found = []
        if self._access is not None:
            found.append(Sample("tidemill_access_log_dropped_total", (), self._access.dropped))
        if self._traces is not None:
            found.append(Sample("tidemill_spans_exported_total", (), self._traces.exported))
            found.append(Sample("tidemill_spans_dropped_total", (), self._traces.dropped))
        return found

    def _say(self) -> None:
        """Write down what is served, for the supervisor."""
        if self._settings.peers is None or self._port == 0:
            return
        table = self.plane.table
        state = State(
            pid=os.getpid(),
            port=self._port,
            generation=table.generation,
            problems=table.problems,
        )
        write_state(self._settings.peers, state)

    def _leave(self) -> None:
        if self._settings.peers is not None:
            clear(self._settings.peers, os.getpid())


def run(settings: Settings) -> None:
    """Serve until told to stop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        rng = random.Random(random.SystemRandom().getrandbits(128))  # noqa: S311
        await Worker(settings, clock=SystemClock(), rng=rng, loop=loop).serve()

    # Collections are rare: almost nothing that a request makes is in a circle.
    gc.set_threshold(50_000, 20, 20)
    uvloop.run(main())


def main(arguments: list[str] | None = None) -> None:
    """Run a worker from its command line."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    run(parse(sys.argv[1:] if arguments is None else arguments))


def _socket(settings: Settings) -> socket.socket:
    if settings.fd is not None:
        return socket.socket(fileno=settings.fd)
    return listen(settings.host, settings.port)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
