"""`tidemill up`: the control plane, the workers and the loop, in the foreground."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from tidemill.core.clock import SystemClock
from tidemill.core.errors import MissingExtra, Refused, TidemillError
from tidemill.home import Home
from tidemill.monitoring.apart import Apart
from tidemill.server.app import LOCAL, create_app
from tidemill.server.doors import for_mlflow, mlflow_door
from tidemill.server.losses import lost
from tidemill.server.operations import Operations
from tidemill.server.protocol import protocol
from tidemill.server.repeating import Repeater
from tidemill.server.shortcut import Shortcut
from tidemill.server.traffic import Traffic
from tidemill.server.vitals import SAMPLE_SECONDS, sampling
from tidemill.serving.counters import ask_workers
from tidemill.serving.supervisor import Supervisor
from tidemill.webhooks.dispatcher import Dispatcher

logger = logging.getLogger(__name__)
TICK_SECONDS = 30.0
_BLINK = 0.01
GUARD_SECONDS = 0.5
"""How often the health of candidates is looked at while one is being rolled out."""
ALERT_SECONDS = 5.0
"""How long an alert that only time makes due waits at the most."""
_SWITCH_SECONDS = 0.0005


class OpenToOthers(Refused):
    """The address is reachable from other machines, and nobody would be asked who they are."""


def serve(
    home: Home,
    *,
    host: str,
    port: int,
    serve_port: int,
    workers: int,
    on_ready: Callable[[str, str], None],
    tick: float = TICK_SECONDS,
    grpc_port: int | None = None,
    access_log: Path | None = None,
) -> None:
    """Serve a home until a signal to stop comes.

    Args:
        home: The home.
        host: Where to listen.
        port: The control plane's port; 0 takes a free one.
        serve_port: The workers' port; 0 takes a free one.
        workers: How many workers.
        on_ready: Is told the two addresses, once both answer.
        tick: How often the loop goes around, in seconds.
        grpc_port: The workers' port for gRPC, or none.
        access_log: A file for a line about each request to the workers, or none.

    Raises:
        OpenToOthers: The host is not loopback.
        MissingExtra: gRPC is asked for and not installed.
    """
    if grpc_port is not None and find_spec("grpc") is None:
        raise MissingExtra(
            f"The port {grpc_port} for gRPC needs grpcio, which is not installed.",
            hint='Install it with: pip install "tidemill[grpc]"',
        )
    if host not in LOCAL:
        raise OpenToOthers(
            f"The address {host} is reachable from other machines, and this server asks nobody "
            "who they are.",
            expected="127.0.0.1, localhost or ::1",
            hint="Put a proxy that authenticates before it.",
        )
    generation = home.deployments.write_routes()
    supervisor = home.supervisor(
        host=host,
        port=serve_port,
        workers=workers,
        grpc_port=grpc_port,
        access_log=access_log,
    )
    supervisor.start()
    stopping = threading.Event()
    listening = None
    beside = list(_beside(home))
    looking = Apart()
    try:
        operations = Operations(home)
        operations.serving = supervisor.url
        operations.workers = lambda: len(supervisor.states())
        listening = _listen(host, port)
        address = _url(host, listening.getsockname()[1])
        home.lock.announce(address)
        home.surroundings = lambda run_id: for_mlflow(home, address, run_id)
        clock, door = SystemClock(), mlflow_door(home)
        traffic = Traffic(create_app(operations, mlflow=door), clock)
        server = _server(traffic, Shortcut(door, LOCAL, traffic, clock))
        sample = sampling(home, supervisor, traffic.counts)
        vitals = Repeater("tidemill-vitals", sample, SAMPLE_SECONDS)
        beside.append(vitals)
        home.monitor.look_apart(looking, home.reference_source)

        def rest() -> None:
            supervisor.wait(generation)
            # Whoever reads that all is ready may ask the API, or end it, at once.
            while not server.started:
                if stopping.wait(_BLINK):
                    return
            on_ready(address, supervisor.url)
            _loop(home, supervisor.url, stopping, tick)

        assert home.controller  # built before two threads would build it
        loop = _Companion(rest, server)
        loop.start()
        for thread in beside:
            thread.start()
        _settle()
        with _guarding(home, supervisor), _telling(home):
            server.run(sockets=[listening])
        stopping.set()
        loop.finish()
    finally:
        stopping.set()
        for thread in beside:
            thread.finish(ALERT_SECONDS)
        looking.close()
        supervisor.stop()
        if listening is not None:
            listening.close()


def _settle() -> None:
    """Have Python look for garbage seldom, and never in what is there for good.

    The writer's thread needs the interpreter back after each statement; by default it waits up to
    5 ms for an event loop that is busy, and every client with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(_SWITCH_SECONDS)


@contextmanager
def _telling(home: Home) -> Iterator[None]:
    """Have webhooks sent meanwhile, where they may be sent anywhere."""
    if home.webhooks.allowed.nothing:
        yield
        return
    dispatcher = Dispatcher(home.webhooks)
    dispatcher.start()
    try:
        yield
    finally:
        dispatcher.stop()


@contextmanager
def _guarding(home: Home, supervisor: Supervisor) -> Iterator[None]:
    """Have the health of candidates watched meanwhile, whatever else the loop is doing."""
    stopping = threading.Event()
    guard = threading.Thread(
        target=_guard, args=(home, supervisor, stopping), name="tidemill-guard"
    )
    guard.start()
    try:
        yield
    finally:
        stopping.set()
        guard.join()


def _guard(home: Home, supervisor: Supervisor, stopping: threading.Event) -> None:
    """Watch the health of candidates until the end."""
    while not stopping.wait(GUARD_SECONDS):
        try:
            if home.controller.rolling:
                newest = home.deployments.generation()
                states = [s for s in supervisor.states() if s.generation >= newest]
                problems = {k: v for s in states for k, v in s.problems.items()}
                home.controller.guard(ask_workers(supervisor.url), problems)
        except TidemillError as error:
            logger.warning("the guard: %s", error)
        except Exception:
            logger.exception("the guard failed this time")


class _Companion(threading.Thread):
    """Does what is to be done beside the server, which ends where that fails."""

    def __init__(self, work: Callable[[], None], server: uvicorn.Server) -> None:
        super().__init__(name="tidemill-loop")
        self._work = work
        self._server = server
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._failure = error
            self._server.should_exit = True

    def finish(self) -> None:
        """Wait for the end, and raise what it failed with."""
        self.join()
        if self._failure is not None:
            raise self._failure


def _beside(home: Home) -> tuple[Repeater, ...]:
    """Return what watches for alerts and what delivers them: neither waits for a training."""
    watching = Repeater("tidemill-alerts", home.alerts.tick, ALERT_SECONDS)
    delivering = Repeater("tidemill-delivery", home.dispatcher.flush, ALERT_SECONDS)
    for thread in (watching, delivering):
        home.db.watch(thread.wake)
    return watching, delivering


def _server(app: Any, shortcut: Shortcut) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            app,
            http=protocol(shortcut),  # type: ignore[arg-type]
            ws="none",
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
    )


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if sig == signal.SIGINT:
            self.force_exit = True


def _loop(home: Home, serving: str, stopping: threading.Event, tick: float) -> None:
    """Let the loop go around until the end; a round that fails is reported and not the last."""
    rounds = (home.controller.tick, home.keeper.tend, lambda: home.keeper.notice(lost(serving)))
    while not stopping.is_set():
        for part in rounds:
            try:
                part()
            except TidemillError as error:
                logger.warning("the loop: %s", error)
            except Exception:
                logger.exception("the loop failed this time around")
        stopping.wait(tick)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise PortTaken(
            f"Port {port} of {host} cannot be taken: {error.strerror}.",
            hint="Choose another one with --port.",
        ) from error
    opened.listen(128)
    return opened


class PortTaken(Refused):
    """Another program listens there."""


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
