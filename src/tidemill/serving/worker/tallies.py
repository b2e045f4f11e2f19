"""The counts of all workers of one port, those that have ended too, so that sums never fall.

Each worker keeps a file of what it has counted, and writes it before it tells anyone: what was
once told is never taken back. A worker that has ended leaves its file; whoever reads it next adds
it to what all the ended ones counted, under a lock, and removes it. A sum that fell would look to
Prometheus like a restart of everything, and its rates like a burst that never was.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from tidemill.serving.worker.metrics import Snapshot, counters_of, total

logger = logging.getLogger(__name__)
KEEP = "/-/counts"
"""Where a worker is told to keep its counts now."""
SUFFIX = ".counts"
_LOCK = "counts.lock"
_ENDED = f"ended{SUFFIX}"
T = TypeVar("T")


class _Ended(msgspec.Struct, frozen=True):
    """What ended workers counted.

    Attributes:
        counts: Added up.
        included: The files that are in it; one of them that is still there is not added again.
    """

    counts: Snapshot = Snapshot([], [])
    included: list[str] = []


class Tallies:
    """The folder's counts, seen from one worker.

    Args:
        folder: Where the workers of one port keep what they share.
        pid: This worker.
        born: A number that no other worker with that pid has had.
    """

    def __init__(self, folder: Path, pid: int, born: int) -> None:
        self._folder = folder
        self._path = folder / f"{pid}-{born}{SUFFIX}"

    def write(self, own: Snapshot) -> None:
        """Keep what this worker has counted; on a full disk, what was kept before stays."""
        _replace(self._path, own)

    def others(self) -> list[Snapshot]:
        """Return what the other workers counted: the living each for itself, the ended in one.

        Raises:
            OSError: The folder cannot be read.
        """
        with _locked(self._folder):
            ended = _read(self._folder / _ENDED, _Ended) or _Ended()
            living: list[Snapshot] = []
            dead: dict[str, Snapshot] = {}
            for path in sorted(self._folder.glob(f"*-*{SUFFIX}")):
                if path == self._path:
                    continue
                found = _read(path, Snapshot)
                if found is None:
                    continue
                if _lives(path):
                    living.append(found)
                else:
                    dead[path.name] = found
            if dead:
                ended = self._include(ended, dead)
        return [ended.counts, *living]

    def _include(self, ended: _Ended, dead: dict[str, Snapshot]) -> _Ended:
        new = [counters_of(s) for name, s in dead.items() if name not in ended.included]
        ended = _Ended(total([ended.counts, *new]), sorted(dead))
        if _replace(self._folder / _ENDED, ended):
            for name in dead:
                (self._folder / name).unlink(missing_ok=True)
        return ended


def forget(folder: Path) -> None:
    """Begin to count anew: called where no worker is left."""
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)


def _lives(path: Path) -> bool:
    return Path(f"/proc/{path.stem.partition('-')[0]}").exists()


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _replace(path: Path, value: object) -> bool:
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(msgspec.json.encode(value))
        draft.replace(path)
    except OSError as error:
        logger.error("%s cannot be written: %s", path, error)
        return False
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
