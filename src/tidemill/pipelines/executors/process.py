"""Runs jobs in child processes, forked from one warm process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from tidemill.core.settings import without_secrets
from tidemill.pipelines.executors.jobs import (
    EVENTS,
    JOB,
    LOG,
    OUTPUT,
    RESULT,
    Job,
    Logged,
    Result,
)
from tidemill.pipelines.executors.logs import StepLog
from tidemill.predictions.frames import read_frames

_POLL = 0.05
_ENVIRONMENT = {
    # Threads of a linear-algebra library would be alive in the warm process when it forks.
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Threads that spin while they wait take the processor from those they wait for, as soon as
    # there are more of them than cores: a training beside serving took ten times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class ProcessExecutor:
    """Runs jobs, each in a child process of its own.

    The warm process is started with the first job. Any number of threads may run jobs.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._started: dict[str, int] = {}
        self._ended: dict[int, int] = {}

    def run(
        self,
        job: Job,
        folder: Path,
        *,
        timeout: float | None = None,
        on_logged: Callable[[Logged], None] | None = None,
    ) -> Result:
        """Run a job to its end.

        Args:
            job: What to run.
            folder: An empty folder for it; its log and result stay there.
            timeout: After how many seconds it is killed, if ever.
            on_logged: Is told what the step logs, while it runs.
        """
        # Not below the folder: the paths of sockets, which libraries put there, must be short.
        with tempfile.TemporaryDirectory(
            prefix="tidemill-step-", ignore_cleanup_errors=True
        ) as scratch:
            job = msgspec.structs.replace(job, scratch=scratch)
            return self._run(job, folder, timeout, on_logged)

    def _run(
        self,
        job: Job,
        folder: Path,
        timeout: float | None,
        on_logged: Callable[[Logged], None] | None,
    ) -> Result:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (RESULT, EVENTS):
            (folder / name).unlink(missing_ok=True)
        (folder / JOB).write_bytes(msgspec.json.encode(job))
        with StepLog(folder / LOG, Path(job.scratch) / OUTPUT) as log:
            status, killed = self._watch(self._start(folder), folder, log, timeout, on_logged)
        if killed:
            return Result(status="failed", error=f"It took longer than {timeout:g} seconds.")
        try:
            return msgspec.json.decode((folder / RESULT).read_bytes(), type=Result)
        except FileNotFoundError:
            how = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
            return Result(status="failed", error=f"Its process {how} before it had a result.")

    def _watch(
        self,
        pid: int,
        folder: Path,
        log: StepLog,
        timeout: float | None,
        on_logged: Callable[[Logged], None] | None,
    ) -> tuple[int, bool]:
        """Return how the child ended, and whether it was killed for taking too long."""
        offset, killed, more = 0, False, False
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            status = self._wait(pid, 0.0 if more else _POLL)
            offset = _follow(folder / EVENTS, offset, on_logged)
            more = log.take()
            if status is not None:
                return status, killed
            if end is not None and time.monotonic() > end and not killed:
                killed = True
                _kill(pid)

    def close(self) -> None:
        """End the warm process and with it every child."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def _start(self, folder: Path) -> int:
        with self._lock:
            process = self._warm()
            assert process.stdin is not None
            process.stdin.write(f"{folder}\n".encode())
            process.stdin.flush()
            alive = self._lock.wait_for(
                lambda: str(folder) in self._started or self._process is not process, 60.0
            )
            if not alive or str(folder) not in self._started:
                return -1
            return self._started.pop(str(folder))

    def _wait(self, pid: int, timeout: float) -> int | None:
        with self._lock:
            if pid == -1:
                return 1
            self._lock.wait_for(lambda: pid in self._ended or self._process is None, timeout)
            if pid in self._ended:
                return self._ended.pop(pid)
            return -signal.SIGKILL if self._process is None else None

    def _warm(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tidemill.pipelines.executors.zygote"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**without_secrets(os.environ), **_ENVIRONMENT},
            )
            reader = threading.Thread(
                target=self._read, args=(self._process,), name="tidemill-steps", daemon=True
            )
            reader.start()
        return self._process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        output: IO[bytes] | None = process.stdout
        assert output is not None
        for line in output:
            word, *rest = line.decode().split(maxsplit=2)
            with self._lock:
                if word == "started":
                    self._started[rest[1].rstrip("\n")] = int(rest[0])
                elif word == "ended":
                    self._ended[int(rest[0])] = int(rest[1])
                self._lock.notify_all()
        output.close()
        with self._lock:
            if self._process is process:
                self._process = None
            self._lock.notify_all()


def _follow(path: Path, offset: int, on_logged: Callable[[Logged], None] | None) -> int:
    if on_logged is None or not path.exists():
        return offset
    for end, payload in read_frames(path, offset):
        on_logged(msgspec.msgpack.decode(payload, type=Logged))
        offset = end
    return offset


def _kill(pid: int) -> None:
    """Kill a child and its group; itself by name too, for it may have left the group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
