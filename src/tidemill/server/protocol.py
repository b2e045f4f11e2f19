"""HTTP as uvicorn speaks it, with the limits that must hold before an application is reached.

A client that sends its headers for ever, or stops in the middle of a body, never gets as far as
ASGI. So its deadline stands here, and so does the limit of what headers may take. Nor do requests
that only write get there, where a `Shortcut` takes them; of a long one, not even the parser sees
the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidemill.server.body import Body
from tidemill.server.encoding import ErrorBody, ErrorShape, encode
from tidemill.server.inflow import BLOCK
from tidemill.server.shortcut import HEAD, Intake, Shortcut

HEADER_SECONDS = 15.0
"""How long a client may take for the headers of a request, from its connection or first byte."""
BODY_SECONDS = 60.0
"""How long a client may be silent in the middle of a body."""
MAX_HEADER_BYTES = 1 << 16
GRACE_SECONDS = 5
"""How long a server that is to end waits for the requests that it has begun."""
_PARTING_SECONDS = 4.0
"""How long it waits for the rest of a body, whose client may be slower than anybody's patience."""
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
        self._intake: Intake | None = None
        self._missing = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_deadline()
        if self._intake is not None:
            self._intake.break_off()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._unread += len(data)
        super().data_received(data)
        if self._in_headers and self._unread > MAX_HEADER_BYTES:
            self._refuse_headers()
        elif self._in_message:
            self._await_rest()
            if self._missing > BLOCK and not self.transport.is_closing():
                self._pass_parser()

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
        if self._intake is None:
            super().on_body(body)
        else:
            self._missing -= len(body)
            self._intake.pour(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._no_deadline()
        super().on_message_complete()
        if self._intake is not None:
            intake, self._intake = self._intake, None
            intake.end()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin with a request whose headers are there; one of a queue may have its body too."""
        unread = cycle is self.cycle and cycle.more_body and not cycle.body
        if unread and not cycle.waiting_for_100_continue and self.shortcut is not None:
            scope: Any = cycle.scope
            self._intake = self.shortcut.take(scope, _Line(self, cycle))
        if self._intake is None:
            super()._start_asgi_task(cycle, app)
        else:
            self._missing = int(dict(self.headers)[b"content-length"])  # else it is not taken

    def _pass_parser(self) -> None:
        """Read the rest of a body without the parser."""
        assert self._intake is not None
        missing, self._missing = self._missing, 0
        self._become(
            Body(self, self._intake, missing, arrived=self._on_piece, whole=self._parse_again)
        )

    def _on_piece(self) -> None:
        self._unset_keepalive_if_required()  # it may have been answered already
        self._await_rest()

    def _parse_again(self) -> None:
        """Go on with a parser that has not begun with the message whose body is whole."""
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._become(self)
        self.on_message_complete()

    def _become(self, other: asyncio.BaseProtocol) -> None:
        """Have another protocol read; how is chosen at the moment in which reading begins."""
        if self.transport.is_closing():
            return
        reads = not self.flow.read_paused
        if reads:
            self.transport.pause_reading()
        self.transport.set_protocol(other)
        if reads:
            self.transport.resume_reading()

    def shutdown(self) -> None:
        super().shutdown()
        if self._intake is not None:
            self.loop.call_later(_PARTING_SECONDS, self._part)

    def _part(self) -> None:
        if self._intake is not None:
            self.transport.abort()

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


class _Line:
    """A connection as the shortcut sees it, for one request."""

    def __init__(self, connection: _Connection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle
        self.loop = connection.loop

    def reply(self, status: int, body: bytes) -> None:
        """Answer as a cycle would."""
        cycle, connection = self._cycle, self._connection
        if cycle.disconnected or connection.transport.is_closing():
            return
        added = [b"%s: %s\r\n" % pair for pair in connection.server_state.default_headers]
        if not cycle.keep_alive:
            added.append(b"connection: close\r\n")
        size = b"content-length: %d\r\n\r\n" % len(body)
        connection.transport.write(b"".join((_STATUS[status], *added, HEAD, size, body)))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            connection.transport.close()
        connection.on_response_complete()

    def pause(self) -> None:
        self._connection.flow.pause_reading()

    def resume(self) -> None:
        self._connection.flow.resume_reading()
