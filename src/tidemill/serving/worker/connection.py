"""One connection: bytes to requests, responses to bytes, and no patience for those who dawdle.

uvloop brings the bytes, httptools parses them, and the application is called once a request is
whole. This file stands where an ASGI server would, since what must be refused must be refused
here: a slow header never reaches an application, and neither should a body that is too large.
`docs/decisions/http-server.md` has the measurements.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import httptools

from tidemill.core.clock import Clock
from tidemill.serving.worker.access import AccessLog
from tidemill.serving.worker.hands import Hand, Hands
from tidemill.serving.worker.heads import Heads
from tidemill.serving.worker.http import JSON, Head, Request, Response, error_response, packed
from tidemill.serving.worker.keeping import Keeping, descriptor_of, shut
from tidemill.serving.worker.limits import Left, Limits
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.tracing import Traces, traced

logger = logging.getLogger(__name__)
Application = Callable[[Request], Response | Awaitable[Response]]
_ATTEMPTS = 2
"""How many workers may die over a request before it is thought to be the cause."""
_WAITING = 16
"""How many pipelined requests may wait before the connection is read no further."""


class Connections:
    """All connections of a worker, and what they share.

    Args:
        application: Answers requests.
        clock: Tells the time.
        limits: What one connection may take.
        hands: Where what is in hand stands.
        access: Where requests are written down, or nowhere.
    """

    def __init__(
        self,
        application: Application,
        clock: Clock,
        limits: Limits,
        hands: Hands,
        access: AccessLog | None = None,
    ) -> None:
        self.access = access
        self.traces: Traces | None = None
        self.hands = hands
        self.keeping: Keeping | None = None
        self.repeated = 0
        self.application = application
        self.clock = clock
        self.limits = limits
        self.open: set[Connection] = set()
        self.closing = False
        self.tasks: set[asyncio.Future[Response]] = set()
        self.answered: defaultdict[int, int] = defaultdict(int)
        self.heads = Heads()
        self.plain = b""
        """The head of most answers, up to the length."""
        self._date = b""
        self.sweep()

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self)

    async def adopt(self, connection: socket.socket, left: Left) -> None:
        """Go on with a connection that another worker left.

        Raises:
            OSError: It has ended.
        """
        connection.setblocking(False)
        self.repeated += bool(left.in_hand)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: Connection(self, left), connection)

    def head_of(self, status: int, content_type: bytes) -> bytes:
        """Return the beginning of a response's head."""
        return _STATUS[status] + self._date + content_type

    def sweep(self) -> None:
        """Close what has dawdled, and set the date of the next answers; called every second."""
        now = self.clock.now()
        stamp = formatdate(now.timestamp(), usegmt=True).encode()
        self._date = b"date: " + stamp + b"\r\nx-content-type-options: nosniff\r\ncontent-type: "
        self.plain = self.head_of(200, JSON) + b"\r\ncontent-length: "
        moment = self.clock.monotonic()
        for connection in list(self.open):
            connection.check(moment)

    async def drain(self, seconds: float) -> None:
        """Finish the requests that are being answered, then close everything."""
        self.closing = True
        for connection in list(self.open):
            connection.close_when_idle()
        end = self.clock.monotonic() + seconds
        while self.open and self.clock.monotonic() < end:
            await asyncio.sleep(0.01)
        for connection in list(self.open):
            connection.abort()


class Connection(asyncio.BufferedProtocol):
    """One client's connection.

    Args:
        shared: What it shares with the others.
        left: Where another worker was with it, when that died.
    """

    def __init__(self, shared: Connections, left: Left | None = None) -> None:
        self._left = left
        self._shared = shared
        self._limits = shared.limits
        self._monotonic = shared.clock.monotonic
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._request = _NOTHING
        self._keep = True
        self._alone: tuple[Head, int] | None = None
        self._answering = False
        self._refused = False
        self._paused = False
        self._ended = False
        self._reset()
        self._since = self._monotonic()
        self._patience = self._limits.head_seconds
        self._unread_since: float | None = None
        self._hand: Hand | None = None
        self._came = 0
        self._sent = 0
        self._midway = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        hand = self._hand = self._shared.hands.take()
        if hand is None or len(self._shared.open) >= self._limits.connections:
            if self._left is not None and self._shared.keeping is not None:
                self._shared.keeping.ended(self._left.number)
            self._refuse(503, "Too many connections.", (b"retry-after", b"1"))
            return
        self._shared.open.add(self)
        descriptor = descriptor_of(transport)
        if self._shared.keeping is not None and descriptor is not None:
            number = 0 if self._left is None else self._left.number
            self._shared.keeping.opened(hand.place, descriptor, number)
        if self._left is not None:
            self._go_on(hand, self._left)
            self._left = None

    def connection_lost(self, error: Exception | None) -> None:
        self._shared.open.discard(self)
        self._ended = True
        self._queue.clear()
        if self._hand is not None:
            if self._shared.keeping is not None:
                self._shared.keeping.closed(self._hand.place)
                shut(self._transport)
            self._hand.release()
            self._hand = None

    def get_buffer(self, hint: int) -> memoryview:
        if self._hand is None:
            return memoryview(bytearray(1024))
        if not (self._answering or self._midway or self._queue):
            self._hand.begin(self._came, self._sent)
        return self._hand.room()

    def buffer_updated(self, count: int) -> None:
        self._came += count
        if self._hand is not None:
            self._read(self._hand.came(count))

    def _go_on(self, hand: Hand, left: Left) -> None:
        """Go on where a worker that died was with this connection."""
        self._came, self._sent = left.came, left.sent
        hand.begin(left.came - len(left.in_hand), left.sent, left.attempts)
        if left.attempts > _ATTEMPTS:
            self._refuse(500, f"{left.attempts} workers have died over this request.")
        at = 0
        while at < len(left.in_hand) and not self._refused:
            room = hand.room()
            part = left.in_hand[at : at + len(room)]
            room[: len(part)] = part
            self._read(hand.came(len(part)))
            at += len(part)

    def _read(self, data: memoryview) -> None:
        if self._refused:
            return
        known = None if self._midway else self._shared.heads.whole(data)
        if known is not None:
            self._take(Request(known[0], known[1], self._monotonic()), keep=True)
        else:
            is_first, self._alone = not self._midway, None
            self._parse(data)
            if is_first:
                self._remember(data)
        if len(self._queue) >= _WAITING and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _parse(self, data: memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "This server speaks HTTP/1.1 and upgrades to nothing else.")
        except httptools.HttpParserError:
            if not self._refused:
                self._refuse(400, "The request is not valid HTTP/1.1.")

    def _remember(self, data: memoryview) -> None:
        if self._alone is not None and not (self._midway or self._refused):
            self._shared.heads.remember(data, *self._alone)

    def pause_writing(self) -> None:
        self._unread_since = self._monotonic()

    def resume_writing(self) -> None:
        self._unread_since = None

    def eof_received(self) -> bool:
        """A client that has said all it will may still read: half-closed while answering."""
        return self._answering or bool(self._queue)

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._midway = True
        self._reset()
        self._since = self._monotonic()
        self._patience = self._limits.head_seconds

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        name = name.lower()
        self._names += 1
        if name in self._headers and name in _ONCE:
            self._refuse(400, f"The header {name.decode()} came twice.")
        self._headers[name] = value
        if self._names > self._limits.headers:
            self._refuse(431, f"There are more than {self._limits.headers} headers.")

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        self._patience = self._limits.body_seconds
        headers = self._headers
        if b"upgrade" in headers and self._parser.should_upgrade():
            self._refuse(400, "This server speaks HTTP/1.1 and upgrades to nothing else.")
            return
        if b"transfer-encoding" in headers and b"content-length" in headers:
            self._refuse(400, "A request has a content-length or a transfer-encoding, not both.")
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._limits.body:
            self._too_large()
        elif b"expect" in headers and headers[b"expect"].lower() == b"100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._size += len(body)
        if self._size > self._limits.body:
            self._too_large()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._midway = False
        if self._refused:
            return
        keep = self._parser.should_keep_alive()
        path, _, query = self._url.decode("latin-1").partition("?")
        method = self._parser.get_method().decode("latin-1")
        head = Head(method, path, query=query, headers=self._headers)
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._alone = (head, len(body)) if keep else None
        self._take(Request(head, body, self._monotonic()), keep=keep)

    def _take(self, request: Request, *, keep: bool) -> None:
        if self._answering:
            self._queue.append((request, keep))
        else:
            self._answer(request, keep)

    # What its owner calls.

    def check(self, now: float) -> None:
        """Close the connection if its client has dawdled."""
        if self._unread_since is not None and now - self._unread_since > self._limits.write_seconds:
            self.abort()
        elif not self._answering and now - self._since > self._patience:
            if self._patience == self._limits.idle_seconds:
                self._transport.close()
            else:
                self._refuse(408, "The request did not arrive in time.")

    def close_when_idle(self) -> None:
        """Close now, or after the answer that is being made."""
        if not self._answering:
            self._transport.close()

    def abort(self) -> None:
        """Close without another word."""
        self._ended = True
        self._transport.abort()

    # Helpers.

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._names = 0
        self._head = 0
        self._size = 0
        self._body: list[bytes] = []

    def _count_head(self, size: int) -> None:
        self._head += size
        if self._head > self._limits.head:
            self._refuse(431, f"The head is larger than {self._limits.head:,} bytes.")

    def _too_large(self) -> None:
        self._refuse(413, f"The body is larger than {self._limits.body:,} bytes.")

    def _answer(self, request: Request, keep: bool) -> None:
        self._answering = True
        self._request, self._keep = request, keep
        if self._shared.traces is not None:
            self._shared.traces.begin(request)
        try:
            answer = self._shared.application(request)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            answer = error_response(500, "The server failed; its log says why.")
        if isinstance(answer, Reply):
            answer.take(self._send)
        elif isinstance(answer, Response):
            self._send(answer)
        else:
            future = asyncio.ensure_future(answer)
            self._shared.tasks.add(future)
            future.add_done_callback(self._finish)

    def _finish(self, future: asyncio.Future[Response]) -> None:
        self._shared.tasks.discard(future)
        try:
            response = future.result()
        except asyncio.CancelledError:
            response = error_response(503, "The server is stopping.")
        except Exception:
            logger.exception("%s %s failed", self._request.method, self._request.path)
            response = error_response(500, "The server failed; its log says why.")
        self._send(response)

    def _send(self, response: Response) -> None:
        """Answer the request in hand."""
        request, shared = self._request, self._shared
        self._answering = False
        self._since = self._monotonic()
        self._patience = self._limits.idle_seconds
        shared.answered[response.status] += 1
        if shared.access is not None:
            shared.access.note(request, response)
        if shared.traces is not None:
            shared.traces.end(request, response.status, self._since)
            response = traced(response, request)
        if self._ended:
            return
        keep = self._keep and not shared.closing
        data = self._bytes(packed(response, request), keep=keep, empty=request.method == "HEAD")
        if self._hand is not None and not (self._queue or self._midway):
            self._hand.answer(self._sent + len(data), last=not keep)
        self._write(data)
        if not keep:
            self._transport.close()
        elif self._queue:
            self._answer(*self._queue.popleft())
        elif self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _bytes(self, response: Response, *, keep: bool, empty: bool = False) -> bytes:
        if keep and not empty and response.is_plain:
            return b"%b%d\r\n\r\n%b" % (self._shared.plain, len(response.body), response.body)
        parts: list[Any] = [
            self._shared.head_of(response.status, response.content_type),
            b"\r\ncontent-length: %d\r\n" % len(response.body),
        ]
        parts.extend(b"%b: %b\r\n" % pair for pair in response.headers)
        if not keep:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if not empty:
            parts.append(response.body)
        return b"".join(parts)

    def _refuse(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer with an error in the middle of a request, and hang up."""
        if self._refused or self._ended:
            return
        self._refused = True
        self._shared.answered[status] += 1
        self._queue.clear()
        data = self._bytes(error_response(status, message, headers), keep=False)
        if self._hand is not None:
            self._hand.answer(self._sent + len(data), last=True)
        self._write(data)
        self._transport.close()

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        self._transport.write(data)


_NOTHING = Request(Head("GET", "/"))
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_STATUS = {s.value: b"HTTP/1.1 %d %b\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}
