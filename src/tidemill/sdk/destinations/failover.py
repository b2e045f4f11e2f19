"""A server that may go away: what it does not take goes to the spool, and the run goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tidemill.client.client import Unreachable
from tidemill.sdk.destinations.spool import SpoolDestination
from tidemill.tracking.records import Experiment, Metric, NewRun, Param, Run, RunStatus, Tag

if TYPE_CHECKING:
    from tidemill.sdk.destinations.protocol import Destination


T = TypeVar("T")


class FailoverDestination:
    """Keeps runs through a server, and from its first silence on in a spool.

    Args:
        server: The server.
        spool: The spool's folder.
    """

    def __init__(self, server: Destination, spool: Path) -> None:
        self._server = server
        self._folder = spool
        self._spool: SpoolDestination | None = None
        self._started: dict[str, NewRun] = {}

    def experiment(self, name: str) -> Experiment:
        return self._either(lambda there: there.experiment(name))

    def start(self, run: NewRun) -> Run:
        found = self._either(lambda there: there.start(run))
        self._started[run.id] = run
        return found

    def resume(self, run_id: str, *, actor: str) -> Run:
        return self._server.resume(run_id, actor=actor)

    def end(self, run_id: str, status: RunStatus, *, actor: str, ended: datetime) -> None:
        self._either(lambda there: there.end(run_id, status, actor=actor, ended=ended))
        self._started.pop(run_id, None)

    def get(self, run_id: str) -> Run:
        return self._server.get(run_id)

    def search(
        self,
        filter: str,
        *,
        order_by: Sequence[str],
        experiments: Sequence[str] | None,
        limit: int,
    ) -> list[Run]:
        return self._server.search(filter, order_by=order_by, experiments=experiments, limit=limit)

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
    ) -> None:
        self._either(lambda there: there.log(run_id, metrics=metrics, params=params, tags=tags))

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> object:
        return self._either(lambda there: there.log_artifact(run_id, path, source))

    def close(self) -> None:
        self._server.close()
        if self._spool is not None:
            self._spool.close()

    def _either(self, work: Callable[[Destination], T]) -> T:
        if self._spool is None:
            try:
                return work(self._server)
            except Unreachable as error:
                self._spool = self._begin(error)
        return work(self._spool)

    def _begin(self, error: Unreachable) -> SpoolDestination:
        warnings.warn(
            f"{error.what} What is logged from here on is kept in {self._folder}; "
            "`tidemill runs sync` uploads it later.",
            stacklevel=5,
        )
        spool = SpoolDestination(self._folder)
        for run in self._started.values():
            spool.start(run)
        return spool
