"""Reads tables from Parquet and CSV files as a stream of batches."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tidemill.core.contract import Column
from tidemill.core.errors import nearest
from tidemill.serving.batch.errors import BadFormat, InputUnreadable, NoInput

PARQUET = frozenset({".parquet", ".pq"})
CSV = frozenset({".csv", ".tsv"})
BATCH_ROWS = 8_192
_CSV_BLOCK = 4 << 20
_TYPES = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


class Stretch(NamedTuple):
    """A batch of rows, and where it comes from."""

    path: Path
    first: int
    rows: pa.RecordBatch


def find_files(source: Path | str | Sequence[Path]) -> list[Path]:
    """Return the files that are meant: one, all of a folder, a pattern's, or a list.

    Raises:
        NoInput: There is none.
        BadFormat: One is neither Parquet nor CSV by its name.
    """
    if isinstance(source, Path | str):
        path = Path(source)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in PARQUET | CSV)
        elif path.is_file():
            found = [path]
        else:
            # Path.glob takes no absolute pattern.
            found = [Path(p) for p in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207
    else:
        found = list(source)
    if not found:
        raise NoInput(
            f"There is no file {str(source)!r}.", expected="a file, a folder or a pattern"
        )
    for path in found:
        if path.suffix.lower() not in PARQUET | CSV:
            raise BadFormat(
                f"{path} is no table by its name.",
                expected="one of " + ", ".join(sorted(PARQUET | CSV)),
            )
    return found


def read(
    files: Sequence[Path], features: Sequence[Column], known: Sequence[Column]
) -> Iterator[Stretch]:
    """Read all columns of the files, a few thousand rows at a time.

    The first stretch of a file has no rows, so that its columns are known before any are read.

    Args:
        files: Parquet and CSV files, mixed if need be.
        features: Columns that every file must have.
        known: Columns whose types the contract knows, so that CSV need not be guessed.

    Raises:
        InputUnreadable: A file cannot be read or lacks a feature.
    """
    for path in files:
        try:
            first = 0
            for batch in _batches(path, known):
                if first == 0:
                    _check_columns(path, batch.schema.names, features)
                yield Stretch(path, first, batch)
                first += batch.num_rows
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            text = str(error).strip().splitlines()[0][:300] if str(error).strip() else "no data"
            raise InputUnreadable(
                f"{path} cannot be read: {text}",
                expected="a whole Parquet file"
                if path.suffix.lower() in PARQUET
                else "a CSV file with a header, and values of the contract's types",
            ) from error


def _batches(path: Path, known: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    if path.suffix.lower() in PARQUET:
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
            yield from file.iter_batches(batch_size=BATCH_ROWS)
        return
    types = {c.name: _TYPES[c.type] for c in known}
    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter="\t" if path.suffix.lower() == ".tsv" else ","
        ),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True),
    )
    with reader:
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        for batch in reader:
            for at in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(at, BATCH_ROWS)


def _check_columns(path: Path, names: Sequence[str], features: Sequence[Column]) -> None:
    for column in features:
        if names.count(column.name) != 1:
            raise InputUnreadable(
                f"{path} has {'no' if column.name not in names else 'more than one'} column "
                f"{column.name!r}.",
                expected="each column that the model needs once",
                hint=f"Nearest is {nearest(column.name, names)}.",
            )
