"""What is logged, checked before it goes anywhere: a spool would find out too late."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from tidemill.sdk.errors import BadLogged
from tidemill.tracking.records import Metric, Param, Tag
from tidemill.tracking.validation import check_metrics, cut_params, cut_tags


def points(metrics: Mapping[str, object], *, step: object, timestamp: object) -> list[Metric]:
    """Return points of metrics.

    Raises:
        BadLogged: A value is no number, or the step or the time is none.
        BadMetric: A key, the step or the time cannot be kept.
    """
    at = _integer("step", step)
    when = _integer("timestamp", timestamp)
    if when < 0:
        raise BadLogged(f"The timestamp is {when}.", expected="milliseconds since 1970")
    found = [Metric(_key(key), _number(key, value), when, at) for key, value in metrics.items()]
    check_metrics(found)
    return found


def params(values: Mapping[str, object]) -> list[Param]:
    """Return params, over-long values cut.

    Raises:
        BadLogged: A key is no text.
        BadMetric: A key or a value cannot be kept.
    """
    return cut_params(Param(_key(key), str(value)) for key, value in values.items())


def tags(values: Mapping[str, object]) -> list[Tag]:
    """Return tags, over-long values cut.

    Raises:
        BadLogged: A key is no text.
        BadMetric: A key or a value cannot be kept.
    """
    return cut_tags(Tag(_key(key), str(value)) for key, value in values.items())


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise BadLogged(f"{key!r} is no name, but a {type(key).__name__}.", expected="a text")
    return key


def _number(key: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise BadLogged(
            f"The metric {key!r} has the value {str(value)[:60]!r}.",
            expected="a number that fits into 64 bits",
        ) from error


def _integer(name: str, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise BadLogged(f"The {name} is {value!r}.", expected="a whole number") from error
