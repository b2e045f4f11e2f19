"""Lets old days of the log go, by age and by size. What was joined and summed of them stays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from tidemill.predictions import archive
from tidemill.predictions.segments import (
    KINDS,
    Kind,
    alone,
    aside_folder,
    files_of,
    held_still,
    sync_folder,
)


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an endpoint's log is kept.

    Attributes:
        before: Days that were over by then go; by no day's age where left out.
        most_bytes: The oldest days go until no more than this is left; however much there is
            where left out. Segments count and stay.
    """

    before: datetime | None = None
    most_bytes: int | None = None


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """What went of an endpoint's log, or would go.

    Attributes:
        endpoint: Whose.
        days: The days, oldest first.
        predictions: How many rows.
        labels: How many rows.
        bytes: Of the files.
        because: `age` or `size`; the latter where both had their part.
    """

    endpoint: str
    days: tuple[str, ...] = ()
    predictions: int = 0
    labels: int = 0
    bytes: int = 0
    because: str = "age"


class _Day(msgspec.Struct, frozen=True):
    day: str
    kind: Kind
    path: Path
    size: int


def expire(root: Path, endpoint: str, keep: Keep, *, dry: bool = False) -> Expired:
    """Remove whole days of an endpoint's Parquet files.

    Args:
        root: The root of the letterbox.
        endpoint: Whose.
        keep: How much is kept.
        dry: Whether only to look.
    """
    if not (root / endpoint).is_dir():
        return Expired(endpoint=endpoint)
    with held_still(root, endpoint) if dry else alone(root, endpoint):
        files = sorted(_files(root, endpoint), key=lambda f: f.day)
        old = {f.day for f in files if keep.before and _over(f.day) <= keep.before}
        large = _too_many(root, endpoint, [f for f in files if f.day not in old], keep)
        gone = [f for f in files if f.day in old | large]
        rows = {kind: _rows(gone, kind) for kind in KINDS}
        if not dry:
            _remove(gone)
            _remove_aside(root, endpoint, keep.before)
    return Expired(
        endpoint=endpoint,
        days=tuple(sorted(old | large)),
        predictions=rows["predictions"],
        labels=rows["labels"],
        bytes=sum(f.size for f in gone),
        because="size" if large else "age",
    )


def _files(root: Path, endpoint: str) -> Iterator[_Day]:
    for kind in KINDS:
        for file in archive.archived(root, endpoint, kind):
            yield _Day(file.day, kind, file.path, file.path.stat().st_size)


def _too_many(root: Path, endpoint: str, files: list[_Day], keep: Keep) -> set[str]:
    """Return the oldest days that must go for the rest to be small enough."""
    if keep.most_bytes is None:
        return set()
    live = sum(p.stat().st_size for p in files_of(root, endpoint) if p.suffix == ".log")
    left = live + sum(f.size for f in files)
    gone: set[str] = set()
    for day in sorted({f.day for f in files}):
        if left <= keep.most_bytes:
            break
        left -= sum(f.size for f in files if f.day == day)
        gone.add(day)
    return gone


def _over(day: str) -> datetime:
    """Return when a day is over."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


def _rows(files: list[_Day], kind: Kind) -> int:
    return sum(pq.read_metadata(f.path).num_rows for f in files if f.kind == kind)


def _remove(files: list[_Day]) -> None:
    for file in files:
        file.path.unlink(missing_ok=True)
    for folder in {f.path.parent for f in files}:
        with contextlib.suppress(OSError):
            folder.rmdir()
        sync_folder(folder.parent)


def _remove_aside(root: Path, endpoint: str, before: datetime | None) -> None:
    """Remove damaged stretches as old as the days that go."""
    for path in aside_folder(root, endpoint).glob("*.bad"):
        if before is not None and path.stat().st_mtime < before.timestamp():
            path.unlink()
