"""Uploads what was spooled: in order, and to the effect of once.

Every verb of a destination may be repeated, and a run's id was chosen when it was spooled. So it is
enough to remember how far a run has come: what a kill makes be sent again changes nothing.

What the server refuses, such as another value for a param, holds up neither the rest of the run nor
other runs: the run's records are put aside with the reason, and whoever uploads is told.
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

from tidemill.client.client import RemoteError
from tidemill.core.errors import (
    Conflict,
    InvalidData,
    NotFound,
    TidemillError,
    Usage,
)
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
        refused: What was refused of some, by run; it lies in the folder `refused` of the spool.
    """

    runs: tuple[str, ...]
    waiting: tuple[str, ...]
    refused: dict[str, tuple[str, ...]] = {}


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
    refused: dict[str, tuple[str, ...]] = {}
    for run_id in spooled(folder):
        with _mine(folder / f"{run_id}{ENDING}") as mine:
            if not mine:
                waiting.append(run_id)
                continue
            if on_progress is not None:
                on_progress(run_id)
            _send(folder, run_id, destination)
            done.append(run_id)
            reasons = _reasons(folder, run_id)
            if reasons:
                refused[run_id] = reasons
                _set_aside(folder, run_id)
            _forget(folder, run_id)
    return Uploaded(tuple(done), tuple(waiting), refused)


def _send(folder: Path, run_id: str, destination: Destination) -> None:
    mark = folder / f"{run_id}.sent"
    offset = int(mark.read_text()) if mark.exists() else 0
    ended = False
    for end, entry in _gathered(entries(folder, run_id, offset)):
        ended = ended or isinstance(entry, Ended)
        if not _apply(folder, run_id, entry, destination) and isinstance(entry, Started):
            return  # nothing else of it can be taken
        draft = mark.with_suffix(".part")
        draft.write_text(str(end))
        draft.replace(mark)
    if not ended:
        stopped = (folder / f"{run_id}{ENDING}").stat().st_mtime
        moment = datetime.fromtimestamp(stopped, UTC)
        _apply(folder, run_id, Ended("KILLED", "tidemill", moment), destination)


def _apply(folder: Path, run_id: str, entry: Entry, destination: Destination) -> bool:
    """Send an entry; tell whether it was taken, and write down why not."""
    try:
        _carry_out(folder, run_id, entry, destination)
    except TidemillError as error:
        if not _is_refusal(error):
            raise
        with _why(folder, run_id).open("a", encoding="utf-8") as file:
            file.write(" ".join(str(error).split()) + "\n")
        return False
    return True


def _is_refusal(error: TidemillError) -> bool:
    """Tell whether to send it again would be in vain."""
    if isinstance(error, RemoteError):
        return error.status in {400, 404, 409, 422}
    return isinstance(error, (Usage, NotFound, Conflict, InvalidData))


def _carry_out(folder: Path, run_id: str, entry: Entry, destination: Destination) -> None:
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


def _why(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.why"


def _reasons(folder: Path, run_id: str) -> tuple[str, ...]:
    why = _why(folder, run_id)
    # A kill may have had an entry be refused twice.
    return tuple(dict.fromkeys(why.read_text("utf-8").splitlines())) if why.exists() else ()


def _set_aside(folder: Path, run_id: str) -> None:
    """Keep a run's records and files, of which something was refused, where no upload looks."""
    aside = folder / "refused" / run_id
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o700)
    for name in (f"{run_id}.files", f"{run_id}.why", f"{run_id}{ENDING}"):
        if (folder / name).exists():
            (folder / name).rename(aside / name)


def _forget(folder: Path, run_id: str) -> None:
    (folder / f"{run_id}{ENDING}").unlink(missing_ok=True)
    (folder / f"{run_id}.sent").unlink(missing_ok=True)
    shutil.rmtree(folder / f"{run_id}.files", ignore_errors=True)
