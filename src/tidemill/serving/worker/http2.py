"""HTTP/2 for calls: one whole message in, one whole message out, as gRPC's unary calls are.

Frames are read and written here; what a call means is for `grpc_server.py`. It is a protocol of our
own for the reasons of `docs/decisions/http-server.md`: limits where they belong, and a fraction of
the work for each call that a general server does.

References:
    https://www.rfc-editor.org/rfc/rfc9113 (HTTP/2), https://www.rfc-editor.org/rfc/rfc7541 (HPACK)
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import hpack

from tidemill.core.clock import Clock
from tidemill.serving.worker.calls import Call, Limits
from tidemill.serving.worker.frames import (
    ACK,
    AWAY,
    CALM,
    COMPRESSION,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW,
    FRAME,
    HEADERS,
    MOST_WINDOW,
    NO_ERROR,
    PING,
    PRIORITISED,
    PRIORITY,
    PROTOCOL,
    PUSH,
    REFUSED,
    RESET,
    SETTINGS,
    SIZE,
    WINDOW,
    Broken,
    code_bytes,
    frame,
    unpadded,
)
from tidemill.serving.worker.http import Head

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTING = struct.Struct(">HI")
_LARGEST_FRAME = 1 << 18
_LEAST_FRAME = 1 << 14
_HEAD_BYTES = 32 << 10
_UNREAD = 1000
"""Who asks so often, and reads no answer, wants to fill our memory."""
_HEADS = 100
"""So many heads of one client are known at most."""
_RESETS = 1000
"""So many more calls that were given up than were answered are an attack."""


Answer = Callable[[Call], None]


class Connections:
    """All connections, and what they share.

    Args:
        answer: Is called with each whole call, and sees to it that it is answered.
        clock: Tells durations.
        limits: What one connection may take.
    """

    def __init__(self, answer: Answer, clock: Clock, limits: Limits) -> None:
        self.answer = answer
        self.clock = clock
        self.limits = limits
        self.open: set[Connection] = set()

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self)

    def sweep(self) -> None:
        """Close what has dawdled; called every second."""
        now = self.clock.monotonic()
        for connection in list(self.open):
            connection.check(now)

    async def drain(self, seconds: float) -> None:
        """Take no more calls, finish those that are being answered, then close everything."""
        for connection in list(self.open):
            connection.go_away()
        end = self.clock.monotonic() + seconds
        while self.open and self.clock.monotonic() < end:
            await asyncio.sleep(0.01)
        for connection in list(self.open):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._buffer = b""
        self._begun = False
        self._decoder = hpack.Decoder(max_header_list_size=_HEAD_BYTES)
        self._known: dict[bytes, Head] = {}
        self._calls: dict[int, Call] = {}
        self._answering: dict[int, Call] = {}
        self._blocked: dict[int, Call] = {}
        self._block: tuple[int, int, bytes] | None = None
        self._last = 0
        self._window = 65535
        self._call_window = 65535
        self._frame = _LEAST_FRAME
        self._uncredited = 0
        self._given_up = 0
        self._ended = False
        self._leaving = False
        self._since = shared.clock.monotonic()
        self._unread_since: float | None = None
        self._unread = 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if len(self._shared.open) >= self._limits.connections:
            self.abort()
            return
        self._shared.open.add(self)
        settings = {
            0x3: self._limits.calls,
            0x4: min(self._limits.message + 1024, MOST_WINDOW),
            0x5: _LARGEST_FRAME,
            0x6: _HEAD_BYTES,
        }
        payload = b"".join(_SETTING.pack(*setting) for setting in settings.items())
        grown = (2 * self._limits.message).to_bytes(4, "big")
        self._transport.write(frame(SETTINGS, 0, 0, payload) + frame(WINDOW, 0, 0, grown))

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self._shared.open.discard(self)
        self._calls.clear()
        self._blocked.clear()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        data = self._buffer + data if self._buffer else data
        at = 0
        if not self._begun:
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._buffer = data
                return
            if not data.startswith(PREFACE):
                self.abort()
                return
            self._begun = True
            at = len(PREFACE)
        try:
            at = self._read(data, at)
        except Broken as broken:
            self._fail(broken.code)
            return
        self._buffer = data[at:]

    def pause_writing(self) -> None:
        self._unread_since = self._shared.clock.monotonic()

    def resume_writing(self) -> None:
        self._unread_since = None
        self._unread = 0

    # What its owner calls.

    def check(self, now: float) -> None:
        """Close the connection, or give a call up, where its client has dawdled."""
        limits = self._limits
        stalled = self._unread_since or self._stalled_since()
        if (not self._begun and now - self._since > limits.head_seconds) or (
            stalled is not None and now - stalled > limits.write_seconds
        ):
            self.abort()
            return
        for call in [c for c in self._calls.values() if now - c.arrived > limits.call_seconds]:
            del self._calls[call.number]
            self._transport.write(frame(RESET, 0, call.number, code_bytes(CALM)))

    def go_away(self) -> None:
        """Take no more calls, and close when the last is answered."""
        self._leaving = True
        last = self._last.to_bytes(4, "big")
        self._transport.write(frame(AWAY, 0, 0, last + code_bytes(NO_ERROR)))
        self._close_when_idle()

    def abort(self) -> None:
        """Close without another word."""
        self._ended = True
        self._transport.abort()

    def answer(self, call: Call, head: bytes, data: bytes, tail: bytes) -> None:
        """Send a call's answer, as far as the client's windows allow."""
        number = call.number
        if self._ended or self._answering.pop(number, None) is None:
            return
        opened = frame(HEADERS, END_HEADERS | (0 if tail else END_STREAM), number, head)
        if not tail:
            self._transport.write(opened)
        else:
            closed = frame(HEADERS, END_HEADERS | END_STREAM, number, tail)
            size = len(data)
            if size <= self._frame and size <= call.window and size <= self._window:
                self._window -= size
                content = frame(DATA, 0, number, data) if data else b""
                self._transport.write(b"%b%b%b" % (opened, content, closed))
            else:
                self._transport.write(opened)
                call.data = memoryview(data)
                call.body = bytearray(closed)
                call.arrived = self._shared.clock.monotonic()
                self._blocked[number] = call
                self._send_blocked()
        if self._leaving:
            self._close_when_idle()

    # Frames.

    def _read(self, data: bytes, at: int) -> int:
        size = len(data)
        while size - at >= 9:
            high, low, kind, flags, number = FRAME.unpack_from(data, at)
            length = high << 16 | low
            if length > _LARGEST_FRAME:
                raise Broken(SIZE)
            end = at + 9 + length
            if end > size:
                break
            payload = data[at + 9 : end]
            at = end
            if self._block is not None and kind != CONTINUATION:
                raise Broken(PROTOCOL)
            handle = _HANDLERS.get(kind)
            if handle is not None:  # Unknown kinds are passed over, as the standard says.
                handle(self, flags, number & MOST_WINDOW, payload)
            if self._ended:
                break
        return at

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        self._credit(len(payload))
        call = self._calls.get(number)
        if call is None:
            if number > self._last or number == 0:
                raise Broken(PROTOCOL)
            return  # Of a call that was given up.
        part = unpadded(flags, payload)
        if len(call.body) + len(part) > self._limits.message + 5:
            # Handed over as it is: it is refused before anyone reads it.
            flags |= END_STREAM
        if call.body:
            call.body += part
        else:
            call.body = part if flags & END_STREAM else bytearray(part)
        if flags & END_STREAM:
            self._whole(call)

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if number in self._calls:
            # Trailers of a request: gRPC has none, but they end it.
            if not flags & END_STREAM:
                raise Broken(PROTOCOL)
        elif number % 2 == 0 or number <= self._last:
            raise Broken(PROTOCOL)
        block = unpadded(flags, payload)
        if flags & PRIORITISED:
            block = block[5:]
        if flags & END_HEADERS:
            self._open(flags, number, block)
        else:
            self._block = (flags, number, block)

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None or self._block[1] != number:
            raise Broken(PROTOCOL)
        first, _, block = self._block
        block += payload
        if len(block) > _HEAD_BYTES:
            raise Broken(CALM)
        self._block = (first, number, block)
        if flags & END_HEADERS:
            self._block = None
            self._open(first, number, block)

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        if number == 0 or number > self._last or len(payload) != 4:
            raise Broken(PROTOCOL)
        self._calls.pop(number, None)
        self._answering.pop(number, None)
        self._blocked.pop(number, None)
        self._given_up += 1
        if self._given_up > _RESETS:
            raise Broken(CALM)

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number != 0 or len(payload) % 6:
            raise Broken(PROTOCOL)
        if flags & ACK:
            return
        for key, value in _SETTING.iter_unpack(payload):
            if key == 0x4:
                if value > MOST_WINDOW:
                    raise Broken(FLOW)
                for call in (*self._calls.values(), *self._answering.values()):
                    call.window += value - self._call_window
                for call in self._blocked.values():
                    call.window += value - self._call_window
                self._call_window = value
            elif key == 0x5:
                if not _LEAST_FRAME <= value < 1 << 24:
                    raise Broken(PROTOCOL)
                self._frame = value
        self._answer_control(frame(SETTINGS, ACK, 0, b""))
        self._send_blocked()

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number != 0 or len(payload) != 8:
            raise Broken(PROTOCOL)
        if not flags & ACK:
            self._answer_control(frame(PING, ACK, 0, payload))

    def _on_away(self, flags: int, number: int, payload: bytes) -> None:
        self._leaving = True
        self._close_when_idle()

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(SIZE)
        grown = int.from_bytes(payload, "big") & MOST_WINDOW
        if number == 0:
            self._window += grown
            if grown == 0 or self._window > MOST_WINDOW:
                raise Broken(FLOW)
        else:
            for some in (self._blocked, self._answering, self._calls):
                if number in some:
                    some[number].window += grown
        if self._blocked:
            self._send_blocked()

    def _on_nothing(self, flags: int, number: int, payload: bytes) -> None:
        """Pass over priorities, which only advise."""

    def _on_push(self, flags: int, number: int, payload: bytes) -> None:
        raise Broken(PROTOCOL)

    # Calls.

    def _open(self, flags: int, number: int, block: bytes) -> None:
        head = self._known.get(block)
        if head is None:
            head = self._decode(block)
        call = self._calls.get(number)
        if call is None:
            self._last = number
            if self._leaving or len(self._calls) + len(self._answering) >= self._limits.calls:
                self._transport.write(frame(RESET, 0, number, code_bytes(REFUSED)))
                return
            now = self._shared.clock.monotonic()
            call = self._calls[number] = Call(self.answer, number, head, now, self._call_window)
        if flags & END_STREAM:
            self._whole(call)

    def _decode(self, block: bytes) -> Head:
        """Decode headers; a block that names only what stands in the table is remembered."""
        try:
            found = dict(self._decoder.decode(block, raw=True))
        except (hpack.HPACKError, IndexError) as error:
            raise Broken(COMPRESSION) from error
        method, path = found.get(b":method", b""), found.get(b":path", b"")
        head = Head(method.decode("latin-1"), path.decode("latin-1"), headers=found)
        if min(block, default=0) >= 0x80 and len(self._known) < _HEADS:
            self._known[block] = head
        else:
            self._known.clear()  # The table may have changed.
        return head

    def _whole(self, call: Call) -> None:
        del self._calls[call.number]
        self._answering[call.number] = call
        call.arrived = self._shared.clock.monotonic()
        self._given_up = max(self._given_up - 1, 0)
        self._shared.answer(call)

    def _send_blocked(self) -> None:
        """Send on as the client's windows have grown."""
        for number, call in list(self._blocked.items()):
            data = call.data
            assert data is not None
            while data and (size := min(len(data), self._frame, call.window, self._window)) > 0:
                self._transport.write(frame(DATA, 0, number, bytes(data[:size])))
                call.window -= size
                self._window -= size
                data = data[size:]
                call.arrived = self._shared.clock.monotonic()
            call.data = data
            if not data:
                del self._blocked[number]
                self._transport.write(bytes(call.body))
        if self._leaving:
            self._close_when_idle()

    def _credit(self, size: int) -> None:
        """Let the client send on, in the connection's window, in large steps."""
        self._uncredited += size
        if self._uncredited > self._limits.message // 2 and self._held() <= self._limits.message:
            grown = self._uncredited.to_bytes(4, "big")
            self._transport.write(frame(WINDOW, 0, 0, grown))
            self._uncredited = 0

    def _held(self) -> int:
        return sum(len(call.body) for call in self._calls.values())

    def _stalled_since(self) -> float | None:
        return min((call.arrived for call in self._blocked.values()), default=None)

    def _answer_control(self, frame: bytes) -> None:
        if self._unread_since is not None:
            self._unread += 1
            if self._unread > _UNREAD:
                raise Broken(CALM)
        self._transport.write(frame)

    def _close_when_idle(self) -> None:
        if not (self._calls or self._answering or self._blocked):
            self._transport.close()

    def _fail(self, code: int) -> None:
        self._ended = True
        last = self._last.to_bytes(4, "big")
        self._transport.write(frame(AWAY, 0, 0, last + code_bytes(code)))
        self._transport.close()


_HANDLERS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    DATA: Connection._on_data,
    HEADERS: Connection._on_headers,
    PRIORITY: Connection._on_nothing,
    RESET: Connection._on_reset,
    SETTINGS: Connection._on_settings,
    PUSH: Connection._on_push,
    PING: Connection._on_ping,
    AWAY: Connection._on_away,
    WINDOW: Connection._on_window,
    CONTINUATION: Connection._on_continuation,
}
