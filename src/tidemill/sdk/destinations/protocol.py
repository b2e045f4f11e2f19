"""The seam between the logging functions and wherever runs are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tidemill.tracking.records import Experiment, Metric, NewRun, Param, Run, RunStatus, Tag


class Destination(Protocol):
    """Keeps runs. Every verb is atomic, and repeating one changes nothing."""

    def experiment(self, name: str) -> Experiment:
        """Return an experiment; it is made where it is new."""
        ...

    def start(self, run: NewRun) -> Run:
        """Start a run; one that is known is returned as it is."""
        ...

    def resume(self, run_id: str, *, actor: str) -> Run:
        """Go on with a run."""
        ...

    def end(self, run_id: str, status: RunStatus, *, actor: str, ended: datetime) -> None:
        """End a run."""
        ...

    def get(self, run_id: str) -> Run:
        """Return a run."""
        ...

    def search(
        self,
        filter: str,
        *,
        order_by: Sequence[str],
        experiments: Sequence[str] | None,
        limit: int,
    ) -> list[Run]:
        """Return the runs that a filter lets through, of some experiments or of all."""
        ...

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

    def close(self) -> None:
        """Let go of it."""
        ...
