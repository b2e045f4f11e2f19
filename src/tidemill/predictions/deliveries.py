"""Labels as people and files have them, checked row by row; and how a delivery is taken.

Loads no table library: workers take labels, too. Tables come as columns of plain values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tidemill.core.clock import Clock, micros
from tidemill.core.contract import ColumnType
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.predictions.errors import BadLabels, EndpointNotLogged
from tidemill.predictions.records import LabelRecord, LabelRow
from tidemill.predictions.segments import endpoints
from tidemill.predictions.writer import RecordWriter, labels_folder

COLUMNS = ("prediction_id", "key", "label", "time")
MOST_ROWS = 100_000
"""How many labels one record has at the most; larger files are taken as several."""
_LARGEST = 2**63


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a delivery of labels.

    Attributes:
        accepted: How many labels were taken.
        contradictory: How many predictions it tells of twice and differently; the last counts.
        examples: Some of their ids and keys.
    """

    accepted: int
    contradictory: int = 0
    examples: tuple[str, ...] = ()


def label_rows(columns: Mapping[str, Sequence[Any]]) -> list[LabelRow]:
    """Return the labels of a table.

    Args:
        columns: `label`, with `prediction_id` or `key` or both, and `time` where known.

    Raises:
        BadLabels: A column is missing or unknown, or a row cannot be taken.

    Example:
        >>> label_rows({"key": ["a"], "label": [True]})
        [LabelRow(label=True, prediction_id=None, key='a', time=None)]
    """
    for name in columns:
        if name not in COLUMNS:
            raise BadLabels(
                f"There is a column {name!r}.",
                expected=f"{nearest(name, COLUMNS)}; columns are {', '.join(COLUMNS)}",
            )
    if "label" not in columns or not {"prediction_id", "key"} & columns.keys():
        raise BadLabels(
            f"The labels have the columns {', '.join(map(repr, columns)) or 'none'}.",
            expected="`label`, and `prediction_id` or `key` beside it",
        )
    empty = [None] * len(columns["label"])
    given = [columns.get(name, empty) for name in COLUMNS]
    return [label_row(at, *row) for at, row in enumerate(zip(*given, strict=True))]


def label_row(at: int, prediction_id: Any, key: Any, label: Any, time: Any) -> LabelRow:
    """Return one label.

    Args:
        at: Its row, counted from 0.
        prediction_id: Which prediction it is about.
        key: Or which row.
        label: What came true.
        time: When it did.

    Raises:
        BadLabels: It cannot be taken.
    """
    if (prediction_id is None) == (key is None):
        said = "neither" if key is None else f"both {prediction_id!r} and {key!r}"
        raise BadLabels(
            f"Label {at} names no one prediction: it has {said}.",
            expected="either `prediction_id` or `key`",
        )
    if prediction_id is not None and not isinstance(prediction_id, str):
        raise _bad(at, "prediction_id", prediction_id, "an id of 32 hexadecimal digits")
    if key is not None and (isinstance(key, bool) or not isinstance(key, str | int)):
        raise _bad(at, "key", key, "text or a whole number")
    return LabelRow(
        _label(at, label),
        prediction_id,
        None if key is None else str(key),
        _time(at, time),
    )


def labels_of_text(texts: Sequence[str | None], kind: ColumnType | None) -> list[Any]:
    """Return the labels of a CSV file, which has nothing but text.

    Args:
        texts: One a row.
        kind: The type of the endpoint's answers; told from each text where it is not known.

    Raises:
        BadLabels: A text is no value of that type.

    Example:
        >>> labels_of_text(["true", "0"], "bool"), labels_of_text(["1", "1.5", "AA"], None)
        ([True, False], [1, 1.5, 'AA'])
    """
    return [_of_text(at, text, kind) for at, text in enumerate(texts)]


def fitting(rows: Sequence[LabelRow], kind: ColumnType | None) -> list[LabelRow]:
    """Return labels as values of the type that an endpoint's answers have.

    Truths and the numbers 0 and 1 are taken for each other, and so are whole numbers, however
    written. A class of which the model has not heard is a label as good as others.

    Args:
        rows: The labels.
        kind: The type of the endpoint's answers; anything fits where it is not known.

    Raises:
        BadLabels: A label is none of that type.

    Example:
        >>> [row.label for row in fitting([LabelRow(1, key="a"), LabelRow(False, key="b")], "bool")]
        [True, False]
    """
    fit = None if kind is None else _FITTING.get(kind)
    if kind is None or fit is None:
        return list(rows)
    return [replace(row, label=_fitted(at, row.label, kind, fit)) for at, row in enumerate(rows)]


def _fitted(at: int, label: Any, kind: ColumnType, fit: Callable[[Any], Any]) -> Any:
    found = fit(label)
    if found is None:
        raise _bad(at, "label", label, f"{_WORDS[kind]}, as the endpoint's answers are")
    return found


def _truth(label: Any) -> bool | None:
    return bool(label) if not isinstance(label, str) and label in (0, 1) else None


def _whole(label: Any) -> int | None:
    return int(label) if not isinstance(label, str) and float(label).is_integer() else None


def _number(label: Any) -> float | None:
    return None if isinstance(label, str | bool) else float(label)


def _text(label: Any) -> str | None:
    return label if isinstance(label, str) else None


_FITTING: dict[ColumnType, Callable[[Any], Any]] = {
    "bool": _truth,
    "int": _whole,
    "float": _number,
    "string": _text,
}


def deliver(
    root: Path, endpoint: str, rows: Sequence[LabelRow], *, ids: Ids, clock: Clock
) -> Delivery:
    """Put labels into the letterbox; they are on disk afterwards.

    Args:
        root: The root of the letterbox.
        endpoint: Whose predictions they are about.
        rows: The labels.
        ids: Name the segment.
        clock: Says when they arrived.

    Raises:
        EndpointNotLogged: The log has nothing of that endpoint.
        LogStopped: They could not be written.
    """
    known = endpoints(root)
    if endpoint not in known:
        raise EndpointNotLogged(
            f"The prediction log has nothing of endpoint {endpoint!r}.",
            expected=nearest(endpoint, known),
            hint="Deploy it first; its log begins when a worker serves it.",
        )
    writer = RecordWriter(labels_folder(root, endpoint), ids)
    try:
        arrived = micros(clock.now())
        for start in range(0, len(rows), MOST_ROWS):
            writer.append(LabelRecord(arrived, list(rows[start : start + MOST_ROWS])))
            writer.flush()
    finally:
        writer.close()
    return said_of(rows)


def contradictions(rows: Sequence[LabelRow]) -> list[str]:
    """Return the ids and keys that one delivery tells of twice and differently.

    Example:
        >>> contradictions([LabelRow(True, key="a"), LabelRow(True, key="a"),
        ...                 LabelRow(1, key="b"), LabelRow(2, key="b")])
        ['b']
    """
    told: dict[tuple[str | None, str | None], Any] = {}
    found: dict[str, None] = {}
    for row in rows:
        name = (row.prediction_id, row.key)
        if told.setdefault(name, row.label) != row.label:
            found[row.prediction_id or row.key or ""] = None
    return list(found)


def said_of(rows: Sequence[LabelRow]) -> Delivery:
    """Return what is said of a delivery that was taken."""
    twice = contradictions(rows)
    return Delivery(accepted=len(rows), contradictory=len(twice), examples=tuple(twice[:5]))


def _of_text(at: int, text: str | None, kind: ColumnType | None) -> Any:
    if text is None or text == "":
        return None
    lower = text.lower()
    if kind in (None, "bool") and lower in _TRUTH and (kind or not text.isdigit()):
        return _TRUTH[lower]
    if kind in (None, "int") and _WHOLE.fullmatch(text):
        return int(text)
    if kind in (None, "float") and _NUMBER.fullmatch(text):
        return float(text)
    if kind in ("bool", "int", "float"):
        raise _bad(at, "label", text, _WORDS[kind])
    return text


_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS: dict[ColumnType, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
}


def _label(at: int, value: Any) -> bool | int | float | str:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int) and -_LARGEST <= value < _LARGEST:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _bad(at, "label", value, "true or false, a finite number, or text")


def _time(at: int, value: Any) -> int | None:
    if value is None:
        return None
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if not isinstance(moment, datetime):
        raise _bad(at, "time", value, "a moment such as 2013-02-01T06:30:00Z")
    return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _bad(at: int, name: str, value: object, expected: str) -> BadLabels:
    return BadLabels(f"Label {at} has {name} {repr(value)[:60]}.", expected=expected)
