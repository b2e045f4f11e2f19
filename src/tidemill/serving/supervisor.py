"""Keeps the workers running: starts them, restarts the dead and the hanging, stops them in order.

The supervisor owns the listening sockets and lends one to each worker: when a worker dies, the
connections that wait in its queue wait for its successor, and none is refused. Workers outlive a
supervisor that is killed; the next one starts its own, and then asks the old ones to finish.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from tidemill.core.clock import SystemClock
from tidemill.core.settings import without_secrets
from tidemill.serving.errors import WorkersNotReady
from tidemill.serving.keeper import Keeper
from tidemill.serving.worker import peers as folder
from tidemill.serving.worker.metrics import Snapshot, total
from tidemill.serving.worker.peers import State as WorkerState
from tidemill.serving.worker.peers import ask_all
from tidemill.serving.worker.tallies import KEEP, Tallies, forget

logger = logging.getLogger(__name__)
_TICK = 0.02
_YOUNG = 2.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_PING_SECONDS = 5.0
_SILENCES = 3
"""How many pings in a row a worker may leave unanswered before it is replaced."""
_STOP_SECONDS = 15.0
_COUNT_SECONDS = 1.0


class Supervisor:
    """Runs a number of workers on one port.

    Args:
        routes: The route table's file.
        bundles: The folder of unpacked bundles.
        environments: The folder of environments, for models without a twin.
        predictions: The root of the letterbox.
        peers: Where workers leave their states and sockets.
        log: Where workers' output goes.
        host: Where they listen.
        port: Where they listen; 0 takes a free one.
        workers: How many.
        header_clock: Whether a request may say when it is.
        durable: Whether every answer waits for its log record.
        allow_hosts: Names by which clients may call, beside the local ones.
        grpc_port: Where they listen for gRPC, or nowhere; needs the extra `grpc`.
        access_log: A file with a line for each request, or none.
        ping_seconds: How often a worker is asked whether it still answers.
    """

    def __init__(
        self,
        *,
        routes: Path,
        bundles: Path,
        predictions: Path,
        peers: Path,
        log: Path,
        environments: Path = Path("environments"),
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 1,
        header_clock: bool = False,
        durable: bool = False,
        allow_hosts: tuple[str, ...] = (),
        grpc_port: int | None = None,
        access_log: Path | None = None,
        ping_seconds: float = _PING_SECONDS,
    ) -> None:
        self._peers = peers
        self._log = log
        self._count = workers
        self._ping_seconds = ping_seconds
        self.host = host
        self._arguments = [
            *("--routes", str(routes), "--bundles", str(bundles)),
            *("--environments", str(environments)),
            *("--predictions", str(predictions), "--peers", str(peers), "--host", host),
            *("--clock", "header" if header_clock else "system"),
            *(("--durable",) if durable else ()),
            *(() if grpc_port is None else ("--grpc-port", str(grpc_port))),
            *(() if access_log is None else ("--access-log", str(access_log))),
            *(part for name in allow_hosts for part in ("--allow-host", name)),
        ]
        self._slots: list[_Slot] = []
        self._before: list[int] = []
        # Opened here, so that a taken port is known before anything is started.
        self._sockets = [_listen(host, port)]
        self.port: int = self._sockets[0].getsockname()[1]
        self._keeper = Keeper()

    @property
    def url(self) -> str:
        """Where the workers answer."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def restarts(self) -> int:
        """How many workers were started again."""
        return sum(slot.restarts for slot in self._slots)

    @property
    def repeated(self) -> int:
        """How many requests were in the hands of a worker that died, and given to another."""
        return self._keeper.repeated

    def start(self) -> None:
        """Start the workers and watch over them."""
        self._peers.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._before = _left_behind(self._peers)
        if not self._before:
            forget(self._peers)
        while len(self._sockets) < self._count:
            self._sockets.append(_listen(self.host, self.port))
        arguments = [*self._arguments, "--port", str(self.port)]
        for number, listening in enumerate(self._sockets):
            own = [*arguments, "--number", str(number)]
            slot = _Slot(listening, own, self._peers, self._log, self._ping_seconds, self._keeper)
            self._slots.append(slot)
            slot.start()

    def wait(self, generation: int, timeout: float = 30.0) -> None:
        """Return when every worker serves a generation of the route table.

        Raises:
            WorkersNotReady: They do not, after `timeout` seconds.
        """
        clock = SystemClock()
        end = clock.monotonic() + timeout
        while not self._serve(generation):
            if clock.monotonic() > end:
                raise WorkersNotReady(
                    f"{self._count} workers do not serve generation {generation} of the routes.",
                    expected=f"all of them, within {timeout:g} seconds",
                    hint=f"Their output is in {self._log}.",
                )
            clock.sleep(_TICK)
        self._retire()

    def states(self) -> list[WorkerState]:
        """Return what the living workers say of themselves."""
        return [state for slot in self._slots if (state := slot.state()) is not None]

    def counts(self) -> Snapshot:
        """Return what all workers have counted, those that have ended too.

        One that does not answer has its say by what it wrote down last.
        """
        with suppress(TimeoutError):
            asyncio.run(ask_all(self._peers, "POST", KEEP, _COUNT_SECONDS))
        # No worker has this number: none is left out for being the one that asks.
        return total(Tallies(self._peers, 0, 0).others())

    def stop(self) -> None:
        """Let every worker finish what it is answering, and end it."""
        for slot in self._slots:
            slot.ask_to_stop()
        for slot in self._slots:
            slot.join()
        for listening in self._sockets:
            listening.close()
        self._keeper.stop()
        self._retire()

    def _serve(self, generation: int) -> bool:
        states = self.states()
        return len(states) == self._count and all(s.generation >= generation for s in states)

    def _retire(self) -> None:
        """Ask the workers of an earlier supervisor to finish: ours have taken over."""
        for pid in self._before:
            _signal(pid, signal.SIGTERM)
        self._before = []


class _Slot:
    """One place for a worker: its socket, its process, and the thread that watches over it."""

    def __init__(
        self,
        listening: socket.socket,
        arguments: list[str],
        peers: Path,
        log: Path,
        ping_seconds: float,
        keeper: Keeper,
    ) -> None:
        self._keeper = keeper
        self._socket = listening
        self._peers = peers
        self._log = log
        self._ping_seconds = ping_seconds
        self._command = [
            *(sys.executable, "-m", "tidemill.serving.worker", *arguments),
            *("--fd", str(listening.fileno())),
        ]
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="tidemill-worker", daemon=True)
        self.restarts = -1

    def start(self) -> None:
        self._spawn()
        self._thread.start()

    def state(self) -> WorkerState | None:
        process = self._process
        if process is None or process.poll() is not None:
            return None
        return folder.read_state(self._peers, process.pid)

    def ask_to_stop(self) -> None:
        with self._lock:
            self._stopping.set()
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def join(self) -> None:
        self._thread.join()

    def _spawn(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self.restarts += 1
            line, hands = self._keeper.place()
            lent = ["--keeper-fd", str(line.fileno()), "--hands-fd", str(hands)]
            if self.restarts:
                lent.append("--restarted")
            with line, self._log.open("ab") as log:
                # A session of its own: Ctrl-C is for the supervisor, who stops workers in order.
                self._process = subprocess.Popen(
                    [*self._command, *lent],
                    pass_fds=(self._socket.fileno(), line.fileno(), hands),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**without_secrets(os.environ), "OMP_NUM_THREADS": "1"},
                    start_new_session=True,
                )
            os.close(hands)

    def _watch(self) -> None:
        clock = SystemClock()
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            process = self._process
            assert process is not None
            born = clock.monotonic()
            code = self._ended(process)
            folder.clear(self._peers, process.pid)
            if self._stopping.is_set():
                break
            logger.warning("the worker with pid %s ended with %s", process.pid, code)
            if clock.monotonic() - born < _YOUNG:
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
            self._spawn()
        self._finish()

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Return a worker's exit code once it has ended, by itself or because it hung."""
        silences = 0
        while True:
            try:
                return process.wait(self._ping_seconds)
            except subprocess.TimeoutExpired:
                answered = folder.answers(self._peers, process.pid, self._ping_seconds)
                silences = 0 if answered else silences + 1
                if silences >= _SILENCES:
                    logger.error("the worker with pid %s hangs and is replaced", process.pid)
                    process.kill()

    def _finish(self) -> None:
        process = self._process
        assert process is not None
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folder.clear(self._peers, process.pid)


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that shares its port with the other workers'."""
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind((host, port))
        opened.listen(2048)
    except OSError:
        opened.close()
        raise
    return opened


def _left_behind(peers: Path) -> list[int]:
    """Return the workers that an earlier supervisor left running; clear away the dead."""
    alive = []
    for pid in folder.pids(peers):
        if _is_worker(pid, peers):
            alive.append(pid)
        else:
            folder.clear(peers, pid)
    return alive


def _is_worker(pid: int, peers: Path) -> bool:
    """Whether a process is a worker of ours, and not another that has got its number since."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"tidemill.serving.worker" in words and os.fsencode(peers) in words


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        logger.debug("process %s has ended already", pid)
