"""Micro-batches without a timer: what arrives in one turn of the event loop is answered together.

With one connection a request is alone and waits for nobody. With many, the loop reads all ready
sockets before the flush that the first request asked for runs, so batches grow with the load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.version import Outcome, TwinVersion

Done = Callable[[Outcome | Exception], None]
INLINE_ROWS = 64
"""A request with more rows than this is worth a thread: ONNX Runtime leaves the interpreter."""
BATCH_ROWS = 256
"""The most rows that are answered together."""


class Queue(Protocol):
    """What stands before a version."""

    def add(self, rows: Rows, done: Done) -> None:
        """Have rows answered; `done` is called once, in the event loop."""
        ...

    def close(self) -> None:
        """Let go of the version once what it has in hand is answered; does not wait."""
        ...


class Batcher:
    """Gathers the requests for one version that answers in this process.

    Args:
        version: Answers them.
        loop: Whose turns are the rhythm.
        executor: Where large requests run.
    """

    def __init__(
        self, version: TwinVersion, loop: asyncio.AbstractEventLoop, executor: Executor
    ) -> None:
        self._version = version
        self._loop = loop
        self._executor = executor
        self._waiting: list[tuple[Rows, Done]] = []

    def add(self, rows: Rows, done: Done) -> None:
        """Have rows answered; `done` is called in the event loop, soon."""
        if rows.count > INLINE_ROWS:
            self._in_thread(rows, done)
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append((rows, done))

    def close(self) -> None:
        """Do nothing: what waits is answered in this turn of the loop."""

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch: list[tuple[Rows, Done]] = []
        count = 0
        for item in waiting:
            if batch and count + item[0].count > BATCH_ROWS:
                self._run(batch)
                batch, count = [], 0
            batch.append(item)
            count += item[0].count
        self._run(batch)

    def _run(self, batch: list[tuple[Rows, Done]]) -> None:
        outcomes = self._version.answer([rows for rows, _ in batch])
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            done(outcome)

    def _in_thread(self, rows: Rows, done: Done) -> None:
        future = self._loop.run_in_executor(self._executor, self._version.answer, [rows])
        future.add_done_callback(lambda finished: done(_only(finished)))


def _only(future: asyncio.Future[list[Outcome | Exception]]) -> Outcome | Exception:
    if future.cancelled():
        return RuntimeError("the worker is stopping")
    return future.exception() or future.result()[0]  # type: ignore[return-value]
