"""gRPC's unary calls over `http2.py`: paths to methods, compression and statuses.

A method takes a request and gives a response, as the doors of HTTP do: its body is the message, and
its status is told in gRPC's words. Nothing of grpcio is needed to serve.

References:
    https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import asyncio
import logging
import socket
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote

import msgspec

from tidemill.core.clock import Clock
from tidemill.serving.worker.calls import Call, Limits
from tidemill.serving.worker.http import Request, Response
from tidemill.serving.worker.http2 import Connections
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.trace import HEADER
from tidemill.serving.worker.tracing import Traces

logger = logging.getLogger(__name__)
Method = Callable[[Request], Response | Reply]
Trailers = tuple[tuple[bytes, bytes], ...]
_INVALID, _LATE, _NOT_FOUND, _EXHAUSTED, _UNIMPLEMENTED = 3, 4, 5, 8, 12
_INTERNAL, _UNAVAILABLE = 13, 14
_CODES = {
    400: _INVALID,
    404: _NOT_FOUND,
    413: _EXHAUSTED,
    429: _EXHAUSTED,
    503: _UNAVAILABLE,
    504: _LATE,
}
"""Statuses of HTTP as gRPC has them."""
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class GrpcServer:
    """Answers calls.

    Args:
        methods: By path.
        clock: Tells durations.
        limits: What one connection may take.
        traces: Where requests' traces go, if anywhere.
        traced: The paths whose calls are traced.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        clock: Clock,
        limits: Limits,
        traces: Traces | None = None,
        traced: frozenset[str] = frozenset(),
    ) -> None:
        self._methods = methods
        self._clock = clock
        self._limits = limits
        self._traces = traces
        self._traced = traced
        self._server: asyncio.Server | None = None
        self.connections = Connections(self._answer, clock, limits)

    async def listen(self, opened: socket.socket) -> None:
        """Take connections from a listening socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.connections, sock=opened, backlog=2048)

    async def stop(self, seconds: float) -> None:
        """Finish the calls that are being answered, and close."""
        if self._server is not None:
            self._server.close()
        await self.connections.drain(seconds)

    def _answer(self, call: Call) -> None:
        head = call.head
        if head.method != "POST" or not head.headers.get(b"content-type", b"").startswith(
            b"application/grpc"
        ):
            call.answer(_UNSUPPORTED, b"", b"")
            return
        try:
            method = self._methods.get(head.path)
            if method is None:
                raise _Refused(_UNIMPLEMENTED, f"There is no method {head.path[:200]!r}.")
            request = Request(head, _message(call, self._limits.message), call.arrived)
        except _Refused as refused:
            _refuse(call, refused.code, refused.details)
            return
        if self._traces is not None and head.path in self._traced:
            self._traces.begin(request)
        try:
            answer = method(request)
            if isinstance(answer, Reply):
                answer.take(partial(self._finish, call, request))
            else:
                self._finish(call, request, answer)
        except Exception:
            logger.exception("%s failed", head.path)
            # Trailers that cannot be written are what may have failed.
            _refuse(call, _INTERNAL, "The server failed; its log says why.")

    def _finish(self, call: Call, request: Request, response: Response) -> None:
        trailers: Trailers = ()
        if self._traces is not None and request.trace is not None:
            self._traces.end(request, response.status, self._clock.monotonic())
            trailers = ((HEADER, request.trace.header),)
        if response.status != 200:
            code = _CODES.get(response.status, _INTERNAL)
            _refuse(call, code, msgspec.json.decode(response.body)["error"], trailers)
            return
        data = response.body
        tail = _OK + _literals(trailers) if trailers else _OK
        call.answer(_HEAD, b"\0%b%b" % (len(data).to_bytes(4, "big"), data), tail)


class _Refused(Exception):
    """A call has no answer but a status."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


def timeout_of(headers: Mapping[bytes, bytes]) -> float | None:
    """Return how long the caller waits, in seconds, where it says so.

    Example:
        >>> timeout_of({b"grpc-timeout": b"250m"})
        0.25
    """
    timeout = headers.get(b"grpc-timeout")
    if timeout is None:
        return None
    number, unit = timeout[:-1], _UNITS.get(timeout[-1:])
    if unit is None or not number.isdigit() or len(number) > 8:
        return None
    return int(number) * unit


def _message(call: Call, largest: int) -> bytes:
    """Return a call's one message, unpacked.

    Raises:
        _Refused: It is not whole, is too large, or is packed in an unknown way.
    """
    body = call.body
    if len(body) > largest + 5:
        raise _Refused(_EXHAUSTED, f"The message is larger than {largest:,} bytes.")
    if len(body) < 5 or int.from_bytes(body[1:5], "big") != len(body) - 5 or body[0] > 1:
        raise _Refused(_INVALID, "The call does not hold exactly one whole message.")
    message = bytes(body[5:])
    return _unpacked(call.head.headers, message, largest) if body[0] else message


def _unpacked(headers: Mapping[bytes, bytes], message: bytes, largest: int) -> bytes:
    encoding = headers.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in ("gzip", "deflate"):
        raise _Refused(
            _UNIMPLEMENTED,
            f"The encoding {encoding!r} is not known. Expected gzip, deflate or identity.",
        )
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        found = unpacker.decompress(message, largest + 1)
    except zlib.error as error:
        raise _Refused(_INVALID, f"The message is no valid {encoding}: {error}.") from error
    if len(found) > largest:
        raise _Refused(_EXHAUSTED, f"The unpacked message is larger than {largest:,} bytes.")
    if not unpacker.eof:
        raise _Refused(_INVALID, f"The {encoding} message ends too early.")
    return found


def _refuse(call: Call, code: int, details: str, trailers: Trailers = ()) -> None:
    told = quote(details, safe=_PLAIN).encode()
    said = ((b"grpc-status", b"%d" % code), (b"grpc-message", told))
    call.answer(_HEAD, b"", _literals((*said, *trailers)))


def _literals(pairs: Trailers) -> bytes:
    """Return headers in HPACK, without the table and without Huffman's code."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs)


def _text(text: bytes) -> bytes:
    """Return a string of HPACK: its length in seven bits and more, and itself."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    head = bytearray((127,))
    size -= 127
    while size >= 128:
        head.append(size % 128 | 128)
        size //= 128
    head.append(size)
    return bytes(head) + text


_PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_HEAD = b"\x88" + _literals(((b"content-type", b"application/grpc"),))
_OK = _literals(((b"grpc-status", b"0"),))
_UNSUPPORTED = _literals(((b":status", b"415"),))
