"""Does the monitor's tasks in a process of its own, so that whoever serves the home answers on.

The child opens no database: a task holds all that it needs, and the owner writes what comes of it.
When it is killed nothing is lost, since nothing was written: the task is given to another.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from tidemill.core.settings import without_secrets
from tidemill.monitoring.errors import LookerFailed
from tidemill.monitoring.looking import Looker
from tidemill.monitoring.reference import Reference, read_reference
from tidemill.monitoring.tasks import (
    Delivery,
    Letters,
    Looked,
    Question,
    Search,
    Source,
    Task,
    Times,
    Told,
)

logger = logging.getLogger(__name__)
_HEAD = struct.Struct("<Q")
_TRIES = 2
_SECONDS = 900.0
_NICE = 10
_PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {
    # The monitor is a guest: threads of its own would take the cores that serving uses.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "2",
}


class Failure(msgspec.Struct, frozen=True, tag=True):
    """Why a task could not be done."""

    error: str


class Success(msgspec.Struct, frozen=True, tag=True):
    """What came of a task."""

    found: Looked | Told | Delivery | Times


Found = TypeVar("Found", Looked, Told, Delivery, Times)
Asked = Task | Question | Letters | Search
_TASKS: msgspec.msgpack.Decoder[Asked] = msgspec.msgpack.Decoder(Asked)
_ANSWERS = msgspec.msgpack.Decoder(Failure | Success)
_ENCODER = msgspec.msgpack.Encoder()


class Apart:
    """Does tasks in a child process, which is started with the first one.

    Args:
        seconds: How long a task may take before the child is replaced.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0

    @property
    def pid(self) -> int | None:
        """The child's process, where it lives."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def look(self, task: Task) -> Looked:
        """Look at a window.

        Raises:
            LookerFailed: The child ended each time, or could not do the task.
        """
        return self._done(task, Looked, f"The window of {task.endpoint} could not be judged")

    def tell(self, question: Question) -> Told:
        """Tell of a stretch of the past.

        Raises:
            LookerFailed: As with `look`.
        """
        what = f"The stretch of {question.endpoint} could not be told of"
        return self._done(question, Told, what)

    def read(self, letters: Letters) -> Delivery:
        """Read what came to an endpoint.

        Raises:
            LookerFailed: As with `look`.
        """
        what = f"What came to {letters.endpoint} could not be read"
        return self._done(letters, Delivery, what)

    def search(self, search: Search) -> Times:
        """Find predictions in the log.

        Raises:
            LookerFailed: As with `look`.
        """
        return self._done(search, Times, f"The log of {search.endpoint} could not be searched")

    def _done(self, task: Asked, kind: type[Found], failed: str) -> Found:
        """Have a task done, or say what failed."""
        content = _ENCODER.encode(task)
        with self._lock:
            for _ in range(_TRIES):
                answer = self._ask(content)
                if isinstance(answer, Success):
                    assert isinstance(answer.found, kind)
                    return answer.found
                if isinstance(answer, Failure):
                    raise LookerFailed(f"{failed}: {answer.error}.")
        raise LookerFailed(
            f"{failed}: the monitor's process ended {_TRIES} times.",
            hint="It is tried again with the next round; is there enough memory?",
        )

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _ask(self, content: bytes) -> Failure | Success | None:
        process = self._child()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(_HEAD.pack(len(content)) + content)
            process.stdin.flush()
            answer = _received(process.stdout, self._seconds)
        except OSError as error:
            answer = None
            logger.warning("the monitor's process: %s", error)
        if answer is None:
            self._end()
            return None
        decoded: Failure | Success = _ANSWERS.decode(answer)
        return decoded

    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self.started += 1
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tidemill.monitoring.apart"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**without_secrets(os.environ), **_ENVIRONMENT},
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _closed(pipe)


def _closed(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError as error:
        logger.debug("a pipe of an ended process: %s", error)


def _received(pipe: IO[bytes], seconds: float) -> bytes | None:
    """Return a whole answer, or nothing where the other side has ended or takes too long."""
    head = _exactly(pipe, _HEAD.size, seconds)
    return None if head is None else _exactly(pipe, _HEAD.unpack(head)[0], seconds)


def _exactly(pipe: IO[bytes], size: int, seconds: float) -> bytes | None:
    descriptor, parts, left = pipe.fileno(), [], size
    while left:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        part = os.read(descriptor, min(left, 1 << 20)) if ready else b""
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def main() -> None:
    """Do tasks until the input ends."""
    owner = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        return
    os.nice(_NICE)
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tasks = os.fdopen(os.dup(0), "rb")
    sources: dict[int, Source] = {}

    def reference(_model: str, version: int) -> Reference | None:
        source = sources.get(version)
        return None if source is None else read_reference(Path(source.bundle), source.metrics)

    looker = Looker(reference)
    while (content := _received(tasks, _FOREVER)) is not None:
        task = _TASKS.decode(content)
        sources.clear()
        sources.update(task.sources if isinstance(task, Task | Question) else {})
        answer: Failure | Success
        try:
            answer = Success(_done(looker, task))
        except Exception as error:
            logger.exception("a task could not be done")
            answer = Failure(f"{type(error).__name__}: {error}")
        said = _ENCODER.encode(answer)
        answers.write(_HEAD.pack(len(said)) + said)
        answers.flush()


def _done(looker: Looker, task: Asked) -> Looked | Told | Delivery | Times:
    if isinstance(task, Task):
        return looker.look(task)
    if isinstance(task, Question):
        return looker.tell(task)
    return looker.read(task) if isinstance(task, Letters) else looker.search(task)


_FOREVER = 1e8

if __name__ == "__main__":
    main()
