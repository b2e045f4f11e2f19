"""What stands behind endpoints, and changing it."""

from __future__ import annotations

from tidemill.server.operations.subject import CHAMPION, USER, Subject, changes
from tidemill.serving.records import Deployment, Rollout, Target, Verdict


class Endpoints(Subject):
    """What stands behind endpoints, and changing it."""

    def endpoints(self) -> list[Deployment]:
        """What stands behind every endpoint."""
        return self._home.deployments.endpoints()

    def rollouts(self, endpoint: str | None = None) -> list[Rollout]:
        """Rollouts, newest first."""
        return self._home.deployments.rollouts(endpoint)

    def rollback_preview(self, endpoint: str) -> str:
        """What a rollback would do."""
        return self._home.deployments.preview_rollback(endpoint)

    @changes
    def deploy(self, ref: str, endpoint: str | None = None, canary: bool = False) -> Deployment:
        """Give an endpoint's traffic to a version: all at once, or by canary."""
        version = self._version(ref)
        name = endpoint or self._endpoint_of(version.model)
        target = Target(model=version.model, version=version.version, bundle=version.packed)
        policy = self._home.policy.models.get(version.model)
        if canary and policy is not None:
            self._home.deployments.start_rollout(
                name, target, policy.rollout, actor=USER, reason=f"{version.ref} was sent."
            )
            return self._home.deployments.get(name)
        reason = f"{version.ref} was deployed by hand."
        deployment = self._home.deployments.deploy(name, target, actor=USER, reason=reason)
        self._home.registry.set_alias(
            version.model, CHAMPION, version.version, actor=USER, reason=reason
        )
        return deployment

    @changes
    def promote(self, ref: str) -> Deployment:
        """Give a version all of the traffic, from its rollout or from nothing."""
        version = self._version(ref)
        for rollout in self._home.deployments.rollouts(status="running"):
            if rollout.candidate.ref == version.ref:
                reason = f"{version.ref} was promoted by hand."
                verdict = Verdict(action="promote", reason=reason)
                self._home.deployments.promote(rollout.id, verdict, actor=USER)
                self._home.registry.set_alias(
                    version.model, CHAMPION, version.version, actor=USER, reason=reason
                )
                return self._home.deployments.get(rollout.endpoint)
        return self.deploy(ref)

    @changes
    def rollback(self, endpoint: str) -> Deployment:
        """Undo an endpoint's last change."""
        reason = "It was rolled back by hand."
        deployment = self._home.deployments.rollback(endpoint, actor=USER, reason=reason)
        champion = deployment.champion
        self._home.registry.set_alias(
            champion.model, CHAMPION, champion.version, actor=USER, reason=reason
        )
        return deployment
