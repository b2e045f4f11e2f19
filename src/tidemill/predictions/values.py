"""Columns of Arrow from the values of records: each column has one type, for good.

A column's type is its contract's, or else that of its first values, and is remembered. A value
that does not fit it is not bent: it goes to a column of its own beside it, `NAME~TYPE`. So files of
any age can be read together by any engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

import msgspec
import polars as pl
import pyarrow as pa

from tidemill.core.clock import micros

ValueType = Literal["bool", "int", "float", "string", "datetime", "date", "json"]
ARROW: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "json": pa.string(),
}
_SERIES: dict[pa.DataType, Any] = {
    pa.bool_(): pl.Boolean,
    pa.int64(): pl.Int64,
    pa.float64(): pl.Float64,
    pa.string(): pl.String,
    pa.timestamp("us", tz="UTC"): pl.Int64,
    pa.date32(): pl.Date,
    pa.list_(pa.float64()): pl.List(pl.Float64),
}
"""What Polars calls the types, or the whole numbers that stand for a moment."""
_NONE: type = type(None)
_FITTING: dict[str, frozenset[type]] = {
    "bool": frozenset({bool, _NONE}),
    "int": frozenset({int, _NONE}),
    "float": frozenset({float, int, _NONE}),
    "string": frozenset({str, _NONE}),
}
_NATURAL: tuple[tuple[frozenset[type], ValueType], ...] = (
    (frozenset({bool}), "bool"),
    (frozenset({int}), "int"),
    (frozenset({int, float}), "float"),
    (frozenset({str}), "string"),
    (frozenset({datetime}), "datetime"),
    (frozenset({date}), "date"),
)
_EXACT = 1 << 53
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_MICRO = micros(datetime.max.replace(tzinfo=UTC))
_FIRST_MICRO = micros(datetime.min.replace(tzinfo=UTC))
_MISFIT = object()
Types = MutableMapping[str, ValueType]


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values of one type as an array.

    Raises:
        TypeError: A whole number is too large.
    """
    # `pyarrow.array` asks pandas whether it knows a list, and where pandas is installed imports it
    # for that: 40 MB in a process that has no use for it.
    return pl.Series(values, dtype=_SERIES[kind], strict=True).to_arrow().cast(kind)


def columns_of(
    name: str, values: Sequence[Any], types: Types, hint: ValueType | None = None
) -> dict[str, pa.Array]:
    """Return a column, and the columns beside it for the values that do not fit its type.

    Args:
        name: The column's.
        values: As they stand in records.
        types: What is known of columns; what is new is added.
        hint: Its type, where it is not known yet.

    Example:
        >>> types: dict[str, ValueType] = {}
        >>> found = columns_of("temp", [1.5, None, "mild"], types)
        >>> {name: column.to_pylist() for name, column in found.items()}
        {'temp': [1.5, None, None], 'temp~string': [None, None, 'mild']}
        >>> types
        {'temp': 'float', 'temp~string': 'string'}
        >>> columns_of("words", [[0.1, 0.2], None], {})["words"].to_pylist()
        ['[0.1,0.2]', None]
    """
    kinds = frozenset(map(type, values))
    known = types.get(name) or hint or _natural(kinds, values)
    if known is None:
        return {name: pa.nulls(len(values))}
    types[name] = known
    if kinds <= _FITTING.get(known, frozenset()) and not (known == "float" and _bent(values)):
        try:
            return {name: array_of(values, ARROW[known])}
        except TypeError:
            pass  # A whole number that is too large: value by value.
    return _apart(name, values, known, types)


def merged(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table without columns beside others: their values are in the column itself.

    Whole numbers and truth values become whole numbers, with others they become floats; anything
    else becomes text.
    """
    beside = [c for c in frame.columns if _base(c) in frame.columns]
    for name in beside:
        base = _base(name)
        if frame[name].null_count() < frame.height:
            common = _common(frame[base].dtype, frame[name].dtype)
            frame = frame.with_columns(
                pl.coalesce(pl.col(base).cast(common), pl.col(name).cast(common)).alias(base)
            )
    return frame.drop(beside)


def merged_lazily(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return a table like `merged`, without looking at its values."""
    schema = frame.collect_schema()
    beside = [c for c in schema.names() if _base(c) in schema]
    for name in beside:
        common = _common(schema[_base(name)], schema[name])
        columns = [pl.col(c).cast(common) for c in (_base(name), name)]
        frame = frame.with_columns(pl.coalesce(columns).alias(_base(name)))
    return frame.drop(beside)


def type_names() -> tuple[ValueType, ...]:
    """Return the types that a column may have."""
    return get_args(ValueType)


def _common(*both: pl.DataType) -> pl.DataType:
    if not all(t.is_numeric() or t == pl.Boolean for t in both):
        return pl.String()
    return pl.Float64() if any(t.is_float() for t in both) else pl.Int64()


def _base(name: str) -> str:
    """Return which column this one stands beside; nothing a column is called where it does not."""
    base, mark, kind = name.rpartition("~")
    return base if mark and kind in ARROW else ""


def _natural(kinds: frozenset[type], values: Sequence[Any]) -> ValueType | None:
    present = kinds - {_NONE}
    if not present:
        return None
    for known, kind in _NATURAL:
        if present <= known:
            return kind
    return _kind_of(next(v for v in values if v is not None))


def _kind_of(value: Any) -> ValueType:
    return next((kind for known, kind in _NATURAL if type(value) in known), "json")


def _bent(values: Sequence[Any]) -> bool:
    """Tell whether a whole number among these would not be itself as a float."""
    return any(type(v) is int and abs(v) > _EXACT for v in values)


def _apart(name: str, values: Sequence[Any], known: ValueType, types: Types) -> dict[str, pa.Array]:
    fitting: list[Any] = []
    beside: dict[str, list[Any]] = {}
    for at, value in enumerate(values):
        found = _as(known, value)
        if found is _MISFIT:
            kind = _kind_of(value)
            if kind == known or _as(kind, value) is _MISFIT:
                kind = "json"
            place = f"{name}~{kind}"
            beside.setdefault(place, [None] * len(values))[at] = _as(kind, value)
            found = None
        fitting.append(found)
    columns = {name: array_of(fitting, ARROW[known])}
    for place, listed in beside.items():
        kind = _placed(place)
        types[place] = kind
        columns[place] = array_of(listed, ARROW[kind])
    return columns


def _placed(place: str) -> ValueType:
    suffix = place.rpartition("~")[2]
    return next(kind for kind in type_names() if kind == suffix)


def _as(kind: ValueType, value: Any) -> Any:
    """Return a value as a type, or `_MISFIT`; missing is missing in every type."""
    if value is None or (type(value) is float and math.isnan(value) and kind != "float"):
        return None
    return _CONVERSIONS[kind](value)


def _bool(value: Any) -> Any:
    # Requests that came as one matrix have 0.0 and 1.0 for false and true.
    if type(value) is bool or (type(value) in (int, float) and value in (0, 1)):
        return bool(value)
    return _MISFIT


def _int(value: Any) -> Any:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return _MISFIT


def _float(value: Any) -> Any:
    if type(value) is float or (type(value) is int and abs(value) <= _EXACT):
        return float(value)
    return _MISFIT


def _string(value: Any) -> Any:
    return value if type(value) is str else _MISFIT


def _datetime(value: Any) -> Any:
    if type(value) is str:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return _MISFIT
    if isinstance(value, datetime):
        return micros(value if value.tzinfo else value.replace(tzinfo=UTC))
    if type(value) in (int, float) and _FIRST_MICRO <= value <= _LAST_MICRO:
        return int(value)
    return _MISFIT


def _date(value: Any) -> Any:
    if type(value) is str:
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return _MISFIT
    if type(value) is date:
        return value
    if type(value) in (int, float) and value == int(value):
        day = int(value) + _EPOCH_DAY
        return date.fromordinal(day) if 1 <= day <= date.max.toordinal() else _MISFIT
    return _MISFIT


def _json(value: Any) -> Any:
    return msgspec.json.encode(value).decode()


_CONVERSIONS: Mapping[str, Any] = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "string": _string,
    "datetime": _datetime,
    "date": _date,
    "json": _json,
}
