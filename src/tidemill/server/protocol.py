"""HTTP as uvicorn speaks it, with the limits that must hold before an application is reached.

A client that sends its headers for ever, or stops in the middle of a body, never gets as far as
ASGI. So its deadline stands here, and so does the limit of what headers may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidemill.server.encoding import ErrorBody, ErrorShape, encode

HEADER_SECONDS = 15.0
"""How long a client may take for the headers of a request, from its connection or first byte."""
BODY_SECONDS = 60.0
"""How long a client may be silent in the middle of a body."""
MAX_HEADER_BYTES = 1 << 16
_REASONS = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


def protocol(
    *, header_seconds: float = HEADER_SECONDS, body_seconds: float = BODY_SECONDS
) -> Callable[..., HttpToolsProtocol]:
    """Return the class of connections with these deadlines."""
    deadlines = {"header_seconds": header_seconds, "body_seconds": body_seconds}
    return type("Connection", (_Connection,), deadlines)


class _Connection(HttpToolsProtocol):
    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread = 0
        self._header_bytes = 0
        self._in_headers = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._unread += len(data)
        elif self._deadline is not None:
            self._within(self.body_seconds)
        super().data_received(data)
        if self._in_headers and self._unread > MAX_HEADER_BYTES:
            self._refuse_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0
        if self._deadline is None:
            self._within(self.header_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._unread = 0
        if self._header_bytes + len(self.url) > MAX_HEADER_BYTES:
            self._refuse_headers()
            raise ValueError("the headers are too large")  # which ends the parser's work
        self._within(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._no_deadline()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "BAD_REQUEST", msg)

    def _refuse_headers(self) -> None:
        self._refuse(431, "HEADERS_TOO_LARGE", f"Over {MAX_HEADER_BYTES:,} bytes of headers.")

    def _within(self, seconds: float) -> None:
        self._no_deadline()
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # we are what is slow
            self._within(self.body_seconds)
        elif self._in_headers:
            self._refuse(408, "TOO_SLOW", "The request did not come in time.")
        else:
            self.transport.abort()  # whoever reads the body is told that it was broken off

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._no_deadline()
        if self.transport.is_closing():
            return
        body = encode(ErrorShape(ErrorBody(code, message)))
        head = (
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n" % (status, _REASONS[status], len(body))
        )
        self.transport.write(head + body)
        self.transport.close()
