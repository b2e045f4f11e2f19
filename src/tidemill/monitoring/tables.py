"""Tables to compare: frames of any library, files, and whatever else holds named columns.

Files are read column by column and a stretch of rows at a time, so that memory does not grow with
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from tidemill.core.errors import Usage
from tidemill.datasets.errors import UnreadableData
from tidemill.datasets.frames import collect, is_parquet, scan, unreadable

STRETCH = 1 << 17
MOST_THREADS = 8
_BUFFER = 1 << 20


class NotATable(Usage):
    """What was handed over cannot be read as a table."""


class Table(Protocol):
    """A table whose columns are read one at a time."""

    @property
    def rows(self) -> int:
        """How many it has."""
        ...

    @property
    def schema(self) -> Mapping[str, pl.DataType]:
        """Its columns and their types."""
        ...

    @property
    def streams(self) -> bool:
        """Whether it is read from disk in stretches, since it may not fit into memory."""
        ...

    def stretches(self, column: str) -> Iterator[pl.Series]:
        """Go through a column."""
        ...


class Frame:
    """A table in memory."""

    streams = False

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        self.rows = frame.height
        self.schema: Mapping[str, pl.DataType] = dict(frame.schema)

    def stretches(self, column: str) -> Iterator[pl.Series]:
        """Go through a column: one stretch."""
        yield self._frame[column]


class Files:
    """A table of Parquet files with the same columns.

    Args:
        paths: The files, at least one.

    Raises:
        UnreadableData: One is missing, damaged or of another kind, or lacks a column.
    """

    streams = True

    def __init__(self, paths: Sequence[Path]) -> None:
        import pyarrow.parquet as pq

        self._parts: list[tuple[Path, Any]] = []
        self.rows = 0
        schemas = []
        for path in paths:
            scan(path)
            metadata = _reading(path, pq.read_metadata)
            self._parts.append((path, metadata))
            self.rows += metadata.num_rows
            empty = _reading(path, pq.read_schema).empty_table()
            schemas.append(dict(pl.DataFrame(empty).schema))
        self.schema: Mapping[str, pl.DataType] = schemas[0]
        for path, schema in zip(paths, schemas, strict=True):
            for name in self.schema:
                if name not in schema:
                    raise UnreadableData(
                        f"{path} has no column {name!r}.", expected=f"the columns of {paths[0]}"
                    )

    def stretches(self, column: str) -> Iterator[pl.Series]:
        """Go through a column, file by file."""
        for path, metadata in self._parts:
            yield from _stretches(path, metadata, column)


def open_table(source: Any) -> Table:
    """Return anything that is a table as one.

    Args:
        source: A Polars, pandas or Arrow table, a DuckDB relation, a mapping from names to values,
            a file, a folder of Parquet files, or a list of them.

    Raises:
        NotATable: It is none.
        UnreadableData: It is a file that cannot be read.
    """
    if isinstance(source, str | Path):
        return _from_path(Path(source))
    if isinstance(source, Sequence) and source and all(isinstance(p, str | Path) for p in source):
        return Files([Path(p) for p in source])
    return Frame(table(source))


def table(source: Any) -> pl.DataFrame:
    """Return any table in memory as a Polars one, without copying where that can be.

    Raises:
        NotATable: It cannot be read as a table.

    Example:
        >>> table({"temp": [7.5]}).schema["temp"]
        Float64
    """
    kind = type(source).__name__
    try:
        if isinstance(source, pl.LazyFrame):
            return source.collect()
        if isinstance(source, pl.DataFrame):
            return source
        if isinstance(source, Mapping):
            return pl.DataFrame(dict(source), strict=False)
        if kind == "DataFrame" and _is_pandas(source):
            source = _of_one_type(source)
        if kind != "Series" and hasattr(source, "__arrow_c_stream__"):
            read = pl.DataFrame(source)
            return read.select(c for c in read.columns if not c.startswith("__index_level_"))
        if kind == "DataFrame" and _is_pandas(source):
            return pl.from_pandas(source)
        if kind == "DuckDBPyRelation":
            return pl.DataFrame(source.pl())
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        # Arrow's errors are ValueErrors and TypeErrors as well.
        first = str(error).partition("\n")[0][:200].rstrip(".")
        raise NotATable(
            f"The {kind} cannot be read as a table: {first}.",
            expected="columns of one type each, of equal length, with names that differ",
        ) from error
    raise NotATable(
        f"A {kind} cannot be read as a table.",
        expected="a Polars, pandas or Arrow table, a DuckDB relation, a mapping, or a file",
    )


def _is_pandas(source: Any) -> bool:
    return type(source).__module__.partition(".")[0] == "pandas"


def _of_one_type(frame: Any) -> Any:
    """Return a table of pandas with texts for the values of columns that hold texts and others."""
    mixed = {}
    for name in frame.columns if frame.columns.is_unique else ():
        if frame[name].dtype == object:
            kinds = {type(v) for v in frame[name].dropna()}
            if str in kinds and len(kinds) > 1:
                mixed[name] = frame[name].map(str, na_action="ignore")
    return frame.assign(**mixed) if mixed else frame


def in_threads(work: Any, columns: Sequence[str]) -> list[Any]:
    """Do something for each column, several at a time; return the answers in order.

    Sorting and decoding leave the interpreter free, so that threads are enough.
    """
    threads = min(len(columns), pl.thread_pool_size(), MOST_THREADS)
    with ThreadPoolExecutor(max_workers=max(threads, 1)) as pool:
        return list(pool.map(work, columns))


def _from_path(path: Path) -> Table:
    if path.is_dir():
        found = sorted(path.glob("**/*.parquet"))
        if not found:
            raise UnreadableData(f"{path} holds no Parquet file.", expected="*.parquet in it")
        return Files(found)
    if is_parquet(path):
        return Files([path])
    return Frame(collect(scan(path), path.name))


def _stretches(path: Path, metadata: Any, column: str) -> Iterator[pl.Series]:
    """Go through a column of a file; Arrow decodes page by page, however large a row group is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, metadata=metadata, buffer_size=_BUFFER, pre_buffer=False) as file:
            for batch in file.iter_batches(STRETCH, columns=[column], use_threads=False):
                yield pl.Series(column, pl.from_arrow(batch.column(0)))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path.name, error) from error


def _reading(path: Path, read: Any) -> Any:
    import pyarrow as pa

    try:
        return read(path)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path.name, error) from error
