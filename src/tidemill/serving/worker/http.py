"""What a request and a response are to the doors of the data plane, and the answers that say no."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec

from tidemill.serving.worker.senders import Sender
from tidemill.serving.worker.trace import Trace

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
ACCEPT = b"accept-encoding"
PACK_BYTES = 4096
"""An answer smaller than this is not worth the packing."""


class Head:
    """A request line with its headers.

    Attributes:
        method: In capitals.
        path: As it came, without the query.
        query: What follows the question mark.
        headers: By name in lower case; of a repeated one, the last.
        handler: Who answers to it, once that was found.
        sender: Who asks, once that was read off the headers.
    """

    __slots__ = ("handler", "headers", "method", "path", "query", "sender")

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers or {}
        self.handler: Callable[[Request], Response | Awaitable[Response]] | None = None
        self.sender: Sender | None = None


class Request:
    """One request, whole: the body has been read and is within its limit.

    Attributes:
        head: What stands before the body; requests share it.
        body: The bytes.
        arrived: When its last byte came, in seconds of the monotonic clock.
        trace: Its part of a trace, where it is recorded.
    """

    __slots__ = ("arrived", "body", "head", "trace")

    def __init__(self, head: Head, body: bytes = b"", arrived: float = 0.0) -> None:
        self.head = head
        self.body = body
        self.arrived = arrived
        self.trace: Trace | None = None

    @property
    def method(self) -> str:
        """The method, in capitals."""
        return self.head.method

    @property
    def path(self) -> str:
        """The path as it came, without the query."""
        return self.head.path

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.head.query

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The headers by name in lower case; of a repeated one, the last."""
        return self.head.headers

    def header(self, name: bytes) -> str | None:
        """Return a header's value as text, or nothing."""
        value = self.head.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()


class Response(msgspec.Struct, frozen=True):
    """One answer: status, body, content type and further headers."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is an answer like most: JSON, and nothing more to say."""
        return self.status == 200 and not self.headers and self.content_type is JSON


class HttpError(Exception):
    """An answer that says no.

    Args:
        status: The HTTP status.
        message: What was wrong, what was expected, what to do.
        headers: Further headers.
    """

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = headers


def error_response(
    status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Response:
    """Return the one shape of all errors.

    `error` is what inference clients read; `error_code` and `message` are what scoring clients do.

    Example:
        >>> error_response(404, "No m.").body
        b'{"error":"No m.","error_code":"NOT_FOUND","message":"No m."}'
    """
    code = HTTPStatus(status).name
    body = msgspec.json.encode({"error": message, "error_code": code, "message": message})
    return Response(status, body, JSON, headers)


def packed(response: Response, request: Request) -> Response:
    """Return a long answer gzipped, where the client takes that."""
    if len(response.body) < PACK_BYTES or b"gzip" not in request.headers.get(ACCEPT, b""):
        return response
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    body = packer.compress(response.body) + packer.flush()
    headers = (*response.headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
    return Response(response.status, body, response.content_type, headers)


def json_response(value: object, status: int = 200) -> Response:
    """Return a value as JSON."""
    return Response(status, msgspec.json.encode(value))
