"""Judges candidates in traffic: evidence from monitoring, verdict from serving, the act here."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidemill.core.clock import Clock
from tidemill.core.policy import ModelPolicy
from tidemill.core.references import Ref
from tidemill.loop.evidence import Gathering, Watched
from tidemill.loop.records import Decision, DecisionKind
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.serving.counters import Counter
from tidemill.serving.errors import RolloutEnded
from tidemill.serving.evidence import Counts, Verdict
from tidemill.serving.looks import Looks
from tidemill.serving.records import Rollout, Target
from tidemill.serving.rollout import judge, judge_health
from tidemill.serving.service import Deployments

ACTOR = "loop"
CHAMPION, CHALLENGER = "champion", "challenger"
_KINDS: dict[str, DecisionKind] = {
    "advance": "advance",
    "promote": "promote",
    "rollback": "rollback",
}


class RolloutVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict on a rollout that calls for an act.

    Attributes:
        rollout: Its id.
        model: The candidate's model.
        kind: What kind of decision it is.
        reason: One sentence for people.
        numbers: The figures that it rests on.
    """

    rollout: str
    model: str
    kind: DecisionKind
    reason: str
    numbers: dict[str, float] = {}


class Rollouts:
    """Brings candidates into traffic, judges them there, and keeps the aliases true.

    Args:
        deployments: What stands behind endpoints.
        gathering: How versions fared.
        looks: Where looks at the evidence are kept.
        registry: Where `champion` and `challenger` are kept.
        clock: Tells the time.
    """

    def __init__(
        self,
        deployments: Deployments,
        gathering: Gathering,
        looks: Looks,
        registry: Registry,
        clock: Clock,
    ) -> None:
        self._deployments = deployments
        self._gathering = gathering
        self._looks = looks
        self._watched = Watched()
        self._registry = registry
        self._clock = clock

    def __call__(
        self, version: ModelVersion, policy: ModelPolicy, *, actor: str, cause: str | None
    ) -> str:
        """Start the rollout of a version, and say what was done."""
        endpoint = policy.serving.endpoint or version.model
        target = Target(model=version.model, version=version.version, bundle=version.packed)
        reason = f"{version.ref} passed its gate."
        rollout = self._deployments.start_rollout(
            endpoint, target, policy.rollout, actor=actor, reason=reason, cause=cause
        )
        if rollout is not None:
            self._name(target, CHALLENGER, actor, reason, cause)
            return f"{version.ref} gets {rollout.percent:g}% of the traffic of {endpoint}."
        live = self._deployments.find(endpoint)
        if live is not None and live.champion == target:
            self._name(target, CHAMPION, actor, reason, cause)
            return f"{version.ref} answers everything at {endpoint}."
        return f"{version.ref} waits for `tidemill promote {version.ref}`."

    def active(self, endpoint: str) -> bool:
        """Tell whether a candidate is being rolled out."""
        return bool(self._deployments.rollouts(endpoint, status="running"))

    def endpoints(self) -> list[str]:
        """Return the endpoints where a candidate is being rolled out."""
        running = self._deployments.rollouts(status="running")
        return sorted({rollout.endpoint for rollout in running})

    def close_ended(self) -> None:
        """Let go of what was counted for rollouts that have ended."""
        self._gathering.close_others(self._deployments.rollouts(status="running"))

    def verdicts(self, endpoint: str) -> list[RolloutVerdict]:
        """Look at all evidence, and return the verdicts that call for an act."""
        found = []
        for rollout in self._deployments.rollouts(endpoint, status="running"):
            verdict = judge(self._gathering.evidence(rollout), rollout, self._clock.now())
            self._looks.record(rollout, verdict, actor=ACTOR)
            if verdict.action != "hold":
                found.append(_called_for(rollout, verdict))
        return found

    def alarms(
        self, counters: Mapping[Counter, Counts], problems: Mapping[str, str]
    ) -> list[RolloutVerdict]:
        """Look at what the workers have counted, and return the verdicts that call for an act.

        Args:
            counters: What they have counted since each was started.
            problems: Why an endpoint is not as it should be, by its name, as workers say.
        """
        running = self._deployments.rollouts(status="running")
        self._watched.take(counters, running)
        found = []
        for rollout in running:
            evidence = self._gathering.counts(rollout, self._watched.steps(rollout))
            verdict = judge_health(evidence, rollout)
            if rollout.endpoint in problems:
                said = f"It cannot be loaded: {problems[rollout.endpoint]}"
                verdict = Verdict(action="rollback", code="errors", reason=said)
            if verdict is not None:
                self._looks.record(rollout, verdict, actor=ACTOR)
                found.append(_called_for(rollout, verdict))
        return found

    def carry_out(self, verdict: RolloutVerdict, *, cause: str | None) -> str:
        """Do what a verdict says, and say what was done; done already, nothing changes."""
        return self._act(verdict.rollout, verdict.kind, verdict.reason, verdict.numbers, cause)

    def settle(self, decision: Decision) -> str:
        """Carry out a decision that was written before a crash; done already, nothing changes."""
        if decision.kind == "refuse-data":
            return "Nothing of it was stored; the live model is untouched."
        identifier = Ref.parse(decision.subject).name
        return self._act(identifier, decision.kind, decision.reason, decision.numbers, decision.id)

    def _act(
        self,
        identifier: str,
        kind: DecisionKind,
        reason: str,
        numbers: dict[str, float],
        cause: str | None,
    ) -> str:
        rollout = self._deployments.rollout(identifier)
        candidate = rollout.candidate
        if rollout.status == "running":
            try:
                rollout = self._moved(rollout, kind, reason, numbers, cause)
            except RolloutEnded:  # by hand, a moment ago
                rollout = self._deployments.rollout(identifier)
        if rollout.status == "promoted":
            self._name(candidate, CHAMPION, ACTOR, reason, cause)
            return f"{candidate.ref} answers everything at {rollout.endpoint}."
        if rollout.status == "rolled-back":
            self._registry.reject(
                candidate.model, candidate.version, reason=reason, actor=ACTOR, cause=cause
            )
            return f"{candidate.ref} was rolled back; {rollout.champion.ref} answers everything."
        return f"{candidate.ref} gets {rollout.percent:g}% of the traffic."

    def _moved(
        self,
        rollout: Rollout,
        kind: DecisionKind,
        reason: str,
        numbers: dict[str, float],
        cause: str | None,
    ) -> Rollout:
        if kind == "rollback":
            verdict = Verdict(action="rollback", reason=reason, numbers=numbers)
            return self._deployments.abort(rollout.id, verdict, actor=ACTOR, cause=cause)
        verdict = Verdict(action="advance", reason=reason, numbers=numbers)
        return self._deployments.advance(rollout.id, verdict, actor=ACTOR, cause=cause)

    def _name(self, target: Target, alias: str, actor: str, reason: str, cause: str | None) -> None:
        self._registry.set_alias(
            target.model, alias, target.version, actor=actor, reason=reason, cause=cause
        )


def _called_for(rollout: Rollout, verdict: Verdict) -> RolloutVerdict:
    return RolloutVerdict(
        rollout=rollout.id,
        model=rollout.candidate.model,
        kind=_KINDS[verdict.action],
        reason=f"{rollout.candidate.ref}: {verdict.reason}",
        numbers=verdict.numbers,
    )
