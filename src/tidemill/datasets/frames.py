"""Tables from files, and from whatever frames people hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tidemill.core.contract import ColumnType, Contract
from tidemill.core.errors import Usage, nearest
from tidemill.datasets.errors import UnreadableData

READABLE = (".parquet", ".csv", ".jsonl", ".arrow")


def scan(path: Path, contract: Contract | None = None) -> pl.LazyFrame:
    """Open a table file.

    Args:
        path: A Parquet, CSV, JSON Lines or Arrow file.
        contract: Says which types the columns of a CSV file have.

    Raises:
        UnreadableData: The file is missing, a folder, empty, damaged, or of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise UnreadableData(
            f"{path.name} is not a table that Tidemill reads.",
            expected="a file that ends in " + ", ".join(READABLE),
        )
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not there"
        raise UnreadableData(f"{path} is {what}.", expected="a file")
    if path.stat().st_size == 0:
        raise UnreadableData(f"{path.name} is empty.", expected="a header and at least one row")
    try:
        frame = _READERS[suffix](path)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise unreadable(path.name, error) from error
    if suffix not in {".csv", ".jsonl"}:
        return frame
    if collect(frame.head(1), path.name).is_empty():
        raise UnreadableData(f"{path.name} has a header and no rows.", expected="at least one row")
    return _typed(frame, contract) if contract else frame


def collect(frame: pl.LazyFrame, name: str) -> pl.DataFrame:
    """Read a whole table into memory.

    Raises:
        UnreadableData: A part of it is damaged or does not have the type that it should.
    """
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> UnreadableData:
    """Return the reader's trouble in one sentence."""
    first = str(error).strip().partition("\n")[0][:240]
    return UnreadableData(
        f"{name} cannot be read: {first}",
        expected="a whole, well-formed file",
        hint="Write it again, or look at it with `tidemill data profile FILE`.",
    )


def to_polars(table: Any) -> pl.DataFrame:
    """Return any table in memory as a Polars frame: Polars, pandas, Arrow, or a mapping of lists.

    Raises:
        Usage: The object is no table.
    """
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if hasattr(table, "__arrow_c_stream__") or isinstance(table, dict):
        return pl.DataFrame(table)
    if type(table).__module__.partition(".")[0] == "pandas":
        return pl.from_pandas(table)
    raise Usage(
        f"A {type(table).__name__} is not a table.",
        expected="a Polars, pandas or Arrow frame, or a mapping of lists",
    )


def column_type(dtype: pl.DataType) -> ColumnType | None:
    """Return the contract's name for a type, or nothing where it has none."""
    if dtype.is_integer():
        return "int"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "string"
    names: dict[type[pl.DataType], ColumnType] = {
        pl.Boolean: "bool",
        pl.Datetime: "datetime",
        pl.Date: "date",
    }
    return names.get(type(dtype))


def require(frame: pl.LazyFrame, names: Sequence[str], source: str) -> None:
    """Check that a table has columns.

    Raises:
        UnreadableData: One is missing.
    """
    present = frame.collect_schema().names()
    for name in names:
        if name not in present:
            raise UnreadableData(
                f"{source} has no column {name!r}.", expected=nearest(name, present)
            )


_CASTS: dict[ColumnType, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "string": pl.String(),
    "date": pl.Date(),
}


def _typed(frame: pl.LazyFrame, contract: Contract) -> pl.LazyFrame:
    """Give the columns of a text file the contract's types where nothing is lost by it."""
    schema = frame.collect_schema()
    changes = []
    for column in contract.columns:
        dtype = schema.get(column.name)
        if dtype is None or column_type(dtype) == column.type:
            continue
        value = pl.col(column.name)
        if column.type == "datetime" and isinstance(dtype, pl.String):
            changes.append(value.str.to_datetime(time_unit="us", time_zone="UTC", strict=False))
        elif column.type == "float" and dtype.is_integer():
            changes.append(value.cast(pl.Float64))
        elif column.type == "string" and dtype.is_integer():
            changes.append(value.cast(pl.String))
        elif isinstance(dtype, pl.Null):
            changes.append(value.cast(_CASTS.get(column.type, pl.String())))
    return frame.with_columns(changes)


def _csv(path: Path) -> pl.LazyFrame:
    return pl.scan_csv(
        path,
        try_parse_dates=True,
        null_values=["", "NA", "NaN", "null"],
        infer_schema_length=10_000,
        encoding="utf8",
    )


_READERS: dict[str, Callable[[Path], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet,
    ".csv": _csv,
    ".jsonl": lambda path: pl.scan_ndjson(path, infer_schema_length=10_000),
    ".arrow": pl.scan_ipc,
}
