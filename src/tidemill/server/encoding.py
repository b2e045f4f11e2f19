"""How records travel: JSON, with floats that JSON has no word for as null."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill.core.errors import (
    Busy,
    Conflict,
    Findings,
    InvalidData,
    NotFound,
    OutOfSpace,
    Refused,
    TidemillError,
    Usage,
    UserCodeFailed,
)
from tidemill.core.references import encode_hook

_ENCODER = msgspec.json.Encoder(enc_hook=encode_hook)
_STATUS: tuple[tuple[type[TidemillError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (InvalidData, 422),
    (UserCodeFailed, 422),
    (Findings, 422),
    (Refused, 403),
    (Busy, 503),
    (OutOfSpace, 507),
    (Usage, 400),
)


class ErrorBody(msgspec.Struct, frozen=True):
    """What went wrong.

    Attributes:
        code: The situation, for programs.
        message: What happened.
        expected: What was expected.
        hint: What to do next.
    """

    code: str
    message: str
    expected: str = ""
    hint: str = ""


class ErrorShape(msgspec.Struct, frozen=True):
    """The one shape of all errors."""

    error: ErrorBody


def encode(value: Any) -> bytes:
    """Return a value as JSON."""
    return _ENCODER.encode(value)


def shape(error: TidemillError) -> ErrorShape:
    """Return an error as it travels."""
    return ErrorShape(ErrorBody(error.code, error.what, error.expected, error.hint))


def status_of(error: TidemillError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
