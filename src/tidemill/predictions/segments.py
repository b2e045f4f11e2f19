"""The files of the letterbox: where they lie, which of them are sealed, and who may change them.

    ENDPOINT/predictions/*.log                    segments, as workers write them
    ENDPOINT/parquet/predictions/day=*/*.parquet  what was compacted
    ENDPOINT/parquet/predictions.json             what the compactor did last
    ENDPOINT/columns/*.json                       the types of each version's columns
    ENDPOINT/aside/*.bad                          stretches of segments that could not be read

and the same for `labels`. Locks are the kernel's: they end with the process that holds them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Kind = Literal["predictions", "labels"]
DUE_BYTES = 64 << 20
DUE_SECONDS = 6 * 3600.0
KINDS: tuple[Kind, ...] = ("predictions", "labels")


def endpoints(root: Path) -> list[str]:
    """Return the endpoints that a letterbox has anything of."""
    if not root.is_dir():
        return []
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def segments(root: Path, endpoint: str, kind: Kind) -> list[Path]:
    """Return an endpoint's segments, oldest first."""
    return sorted((root / endpoint / kind).glob("*.log"))


def parquet_folder(root: Path, endpoint: str, kind: Kind) -> Path:
    """Return where an endpoint's Parquet files lie."""
    return root / endpoint / "parquet" / kind


def columns_folder(root: Path, endpoint: str) -> Path:
    """Return where the types of an endpoint's columns lie."""
    return root / endpoint / "columns"


def aside_folder(root: Path, endpoint: str) -> Path:
    """Return where stretches lie that could not be read."""
    return root / endpoint / "aside"


def files_of(root: Path, endpoint: str) -> list[Path]:
    """Return everything that is kept of an endpoint; hold it still."""
    patterns = ("*/*.log", "parquet/*.json", "parquet/*/day=*/*.parquet", "columns/*.json")
    return sorted(p for pattern in patterns for p in (root / endpoint).glob(pattern))


@contextlib.contextmanager
def held_still(root: Path, endpoint: str) -> Iterator[None]:
    """Have no file of an endpoint replaced or removed while it is read."""
    with _locked(root / endpoint, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def alone(root: Path, endpoint: str) -> Iterator[None]:
    """Have nobody read an endpoint's files while some are replaced or removed."""
    with _locked(root / endpoint, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def sealed(paths: list[Path]) -> Iterator[list[Path]]:
    """Hold those segments that nobody writes any more, and give them."""
    with contextlib.ExitStack() as stack:
        found = []
        for path in paths:
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                stack.enter_context(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
                found.append(path)
        yield found


def is_due(root: Path, endpoint: str, kind: Kind, now: float) -> bool:
    """Whether an endpoint's sealed segments are worth a file.

    Args:
        root: The root of the letterbox.
        endpoint: Whose.
        kind: Which of them.
        now: Seconds since 1970.
    """
    with sealed(segments(root, endpoint, kind)) as found:
        filled = [s for path in found if (s := path.stat()).st_size]
        oldest = min((s.st_mtime for s in filled), default=now)
        return sum(s.st_size for s in filled) >= DUE_BYTES or now - oldest >= DUE_SECONDS


def sync_folder(folder: Path) -> None:
    """Return when a folder's names are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file: whoever reads it sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
