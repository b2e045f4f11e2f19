"""What every protocol's door does: say who asks, by when, and unpack the body."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidemill.core.clock import Clock, micros
from tidemill.serving.worker.access import trace_of
from tidemill.serving.worker.http import HttpError, Request

KEY = b"tidemill-key"
VERSION = b"tidemill-version"
TIME = b"tidemill-time"
TIMEOUT = b"tidemill-timeout-ms"
REQUEST_ID = b"x-request-id"
_SECONDS = 30.0
_LARGEST = 32 << 20


class Caller(msgspec.Struct, frozen=True):
    """What a request's headers say beside its body.

    Attributes:
        time: Of the request, in microseconds since 1970.
        deadline: When the caller gives up, in seconds of the monotonic clock.
        version: The version asked for.
        key: What the split goes by.
        request_id: The caller's name for the request, or the trace that it belongs to.
    """

    time: int
    deadline: float
    version: str | None
    key: str | None
    request_id: str


class Reception:
    """Reads callers off their headers.

    Args:
        clock: Tells the time.
        by_header: Whether a request may say when it is, as a replay does.
    """

    def __init__(self, clock: Clock, *, by_header: bool = False) -> None:
        self._clock = clock
        self._by_header = by_header

    def caller(self, request: Request) -> Caller:
        """Return who asks.

        Raises:
            HttpError: A header cannot be read.
        """
        headers = request.headers
        timeout = headers.get(TIMEOUT)
        return Caller(
            self.time(request),
            request.arrived + (_SECONDS if timeout is None else _seconds(timeout)),
            request.header(VERSION),
            request.header(KEY),
            request.header(REQUEST_ID) or trace_of(request)[0],
        )

    def time(self, request: Request) -> int:
        """Return when the request is, in microseconds since 1970.

        Raises:
            HttpError: The header of a replay cannot be read.
        """
        if self._by_header and TIME in request.headers:
            return micros(_moment(request.header(TIME) or ""))
        return micros(self._clock.now())


def body_of(request: Request) -> bytes:
    """Return the body, unpacked where it was sent packed.

    Raises:
        HttpError: It cannot be unpacked, is too large unpacked, or is packed in an unknown way.
    """
    encoding = (request.header(b"content-encoding") or "identity").lower()
    if encoding == "identity":
        return request.body
    if encoding not in ("gzip", "deflate"):
        raise HttpError(
            415, f"The content encoding {encoding!r} is not known. Expected 'gzip' or 'deflate'."
        )
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        body = unpacker.decompress(request.body, _LARGEST + 1)
    except zlib.error as error:
        raise HttpError(400, f"The body is no valid {encoding}: {error}.") from error
    if len(body) > _LARGEST:
        raise HttpError(413, f"The unpacked body is larger than {_LARGEST:,} bytes.")
    if not unpacker.eof:
        raise HttpError(400, f"The {encoding} body ends too early.")
    return body


def decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Return what a JSON body says.

    Raises:
        HttpError: It is no JSON, or not the JSON that was expected; the field is named.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise HttpError(400, f"The request does not fit the protocol: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HttpError(400, f"The body is no valid JSON: {error}.") from error
    except RecursionError as error:
        raise HttpError(400, "The body is nested too deeply.") from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise HttpError(
            400, f"The header Tidemill-Time is {text!r}. Expected a moment like 2013-02-01T06:00Z."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(timeout: bytes) -> float:
    if not timeout.isdigit() or not 0 < int(timeout[:10]) <= 3_600_000:
        raise HttpError(
            400,
            f"The header Tidemill-Timeout-Ms is {timeout.decode('latin-1')!r}. "
            "Expected whole milliseconds, 1 to 3,600,000.",
        )
    return int(timeout) / 1000.0
