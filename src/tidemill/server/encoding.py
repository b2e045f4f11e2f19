"""How records travel: JSON, with floats that JSON has no word for as texts."""

from __future__ import annotations

import math
from typing import Any, TypeVar

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

T = TypeVar("T")
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
    """Return a value as JSON; not-a-number and the infinities are texts, as in MLflow's answers.

    Example:
        >>> encode({"auc": math.nan, "f1": 0.5})
        b'{"auc":"NaN","f1":0.5}'
    """
    return msgspec.json.encode(_spelled(msgspec.to_builtins(value, enc_hook=_plain)))


def decode(content: bytes, kind: type[T]) -> T:
    """Read what `encode` wrote.

    Example:
        >>> decode(b'{"auc":"-Infinity"}', dict[str, float])
        {'auc': -inf}
    """
    return msgspec.json.decode(content, type=kind, strict=False)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else encode_hook(value)


def _spelled(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {key: _spelled(part) for key, part in value.items()}
        case list() | tuple():
            return [_spelled(part) for part in value]
    return value


def shape(error: TidemillError) -> ErrorShape:
    """Return an error as it travels."""
    return ErrorShape(ErrorBody(error.code, error.what, error.expected, error.hint))


def status_of(error: TidemillError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
