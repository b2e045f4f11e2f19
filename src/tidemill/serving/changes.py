"""Writes changes of traffic down: the fact in the journal, and how the endpoint stands then.

Every function works inside the transaction that it is given, so that the two are one.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.events import Event
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.serving import store, traffic
from tidemill.serving.events import Deployed, RolloutMoved, TrafficChanged
from tidemill.serving.evidence import Verdict
from tidemill.serving.records import Deployment, Rollout, Target


class By(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something, and why.

    Attributes:
        actor: Who.
        reason: Why, in one sentence.
        cause: The fact that led to it.
    """

    actor: str
    reason: str
    cause: str | None = None


class Changes:
    """Writes changes down.

    Args:
        journal: Where facts go.
        lineage: Where endpoints are tied to model versions.
        clock: Dates everything.
    """

    def __init__(self, journal: Journal, lineage: Lineage, clock: Clock) -> None:
        self._journal = journal
        self._lineage = lineage
        self._clock = clock

    def install(self, connection: Connection, endpoint: str, target: Target, by: By) -> None:
        """Give all of an endpoint's traffic to a version; what it has already changes nothing."""
        before = store.read_deployment(connection, endpoint)
        after = traffic.deployed(before, endpoint, target, self._clock.now())
        if before != after:
            self._enthrone(connection, before, after, by)

    def go_back(self, connection: Connection, endpoint: str, by: By) -> None:
        """End a split, or go back to the version before.

        Raises:
            NothingToRollBack: There is no earlier version.
        """
        before = store.read_deployment(connection, endpoint)
        assert before is not None
        after, _ = traffic.returned(before)
        if after.champion == before.champion:
            self.divert(connection, after, by, keep=0)
        else:
            self._enthrone(connection, before, after, by)

    def divert(self, connection: Connection, after: Deployment, by: By, *, keep: int) -> None:
        """Divide or mirror an endpoint's traffic, or keep other versions warm."""
        before = store.read_deployment(connection, after.endpoint)
        if before is not None and before.champion != after.champion:
            self._announce(connection, before, after, by)
        parts = traffic.parts(after, keep)
        event = TrafficChanged(endpoint=after.endpoint, parts=parts, reason=by.reason)
        decision = self._write(connection, after.endpoint, event, by)
        for part in parts:
            if part.role in {"champion", "split"}:
                ref = Ref("model", part.model, str(part.version))
                self._lineage.link(connection, ref, Ref("endpoint", after.endpoint), "serves")
        self._keep(connection, after, decision)

    def move(self, connection: Connection, rollout: Rollout, verdict: Verdict, by: By) -> None:
        """Write how a rollout stands, and what that makes of the traffic."""
        running = rollout.status == "running"
        percent = rollout.percent if running else 100.0 * (rollout.status == "promoted")
        event = RolloutMoved(
            rollout=rollout.id,
            endpoint=rollout.endpoint,
            version=rollout.candidate.version,
            status=rollout.status,
            percent=percent,
            reason=verdict.reason,
            numbers=verdict.numbers,
            model=rollout.candidate.model,
        )
        decision = self._write(connection, rollout.endpoint, event, by)
        store.set_rollout(connection, rollout)
        live = store.read_deployment(connection, rollout.endpoint)
        assert live is not None
        if running:
            changed = traffic.tried(live, rollout.candidate, rollout.percent)
        else:
            changed = msgspec.structs.replace(live, canary=None, canary_percent=0.0)
        self._keep(connection, changed, decision)

    def supersede(self, connection: Connection, endpoint: str, by: By) -> None:
        """End the rollouts that run: something else takes their place."""
        for rollout in store.read_rollouts(connection, endpoint, "running"):
            ended = msgspec.structs.replace(rollout, status="superseded", reason=by.reason)
            verdict = Verdict(action="rollback", reason=by.reason)
            self.move(connection, ended, verdict, by)

    def _enthrone(
        self, connection: Connection, before: Deployment | None, after: Deployment, by: By
    ) -> None:
        self._keep(connection, after, self._announce(connection, before, after, by))

    def _announce(
        self, connection: Connection, before: Deployment | None, after: Deployment, by: By
    ) -> str:
        """Write down who answers now, and return the fact's id."""
        left = after.previous
        if before is not None and before.champion != after.champion:
            left = before.champion
        event = Deployed(
            endpoint=after.endpoint,
            model=after.champion.model,
            version=after.champion.version,
            previous=None if left is None else left.version,
            reason=by.reason,
        )
        endpoint = Ref("endpoint", after.endpoint)
        self._lineage.link(connection, after.champion.ref, endpoint, "serves")
        return self._write(connection, after.endpoint, event, by)

    def _write(self, connection: Connection, endpoint: str, event: Event, by: By) -> str:
        fact = self._journal.append(
            connection, event, subject=Ref("endpoint", endpoint), actor=by.actor, cause=by.cause
        )
        return fact.id

    def _keep(self, connection: Connection, after: Deployment, decision: str) -> None:
        dated = msgspec.structs.replace(after, changed=self._clock.now(), decision=decision)
        store.set_deployment(connection, dated)
