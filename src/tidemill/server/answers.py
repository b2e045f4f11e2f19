"""Brings the outcomes of writes back into the event loop: all of a commit in one step.

One commit ends many requests at once, in the writer's thread. To wake the event loop for each of
them would cost more than the write itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

Tell = Callable[[BaseException | None], None]
"""Is told what a write failed with, or nothing when it is durable."""


class Answers:
    """Waits for writes, and tells of them in the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: list[tuple[Tell, Future[None]]] = []

    def when_durable(
        self, write: Future[None], loop: asyncio.AbstractEventLoop, tell: Tell
    ) -> None:
        """Have `tell` called in an event loop when a write has ended."""
        write.add_done_callback(partial(self._end, loop, tell))

    def _end(self, loop: asyncio.AbstractEventLoop, tell: Tell, write: Future[None]) -> None:
        with self._lock:
            self._ended.append((tell, write))
            if len(self._ended) > 1:
                return
        loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
        for tell, write in ended:
            tell(write.exception())
