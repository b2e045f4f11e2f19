"""Everything of an endpoint: what stands behind it, what is known of it, and what was decided."""

from __future__ import annotations

from tidemill.core.references import Ref
from tidemill.server.operations.records import EndpointView
from tidemill.server.operations.subject import Limit, Subject
from tidemill.serving.events import (
    Deployed,
    RolloutJudged,
    RolloutMoved,
    ShadowCompared,
    TrafficChanged,
)
from tidemill.serving.evidence import Look

_TOLD = tuple(e.type for e in (Deployed, TrafficChanged, RolloutMoved, RolloutJudged))


class Evidence(Subject):
    """Everything of an endpoint."""

    def endpoint(self, endpoint: str, limit: Limit = 60) -> EndpointView:
        """What stands behind an endpoint, the newest rollout's evidence, shadows, and history."""
        home = self._home
        deployment = home.deployments.get(endpoint)
        rollouts = home.deployments.rollouts(endpoint)
        facts = home.journal.read(
            types=(*_TOLD, ShadowCompared.type),
            subject=Ref("endpoint", endpoint),
            newest_first=True,
            limit=limit,
        )
        return EndpointView(
            deployment=deployment,
            parts=home.deployments.parts(endpoint),
            rollout=rollouts[0] if rollouts else None,
            looks=tuple(home.looks.of(rollouts[0].id)) if rollouts else (),
            shadows=tuple(home.shadow_reports.of(endpoint)),
            facts=tuple(facts),
        )

    def looks(self, rollout: str) -> list[Look]:
        """How the evidence of a rollout grew."""
        return self._home.looks.of(self._home.deployments.rollout(rollout).id)
