"""HTTP as uvicorn speaks it, with the limits that must hold before an application is reached.

A client that sends its headers for ever, or stops in the middle of a body, never gets as far as
ASGI. So its deadline stands here, and so does the limit of what headers may take. Nor do requests
that only write get there, where a `Shortcut` takes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidemill.server.encoding import ErrorBody, ErrorShape, encode
from tidemill.server.mlflow.door import Begin
from tidemill.server.shortcut import HEAD, Shortcut

HEADER_SECONDS = 15.0
"""How long a client may take for the headers of a request, from its connection or first byte."""
BODY_SECONDS = 60.0
"""How long a client may be silent in the middle of a body."""
MAX_HEADER_BYTES = 1 << 16
_STATUS = {s.value: b"HTTP/1.1 %d %s\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}


def protocol(
    shortcut: Shortcut | None = None,
    *,
    header_seconds: float = HEADER_SECONDS,
    body_seconds: float = BODY_SECONDS,
) -> Callable[..., HttpToolsProtocol]:
    """Return the class of connections with these deadlines.

    Args:
        shortcut: Takes requests that only write, if anything does.
        header_seconds: How long a client may take for the headers of a request.
        body_seconds: How long it may be silent in the middle of a body.
    """
    given = {"header_seconds": header_seconds, "body_seconds": body_seconds, "shortcut": shortcut}
    return type("Connection", (_Connection,), given)


class _Connection(HttpToolsProtocol):
    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS
    shortcut: Shortcut | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread = 0
        self._in_headers = True
        self._in_message = False
        self._begin: Begin | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._unread += len(data)
        super().data_received(data)
        if self._in_headers and self._unread > MAX_HEADER_BYTES:
            self._refuse_headers()
        elif self._in_message:
            self._await_rest()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = self._in_message = True

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._unread = 0
        self._no_deadline()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEADER_BYTES:
            self._refuse_headers()
            raise ValueError("the headers are too large")  # which ends the parser's work
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._begin is None:
            super().on_body(body)
        else:
            self.cycle.body += body

    def on_message_complete(self) -> None:
        self._in_message = False
        self._no_deadline()
        super().on_message_complete()
        if self._begin is not None and self.shortcut is not None:
            begin, self._begin = self._begin, None
            reply = partial(self._reply, self.cycle)
            self.shortcut.take(begin, bytes(self.cycle.body), self.loop, reply)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin with a request whose headers are there; one of a queue has its body as well."""
        unread = cycle is self.cycle and cycle.more_body and not cycle.waiting_for_100_continue
        if unread and self.shortcut is not None:
            self._begin = self.shortcut.find(cycle.scope)  # type: ignore[arg-type]
        if self._begin is None:
            super()._start_asgi_task(cycle, app)

    def _reply(self, cycle: RequestResponseCycle, status: int, body: bytes) -> None:
        """Answer a request that the shortcut took, as a cycle would."""
        if cycle.disconnected or self.transport.is_closing():
            return
        added = [b"%s: %s\r\n" % pair for pair in self.server_state.default_headers]
        if not cycle.keep_alive:
            added.append(b"connection: close\r\n")
        size = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"".join((_STATUS[status], *added, HEAD, size, body)))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "BAD_REQUEST", msg)

    def _refuse_headers(self) -> None:
        self._refuse(431, "HEADERS_TOO_LARGE", f"Over {MAX_HEADER_BYTES:,} bytes of headers.")

    def _await_rest(self) -> None:
        """Set a deadline for what is missing of a message; that of its headers stays as it is."""
        if self.transport.is_closing():
            return
        if not self._in_headers:
            self._within(self.body_seconds)
        elif self._deadline is None:
            self._within(self.header_seconds)

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
            b"%scontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n" % (_STATUS[status], len(body))
        )
        self.transport.write(head + body)
        self.transport.close()
