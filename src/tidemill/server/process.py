"""`tidemill up`: the control plane, the workers and the loop, in the foreground."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from tidemill.core.clock import SystemClock
from tidemill.core.errors import MissingExtra, Refused
from tidemill.home import Home
from tidemill.server.app import LOCAL, create_app
from tidemill.server.beside import Beside
from tidemill.server.doors import for_mlflow, mlflow_door
from tidemill.server.operations import Operations
from tidemill.server.protocol import GRACE_SECONDS, protocol
from tidemill.server.shortcut import Shortcut
from tidemill.server.traffic import Traffic
from tidemill.serving.supervisor import Supervisor
from tidemill.serving.worker.limits import BODY, ROWS
from tidemill.serving.worker.ports import PortTaken

TICK_SECONDS = 30.0


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
    worker_memory: float | None = None,
    allow_hosts: tuple[str, ...] = (),
    max_body: int = BODY,
    max_rows: int = ROWS,
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
        worker_memory: How many MB a worker may take before another takes its place, or any.
        allow_hosts: Names by which clients may call the workers, beside the local ones.
        max_body: The largest body of a request to them, in bytes.
        max_rows: How many rows may be in the hands of one before it says 429.

    Raises:
        OpenToOthers: The host is not loopback.
        MissingExtra: gRPC is asked for and not installed.
    """
    if grpc_port is not None and find_spec("hpack") is None:
        raise MissingExtra(
            f"The port {grpc_port} for gRPC needs hpack, which is not installed.",
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
        worker_memory=worker_memory,
        allow_hosts=allow_hosts,
        max_body=max_body,
        max_rows=max_rows,
    )
    supervisor.start()
    try:
        with closing(_listen(host, port)) as listening:
            address = _url(host, listening.getsockname()[1])
            home.lock.announce(address)
            home.surroundings = lambda run_id: for_mlflow(home, address, run_id)
            traffic, server = _api(home, supervisor)
            beside = Beside(
                home,
                supervisor,
                generation,
                traffic.counts,
                tick,
                answers=lambda: server.started,
                ready=lambda: on_ready(address, supervisor.url),
                give_up=server.give_up,
            )
            beside.start()
            try:
                server.run(sockets=[listening])
            finally:
                beside.finish()
    finally:
        supervisor.stop()


def _api(home: Home, supervisor: Supervisor) -> tuple[Traffic, _Server]:
    operations = Operations(home)
    operations.serving = supervisor.url
    operations.workers = lambda: len(supervisor.states())
    clock, door = SystemClock(), mlflow_door(home)
    traffic = Traffic(create_app(operations, mlflow=door), clock)
    return traffic, _server(traffic, Shortcut(door, LOCAL, traffic, clock))


def _server(app: Any, shortcut: Shortcut) -> _Server:
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
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


class _Server(uvicorn.Server):
    def give_up(self) -> None:
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if sig == signal.SIGINT:
            self.force_exit = True


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


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
