"""Reads requests: JSON bodies and query strings, as MLflow's server takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec

from tidemill.server.mlflow.errors import BadRequest

R = TypeVar("R")
_WHERE = re.compile(r"at `\$((?:\.\w+|\[[^\]]*\])+)`")
_HINT = "See the API docs for more information about request parameters."
_NUMBERS = {"nan": math.nan, "infinity": math.inf, "-infinity": -math.inf}


def read_body(
    body: bytes, content_type: str, kind: type[R], named: Mapping[str, str] | None = None
) -> R:
    """Read a JSON body. What is no JSON object counts as an empty one, as it does in MLflow.

    Args:
        body: The body.
        content_type: What it is said to be.
        kind: The record to read it as.
        named: Fields that the path names; they go before those of the body.

    Raises:
        BadRequest: It is not said to be JSON, or a field has the wrong type.
    """
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("Bad Request. Content-Type must be one of ['application/json'].")
    if not named:
        try:
            return msgspec.json.decode(body, type=kind, strict=False)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # said below, in MLflow's words
    try:
        fields = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = {}
    return _convert((fields if isinstance(fields, dict) else {}) | dict(named or {}), kind)


def read_query(query: str, kind: type[R], named: Mapping[str, str] | None = None) -> R:
    """Read a query string; a field that is a list may be given several times.

    Args:
        query: The query string.
        kind: The record to read it as.
        named: Fields that the path names; they go before those of the query.

    Raises:
        BadRequest: A field has the wrong type.
    """
    try:
        given = parse_qs(query, keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise BadRequest("The query has too many fields.", expected="at most 1000") from error
    lists = {
        f.encode_name
        for f in msgspec.structs.fields(kind)  # type: ignore[arg-type]
        if "list" in str(f.type)
    }
    fields = {k: v if k in lists else v[-1] for k, v in given.items()}
    return _convert(fields | dict(named or {}), kind)


def required(value: Any, name: str) -> Any:
    """Return a value that must be there.

    Raises:
        BadRequest: It is missing or empty.
    """
    if value is None or value == "":
        raise BadRequest(f"Missing value for required parameter '{name}'. {_HINT}")
    return value


def number(value: float | str | None, name: str) -> float:
    """Return a number, which travels as a text where JSON has no word for it.

    Raises:
        BadRequest: It is missing or none.

    Example:
        >>> number("NaN", "value"), number("-Infinity", "value"), number(3, "value")
        (nan, -inf, 3.0)
    """
    if isinstance(required(value, name), str):
        known = _NUMBERS.get(str(value).lower())
        if known is not None:
            return known
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        raise wrong(value, name) from None


def wrong(value: object, name: str, expected: str = "") -> BadRequest:
    """Return the error for a value that a parameter cannot have."""
    shown = msgspec.json.encode(value).decode()[:200]
    why = expected or f"Hint: Value was of type '{type(value).__name__}'. {_HINT}"
    return BadRequest(f"Invalid value {shown} for parameter '{name}' supplied:  {why}")


def _given(value: Any) -> Any:
    """Return what is given: a null says nothing in MLflow's messages, as if it were not there."""
    if isinstance(value, dict):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return list(map(_given, value)) if isinstance(value, list) else value


def _convert(fields: dict[str, Any], kind: type[R]) -> R:
    try:
        return msgspec.convert(_given(fields), kind, strict=False)
    except msgspec.ValidationError as error:
        where = _WHERE.search(str(error))
        name = where[1].strip(".").partition(".")[0].partition("[")[0] if where else "body"
        raise wrong(fields.get(name), name) from error
