"""The access log: one line of JSON a request, by which one can be followed through the system."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from tidemill.core.clock import Clock
from tidemill.serving.worker.http import Request, Response

TRACE = b"traceparent"
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Line(msgspec.Struct, omit_defaults=True):
    """One line.

    Attributes:
        time: When it was answered.
        method: As it came.
        path: As it came, without the query.
        status: Of the answer.
        ms: From the request's last byte to the answer.
        received: Bytes of the request's body.
        sent: Bytes of the answer's body.
        trace: The caller's trace, where W3C trace context came with the request.
        span: The caller's span.
        request: The caller's name for the request.
    """

    time: str
    method: str
    path: str
    status: int
    ms: float
    received: int
    sent: int
    trace: str = ""
    span: str = ""
    request: str = ""


class AccessLog:
    """Appends lines to a file.

    Args:
        path: The file; workers may share it, since a line is one write.
        clock: Tells the time.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._clock = clock
        self._encoder = msgspec.json.Encoder()

    def note(self, request: Request, response: Response) -> None:
        """Write the line of a request that has been answered."""
        trace, span = trace_of(request)
        line = Line(
            time=self._clock.now().isoformat(),
            method=request.method,
            path=request.path[:500],
            status=response.status,
            ms=round(1000 * (self._clock.monotonic() - request.arrived), 3),
            received=len(request.body),
            sent=len(response.body),
            trace=trace,
            span=span,
            request=(request.header(b"x-request-id") or "")[:200],
        )
        os.write(self._descriptor, self._encoder.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def trace_of(request: Request) -> tuple[str, str]:
    """Return the caller's trace and span, or nothing where the header is missing or malformed.

    References:
        https://www.w3.org/TR/trace-context/#traceparent-header

    Example:
        >>> sent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        >>> trace_of(Request("GET", "/", headers={TRACE: sent}))
        ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7')
    """
    found = _TRACEPARENT.fullmatch(request.headers.get(TRACE, b""))
    if found is None or not found[1].strip(b"0") or not found[2].strip(b"0"):
        return "", ""
    return found[1].decode(), found[2].decode()
