"""The owner's handle on the sending process, which is started when there is something to send."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from concurrent.futures import Future

import msgspec

from tidemill.webhooks.records import Message, Outcome


class SenderLost(Exception):
    """The sending process ended before it said what came of a message."""


class Sender:
    """Sends messages in a process of its own; one that was killed is started again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[str, Future[Outcome]] = {}

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    def submit(self, message: Message) -> Future[Outcome]:
        """Have a message sent.

        Returns:
            What came of it; `SenderLost` where the process died in between.
        """
        future: Future[Outcome] = Future()
        with self._lock:
            try:
                pipe = self._started().stdin
                assert pipe is not None
                self._waiting[message.id] = future
                pipe.write(msgspec.json.encode(message) + b"\n")
                pipe.flush()
            except OSError as error:
                self._waiting.pop(message.id, None)
                future.set_exception(SenderLost(str(error)))
        return future

    def close(self) -> None:
        """End the process; what it has not told of was not sent, as far as anyone knows."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()
            _close_pipe(process)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidemill.webhooks.sender"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._process = process
            threading.Thread(
                target=self._listen, args=(process,), name="tidemill-webhooks-out", daemon=True
            ).start()
        return self._process

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                outcome = msgspec.json.decode(line, type=Outcome)
                with self._lock:
                    future = self._waiting.pop(outcome.id, None)
                if future is not None:
                    future.set_result(outcome)
        process.wait()
        with self._lock:
            if self._process is process:
                self._process = None
                _close_pipe(process)
            lost, self._waiting = self._waiting, {}
        for future in lost.values():
            future.set_exception(SenderLost(f"the sending process ended with {process.returncode}"))


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # what it did not read any more is sent again
        process.stdin.close()
