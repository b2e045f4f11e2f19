"""Says what a change would do, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.core.clock import Clock
from tidemill.core.policy import RolloutPolicy
from tidemill.serving import traffic
from tidemill.serving.records import Deployment, Plan, Share, Target
from tidemill.serving.service import Deployments


class Plans:
    """What the verbs of `Deployments` would do.

    Args:
        deployments: What stands behind endpoints.
        clock: Dates what is planned.
    """

    def __init__(self, deployments: Deployments, clock: Clock) -> None:
        self._deployments = deployments
        self._clock = clock

    def deploy(self, endpoint: str, target: Target) -> Plan:
        """Say what `deploy` would do."""
        live = self._deployments.find(endpoint)
        after = traffic.deployed(live, endpoint, target, self._clock.now())
        instead = "" if live is None or live.champion == target else f", not {live.champion.ref}"
        return self._plan(live, after, f"{target.ref} answers everything at {endpoint}{instead}.")

    def split(self, endpoint: str, shares: Sequence[Share]) -> Plan:
        """Say what `split` would do.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            BadSplit: The shares do not add up to the whole.
        """
        live = self._deployments.get(endpoint)
        return self._plan(live, *traffic.split(live, shares))

    def mirror(self, endpoint: str, target: Target, *, on: bool = True) -> Plan:
        """Say what `mirror` would do.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            BadEndpoint: It answers there already, or is to stop and is no shadow.
        """
        live = self._deployments.get(endpoint)
        if not on:
            return self._plan(live, *traffic.unmirrored(live, target))
        return self._plan(live, *traffic.mirrored(live, target, self._clock.now()))

    def keep(self, endpoint: str, count: int) -> Plan:
        """Say what `keep` would do.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
        """
        live = self._deployments.get(endpoint)
        return self._plan(live, *traffic.kept(live, count))

    def rollout(self, endpoint: str, target: Target, policy: RolloutPolicy) -> Plan:
        """Say what `start_rollout` would do."""
        live = self._deployments.find(endpoint)
        if live is None or policy.strategy == "all-at-once":
            return self.deploy(endpoint, target)
        if policy.strategy == "manual" or live.champion == target:
            return self._plan(live, live, f"Nothing changes at {endpoint}.")
        percent = policy.steps[0]
        after = traffic.tried(live, target, percent)
        said = f"{target.ref} answers {percent:g}% at {endpoint}, and more as the evidence allows."
        return self._plan(live, after, said)

    def rollback(self, endpoint: str) -> Plan:
        """Say what `rollback` would do.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            NothingToRollBack: There is no earlier version.
        """
        live = self._deployments.get(endpoint)
        return self._plan(live, *traffic.returned(live))

    def _plan(self, before: Deployment | None, after: Deployment, sentence: str) -> Plan:
        return traffic.plan(before, after, self._deployments.kept(after.endpoint), sentence)
