"""One window as a task: all that looking at it needs, and all that comes of it, as plain records.

A task goes to another process as it stands. Nothing here reads or writes the database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec
import polars as pl

from tidemill.core.clock import from_micros
from tidemill.core.policy import MonitorPolicy
from tidemill.monitoring.judgement import Judge
from tidemill.monitoring.live import Live
from tidemill.monitoring.records import EstimateCheck, Finding, WindowReport
from tidemill.monitoring.reference import Reference, blocks_of
from tidemill.monitoring.state import BlockState, decoded, seen_blocks, states_of, stretches_before
from tidemill.monitoring.store import VERSION_PLACE, framed

MOST_LIVES = 8
"""How many versions are kept ready to compare with; the one that was asked last goes last."""
References = Callable[[str, int], Reference | None]


class Source(msgspec.Struct, frozen=True):
    """Where a version's reference is read from.

    Attributes:
        bundle: The folder of its bundle.
        metrics: Its metrics on the rows that it was judged by.
    """

    bundle: str
    metrics: dict[str, float]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A window to be looked at.

    Attributes:
        endpoint: Which endpoint.
        model: The model that it serves.
        version: The live version.
        policy: How to judge.
        metrics: Which metrics; the first is the one that is watched.
        since: Where the window begins, in microseconds since 1970.
        until: Where it ends, exclusive.
        rows: Its predictions as the database keeps them.
        states: Of the blocks just before it, as bytes.
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
    checks: tuple[EstimateCheck, ...] = ()
    rhythmic: frozenset[str] = frozenset()
    newborn: bool = False
    sources: dict[int, Source] = {}

    @property
    def versions(self) -> set[int]:
        """All versions that it concerns."""
        return {
            self.version,
            *(decoded(s).version for s in self.states),
            *(row[VERSION_PLACE] for row in self.rows),
        }


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a window.

    Attributes:
        report: What is known of it.
        findings: What was found.
        states: Of its blocks, as bytes.
    """

    report: WindowReport
    findings: tuple[Finding, ...]
    states: tuple[bytes, ...]


class Looks(Protocol):
    """What looks at windows: this process, or another."""

    def look(self, task: Task) -> Looked:
        """Look at a window.

        Raises:
            LookerFailed: The process that looks ended each time.
        """
        ...


class Looker:
    """Looks at windows here; what it compares with is made once for each version.

    Args:
        references: Gives the reference of a model's version.
    """

    def __init__(self, references: References) -> None:
        self._references = references
        self._lives: dict[tuple[str, int, float], Live | None] = {}

    def look(self, task: Task) -> Looked:
        """Look at a window."""
        block = task.policy.block
        rows = framed(task.rows)
        rows = rows.with_columns(blocks_of(rows["time"], block))
        live = self.live(task.model, task.version, block)
        mine = seen_blocks([decoded(s) for s in task.states], task.version)
        length = task.until - task.since
        judge = Judge(
            endpoint=task.endpoint,
            model=task.model,
            version=task.version,
            policy=task.policy,
            metrics=task.metrics,
            lives=partial(self.live, task.model, block=block),
            since=from_micros(task.since),
            until=from_micros(task.until),
            earlier=() if live is None else stretches_before(mine, live, task.since, length),
            recent=mine,
            checks=task.checks,
            rhythmic=task.rhythmic,
            newborn=task.newborn,
        )
        report, findings = judge.look(rows)
        states = self.states(task.model, rows, task.policy)
        return Looked(
            report=report,
            findings=tuple(findings),
            states=tuple(s.encoded() for s in states),
        )

    def states(self, model: str, rows: pl.DataFrame, policy: MonitorPolicy) -> list[BlockState]:
        """Return the sums of each version's blocks."""
        found: list[BlockState] = []
        for version in rows["version"].unique().sort().to_list():
            live = self.live(model, version, policy.block)
            found += states_of(rows, version, live, int(policy.block * 1e6), policy.segments)
        return found

    def live(self, model: str, version: int, block: float) -> Live | None:
        """Return a version's reference, ready to compare with; made once."""
        key = (model, version, block)
        if key in self._lives:
            self._lives[key] = self._lives.pop(key)
        else:
            reference = self._references(model, version)
            self._lives[key] = None if reference is None else Live(reference, block)
            for old in list(self._lives)[:-MOST_LIVES]:
                del self._lives[old]
        return self._lives[key]
