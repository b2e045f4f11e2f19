"""What was compacted: Parquet files by day, and the one small file that says how far it went.

A unit is what one compaction made of some segments. It counts from the moment that `Progress` names
it: from then on its files speak for its segments, wherever a kill left the two.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.predictions.description import read_descriptions
from tidemill.predictions.segments import Kind, parquet_folder, write_whole
from tidemill.predictions.tables import Hints
from tidemill.predictions.values import ValueType

SEGMENTS = b"tidemill.segments"
"""Names the segments of a file in its own metadata, with the bytes that were read of each."""
_DAY = "day="
_PART = ".part"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far compaction came with an endpoint's predictions or labels.

    Attributes:
        unit: The newest unit; they are counted from 1.
        done: Whether its files have their names and its segments are gone.
        segments: The segments that it was made of, and the bytes that were read of each.
        files: Its files, below the folder of Parquet files.
        types: The type of every column that any unit has had.
    """

    unit: int = 0
    done: bool = True
    segments: dict[str, int] = {}
    files: tuple[str, ...] = ()
    types: dict[str, ValueType] = {}


class ArchivedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file.

    Attributes:
        path: Where it lies.
        unit: Which unit it belongs to.
        day: The day of its rows, in UTC, as `2013-02-01`.
    """

    path: Path
    unit: int
    day: str


def progress_file(root: Path, endpoint: str, kind: Kind) -> Path:
    """Return where it is written how far compaction came."""
    return parquet_folder(root, endpoint, kind).with_suffix(".json")


def read_progress(root: Path, endpoint: str, kind: Kind) -> Progress:
    """Return how far compaction came."""
    try:
        content = progress_file(root, endpoint, kind).read_bytes()
    except FileNotFoundError:
        return Progress()
    return msgspec.json.decode(content, type=Progress)


def write_progress(root: Path, endpoint: str, kind: Kind, progress: Progress) -> None:
    """Write how far compaction came; it is on disk afterwards."""
    content = msgspec.json.format(msgspec.json.encode(progress), indent=1)
    write_whole(progress_file(root, endpoint, kind), content)


def table_in(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a file's rows, of some of its columns or of all."""
    # `read_table` imports pandas where that is installed, and has no use for it.
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)


def file_name(day: str, unit: int) -> str:
    """Return what a unit's file of a day is called, below the folder.

    Example:
        >>> file_name("2013-02-01", 42)
        'day=2013-02-01/000000000042.parquet'
    """
    return f"{_DAY}{day}/{unit:012d}.parquet"


def part_of(path: Path) -> Path:
    """Return what a file is called until its unit counts: no pattern of Parquet files matches."""
    return path.with_name(f".{path.name}{_PART}")


def parts(root: Path, endpoint: str, kind: Kind) -> list[Path]:
    """Return the files that have not got their names yet."""
    return sorted(parquet_folder(root, endpoint, kind).glob(f"{_DAY}*/.*{_PART}"))


def archived(root: Path, endpoint: str, kind: Kind) -> list[ArchivedFile]:
    """Return the files of all units that count, oldest day first; hold the endpoint still."""
    folder = parquet_folder(root, endpoint, kind)
    found = set(folder.glob(f"{_DAY}*/*.parquet"))
    progress = read_progress(root, endpoint, kind)
    files = [_archived(path, path) for path in found]
    if not progress.done:
        missing = [folder / name for name in progress.files if folder / name not in found]
        files += [_archived(path, part_of(path)) for path in missing if part_of(path).exists()]
    return sorted(files, key=lambda f: (f.day, f.unit))


def segments_of(path: Path) -> dict[str, int]:
    """Return the segments whose rows a file has, and the bytes that were read of each."""
    metadata = pq.read_metadata(path).metadata or {}
    return msgspec.json.decode(metadata[SEGMENTS], type=dict[str, int])


def superseded(progress: Progress) -> frozenset[str]:
    """Return the segments that files speak for, though they may still be there."""
    return frozenset() if progress.done else frozenset(progress.segments)


def hints(root: Path, endpoint: str) -> Hints:
    """Return the types that versions' columns should have."""
    return Hints(read_descriptions(root, endpoint))


def _archived(named: Path, path: Path) -> ArchivedFile:
    day = named.parent.name.removeprefix(_DAY)
    return ArchivedFile(path=path, unit=int(named.stem), day=day)
