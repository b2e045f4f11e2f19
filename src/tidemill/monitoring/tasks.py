"""What the monitor has done apart: all that a task needs, and all that comes of it, as records.

A task goes to another process as it stands. Whoever does it neither reads nor writes the database.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from tidemill.core.policy import MonitorPolicy
from tidemill.monitoring.arrivals import Hour
from tidemill.monitoring.endpoint_report import ColumnSpread
from tidemill.monitoring.kept import VERSION_PLACE, LabelEntry
from tidemill.monitoring.records import EstimateCheck, Finding, WindowReport
from tidemill.monitoring.state import decoded
from tidemill.predictions.records import Cursor


class Source(msgspec.Struct, frozen=True):
    """Where a version's reference is read from.

    Attributes:
        bundle: The folder of its bundle.
        metrics: Its metrics on the rows that it was judged by.
    """

    bundle: str
    metrics: dict[str, float]


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the prediction log, to be read by whoever does the task.

    Attributes:
        folder: The letterbox's.
        since: Where the stretch begins, in microseconds since 1970.
        until: Where it ends, exclusive.
        versions: Those that are known to have answered in it.
    """

    folder: str
    since: int
    until: int
    versions: frozenset[int]


class Task(msgspec.Struct, frozen=True, kw_only=True, tag="window"):
    """A window to be looked at.

    Attributes:
        endpoint: Which endpoint.
        model: The model that it serves.
        version: The live version.
        policy: How to judge.
        metrics: Which metrics; the first is the one that is watched.
        since: Where the window begins, in microseconds since 1970.
        until: Where it ends, exclusive.
        rows: Its predictions as the database keeps them, and those around it whose sums are asked
            for with its own.
        states: Of the blocks just before it, as bytes.
        log: Where the rows are read, where they are not kept any more.
        checks: Estimates and what came true in the windows before, newest first.
        rhythmic: Of what the rhythm is known.
        newborn: Whether the version has answered nothing before, or was skewed in all of it.
        sources: Where the references of the versions are read from, where another process looks.
    """

    endpoint: str
    model: str
    version: int
    policy: MonitorPolicy
    metrics: tuple[str, ...]
    since: int
    until: int
    rows: list[list[Any]]
    states: list[bytes]
    log: Log | None = None
    checks: tuple[EstimateCheck, ...] = ()
    rhythmic: frozenset[str] = frozenset()
    newborn: bool = False
    sources: dict[int, Source] = {}

    @property
    def versions(self) -> set[int]:
        """All versions that it concerns."""
        logged = frozenset() if self.log is None else self.log.versions
        return {self.version, *_versions(self.rows, self.states), *logged}


class Looked(msgspec.Struct, frozen=True, kw_only=True, tag="window"):
    """What came of a window.

    Attributes:
        report: What is known of it.
        findings: What was found.
        states: Of its blocks, as bytes.
    """

    report: WindowReport
    findings: tuple[Finding, ...]
    states: tuple[bytes, ...]


class Question(msgspec.Struct, frozen=True, kw_only=True, tag="stretch"):
    """A stretch of the past to be told of.

    Attributes:
        endpoint: Which endpoint.
        model: The model that it serves.
        version: Whose quality and drift are told; the one with the most answers if left out.
        policy: How to judge.
        metrics: Which metrics; all of the task's where it is empty.
        rows: Predictions in it that are not among the sums yet, as the database keeps them.
        states: Of its blocks, as bytes.
        spreads: Whether the columns' spreads are asked for, rather than a report.
        sources: Where the references of the versions are read from, where another process looks.
    """

    endpoint: str
    model: str
    version: int | None
    policy: MonitorPolicy
    metrics: tuple[str, ...]
    rows: list[list[Any]]
    states: list[bytes]
    spreads: bool = False
    sources: dict[int, Source] = {}

    @property
    def versions(self) -> set[int]:
        """All versions that it concerns."""
        return _versions(self.rows, self.states)


class Told(msgspec.Struct, frozen=True, kw_only=True, tag="stretch"):
    """What is known of a stretch; nothing where it has no prediction.

    Attributes:
        report: The stretch as one window, where that was asked for.
        spreads: How its columns were spread, where that was.
    """

    report: WindowReport | None = None
    spreads: tuple[ColumnSpread, ...] | None = None


class Letters(msgspec.Struct, frozen=True, kw_only=True, tag="letters"):
    """What came to an endpoint, to be read.

    Attributes:
        folder: The letterbox's.
        endpoint: Whose.
        predictions: What was read of the predictions.
        labels: What was read of the labels.
    """

    folder: str
    endpoint: str
    predictions: Cursor
    labels: Cursor


class Delivery(msgspec.Struct, frozen=True, kw_only=True, tag="letters"):
    """What came to an endpoint, ready to be kept.

    Attributes:
        entries: The predictions, as rows of their table.
        labels: The labels.
        asked: How many predictions callers asked for, by hour.
        told: How many labels came, by hour.
        read: What is read of the predictions now.
        read_labels: What is read of the labels now.
    """

    entries: list[dict[str, Any]]
    labels: list[LabelEntry]
    asked: list[Hour]
    told: list[Hour]
    read: Cursor
    read_labels: Cursor


class Search(msgspec.Struct, frozen=True, kw_only=True, tag="search"):
    """Predictions to be found in the log.

    Attributes:
        folder: The letterbox's.
        endpoint: Whose.
        ids: Of predictions.
        keys: Of rows.
        before: Only what was predicted earlier is asked for, in microseconds since 1970.
    """

    folder: str
    endpoint: str
    ids: frozenset[str]
    keys: frozenset[str]
    before: int


class Times(msgspec.Struct, frozen=True, tag="search"):
    """When the predictions that were searched for were made.

    Attributes:
        times: In microseconds since 1970, ascending.
    """

    times: tuple[int, ...]


class Looks(Protocol):
    """What does tasks: this process, or another."""

    def look(self, task: Task) -> Looked:
        """Look at a window.

        Raises:
            LookerFailed: The process that looks ended each time, as with all tasks.
        """
        ...

    def tell(self, question: Question) -> Told:
        """Tell of a stretch of the past."""
        ...

    def read(self, letters: Letters) -> Delivery:
        """Read what came to an endpoint."""
        ...

    def search(self, search: Search) -> Times:
        """Find predictions in the log."""
        ...


def _versions(rows: list[list[Any]], states: list[bytes]) -> set[int]:
    return {*(decoded(s).version for s in states), *(row[VERSION_PLACE] for row in rows)}
