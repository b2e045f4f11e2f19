"""Brings the outcomes of writes back into the event loop: all of a commit in one step.

One commit ends many requests at once, in the writer's thread. To wake the event loop for each of
them would cost more than the write itself.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from functools import partial

_Ended = tuple["asyncio.Future[None]", "Future[None]"]


class Answers:
    """Waits for writes in the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: list[_Ended] = []

    async def wait(self, write: Future[None]) -> None:
        """Return once a write is durable.

        Raises:
            TidemillError: What it failed with.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        write.add_done_callback(partial(self._end, loop, waiting))
        await waiting

    def _end(
        self, loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[None], write: Future[None]
    ) -> None:
        with self._lock:
            self._ended.append((waiting, write))
            if len(self._ended) > 1:
                return
        loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
        for waiting, write in ended:
            if waiting.done():  # the client has gone
                continue
            failure = write.exception()
            if failure is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(failure)
