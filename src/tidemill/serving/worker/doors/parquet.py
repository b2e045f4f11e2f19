"""Parquet bodies, unpacked within a limit: a few kilobytes of it can stand for gigabytes."""

from __future__ import annotations

from typing import Any

from tidemill.serving.worker.http import HttpError

_VALUES = 20_000_000
_BYTES = 256 << 20


def read_parquet(body: bytes) -> dict[str, list[Any]]:
    """Return the columns of a Parquet body.

    Raises:
        HttpError: It is damaged, or holds more than is taken at once.
    """
    # Imported by the first Parquet request: most workers never see one.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        buffer = pa.BufferReader(body)  # type: ignore[no-untyped-call,unused-ignore]
        file = pq.ParquetFile(buffer)  # type: ignore[no-untyped-call,unused-ignore]
        _check_size(file.metadata)
        texts = [f.name for f in file.schema_arrow if _is_text(f.type)]
        # A dictionary is unpacked only once it is known how much comes out of it. `read_table`, and
        # to count with NumPy, would import pandas where that is installed: 40 MB in a worker.
        packed = pq.ParquetFile(  # type: ignore[no-untyped-call,unused-ignore]
            pa.BufferReader(body),  # type: ignore[no-untyped-call,unused-ignore]
            read_dictionary=texts,
        )
        table = packed.read()
        if len(set(table.column_names)) != len(table.column_names):
            raise HttpError(400, "The Parquet names a column twice.")
        _check_bytes(sum(_unpacked(table.column(name)) for name in texts))
        columns: dict[str, list[Any]] = table.to_pydict()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise HttpError(400, f"The body is no valid Parquet: {error}.") from error
    return columns


def _check_size(metadata: Any) -> None:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    values = sum(g.column(i).num_values for g in groups for i in range(g.num_columns))
    if values > _VALUES:
        raise HttpError(
            413, f"The Parquet has {values:,} values. Send at most {_VALUES:,} at once."
        )
    _check_bytes(sum(group.total_byte_size for group in groups))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as is_

    return bool(
        is_.is_string(kind)
        or is_.is_large_string(kind)
        or is_.is_binary(kind)
        or is_.is_large_binary(kind)
        or is_.is_dictionary(kind)
    )


def _unpacked(column: Any) -> int:
    """Return how many bytes a column's texts are, written out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if not pa.types.is_dictionary(kind) or not _is_text(kind.value_type):
        return int(column.nbytes)
    total = 0
    for chunk in column.chunks:
        total += pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
    return total


def _check_bytes(count: int) -> None:
    if count > _BYTES:
        raise HttpError(
            413, f"The Parquet unpacks to {count:,} bytes. Send at most {_BYTES:,} at once."
        )
