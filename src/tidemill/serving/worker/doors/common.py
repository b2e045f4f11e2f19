"""What every protocol's door does: say who asks, by when, and unpack the body."""

from __future__ import annotations

import json
import math
import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidemill.core.clock import Clock, micros
from tidemill.serving.worker.asks import Ask, Content
from tidemill.serving.worker.http import HttpError, Request
from tidemill.serving.worker.senders import Sender
from tidemill.serving.worker.trace import parent_of

KEY = b"tidemill-key"
VERSION = b"tidemill-version"
TIME = b"tidemill-time"
TIMEOUT = b"tidemill-timeout-ms"
REQUEST_ID = b"x-request-id"
_SECONDS = 30.0
_FORMS = (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data")
_TOO_LARGE = "Number out of range"
_SOUGHT = 1 << 20
"""In a body of at most so many bytes, what is no JSON is looked for."""


class Reception:
    """Reads callers off their headers.

    Args:
        clock: Tells the time.
        by_header: Whether a request may say when it is, as a replay does.
        largest: The largest body in bytes, unpacked.
    """

    def __init__(self, clock: Clock, *, by_header: bool = False, largest: int = 32 << 20) -> None:
        self._clock = clock
        self._by_header = by_header
        self._largest = largest

    def ask(
        self,
        request: Request,
        endpoint: str,
        content: Content,
        *,
        version: str | None = None,
        named: str | None = None,
        deadline: float = math.inf,
    ) -> Ask:
        """Return what the plane is asked, by the headers and by what a door has read.

        Args:
            request: The request.
            endpoint: Whose model is asked.
            content: What the request holds.
            version: The version asked for outside the headers.
            named: The caller's name for the request outside the headers.
            deadline: When the caller gives up by what it said in the content.

        Raises:
            HttpError: A header cannot be read.
        """
        sender = request.head.sender or self.sender(request)
        recorded, arrived = request.trace, request.arrived
        trace = sender.trace if recorded is None else recorded.trace
        return Ask(
            endpoint,
            content,
            version or sender.version,
            sender.key or named,
            named or sender.request_id or trace,
            self.time(request),
            arrived,
            min(deadline, arrived + sender.seconds),
            trace,
            recorded,
        )

    def sender(self, request: Request) -> Sender:
        """Return who asks.

        Raises:
            HttpError: A header cannot be read.
        """
        head = request.head
        if head.sender is None:
            head.sender = _sender(request)
        return head.sender

    def body(self, request: Request) -> bytes:
        """Return the body, unpacked where it was sent packed.

        Raises:
            HttpError: It cannot be unpacked, is too large unpacked, or is packed in an unknown
                way.
        """
        encoding = request.headers.get(b"content-encoding")
        if encoding is None:
            return request.body
        named = encoding.decode("latin-1").strip().lower()
        if named == "identity":
            return request.body
        return _unpacked(request.body, named, self._largest)

    def time(self, request: Request) -> int:
        """Return when the request is, in microseconds since 1970.

        Raises:
            HttpError: The header of a replay cannot be read.
        """
        if self._by_header and TIME in request.headers:
            return micros(_moment(request.header(TIME) or ""))
        return self._clock.micros()


def _sender(request: Request) -> Sender:
    timeout = request.headers.get(TIMEOUT)
    parent = parent_of(request.headers)
    return Sender(
        _SECONDS if timeout is None else _seconds(timeout),
        request.header(VERSION),
        request.header(KEY),
        request.header(REQUEST_ID) or "",
        "" if parent is None else parent.trace,
    )


def check_no_form(request: Request) -> None:
    """Refuse what a web page can send without being asked whether it may.

    Raises:
        HttpError: The body is a form or plain text.
    """
    kind = request.headers.get(b"content-type")
    if kind is not None and kind.partition(b";")[0].strip().lower() in _FORMS:
        raise HttpError(
            415,
            f"The content type is {kind.decode('latin-1')!r}. Expected application/json. "
            "With curl: -H 'content-type: application/json'",
        )


def _unpacked(body: bytes, encoding: str, largest: int) -> bytes:
    if encoding not in ("gzip", "deflate"):
        raise HttpError(
            415, f"The content encoding {encoding!r} is not known. Expected 'gzip' or 'deflate'."
        )
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        found = unpacker.decompress(body, largest + 1)
    except zlib.error as error:
        raise HttpError(400, f"The body is no valid {encoding}: {error}.") from error
    if len(found) > largest:
        raise HttpError(413, f"The unpacked body is larger than {largest:,} bytes.")
    if not unpacker.eof:
        raise HttpError(400, f"The {encoding} body ends too early.")
    if unpacker.unused_data:
        raise HttpError(400, f"{len(unpacker.unused_data)} bytes follow the {encoding} body.")
    return found


def decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Return what a JSON body says.

    Raises:
        HttpError: It is no JSON, or not the JSON that was expected; the field is named.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        odd = _no_number(body) if str(error).startswith(_TOO_LARGE) else ""
        said = odd or f"The request does not fit the protocol: {error}."
        raise HttpError(400, said) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        odd = _no_number(body) if b"NaN" in body or b"Infinity" in body else ""
        raise HttpError(400, odd or f"The body is no valid JSON: {error}.") from error
    except RecursionError as error:
        raise HttpError(400, "The body is nested too deeply.") from error


class _Odd(str):
    """NaN and Infinity, which JSON does not know, or a number that 64 bits do not hold."""

    __slots__ = ()


def _large(text: str) -> float | _Odd:
    number = float(text)
    return number if math.isfinite(number) else _Odd(text)


def _no_number(body: bytes) -> str:
    """Say where a number stands that is none, or nothing where something else is wrong."""
    if len(body) > _SOUGHT:
        return ""
    try:
        tree = json.loads(body, parse_constant=_Odd, parse_float=_large)
    except (ValueError, RecursionError):
        return ""
    waiting: list[tuple[str, str, Any]] = [("$", "", tree)]
    while waiting:
        path, name, found = waiting.pop()
        if isinstance(found, _Odd):
            called = f" ({name!r})" if name else ""
            why = "JSON does not know" if found.lstrip("-").isalpha() else "64 bits do not hold"
            return (
                f"{path}{called} is {found:.40}, which {why}. "
                "Expected a number, or null where a value is missing."
            )
        if isinstance(found, dict):
            named = found.get("name")
            name = named if type(named) is str else name
            waiting += [(f"{path}.{key}", name, value) for key, value in found.items()]
        elif isinstance(found, list):
            waiting += [(f"{path}[{at}]", name, value) for at, value in enumerate(found)]
    return ""


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
