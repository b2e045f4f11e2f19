"""The way of requests that only write: past ASGI, from the parser to the disk and back.

A training logs its metrics one request at a time and waits for each, and uploads files of any
size. Tasks, events and layers of callables would cost several times what the write itself does, so
a connection hands what arrives to the room at once, and sends the answer when all is durable.
Whatever is unusual about a request, its headers or its connection goes the ordinary way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tidemill.core.clock import Clock
from tidemill.server.answers import Answers, Tell
from tidemill.server.guard import HEADERS, Scope, refusal
from tidemill.server.inflow import BLOCK, Inflow
from tidemill.server.mlflow.door import Begin, MlflowDoor
from tidemill.server.traffic import Traffic

HEAD = b"content-type: application/json\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in HEADERS)
"""The headers of every answer, but for its length and what the server adds."""


class Line(Protocol):
    """The connection that a request came by; all but `loop` belongs to its event loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def reply(self, status: int, body: bytes) -> None:
        """Send the answer, which is JSON."""
        ...

    def pause(self) -> None:
        """Let no more arrive for now."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...


class Intake(Protocol):
    """Takes in a body, piece by piece."""

    def space(self) -> bytearray:
        """Return a block that may be filled and poured in."""
        ...

    def pour(self, piece: bytes | memoryview) -> None:
        """Take a piece, which is the beginning of a block or is nobody else's."""
        ...

    def end(self) -> None:
        """Hear that the body is whole."""
        ...

    def break_off(self) -> None:
        """Hear that the rest will not come."""
        ...


class Shortcut:
    """Takes requests that only write.

    Args:
        door: Knows them.
        hosts: The names by which the server may be called.
        traffic: Counts them.
        clock: Tells durations.
    """

    def __init__(
        self, door: MlflowDoor, hosts: frozenset[str], traffic: Traffic, clock: Clock
    ) -> None:
        self._door = door
        self._hosts = hosts
        self._traffic = traffic
        self._clock = clock
        self._answers = Answers()

    def take(self, scope: Scope, line: Line) -> Intake | None:
        """Return what takes in a request's body, or nothing where this is not its way."""
        begin = self._door.writer(scope)
        upload = self._door.upload(scope) if begin is None else None
        if begin is None and upload is None:
            return None
        if not _says_length(scope) or refusal(scope, self._hosts) is not None:
            return None
        tell = partial(self._tell, line, self._clock.monotonic())
        if begin is not None:
            return _Whole(partial(self._write, begin, line.loop, tell))
        assert upload is not None
        inflow = Inflow(line.pause, partial(line.loop.call_soon_threadsafe, line.resume))
        self._answers.when_durable(self._door.receive(upload, inflow), line.loop, tell)
        return inflow

    def _write(
        self, begin: Begin, loop: asyncio.AbstractEventLoop, tell: Tell, body: bytes
    ) -> None:
        try:
            self._answers.when_durable(begin(body), loop, tell)
        except Exception as error:
            tell(error)

    def _tell(self, line: Line, began: float, failure: BaseException | None) -> None:
        status, content = self._door.told(failure)
        self._traffic.count(status, self._clock.monotonic() - began)
        line.reply(status, content)


class _Whole:
    """Hands a small body on when it is whole.

    Args:
        use: Is given it.
    """

    def __init__(self, use: Callable[[bytes], None]) -> None:
        self._use = use
        self._pieces: list[bytes | memoryview] = []

    def space(self) -> bytearray:
        return bytearray(BLOCK)

    def pour(self, piece: bytes | memoryview) -> None:
        self._pieces.append(piece)

    def end(self) -> None:
        self._use(b"".join(self._pieces))

    def break_off(self) -> None:
        self._pieces.clear()


def _says_length(scope: Scope) -> bool:
    return any(name == b"content-length" for name, _ in scope["headers"])
