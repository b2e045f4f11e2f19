"""Turns sealed segments into Parquet files by day. Idempotent, and killed at any moment it loses
and repeats nothing.

The files of a unit are written under names that no reader looks for, synced, and read again; then
one small file is replaced, which is the moment that the unit counts; then the files get their names
and the segments go. Whoever comes next finishes what a kill left undone, or sweeps it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.predictions import archive
from tidemill.predictions.archive import Progress
from tidemill.predictions.decoding import records_in
from tidemill.predictions.errors import CompactionRunning, DamagedArchive
from tidemill.predictions.frames import Damaged, Framed, Tail, scan
from tidemill.predictions.reader import table_of
from tidemill.predictions.segments import (
    DUE_BYTES,
    DUE_SECONDS,
    Kind,
    alone,
    aside_folder,
    parquet_folder,
    sealed,
    segments,
    sync_folder,
    write_whole,
)
from tidemill.predictions.tables import Placed
from tidemill.predictions.values import Types

ROW_GROUP = 16_384
UNIT_BYTES = 256 << 20
_EMPTY_SECONDS = 60.0
_ORDER = {"predictions": ["time", "id"], "labels": ["arrival", "segment", "position", "row"]}
_DAY_OF = {"predictions": "time", "labels": "arrival"}


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What one compaction did.

    Attributes:
        endpoint: Whose log.
        kind: Predictions or labels.
        unit: Its number; 0 where there was nothing to be done.
        segments: How many segments it was made of.
        rows: How many rows they had.
        files: How many Parquet files came of them.
        bytes_before: Of the segments.
        bytes_after: Of the files.
        aside: Damaged stretches that were set aside, by the names of their files.
        torn: Bytes of tails that were torn by a crash, and cut off.
    """

    endpoint: str
    kind: Kind
    unit: int = 0
    segments: int = 0
    rows: int = 0
    files: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    aside: tuple[str, ...] = ()
    torn: int = 0


def compact(
    root: Path, endpoint: str, kind: Kind, *, now: float | None = None
) -> Iterator[Compacted]:
    """Compact an endpoint's sealed segments, some at a time.

    Args:
        root: The root of the letterbox.
        endpoint: Whose.
        kind: Predictions or labels.
        now: Seconds since 1970, if little is to be left until it is worth a file: then only what
            has waited for six hours, or is 64 MB and more. All of it where left out.

    Yields:
        What was done, a unit at a time.

    Raises:
        CompactionRunning: Another process does.
        DamagedArchive: A file that was just written is not what was to be written.
    """
    folder = parquet_folder(root, endpoint, kind)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        _settle(root, endpoint, kind)
        while True:
            with sealed(segments(root, endpoint, kind)) as found:
                chosen = _chosen(found, now)
                if not chosen:
                    return
                done = _compact(root, endpoint, kind, chosen)
            yield done


def tidy(root: Path, endpoint: str, kind: Kind) -> None:
    """Finish what a kill interrupted, unless somebody is about to."""
    folder = parquet_folder(root, endpoint, kind)
    if folder.is_dir():
        with contextlib.suppress(CompactionRunning), _only_one(folder):
            _settle(root, endpoint, kind)


def _settle(root: Path, endpoint: str, kind: Kind) -> None:
    """Finish the unit that a kill interrupted, if it counts, and sweep away what does not."""
    progress = archive.read_progress(root, endpoint, kind)
    if not progress.done:
        with alone(root, endpoint):
            _finish(root, endpoint, kind, progress)
    for path in archive.parts(root, endpoint, kind):
        path.unlink()


def _chosen(found: list[Path], now: float | None) -> list[Path]:
    sizes = {path: path.stat().st_size for path in found}
    filled = [path for path in found if sizes[path]]
    for path in found:
        # Whoever made it may be about to lock it, unless that was long ago.
        if not sizes[path] and now is not None and now - path.stat().st_mtime > _EMPTY_SECONDS:
            path.unlink()
    if now is not None and filled:
        oldest = min(path.stat().st_mtime for path in filled)
        if sum(sizes.values()) < DUE_BYTES and now - oldest < DUE_SECONDS:
            return []
    chosen: list[Path] = []
    for path in filled:
        if chosen and sum(sizes[p] for p in (*chosen, path)) > UNIT_BYTES:
            break
        chosen.append(path)
    return chosen


def _compact(root: Path, endpoint: str, kind: Kind, paths: list[Path]) -> Compacted:
    before = archive.read_progress(root, endpoint, kind)
    harvest = _Harvest(root, endpoint, kind)
    types: Types = dict(before.types)
    table = table_of(root, endpoint, kind, harvest.records(paths), types)
    unit = before.unit + 1
    sizes = {path.name: path.stat().st_size for path in paths}
    files = () if table is None else _write_days(root, endpoint, kind, table, unit, sizes)
    folder = parquet_folder(root, endpoint, kind)
    after = Progress(unit=unit, done=False, segments=sizes, files=files, types=dict(types))
    with alone(root, endpoint):
        archive.write_progress(root, endpoint, kind, after)
        _finish(root, endpoint, kind, after)
    return Compacted(
        endpoint=endpoint,
        kind=kind,
        unit=unit,
        segments=len(paths),
        rows=0 if table is None else table.num_rows,
        files=len(files),
        bytes_before=sum(sizes.values()),
        bytes_after=sum((folder / name).stat().st_size for name in files),
        aside=tuple(harvest.aside),
        torn=harvest.torn,
    )


class _Harvest:
    """Reads segments to their ends: records, and what became of the rest."""

    def __init__(self, root: Path, endpoint: str, kind: Kind) -> None:
        self._folder = aside_folder(root, endpoint)
        self._kind = kind
        self.aside: list[str] = []
        self.torn = 0

    def records(self, paths: list[Path]) -> Iterator[Placed]:
        for path in paths:
            start = 0
            for found in scan(path):
                if isinstance(found, Tail):
                    self.torn += found.size
                elif isinstance(found, Damaged):
                    self._set_aside(path, found.start, found.content)
                else:
                    records = records_in(self._kind, found.payload)
                    if not records:
                        self._set_aside(path, start, found.payload)
                    for record in records:
                        yield Placed(path.stem, found.end, record)
                start = found.end if isinstance(found, Framed) else start

    def _set_aside(self, path: Path, start: int, content: bytes) -> None:
        name = f"{self._kind}-{path.stem}-{start}.bad"
        write_whole(self._folder / name, content)
        self.aside.append(name)


def _write_days(
    root: Path, endpoint: str, kind: Kind, table: pa.Table, unit: int, sizes: dict[str, int]
) -> tuple[str, ...]:
    """Write a table as a file a day, each read again, and return what they will be called."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    frame = frame.sort(_ORDER[kind]).with_columns(_day=pl.col(_DAY_OF[kind]).dt.strftime("%F"))
    folder = parquet_folder(root, endpoint, kind)
    names = []
    for (day,), rows in frame.group_by("_day", maintain_order=True):
        name = archive.file_name(str(day), unit)
        path = archive.part_of(folder / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = rows.drop("_day")
        empty = [c for c in kept.columns if kept[c].dtype == pl.Null]
        _write(path, kept.drop(empty), table, sizes)
        _verify(path, kept.drop(empty))
        sync_folder(path.parent)
        names.append(name)
    sync_folder(folder)
    return tuple(names)


def _write(path: Path, rows: pl.DataFrame, table: pa.Table, sizes: dict[str, int]) -> None:
    # Polars has large strings and its own zones; the files keep the plain types of the table.
    schema = pa.schema([table.schema.field(name) for name in rows.columns])
    written = rows.to_arrow().cast(schema)
    described = {archive.SEGMENTS: msgspec.json.encode(sizes)}
    texts = [f.name for f in schema if pa.types.is_string(f.type) and f.name != "id"]
    with path.open("wb") as file:
        pq.write_table(
            written.replace_schema_metadata(described),
            file,
            compression="zstd",
            row_group_size=ROW_GROUP,
            use_dictionary=texts,
            write_page_index=True,
            write_page_checksum=True,
        )
        file.flush()
        os.fsync(file.fileno())


def _verify(path: Path, rows: pl.DataFrame) -> None:
    """Read a file again before the segments that it stands for go.

    Raises:
        DamagedArchive: It is not what was to be written.
    """
    found = pl.from_arrow(archive.table_in(path))
    assert isinstance(found, pl.DataFrame)
    if not found.equals(rows):
        raise DamagedArchive(
            f"{path} is not what was written there a moment ago.",
            expected=f"{rows.height:,} rows as in the segments, which stay",
            hint="Look at the disk: `tidemill doctor`.",
        )


def _finish(root: Path, endpoint: str, kind: Kind, progress: Progress) -> None:
    """Give a unit's files their names and remove its segments; all of it again does no harm."""
    folder = parquet_folder(root, endpoint, kind)
    for name in progress.files:
        path = folder / name
        with contextlib.suppress(FileNotFoundError):
            archive.part_of(path).rename(path)
        sync_folder(path.parent)
    for name in progress.segments:
        (root / endpoint / kind / name).unlink(missing_ok=True)
    done = msgspec.structs.replace(progress, done=True, segments={}, files=())
    archive.write_progress(root, endpoint, kind, done)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CompactionRunning(
            f"Another process compacts {folder}.", hint="Wait until it is done."
        ) from error
    finally:
        os.close(descriptor)
