"""Tables of a database as Parquet files, and back: every row, in the order of its key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    func,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeDecorator

from tidemill.exchange.errors import BadSource
from tidemill.storage.db.types import Moment

ROWS_AT_ONCE = 50_000


def table_file(table: Table) -> str:
    """Return where a table lies in an export: a folder for its room, a file for its name.

    Example:
        >>> table_file(Table("tracking_runs", MetaData()))
        'tables/tracking/runs.parquet'
    """
    room, _, name = table.name.partition("_")
    return f"tables/{room}/{name}.parquet"


def write_table(connection: Connection, table: Table, path: Path) -> int:
    """Write a table's rows; the same rows give the same bytes. Return how many there are."""
    schema = _schema(table)
    plain = _plain(table)
    query = select(plain).order_by(*plain.primary_key.columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        rows = connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE))
        for part in rows.partitions(ROWS_AT_ONCE):
            writer.write_batch(_batch(part, schema))
            count += len(part)
    return count


def read_table(connection: Connection, table: Table, path: Path) -> int:
    """Insert every row of a file into an empty table; return how many there were.

    Raises:
        BadSource: The file is damaged, or has other columns than the table.
    """
    schema = _schema(table)
    plain = _plain(table)
    count = 0
    for rows in _rows(path, schema):
        _insert(connection, plain, rows, path)
        count += len(rows)
    _count_on(connection, table)
    return count


def is_empty(connection: Connection, table: Table) -> bool:
    """Tell whether a table has no row."""
    return not connection.scalar(select(func.count()).select_from(table))


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]], path: Path) -> None:
    try:
        connection.execute(insert(table), rows)
    except IntegrityError as error:
        raise BadSource(
            f"Rows of {path} do not belong to the other tables: {error.orig}.",
            expected="tables that were exported together",
        ) from error


def _count_on(connection: Connection, table: Table) -> None:
    """Have numbers that the database gives out begin after those that were read."""
    column = table.autoincrement_column
    if column is None or connection.dialect.name != "postgresql":
        return  # SQLite goes on after the highest by itself
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    highest = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
    connection.execute(select(func.setval(sequence, highest, False)))


def _rows(path: Path, schema: pa.Schema) -> Iterator[list[dict[str, Any]]]:
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != schema.names:
                raise BadSource(
                    f"{path} has the columns {', '.join(file.schema_arrow.names)}.",
                    expected=", ".join(schema.names),
                    hint="Import it with the version of Tidemill that manifest.json names.",
                )
            for batch in file.iter_batches(ROWS_AT_ONCE):
                yield _numbers(pa.Table.from_batches([batch]).cast(schema)).to_pylist()
    except FileNotFoundError as error:
        raise BadSource(f"The export has no {path}.", expected="a whole export") from error
    except (pa.ArrowException, OSError) as error:
        raise BadSource(
            f"{path} cannot be read: {str(error)[:200]}.", expected="Parquet as it was exported"
        ) from error


def _numbers(table: pa.Table) -> pa.Table:
    """Return moments as the numbers that the database keeps."""
    fields = [
        pa.field(f.name, pa.int64()) if pa.types.is_timestamp(f.type) else f for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _batch(rows: Any, schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _schema(table: Table) -> pa.Schema:
    return pa.schema([pa.field(c.name, _arrow(c), nullable=bool(c.nullable)) for c in table.c])


def _arrow(column: Column[Any]) -> pa.DataType:
    kind = column.type
    if isinstance(kind, Moment):
        return pa.timestamp("us", tz="UTC")
    if isinstance(kind, Boolean):
        return pa.bool_()
    if isinstance(kind, Float):
        return pa.float64()
    if isinstance(kind, Integer):
        return pa.int64()
    return pa.binary() if isinstance(kind, LargeBinary) else pa.string()


def _plain(table: Table) -> Table:
    """Return the table with what the database keeps: records as text, moments as numbers."""
    columns = [
        Column(
            column.name,
            column.type.impl if isinstance(column.type, TypeDecorator) else column.type,
            primary_key=column.primary_key,
        )
        for column in table.c
    ]
    return Table(table.name, MetaData(), *columns)
