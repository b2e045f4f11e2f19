"""gRPC's unary calls over `http2.py`: paths to methods, deadlines, compression and statuses.

Imported only where a port for it is given: gRPC is an extra.

References:
    https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import zlib
from collections.abc import Awaitable, Callable
from typing import NoReturn
from urllib.parse import quote

import grpc
import msgspec

from tidemill.core.clock import Clock
from tidemill.serving.worker.http2 import Call, Connections, Headers, Limits

logger = logging.getLogger(__name__)
Method = Callable[[bytes, "Context"], Awaitable[bytes]]
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_RESERVED = frozenset({b"te", b"content-type", b"user-agent", b"grpc-timeout", b"grpc-encoding"})
_REMEMBERED = 1000


class Context:
    """What a method may ask of its call and say beside its answer."""

    def __init__(self, call: Call, clock: Clock) -> None:
        self._headers = call.headers
        self._clock = clock
        self._deadline = _deadline(call)
        self.trailers: tuple[tuple[str, str], ...] = ()

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return the caller's metadata."""
        return _metadata(self._headers)

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller gives up, where it has said when."""
        if self._deadline is None:
            return None
        return max(self._deadline - self._clock.monotonic(), 0.0)

    def set_trailing_metadata(self, trailers: tuple[tuple[str, str], ...]) -> None:
        """Send metadata after the answer."""
        self.trailers = trailers

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call with an error.

        Raises:
            Aborted: Always.
        """
        raise Aborted(code, details)


class Aborted(Exception):
    """A call has no answer but a status.

    Args:
        code: The status.
        details: Why.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


class GrpcServer:
    """Answers calls.

    Args:
        handlers: Know the methods; each takes bytes and returns bytes.
        clock: Tells durations.
        limits: What one connection may take.
    """

    def __init__(
        self, handlers: tuple[grpc.GenericRpcHandler, ...], clock: Clock, limits: Limits
    ) -> None:
        self._handlers = handlers
        self._clock = clock
        self._limits = limits
        self._methods: dict[bytes, Method] = {}
        self._tasks: set[asyncio.Task[None]] = set()
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
        headers = call.headers
        if headers.get(b":method") != b"POST" or not headers.get(b"content-type", b"").startswith(
            b"application/grpc"
        ):
            call.answer(_UNSUPPORTED, b"", b"")
            return
        task = asyncio.get_running_loop().create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: Call) -> None:
        context = Context(call, self._clock)
        try:
            method = self._method(call.headers.get(b":path", b""))
            data = await method(_message(call, self._limits.message), context)
            tail = _OK if not context.trailers else _OK + _literals(context.trailers)
        except Aborted as aborted:
            _refuse(call, aborted.code, aborted.details, context.trailers)
        except Exception:
            logger.exception("%r failed", call.headers.get(b":path"))
            # Trailers that cannot be written are what may have failed.
            _refuse(call, grpc.StatusCode.INTERNAL, "The server failed; its log says why.", ())
        else:
            head = b"\0" + len(data).to_bytes(4, "big")
            call.answer(_HEAD, head + data, tail)

    def _method(self, path: bytes) -> Method:
        method = self._methods.get(path)
        if method is not None:
            return method
        details = _Details(path.decode("latin-1"))
        found = [h for each in self._handlers if (h := each.service(details)) is not None]
        if not found:
            raise Aborted(
                grpc.StatusCode.UNIMPLEMENTED, f"There is no method {details.method[:200]!r}."
            )
        answering: Method = found[0].unary_unary
        if len(self._methods) < _REMEMBERED:
            self._methods[path] = answering
        return answering


class _Details(msgspec.Struct, frozen=True):
    """What a handler is asked with."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


def _message(call: Call, largest: int) -> bytes:
    """Return a call's one message, unpacked.

    Raises:
        Aborted: It is not whole, is too large, or is packed in an unknown way.
    """
    body = call.body
    if len(body) > largest + 5:
        raise Aborted(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"The message is larger than {largest:,} bytes."
        )
    if len(body) < 5 or int.from_bytes(body[1:5], "big") != len(body) - 5 or body[0] > 1:
        raise Aborted(
            grpc.StatusCode.INVALID_ARGUMENT, "The call does not hold exactly one whole message."
        )
    message = bytes(memoryview(body)[5:])
    return _unpacked(call.headers, message, largest) if body[0] else message


def _unpacked(headers: Headers, message: bytes, largest: int) -> bytes:
    encoding = headers.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in ("gzip", "deflate"):
        raise Aborted(
            grpc.StatusCode.UNIMPLEMENTED,
            f"The encoding {encoding!r} is not known. Expected gzip, deflate or identity.",
        )
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        found = unpacker.decompress(message, largest + 1)
    except zlib.error as error:
        raise Aborted(
            grpc.StatusCode.INVALID_ARGUMENT, f"The message is no valid {encoding}: {error}."
        ) from error
    if len(found) > largest:
        raise Aborted(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"The unpacked message is larger than {largest:,} bytes.",
        )
    if not unpacker.eof:
        raise Aborted(grpc.StatusCode.INVALID_ARGUMENT, f"The {encoding} message ends too early.")
    return found


def _deadline(call: Call) -> float | None:
    timeout = call.headers.get(b"grpc-timeout")
    if timeout is None:
        return None
    number, unit = timeout[:-1], _UNITS.get(timeout[-1:])
    if unit is None or not number.isdigit() or len(number) > 8:
        return None
    return call.arrived + int(number) * unit


def _metadata(headers: Headers) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (name.decode("latin-1"), _value(name, value))
        for name, value in headers.items()
        if not name.startswith(b":") and name not in _RESERVED
    )


def _value(name: bytes, value: bytes) -> str | bytes:
    if not name.endswith(b"-bin"):
        return value.decode("latin-1")
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4))
    except ValueError:
        return value


def _refuse(
    call: Call, code: grpc.StatusCode, details: str, trailers: tuple[tuple[str, str], ...]
) -> None:
    number, _ = code.value
    said = (("grpc-status", str(number)), ("grpc-message", quote(details, safe=_PLAIN)))
    call.answer(_HEAD, b"", _literals((*said, *trailers)))


def _literals(pairs: tuple[tuple[str, str], ...]) -> bytes:
    """Return headers in HPACK, without the table and without Huffman's code."""
    return b"".join(
        b"\0" + _text(name.encode("latin-1")) + _text(value.encode("latin-1", "replace"))
        for name, value in pairs
    )


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
_HEAD = b"\x88" + _literals((("content-type", "application/grpc"),))
_OK = _literals((("grpc-status", "0"),))
_UNSUPPORTED = _literals(((":status", "415"),))
