"""Tables from files, and from whatever frames people hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from tidemill.core.contract import ColumnType, Contract
from tidemill.core.errors import Usage, nearest
from tidemill.datasets import delimited
from tidemill.datasets.errors import UnreadableData

_MAGIC = b"PAR1"
_LEAST_PARQUET = 12
_BATCH = 1 << 18
"""Rows of a part of a table."""


def scan(path: Path, contract: Contract | None = None) -> pl.LazyFrame:
    """Open a table file.

    Args:
        path: A Parquet, CSV, JSON Lines or Arrow file.
        contract: Where there is one, a CSV file is read as text, and the contract says what the
            text means; else the types are guessed.

    Raises:
        UnreadableData: The file is missing, a folder, empty, damaged, or of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise UnreadableData(
            f"{path.name} is not a table that Tidemill reads.",
            expected="a file that ends in " + ", ".join(_READERS),
        )
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file" if path.exists() else "not there"
        raise UnreadableData(f"{path} is {what}.", expected="a file")
    if path.stat().st_size == 0:
        raise UnreadableData(f"{path.name} is empty.", expected="a header and at least one row")
    with _reading(path.name):
        frame = _READERS[suffix](path, contract)
        frame.collect_schema()
    return frame


def is_parquet(path: Path) -> bool:
    """Whether a file's name says that it is a Parquet file."""
    return path.suffix.lower() == ".parquet"


def collect(frame: pl.LazyFrame, name: str) -> pl.DataFrame:
    """Read a table, in bounded memory but for the result.

    Raises:
        UnreadableData: A part of it is damaged or does not have the type that it should.
    """
    with _reading(name):
        return frame.collect(engine="streaming")


def batches(frame: pl.LazyFrame, name: str) -> Iterator[pl.DataFrame]:
    """Go through a table in parts, in bounded memory.

    Raises:
        UnreadableData: A part of it is damaged or does not have the type that it should.
    """
    with _reading(name):
        yield from frame.collect_batches(chunk_size=_BATCH, engine="streaming")


def schema_of(frame: pl.LazyFrame, name: str) -> pl.Schema:
    """Return a table's columns and their types.

    Raises:
        UnreadableData: It is damaged.
    """
    with _reading(name):
        return frame.collect_schema()


def write(frame: pl.LazyFrame, path: Path, name: str) -> None:
    """Write a table as Parquet, in bounded memory.

    Raises:
        UnreadableData: A part of it is damaged.
    """
    with _reading(name):
        frame.sink_parquet(path, compression="zstd", maintain_order=True)


def unreadable(name: str, error: BaseException) -> UnreadableData:
    """Return the reader's trouble in one sentence."""
    first = str(error).strip().partition("\n")[0][:240].rstrip(".")
    return UnreadableData(f"{name} cannot be read: {first}.", expected="a whole, well-formed file")


def to_polars(table: Any) -> pl.DataFrame:
    """Return any table in memory as a Polars frame: Polars, pandas, Arrow, or a mapping of lists.

    Raises:
        Usage: The object is no table.

    Example:
        >>> to_polars({"temp": [7.5]}).schema["temp"]
        Float64
    """
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    kind = type(table).__name__
    if kind != "Series" and (hasattr(table, "__arrow_c_stream__") or isinstance(table, dict)):
        return _converted(pl.DataFrame, table)
    if kind == "DataFrame" and type(table).__module__.partition(".")[0] == "pandas":
        return _converted(pl.from_pandas, table)
    if kind == "RecordBatch":
        return _converted(pl.DataFrame, table)
    raise Usage(
        f"A {kind} is not a table.",
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


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn whatever a reader raises over a bad file into one kind of error."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise unreadable(name, error) from error
    except BaseException as error:
        # On some damaged files the reader panics, which is no ordinary exception.
        if type(error).__name__ != "PanicException":
            raise
        raise unreadable(name, error) from error


def _converted(reader: Callable[[Any], pl.DataFrame], table: Any) -> pl.DataFrame:
    try:
        return reader(table)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        # Arrow's errors are ValueErrors and TypeErrors as well.
        first = str(error).partition("\n")[0][:200].rstrip(".")
        raise Usage(
            f"The {type(table).__name__} cannot be converted: {first}.",
            expected="columns of one type and of equal length",
        ) from error


def _parquet(path: Path, _contract: Contract | None) -> pl.LazyFrame:
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
        size = file.seek(0, 2)
        file.seek(max(size - len(_MAGIC), 0))
        tail = file.read()
    if head != _MAGIC:
        raise UnreadableData(f"{path.name} is not a Parquet file.", expected="a Parquet file")
    if tail != _MAGIC or size < _LEAST_PARQUET:
        raise UnreadableData(
            f"{path.name} is cut off: the end is missing, where a Parquet file keeps its index.",
            expected="a whole file",
            hint="Copy or write it again, under another name first and renamed when it is whole.",
        )
    return pl.scan_parquet(path)


def _csv(path: Path, contract: Contract | None) -> pl.LazyFrame:
    return pl.scan_csv(
        path,
        # Polars leaves the quotes of a quoted name doubled.
        new_columns=delimited.check(path),
        infer_schema=contract is None,
        infer_schema_length=None,
        null_values=list(delimited.MISSING),
        encoding="utf8",
    )


def _ndjson(path: Path, _contract: Contract | None) -> pl.LazyFrame:
    return pl.scan_ndjson(path, infer_schema_length=10_000)


def _arrow(path: Path, _contract: Contract | None) -> pl.LazyFrame:
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    return pl.scan_ipc(path) if is_file else pl.read_ipc_stream(path).lazy()


_READERS: dict[str, Callable[[Path, Contract | None], pl.LazyFrame]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _ndjson,
    ".ndjson": _ndjson,
    ".arrow": _arrow,
    ".feather": _arrow,
}
READABLE = tuple(_READERS)
