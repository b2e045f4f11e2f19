"""The run that is active here, and the sink that what is logged to it goes to.

The active run is a context variable, not a global: threads and tasks do not mix theirs up. A
pipeline's child process installs a sink that speaks to its owner; elsewhere it is the home itself
or a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

import msgspec

from tidemill.tracking.records import Metric, Param, Tag


class RunSink(Protocol):
    """Where what is logged goes."""

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
    ) -> None:
        """Keep a batch, whole or not at all."""
        ...

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> object:
        """Keep a file."""
        ...


class ActiveRun(msgspec.Struct, frozen=True):
    """A run that code here is logging to."""

    id: str
    sink: RunSink


_ACTIVE: ContextVar[ActiveRun | None] = ContextVar("tidemill_active_run", default=None)


def active_run() -> ActiveRun | None:
    """Return the run that is active here, or nothing."""
    return _ACTIVE.get()


def install(run: ActiveRun | None) -> ActiveRun | None:
    """Make a run the active one until something else is installed; return the one before it."""
    before = _ACTIVE.get()
    _ACTIVE.set(run)
    return before


@contextmanager
def activate(run: ActiveRun) -> Iterator[ActiveRun]:
    """Make a run the active one inside the block."""
    token = _ACTIVE.set(run)
    try:
        yield run
    finally:
        _ACTIVE.reset(token)
