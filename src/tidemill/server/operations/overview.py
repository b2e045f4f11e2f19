"""The home at a glance, and how long work stands."""

from __future__ import annotations

from tidemill import __version__
from tidemill.server.operations.records import EndpointStatus, Job, Status
from tidemill.server.operations.subject import Subject
from tidemill.serving.records import Deployment


class Overview(Subject):
    """The home at a glance, and how long work stands."""

    def status(self) -> Status:
        """Everything at a glance."""
        home = self._home
        models = tuple(home.registry.models())
        return Status(
            version=__version__,
            home=str(home.path),
            project=None if home.project is None else str(home.project),
            now=home.clock.now(),
            serving=self.serving,
            workers=self.workers(),
            models=models,
            endpoints=tuple(map(self._endpoint, home.deployments.endpoints())),
            findings=tuple(home.monitor.findings(limit=30)),
            alerts=tuple(home.alerts.alerts(status="firing")),
            deliveries=home.dispatcher.counts(),
            decisions=tuple(home.controller.decisions(limit=60)),
            intentions=tuple(home.controller.explain(m) for m in home.policy.models),
        )

    def job(self, id: str) -> Job:
        """How something long stands."""
        return self._jobs.get(id)

    def _endpoint(self, deployment: Deployment) -> EndpointStatus:
        running = self._home.deployments.rollouts(deployment.endpoint, status="running")
        return EndpointStatus(
            deployment=deployment,
            rollout=running[0] if running else None,
            windows=tuple(self._home.monitor.windows(deployment.endpoint, limit=60)),
        )
