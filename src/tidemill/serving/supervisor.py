"""Keeps the workers running: starts them on one port, and starts another when one dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from tidemill.serving.errors import WorkersNotReady

_TICK = 0.05
_PATIENCE = 5.0
_BACKOFF = 2.0
"""A worker that lived less than this is started again only after it."""


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself."""

    pid: int
    port: int
    generation: int
    problems: dict[str, str] = {}


class Supervisor:
    """Runs a number of workers.

    Args:
        routes: The route table's file.
        bundles: The folder of unpacked bundles.
        predictions: The root of the letterbox.
        peers: Where workers leave their states and sockets.
        log: Where workers' output goes.
        host: Where they listen.
        port: Where they listen; 0 takes a free one.
        workers: How many.
        header_clock: Whether a request may say when it is.
        durable: Whether every answer waits for its log record.
    """

    def __init__(
        self,
        *,
        routes: Path,
        bundles: Path,
        predictions: Path,
        peers: Path,
        log: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 1,
        header_clock: bool = False,
        durable: bool = False,
        allow_hosts: tuple[str, ...] = (),
    ) -> None:
        self._peers = peers
        self._log = log
        self._count = workers
        self.host = host
        self.port = port or _free_port(host)
        self._command = [
            *(sys.executable, "-m", "tidemill.serving.worker"),
            *("--routes", str(routes), "--bundles", str(bundles)),
            *("--predictions", str(predictions), "--peers", str(peers)),
            *("--host", host, "--port", str(self.port)),
            *("--clock", "header" if header_clock else "system"),
            *(("--durable",) if durable else ()),
            *(part for name in allow_hosts for part in ("--allow-host", name)),
        ]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._born: dict[int, float] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.restarts = 0

    @property
    def url(self) -> str:
        """Where the workers answer."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Start the workers and watch over them."""
        self._peers.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self._peers.iterdir():
            leftover.unlink(missing_ok=True)
        self._processes = [self._spawn() for _ in range(self._count)]
        self._thread = threading.Thread(target=self._watch, name="tidemill-workers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let every worker finish what it is answering, and end it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def states(self) -> list[WorkerState]:
        """Return what the living workers say of themselves."""
        alive = {p.pid for p in self._processes if p.poll() is None}
        found = []
        for path in sorted(self._peers.glob("*.json")):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                state = msgspec.json.decode(path.read_bytes(), type=WorkerState)
                if state.pid in alive:
                    found.append(state)
        return found

    def wait(self, generation: int, timeout: float = 30.0) -> None:
        """Return when every worker serves a generation of the route table.

        Raises:
            WorkersNotReady: They do not, after `timeout` seconds.
        """
        for _ in range(max(int(timeout / _TICK), 1)):
            states = self.states()
            if len(states) >= self._count and all(s.generation >= generation for s in states):
                return
            time.sleep(_TICK)
        raise WorkersNotReady(
            f"{self._count} workers do not serve generation {generation} of the routes.",
            expected=f"all of them, within {timeout:g} seconds",
            hint=f"Their output is in {self._log}.",
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self._born[process.pid] = time.monotonic()
        return process

    def _watch(self) -> None:
        while not self._stopping.wait(_TICK):
            for place, process in enumerate(self._processes):
                if process.poll() is None:
                    continue
                for suffix in (".json", ".sock"):
                    (self._peers / f"{process.pid}{suffix}").unlink(missing_ok=True)
                lived = time.monotonic() - self._born.pop(process.pid, 0.0)
                if lived < _BACKOFF and self._stopping.wait(_BACKOFF - lived):
                    return
                self._processes[place] = self._spawn()
                self.restarts += 1


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
