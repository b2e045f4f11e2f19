"""A home that this process has opened, and owns until it is closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.tracking.records import Experiment, Metric, NewRun, Param, Run, RunStatus, Tag

if TYPE_CHECKING:
    from tidemill.home import Home
    from tidemill.sdk.destinations.protocol import Destination


class HomeDestination:
    """Keeps runs in a home.

    Args:
        home: Opened; closed with this.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def experiment(self, name: str) -> Experiment:
        return self._home.tracking.experiment(name)

    def start(self, run: NewRun) -> Run:
        return self._home.tracking.start_run(
            self.experiment(run.experiment).id,
            run_id=run.id,
            actor=run.actor,
            name=run.name,
            parent=run.parent,
            tags=run.tags,
            started=run.started,
        )

    def resume(self, run_id: str, *, actor: str) -> Run:
        return self._home.tracking.resume_run(run_id, actor=actor)

    def end(self, run_id: str, status: RunStatus, *, actor: str, ended: datetime) -> None:
        self._home.tracking.update_run(run_id, status=status, actor=actor, ended=ended)

    def get(self, run_id: str) -> Run:
        return self._home.tracking.get(run_id)

    def search(
        self,
        filter: str,
        *,
        order_by: Sequence[str],
        experiments: Sequence[str] | None,
        limit: int,
    ) -> list[Run]:
        tracking = self._home.tracking
        ids = None if experiments is None else tracking.experiment_ids(experiments)
        return tracking.search(ids, filter, order_by=order_by, limit=limit).items

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
    ) -> None:
        self._home.tracking.log(run_id, metrics=metrics, params=params, tags=tags)

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> object:
        return self._home.tracking.log_artifact(run_id, path, source)

    def close(self) -> None:
        self._home.close()


if TYPE_CHECKING:

    def _conforms(home: Home) -> Destination:
        return HomeDestination(home)
