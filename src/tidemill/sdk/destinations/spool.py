"""A spool on disk: what is logged while no server can be reached, to be uploaded later.

Each run has a file of framed records, in the order in which things were logged, and a folder with
the files that were logged. A record is appended whole or cut off when it is read: a torn one is
what a power cut leaves. How far a run has been uploaded stands in a file beside it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from tidemill.core.clock import from_micros
from tidemill.predictions.frames import frame, read_frames
from tidemill.sdk.errors import NotOffline
from tidemill.storage.folders import sync_folder
from tidemill.tracking.records import Experiment, Metric, NewRun, Param, Run, RunStatus, Tag

if TYPE_CHECKING:
    from tidemill.sdk.destinations.protocol import Destination

ENDING = ".spool"


class Started(msgspec.Struct, frozen=True, tag="started"):
    """A run was started."""

    run: NewRun


class Logged(msgspec.Struct, frozen=True, tag="logged"):
    """A batch was logged."""

    metrics: list[Metric] = []
    params: list[Param] = []
    tags: list[Tag] = []


class Filed(msgspec.Struct, frozen=True, tag="filed"):
    """A file was logged; its content lies beside the records under a number."""

    path: str
    number: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The run was ended."""

    status: RunStatus
    actor: str
    ended: datetime


Entry = Started | Logged | Filed | Ended
_DECODER: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


class SpoolDestination:
    """Keeps runs in a folder, as they are logged.

    Args:
        folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, BinaryIO] = {}
        self._files: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def experiment(self, name: str) -> Experiment:
        """Return an experiment of that name, which the server will make when it hears of it."""
        moment = from_micros(0)
        return Experiment(id="", name=name, created=moment, updated=moment)

    def start(self, run: NewRun) -> Run:
        file = (self._folder / f"{run.id}{ENDING}").open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)  # until the run ends, or this process does
        self._open[run.id] = file
        self._files[run.id] = 0
        self._append(run.id, Started(run), durable=True)
        sync_folder(self._folder)
        return Run(
            id=run.id,
            experiment_id="",
            name=run.name,
            status="RUNNING",
            started=run.started,
            ended=None,
            actor=run.actor,
            parent=run.parent,
            tags=run.tags,
        )

    def resume(self, run_id: str, *, actor: str) -> Run:
        raise NotOffline(
            f"Run {run_id} cannot be gone on with while no server can be reached.",
            expected="a new run",
            hint="Start the server, or begin a new run.",
        )

    def get(self, run_id: str) -> Run:
        raise NotOffline(
            f"Run {run_id} cannot be read while no server can be reached.",
            hint="Start the server with `tidemill up`.",
        )

    def search(
        self,
        filter: str,
        *,
        order_by: Sequence[str],
        experiments: Sequence[str] | None,
        limit: int,
    ) -> list[Run]:
        raise NotOffline(
            "Runs cannot be searched while no server can be reached.",
            hint="Start the server with `tidemill up`.",
        )

    def end(self, run_id: str, status: RunStatus, *, actor: str, ended: datetime) -> None:
        self._append(run_id, Ended(status, actor, ended), durable=True)
        self._open.pop(run_id).close()

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
    ) -> None:
        self._append(run_id, Logged(list(metrics), list(params), list(tags)))

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> object:
        number = self._files[run_id] = self._files[run_id] + 1
        kept = content_of(self._folder, run_id, number)
        kept.parent.mkdir(exist_ok=True, mode=0o700)
        with kept.open("wb") as copy:
            if isinstance(source, bytes):
                copy.write(source)
            else:
                with source.open("rb") as original:
                    shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        sync_folder(kept.parent)
        self._append(run_id, Filed(path, number), durable=True)
        return None

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _append(self, run_id: str, entry: Entry, *, durable: bool = False) -> None:
        file = self._open[run_id]
        file.write(frame(msgspec.msgpack.encode(entry)))
        file.flush()
        if durable:
            os.fsync(file.fileno())


def spooled(folder: Path) -> list[str]:
    """Return the ids of the runs in a spool, the oldest first."""
    return sorted(path.stem for path in folder.glob(f"*{ENDING}"))


def entries(folder: Path, run_id: str, offset: int) -> Iterator[tuple[int, Entry]]:
    """Go through a run's records from an offset on; a torn one ends them.

    Yields:
        The offset behind the record, and the record.
    """
    for end, payload in read_frames(folder / f"{run_id}{ENDING}", offset):
        yield end, _DECODER.decode(payload)


def content_of(folder: Path, run_id: str, number: int) -> Path:
    """Return where the content of a logged file lies."""
    return folder / f"{run_id}.files" / str(number)


if TYPE_CHECKING:

    def _conforms(folder: Path) -> Destination:
        return SpoolDestination(folder)
