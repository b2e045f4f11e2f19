"""The rooms of a home that work: pipelines, serving, monitoring."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.core.errors import NotFound
from tidemill.core.once import once
from tidemill.home.shelves import Shelves

if TYPE_CHECKING:
    from datetime import datetime

    from tidemill.monitoring.alerts.delivery import Dispatcher
    from tidemill.monitoring.alerts.steadiness import SteadyPolicy
    from tidemill.monitoring.episodes import Episodes
    from tidemill.monitoring.health.service import HealthWatch
    from tidemill.monitoring.records import WindowReport
    from tidemill.monitoring.service import Monitor
    from tidemill.pipelines.service import Pipelines
    from tidemill.serving.looks import Looks
    from tidemill.serving.plans import Plans
    from tidemill.serving.service import Deployments
    from tidemill.serving.shadows import ShadowReports
    from tidemill.serving.supervisor import Supervisor


class Workshops(Shelves):
    """The rooms that work on what the shelves keep."""

    @once
    def pipelines(self) -> Pipelines:
        """Pipeline runs."""
        from tidemill.pipelines.service import Pipelines

        return Pipelines(
            self.db,
            self.blobs,
            self.path / "blobs",
            self.tracking,
            self.journal,
            self.clock,
            self.path / "runs",
            surroundings=self._surround,
        )

    def _surround(self, run_id: str) -> Mapping[str, str]:
        return self.surroundings(run_id)

    @once
    def deployments(self) -> Deployments:
        """What stands behind endpoints."""
        from tidemill.serving.service import Deployments

        return Deployments(
            db=self.db,
            journal=self.journal,
            lineage=self.lineage,
            clock=self.clock,
            ids=self.ids,
            routes=self.routes_file,
            prepare=self.shelf.prepare,
            policies=self._serving_policies,
            runtimes=self.shelf.runtimes,
        )

    @once
    def plans(self) -> Plans:
        """What says what a change of traffic would do."""
        from tidemill.serving.plans import Plans

        return Plans(self.deployments, self.clock)

    @once
    def looks(self) -> Looks:
        """The looks at rollouts' evidence."""
        from tidemill.serving.looks import Looks

        return Looks(self.db, self.journal, self.clock)

    @once
    def shadow_reports(self) -> ShadowReports:
        """The comparisons of shadows."""
        from tidemill.serving.shadows import ShadowReports

        return ShadowReports(self.db, self.journal)

    def supervisor(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 1,
        header_clock: bool = False,
        allow_hosts: tuple[str, ...] = (),
        grpc_port: int | None = None,
        access_log: Path | None = None,
        worker_memory: float | None = None,
        max_body: int | None = None,
        max_rows: int | None = None,
    ) -> Supervisor:
        """Return a supervisor of this home's workers, not started yet."""
        from tidemill.serving.outgrown import noting
        from tidemill.serving.supervisor import Supervisor
        from tidemill.serving.worker.limits import BODY, ROWS

        return Supervisor(
            routes=self.routes_file,
            bundles=self.shelf.bundles,
            environments=self.shelf.environments,
            predictions=self.predictions_folder,
            peers=self.path / "serving" / "peers",
            log=self.path / "logs" / "workers.log",
            host=host,
            port=port,
            workers=workers,
            header_clock=header_clock,
            allow_hosts=allow_hosts,
            grpc_port=grpc_port,
            access_log=access_log,
            memory_mb=worker_memory,
            max_body=max_body or BODY,
            max_rows=max_rows or ROWS,
            outgrown=noting(self.deployments, self.journal),
        )

    @once
    def monitor(self) -> Monitor:
        """What watches endpoints."""
        from tidemill.monitoring.service import Monitor

        return Monitor(
            self.db, self.journal, self.clock, self.predictions_folder, self.shelf.reference
        )

    @once
    def episodes(self) -> Episodes:
        """Findings that stand until they end."""
        from tidemill.monitoring.episodes import Episodes

        return Episodes(self.db, self.journal)

    @once
    def health(self) -> HealthWatch:
        """What watches the machine and the processes."""
        from tidemill.monitoring.health.service import HealthWatch

        return HealthWatch(
            self.db, self.clock, self.episodes, lambda: self.policy.health, self._served
        )

    @once
    def dispatcher(self) -> Dispatcher:
        """What carries messages to people."""
        from tidemill.monitoring.alerts.delivery import Dispatcher
        from tidemill.monitoring.alerts.secrets import Secrets

        return Dispatcher(
            self.db,
            self.journal,
            self.clock,
            self.ids,
            policy=self._alert_policy,
            secrets=Secrets(os.environ, self.project),
            logs=self.path / "logs",
        )

    @once
    def _alert_policy(self) -> SteadyPolicy:
        from tidemill.monitoring.alerts.steadiness import SteadyPolicy

        return SteadyPolicy(lambda: self.policy.alerts)

    def _served(self, endpoint: str) -> tuple[str, int]:
        try:
            champion = self.deployments.get(endpoint).champion
        except NotFound:
            return "", 0
        return champion.model, champion.version

    def _windows_since(self, endpoint: str, since: datetime | None) -> list[WindowReport]:
        """Ask the monitor, which is made when it is first asked: it brings much with it."""
        return self.monitor.windows(endpoint, since=since)
