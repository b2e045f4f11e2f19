"""Uploads what was spooled: in order, and to the effect of once.

Every verb of a destination may be repeated, and a run's id was chosen when it was spooled. So it is
enough to remember how far a run has come: what a kill makes be sent again changes nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tidemill.sdk.destinations.protocol import Destination
from tidemill.sdk.destinations.spool import (
    ENDING,
    Ended,
    Entry,
    Filed,
    Logged,
    Started,
    content_of,
    entries,
    spooled,
)

_AT_ONCE = 1000
"""How many points are sent together."""


class Uploaded(msgspec.Struct, frozen=True):
    """What came of an upload.

    Attributes:
        runs: The runs that are with the server now.
        waiting: Those that are still being logged by a living process.
    """

    runs: tuple[str, ...]
    waiting: tuple[str, ...]


def upload(
    folder: Path,
    destination: Destination,
    *,
    on_progress: Callable[[str], None] | None = None,
) -> Uploaded:
    """Upload every run of a spool that nobody logs to any more, the oldest first.

    Args:
        folder: The spool.
        destination: Where the runs belong.
        on_progress: Is told each run's id before it is sent.

    Raises:
        Unreachable: The server does not answer; what was sent stays sent.
    """
    done: list[str] = []
    waiting: list[str] = []
    for run_id in spooled(folder):
        with _mine(folder / f"{run_id}{ENDING}") as mine:
            if not mine:
                waiting.append(run_id)
                continue
            if on_progress is not None:
                on_progress(run_id)
            _send(folder, run_id, destination)
            done.append(run_id)
    return Uploaded(tuple(done), tuple(waiting))


def _send(folder: Path, run_id: str, destination: Destination) -> None:
    mark = folder / f"{run_id}.sent"
    offset = int(mark.read_text()) if mark.exists() else 0
    ended = False
    for end, entry in _gathered(entries(folder, run_id, offset)):
        _apply(folder, run_id, entry, destination)
        ended = ended or isinstance(entry, Ended)
        draft = mark.with_suffix(".part")
        draft.write_text(str(end))
        draft.replace(mark)
    if not ended:
        stopped = (folder / f"{run_id}{ENDING}").stat().st_mtime
        moment = datetime.fromtimestamp(stopped, UTC)
        destination.end(run_id, "KILLED", actor="tidemill", ended=moment)
    _forget(folder, run_id)


def _apply(folder: Path, run_id: str, entry: Entry, destination: Destination) -> None:
    match entry:
        case Started(run):
            destination.start(run)
        case Logged(metrics, params, tags):
            destination.log(run_id, metrics=metrics, params=params, tags=tags)
        case Filed(path, number):
            destination.log_artifact(run_id, path, content_of(folder, run_id, number))
        case Ended(status, actor, moment):
            destination.end(run_id, status, actor=actor, ended=moment)


def _gathered(found: Iterator[tuple[int, Entry]]) -> Iterator[tuple[int, Entry]]:
    """Join batches of points that follow each other."""
    held: tuple[int, Logged] | None = None
    for end, entry in found:
        if isinstance(entry, Logged) and not entry.params and not entry.tags:
            known = [] if held is None else held[1].metrics
            if len(known) + len(entry.metrics) <= _AT_ONCE:
                held = end, Logged([*known, *entry.metrics])
                continue
        if held is not None:
            yield held
            held = None
        yield end, entry
    if held is not None:
        yield held


@contextmanager
def _mine(path: Path) -> Iterator[bool]:
    """Hold a run's file alone; say whether that could be had."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield os.path.exists(path)  # noqa: PTH110 another may have uploaded it just before


def _forget(folder: Path, run_id: str) -> None:
    (folder / f"{run_id}{ENDING}").unlink(missing_ok=True)
    (folder / f"{run_id}.sent").unlink(missing_ok=True)
    shutil.rmtree(folder / f"{run_id}.files", ignore_errors=True)
