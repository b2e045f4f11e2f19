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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tidemill.core.clock import SystemClock
from tidemill.core.settings import without_secrets
from tidemill.serving.errors import WorkersNotReady
from tidemill.serving.keeper import Keeper
from tidemill.serving.memory import Allowance, Outgrown, own_memory_mb
from tidemill.serving.worker import peers as folder
from tidemill.serving.worker.limits import BODY, ROWS
from tidemill.serving.worker.metrics import Snapshot, total
from tidemill.serving.worker.peers import State as WorkerState
from tidemill.serving.worker.peers import ask_all
from tidemill.serving.worker.ports import claim, listen
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
        max_body: The largest body of a request, in bytes.
        max_rows: How many rows may be in a worker's hands before it says 429.
        grpc_port: Where they listen for gRPC, or nowhere; needs the extra `grpc`.
        access_log: A file with a line for each request, or none.
        ping_seconds: How often a worker is asked whether it still answers, and looked at.
        memory_mb: How much memory a worker may take before another takes its place; any where it
            is left out. One that needs more from the start may take half as much again as that.
        outgrown: Is told of each worker that took more, from a thread of the supervisor.

    Raises:
        PortTaken: Another program, or another home, listens on one of the ports.
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
        max_body: int = BODY,
        max_rows: int = ROWS,
        grpc_port: int | None = None,
        access_log: Path | None = None,
        ping_seconds: float = _PING_SECONDS,
        memory_mb: float | None = None,
        outgrown: Callable[[Outgrown], None] | None = None,
    ) -> None:
        self._peers = peers
        self._log = log
        self._count = workers
        self._care = _Care(peers, log, ping_seconds, memory_mb, outgrown)
        self.host = host
        self._arguments = [
            *("--routes", str(routes), "--bundles", str(bundles)),
            *("--environments", str(environments)),
            *("--max-body", str(max_body), "--max-rows", str(max_rows)),
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
        shared = bool(_left_behind(peers))
        if grpc_port is not None:
            claim(host, grpc_port, "--grpc-port", shared=shared).close()
        self._sockets = [claim(host, port, "--serve-port", shared=shared)]
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
    def outgrown(self) -> int:
        """How many of those were started because one had taken too much memory."""
        return sum(slot.outgrown for slot in self._slots)

    @property
    def memory_mb(self) -> float | None:
        """How much memory a worker may take, or any."""
        return self._care.memory_mb

    @property
    def needed_mb(self) -> float:
        """What the largest worker needs for what it serves; 0 where no limit has it looked at."""
        return max((slot.needed_mb for slot in self._slots), default=0.0)

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
            self._sockets.append(listen(self.host, self.port))
        arguments = [*self._arguments, "--port", str(self.port)]
        for number, listening in enumerate(self._sockets):
            own = [*arguments, "--number", str(number)]
            slot = _Slot(number, listening, own, self._care, self._keeper)
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


class _Care(NamedTuple):
    """How workers are watched over; the names are those of the supervisor's arguments."""

    peers: Path
    log: Path
    ping_seconds: float
    memory_mb: float | None
    outgrown: Callable[[Outgrown], None] | None


class _Slot:
    """One place for a worker: its socket, its process, and the thread that watches over it."""

    def __init__(
        self,
        number: int,
        listening: socket.socket,
        arguments: list[str],
        care: _Care,
        keeper: Keeper,
    ) -> None:
        self._keeper = keeper
        self._socket = listening
        self._number = number
        self._care = care
        self._leaving_since: float | None = None
        self._clock = SystemClock()
        self._command = [
            *(sys.executable, "-m", "tidemill.serving.worker", *arguments),
            *("--fd", str(listening.fileno())),
        ]
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="tidemill-worker", daemon=True)
        self.restarts = -1
        self.outgrown = 0
        self.needed_mb = 0.0

    def start(self) -> None:
        self._spawn()
        self._thread.start()

    def state(self) -> WorkerState | None:
        process = self._process
        if process is None or process.poll() is not None:
            return None
        return folder.read_state(self._care.peers, process.pid)

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
                lent.append("--restarted" if self._leaving_since is None else "--outgrown")
            self.outgrown += self._leaving_since is not None
            self._leaving_since = None
            self._allowance = Allowance(self._care.memory_mb or 0.0)
            with line, self._care.log.open("ab") as log:
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
        clock = self._clock
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            process = self._process
            assert process is not None
            born = clock.monotonic()
            code = self._ended(process)
            folder.clear(self._care.peers, process.pid)
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
                return process.wait(self._care.ping_seconds)
            except subprocess.TimeoutExpired:
                answered = folder.answers(self._care.peers, process.pid, self._care.ping_seconds)
                silences = 0 if answered else silences + 1
                if silences >= _SILENCES:
                    logger.error("the worker with pid %s hangs and is replaced", process.pid)
                    process.kill()
                self._look_at_memory(process)

    def _look_at_memory(self, process: subprocess.Popen[bytes]) -> None:
        """Have a worker leave that takes too much: it ends, and the keeper gives on what it has."""
        if self._care.memory_mb is None:
            return
        now = self._clock.monotonic()
        if self._leaving_since is not None:
            if now - self._leaving_since > _STOP_SECONDS:
                process.kill()
            return
        # One that has not said yet what it serves would not know the signal.
        state, used = self.state(), own_memory_mb(process.pid)
        if state is None or not used:
            return
        limit = self._allowance.seen(used, generation=state.generation)
        self.needed_mb = needed = self._allowance.needed_mb
        if used <= limit:
            return
        logger.error(
            "the worker with pid %s takes %.0f MB of at most %.0f and is replaced",
            *(process.pid, used, limit),
        )
        self._leaving_since = now
        process.send_signal(signal.SIGUSR1)
        self._tell(
            Outgrown(
                number=self._number,
                pid=process.pid,
                memory_mb=used,
                limit_mb=limit,
                needed_mb=needed,
            )
        )

    def _tell(self, outgrown: Outgrown) -> None:
        if self._care.outgrown is None:
            return
        try:
            self._care.outgrown(outgrown)
        except Exception:  # whoever is told must not cost us the worker that is to come
            logger.exception("nobody could be told that worker %s was replaced", outgrown.number)

    def _finish(self) -> None:
        process = self._process
        assert process is not None
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folder.clear(self._care.peers, process.pid)


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
