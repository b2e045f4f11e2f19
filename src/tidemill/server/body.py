"""A long body, read from its connection into large blocks without a parser in between.

Where a request says how long it is, nothing of its body needs to be looked at. The parser would
copy each piece once more, and there would be four times as many of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidemill.server.shortcut import Intake


class Body(asyncio.BufferedProtocol):
    """What a connection is while the rest of a body comes.

    Args:
        connection: Is told of everything that is not the body.
        intake: Is given the body.
        missing: How many bytes will come.
        arrived: Is called whenever some have.
        whole: Is called when all have.
    """

    def __init__(
        self,
        connection: asyncio.Protocol,
        intake: Intake,
        missing: int,
        *,
        arrived: Callable[[], None],
        whole: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._intake = intake
        self._missing = missing
        self._arrived = arrived
        self._whole = whole
        self._block = memoryview(b"")
        self._filled = 0
        self._begin_block()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return what is free of the block, which never takes more than is missing of the body."""
        return self._block[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come; hand the block on when it is full."""
        self._missing -= nbytes
        self._filled += nbytes
        self._arrived()
        if self._filled < len(self._block):
            return
        self._intake.pour(self._block)
        if self._missing:
            self._begin_block()
        else:
            self._whole()

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def _begin_block(self) -> None:
        self._block = memoryview(self._intake.space())[: self._missing]
        self._filled = 0
