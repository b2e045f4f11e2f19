"""How the values of a column become the contract's type, and when they cannot.

A contract knows six types; files know many more. What means the same is converted: whole floats
are integers (pandas writes integers with gaps so), times without a zone are UTC, and text that
says a moment is that moment. In a table which is text altogether, as a CSV file is, numbers and
truth values are read from their text too. Anything else is a wrong type.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import polars as pl

from tidemill.core.contract import Column, ColumnType, Contract

CANONICAL: dict[ColumnType, pl.DataType] = {
    "bool": pl.Boolean(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "string": pl.String(),
    "datetime": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
}
"""The type in which each of the contract's types is read, whatever file it stands in."""

CASTS = pl.ScanCastOptions(
    integer_cast=["upcast", "allow-float"],
    float_cast=["upcast"],
    datetime_cast=["nanosecond-downcast", "convert-timezone"],
    categorical_to_string="allow",
)
"""What Polars converts by itself, without loss, while it scans a file."""
_SMALL = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32)
_SCANNABLE: dict[ColumnType, tuple[type[pl.DataType], ...]] = {
    "bool": (pl.Boolean,),
    "int": (pl.Int64, *_SMALL),
    "float": (pl.Float64, pl.Float32, pl.Int64, *_SMALL),
    "string": (pl.String, pl.Categorical, pl.Enum),
    "datetime": (pl.Datetime,),
    "date": (pl.Date,),
}
_MOMENTS = (
    "%+",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d",
)
_YES, _NO = ("true", "1"), ("false", "0")


class Conversion(msgspec.Struct, frozen=True):
    """A column in the contract's type.

    Attributes:
        value: The converted column; missing where a value cannot be converted.
        may_fail: Whether there can be such values.
    """

    value: pl.Expr
    may_fail: bool = False


def is_text(schema: pl.Schema) -> bool:
    """Whether a table is text altogether, as one from a CSV file is."""
    return all(isinstance(dtype, pl.String) for dtype in schema.values())


def convert(column: Column, dtype: pl.DataType, *, text: bool) -> Conversion | None:
    """Return a column in the contract's type, or nothing where its type is simply wrong.

    Args:
        column: The contract's column.
        dtype: What the table holds.
        text: Whether the table is text altogether.

    Example:
        >>> column = Column(name="n", type="int")
        >>> rows = pl.DataFrame({"n": ["7", "8.0", "many"]})
        >>> found = convert(column, pl.String(), text=True)
        >>> rows.select(found.value)["n"].to_list()
        [7, 8, None]
        >>> convert(column, pl.String(), text=False) is None
        True
    """
    value = pl.col(column.name)
    if isinstance(dtype, pl.Null):
        return Conversion(value.cast(CANONICAL[column.type]))
    if dtype == CANONICAL[column.type]:
        return Conversion(value)
    found = _CONVERTERS[column.type](value, dtype, text)
    return None if found is None else Conversion(found.value.alias(column.name), found.may_fail)


def told_by_text(values: pl.Series) -> ColumnType:
    """Return what the values of a text column are: days, moments, or text.

    Example:
        >>> told_by_text(pl.Series("at", ["2013-01-01T05:00:00Z", None]))
        'datetime'
    """
    said = values.drop_nulls()
    kinds: tuple[ColumnType, ...] = ("date", "datetime")
    for kind in kinds:
        found = convert(Column(name="said", type=kind), pl.String(), text=False)
        if found is None or said.is_empty():
            break
        if said.rename("said").to_frame().select(found.value.is_not_null().all()).item():
            return kind
    return "string"


def converted(frame: pl.LazyFrame, contract: Contract) -> pl.LazyFrame:
    """Return the contract's columns in the contract's types.

    A column that the contract ignores, and that is of another type, is left out.
    """
    schema = frame.collect_schema()
    text = is_text(schema)
    columns = []
    for column in contract.columns:
        if column.name in schema:
            found = convert(column, schema[column.name], text=text)
            columns += [] if found is None else [found.value]
    return frame.select(columns)


def fits(schema: pl.Schema, contract: Contract) -> bool:
    """Whether a Parquet file of that schema can be scanned as it is by `scan_schema`."""
    return all(_scannable(schema[c.name], c) for c in contract.columns if c.name in schema)


def scan_schema(contract: Contract) -> dict[str, pl.DataType]:
    """Return the types that a dataset's files are scanned with."""
    return {column.name: CANONICAL[column.type] for column in contract.columns}


def _scannable(dtype: pl.DataType, column: Column) -> bool:
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ms":
        return False
    return isinstance(dtype, (pl.Null, *_SCANNABLE[column.type]))


def _to_bool(value: pl.Expr, dtype: pl.DataType, text: bool) -> Conversion | None:
    if not (text and isinstance(dtype, pl.String)):
        return None
    said = value.str.strip_chars().str.to_lowercase()
    known = pl.when(said.is_in(_YES)).then(True).when(said.is_in(_NO)).then(False)
    return Conversion(known.otherwise(None), may_fail=True)


def _to_int(value: pl.Expr, dtype: pl.DataType, text: bool) -> Conversion | None:
    if dtype.is_integer():
        fails = dtype in (pl.UInt64, pl.Int128, pl.UInt128)
        return Conversion(value.cast(pl.Int64, strict=False), fails)
    if dtype.is_float():
        # NaN stands for a gap: it is missing, not wrong.
        return Conversion(_whole(value.fill_nan(None)), may_fail=True)
    if text and isinstance(dtype, pl.String):
        said = value.str.strip_chars()
        number = said.cast(pl.Int64, strict=False)
        return Conversion(
            number.fill_null(_whole(said.cast(pl.Float64, strict=False))), may_fail=True
        )
    return None


def _whole(value: pl.Expr) -> pl.Expr:
    exact = (value.floor() == value) & (value.abs() <= 2**53)
    return pl.when(exact).then(value).otherwise(None).cast(pl.Int64, strict=False)


def _to_float(value: pl.Expr, dtype: pl.DataType, text: bool) -> Conversion | None:
    if dtype.is_numeric():
        return Conversion(value.cast(pl.Float64))
    if text and isinstance(dtype, pl.String):
        return Conversion(value.str.strip_chars().cast(pl.Float64, strict=False), may_fail=True)
    return None


def _to_string(value: pl.Expr, dtype: pl.DataType, text: bool) -> Conversion | None:
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return Conversion(value.cast(pl.String))
    return None


def _to_datetime(value: pl.Expr, dtype: pl.DataType, text: bool) -> Conversion | None:
    if isinstance(dtype, pl.Datetime):
        moment = value.dt.cast_time_unit("us")
        if dtype.time_zone is None:
            return Conversion(moment.dt.replace_time_zone("UTC"))
        return Conversion(moment.dt.convert_time_zone("UTC"))
    if isinstance(dtype, pl.Date):
        return Conversion(value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    if isinstance(dtype, pl.String):
        said = value.str.strip_chars()
        readings = (
            said.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
            for form in _MOMENTS
        )
        return Conversion(pl.coalesce(*readings), may_fail=True)
    return None


def _to_date(value: pl.Expr, dtype: pl.DataType, text: bool) -> Conversion | None:
    if isinstance(dtype, pl.String):
        said = value.str.strip_chars()
        readings = (said.str.to_date(form, strict=False) for form in ("%Y-%m-%d", "%Y/%m/%d"))
        return Conversion(pl.coalesce(*readings), may_fail=True)
    return None


_CONVERTERS: dict[ColumnType, Callable[[pl.Expr, pl.DataType, bool], Conversion | None]] = {
    "bool": _to_bool,
    "int": _to_int,
    "float": _to_float,
    "string": _to_string,
    "datetime": _to_datetime,
    "date": _to_date,
}
