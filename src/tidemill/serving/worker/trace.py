"""A trace: who called, in W3C's form, and what its part is that happened here.

References:
    https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from tidemill.models.calls import Call

HEADER = b"traceparent"
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1


class Parent(msgspec.Struct, frozen=True):
    """What a caller says of the trace that its request belongs to.

    Attributes:
        trace: 32 hexadecimal digits.
        span: The caller's span, 16 hexadecimal digits.
        is_sampled: Whether the caller records.
    """

    trace: str
    span: str
    is_sampled: bool


def parent_of(headers: Mapping[bytes, bytes]) -> Parent | None:
    """Return the caller's trace, or nothing where the header is missing or malformed.

    Example:
        >>> sent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        >>> parent_of({HEADER: sent}).span
        '00f067aa0ba902b7'
    """
    sent = headers.get(HEADER)
    if sent is None:
        return None
    found = _TRACEPARENT.fullmatch(sent)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return Parent(found[2].decode(), found[3].decode(), bool(int(found[4], 16) & _SAMPLED))


class Trace:
    """One request's part of a trace, filled in while it is answered.

    Times are seconds of the monotonic clock.

    Attributes:
        trace: 32 hexadecimal digits.
        span: Ours, 16 hexadecimal digits.
        parent: The caller's span, or nothing where the trace begins here.
        began: When the rows were ready.
        call: The model's call.
        answered: When the outcome was there.
        logged: When its record had been taken.
        encoded: When the answer was written.
        attributes: What is known of it.
    """

    __slots__ = (
        "answered",
        "attributes",
        "began",
        "call",
        "encoded",
        "logged",
        "parent",
        "span",
        "trace",
    )

    def __init__(self, trace: str, span: str, parent: str | None) -> None:
        self.trace = trace
        self.span = span
        self.parent = parent
        self.began = self.answered = self.logged = self.encoded = 0.0
        self.call: Call | None = None
        self.attributes: dict[str, str | int] = {}

    @property
    def header(self) -> bytes:
        """What is told of it: to the caller, and to whom we ask."""
        return f"00-{self.trace}-{self.span}-01".encode()
