"""What stands behind endpoints, and changing it; each change has a plan that only tells of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from tidemill.core.policy import RolloutPolicy
from tidemill.registry.records import ModelVersion
from tidemill.server.operations.subject import CHAMPION, USER, Subject, changes
from tidemill.serving.evidence import Verdict
from tidemill.serving.records import Deployment, Part, Plan, Rollout, Share, Target
from tidemill.serving.traffic import chosen, read_shares

Percent = Annotated[float, msgspec.Meta(gt=0, le=100)]
Kept = Annotated[int, msgspec.Meta(ge=0, le=50)]


class Endpoints(Subject):
    """What stands behind endpoints, and changing it."""

    def endpoints(self) -> list[Deployment]:
        """What stands behind every endpoint."""
        return self._home.deployments.endpoints()

    def parts(self, endpoint: str) -> tuple[Part, ...]:
        """What each version behind an endpoint has to do."""
        return self._home.deployments.parts(endpoint)

    def endpoint_of(self, model: str) -> str:
        """The endpoint that is a model's own."""
        return self._endpoint_of(self._home.registry.model(model).name)

    def rollouts(self, endpoint: str | None = None) -> list[Rollout]:
        """Rollouts, newest first."""
        return self._home.deployments.rollouts(endpoint)

    def deploy_plan(
        self,
        ref: str,
        endpoint: str | None = None,
        canary: bool = False,
        percent: Percent | None = None,
    ) -> Plan:
        """What `deploy` would do."""
        version = self._version(ref)
        name = endpoint or self._endpoint_of(version.model)
        if canary or percent is not None:
            policy = self._rollout_policy(version.model, percent)
            return self._home.plans.rollout(name, _target(version), policy)
        return self._home.plans.deploy(name, _target(version))

    @changes
    def deploy(
        self,
        ref: str,
        endpoint: str | None = None,
        canary: bool = False,
        percent: Percent | None = None,
    ) -> Deployment:
        """Give an endpoint's traffic to a version: all at once, or by canary."""
        version = self._version(ref)
        name = endpoint or self._endpoint_of(version.model)
        if canary or percent is not None:
            self._home.deployments.start_rollout(
                name,
                _target(version),
                self._rollout_policy(version.model, percent),
                actor=USER,
                reason=f"{version.ref} was sent.",
            )
            return self._home.deployments.get(name)
        reason = f"{version.ref} was deployed by hand."
        return self._crowned(
            lambda: self._home.deployments.deploy(
                name, _target(version), actor=USER, reason=reason
            ),
            reason,
        )

    def split_plan(self, model: str, shares: str, endpoint: str | None = None) -> Plan:
        """What `split` would do."""
        return self._home.plans.split(
            endpoint or self._endpoint_of(model), self._shares(model, shares)
        )

    @changes
    def split(self, model: str, shares: str, endpoint: str | None = None) -> Deployment:
        """Have versions answer fixed shares of the keys, as in `3=50,4=50`."""
        reason = f"The traffic was divided by hand: {shares}."
        wanted = self._shares(model, shares)
        name = endpoint or self._endpoint_of(model)
        return self._crowned(
            lambda: self._home.deployments.split(name, wanted, actor=USER, reason=reason), reason
        )

    def shadow_plan(self, ref: str, endpoint: str | None = None, on: bool = True) -> Plan:
        """What `shadow` would do."""
        version = self._version(ref)
        name = endpoint or self._endpoint_of(version.model)
        return self._home.plans.mirror(name, _target(version), on=on)

    @changes
    def shadow(self, ref: str, endpoint: str | None = None, on: bool = True) -> Deployment:
        """Mirror every request to a version that answers none, or stop that."""
        version = self._version(ref)
        name = endpoint or self._endpoint_of(version.model)
        reason = f"Mirroring to {version.ref} was {'begun' if on else 'ended'} by hand."
        return self._home.deployments.mirror(
            name, _target(version), on=on, actor=USER, reason=reason
        )

    def keep_plan(self, endpoint: str, versions: Kept) -> Plan:
        """What `keep` would do."""
        return self._home.plans.keep(endpoint, versions)

    @changes
    def keep(self, endpoint: str, versions: Kept) -> Deployment:
        """Keep so many of the versions that answered before warm."""
        reason = f"{versions} of the versions before were asked to stay warm."
        return self._home.deployments.keep(endpoint, versions, actor=USER, reason=reason)

    def promote_plan(self, ref: str, endpoint: str | None = None) -> Plan:
        """What `promote` would do."""
        version = self._version(ref)
        name = endpoint or self._tried_at(version) or self._endpoint_of(version.model)
        return self._home.plans.deploy(name, _target(version))

    @changes
    def promote(self, ref: str, endpoint: str | None = None) -> Deployment:
        """Give a version all of the traffic, from its rollout or from nothing."""
        version = self._version(ref)
        reason = f"{version.ref} was promoted by hand."
        name = endpoint or self._tried_at(version)
        for rollout in self._home.deployments.rollouts(name, status="running"):
            if rollout.candidate.ref == version.ref:
                self._home.deployments.promote(
                    rollout.id, Verdict(action="promote", reason=reason), actor=USER
                )
                self._crown(rollout.candidate, reason)
                return self._home.deployments.get(rollout.endpoint)
        return self.deploy(ref, name)

    def rollback_plan(self, endpoint: str) -> Plan:
        """What `rollback` would do."""
        return self._home.plans.rollback(endpoint)

    @changes
    def rollback(self, endpoint: str) -> Deployment:
        """Undo an endpoint's last change."""
        reason = "It was rolled back by hand."
        return self._crowned(
            lambda: self._home.deployments.rollback(endpoint, actor=USER, reason=reason), reason
        )

    def _crowned(self, change: Callable[[], Deployment], reason: str) -> Deployment:
        """Change an endpoint, and have the alias name its champion."""
        deployment = change()
        self._crown(deployment.champion, reason)
        return deployment

    def _crown(self, target: Target, reason: str) -> None:
        self._home.registry.set_alias(
            target.model, CHAMPION, target.version, actor=USER, reason=reason
        )

    def _rollout_policy(self, model: str, percent: float | None) -> RolloutPolicy:
        """Return how a candidate is rolled out by hand: by the policy, from a share on."""
        known = self._home.policy.models.get(model)
        policy = RolloutPolicy() if known is None else known.rollout
        if policy.strategy != "canary":
            policy = msgspec.structs.replace(policy, strategy="canary")
        if percent is None:
            return policy
        steps = (percent, *(s for s in policy.steps if s > percent))
        return msgspec.structs.replace(policy, steps=steps)

    def _shares(self, model: str, shares: str) -> list[Share]:
        versions = {v.version: v for v in self._home.registry.versions(model)}
        wanted = {v: _target(versions[v]) for v in read_shares(shares) if v in versions}
        return chosen(wanted, read_shares(shares), known=versions)

    def _tried_at(self, version: ModelVersion) -> str | None:
        """Return the endpoint where a version is being rolled out."""
        running = self._home.deployments.rollouts(status="running")
        return next((r.endpoint for r in running if r.candidate.ref == version.ref), None)


def _target(version: ModelVersion) -> Target:
    return Target(model=version.model, version=version.version, bundle=version.packed)
