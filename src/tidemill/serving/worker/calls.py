"""A call over HTTP/2, and what one connection may take of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidemill.serving.worker.http import Head


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may take.

    Attributes:
        message: The largest message in bytes.
        calls: How many may be open at once on it.
        head_seconds: How long its beginning may take.
        call_seconds: How long a call may take to arrive.
        write_seconds: How long a client may leave its answers unread.
        connections: How many may be open at once.
    """

    message: int
    calls: int = 256
    head_seconds: float = 10.0
    call_seconds: float = 60.0
    write_seconds: float = 60.0
    connections: int = 4096


class Call:
    """One call, whole once it is handed over.

    Attributes:
        head: Method, path and headers; calls that repeat it share it.
        body: All data that came.
        arrived: When it was whole, in seconds of the monotonic clock.
    """

    __slots__ = ("_send", "arrived", "body", "data", "head", "number", "window")

    def __init__(self, send: Send, number: int, head: Head, now: float, window: int) -> None:
        self._send = send
        self.number = number
        self.head = head
        self.arrived = now
        self.body: bytes | bytearray = b""
        self.data: memoryview | None = None
        self.window = window

    def answer(self, head: bytes, data: bytes, tail: bytes) -> None:
        """Answer it: headers, data and trailers, both as HPACK without a table."""
        self._send(self, head, data, tail)


Send = Callable[[Call, bytes, bytes, bytes], None]
