"""Deployments: what stands behind each endpoint, and the steps by which it changes.

The tables are the truth; the route table that workers read is written from them after every
change, and again at every start, so that a crash between the two is mended by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.core.policy import RolloutPolicy, ServingPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.serving import store
from tidemill.serving.errors import (
    BadEndpoint,
    EndpointNotFound,
    NothingToRollBack,
    RolloutEnded,
    RolloutNotFound,
)
from tidemill.serving.events import Deployed, RolloutMoved
from tidemill.serving.records import Deployment, Rollout, RolloutStatus, Target, Verdict
from tidemill.serving.routes import (
    EndpointRoutes,
    RouteTable,
    RouteTarget,
    read_routes,
    write_routes,
)
from tidemill.storage.db.engine import Database

Unpack = Callable[[str], Path]
Policies = Callable[[], Mapping[str, ServingPolicy]]


class Deployments:
    """Endpoints and rollouts.

    Args:
        db: The database.
        journal: Where every change is written down, in the same transaction.
        lineage: Where endpoints are tied to model versions.
        clock: Dates everything.
        ids: Name rollouts.
        routes: The route table's file.
        unpack: Brings a bundle to where workers read it; called before a route names it.
        policies: Gives each endpoint's serving policy.
    """

    def __init__(
        self,
        *,
        db: Database,
        journal: Journal,
        lineage: Lineage,
        clock: Clock,
        ids: Ids,
        routes: Path,
        unpack: Unpack,
        policies: Policies,
    ) -> None:
        self._db = db
        self._journal = journal
        self._lineage = lineage
        self._clock = clock
        self._ids = ids
        self._routes = routes
        self._unpack = unpack
        self._policies = policies

    def endpoints(self) -> list[Deployment]:
        """Return what stands behind every endpoint, by name."""
        with self._db.read() as connection:
            return store.read_deployments(connection)

    def get(self, endpoint: str) -> Deployment:
        """Return what stands behind an endpoint.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
        """
        found = self.find(endpoint)
        if found is None:
            raise EndpointNotFound(
                f"There is no endpoint {endpoint!r}.",
                expected=nearest(endpoint, [d.endpoint for d in self.endpoints()]),
                hint="Deploy a version with: tidemill deploy MODEL@VERSION",
            )
        return found

    def find(self, endpoint: str) -> Deployment | None:
        """Return what stands behind an endpoint, or nothing."""
        with self._db.read() as connection:
            return store.read_deployment(connection, endpoint)

    def rollouts(
        self, endpoint: str | None = None, *, status: RolloutStatus | None = None
    ) -> list[Rollout]:
        """Return rollouts, newest first."""
        with self._db.read() as connection:
            return store.read_rollouts(connection, endpoint, status)

    def rollout(self, identifier: str) -> Rollout:
        """Return a rollout.

        Raises:
            RolloutNotFound: None has that id.
        """
        for rollout in self.rollouts():
            if rollout.id == identifier:
                return rollout
        raise RolloutNotFound(f"There is no rollout {identifier!r}.")

    def deploy(
        self,
        endpoint: str,
        target: Target,
        *,
        actor: str,
        reason: str,
        cause: str | None = None,
    ) -> Deployment:
        """Give all of an endpoint's traffic to a version, at once; a running rollout ends."""
        self._unpack(target.bundle)

        def work(connection: Connection) -> None:
            self._supersede(connection, endpoint, actor, f"{target.ref} was deployed.", cause)
            self._install(connection, endpoint, target, actor, reason, cause)

        self._db.write(work)
        self.write_routes()
        return self.get(endpoint)

    def start_rollout(
        self,
        endpoint: str,
        target: Target,
        policy: RolloutPolicy,
        *,
        actor: str,
        reason: str,
        cause: str | None = None,
    ) -> Rollout | None:
        """Begin to give an endpoint's traffic to a candidate, step by step.

        Where nothing is live yet, or the policy says so, the candidate gets all of it at once and
        there is no rollout. Starting one for the same candidate again changes nothing.
        """
        live = self.find(endpoint)
        if live is None or policy.strategy == "all-at-once":
            self.deploy(endpoint, target, actor=actor, reason=reason, cause=cause)
            return None
        if policy.strategy == "manual" or live.champion == target:
            return None
        if live.champion.version == target.version:
            raise BadEndpoint(
                f"{live.champion.ref} answers at {endpoint!r}: {target.ref} has the same number.",
                expected="versions of one model behind an endpoint while one is tried",
                hint="Deploy it all at once, or under an endpoint of its own.",
            )
        self._unpack(target.bundle)
        now = self._clock.now()
        rollout = Rollout(
            id=self._ids.new(),
            endpoint=endpoint,
            candidate=target,
            champion=live.champion,
            policy=policy,
            step=0,
            status="running",
            started=now,
            step_started=now,
            reason=reason,
        )

        def work(connection: Connection) -> Rollout:
            for known in store.read_rollouts(connection, endpoint, "running"):
                if known.candidate == target:
                    return known
            self._supersede(connection, endpoint, actor, f"{target.ref} came next.", cause)
            self._move(connection, rollout, Verdict(action="advance", reason=reason), actor, cause)
            return rollout

        started = self._db.write(work)
        self.write_routes()
        return started

    def advance(
        self, identifier: str, verdict: Verdict, *, actor: str, cause: str | None = None
    ) -> Rollout:
        """Take a rollout to its next step; from the last but one, to all of the traffic.

        Raises:
            RolloutNotFound: None has that id.
            RolloutEnded: It came to its end before.
        """
        rollout = self._running(identifier)
        step = rollout.step + 1
        if step >= len(rollout.policy.steps) or rollout.policy.steps[step] >= 100:
            return self.promote(identifier, verdict, actor=actor, cause=cause)
        moved = msgspec.structs.replace(
            rollout, step=step, step_started=self._clock.now(), reason=verdict.reason
        )
        self._db.write(lambda c: self._move(c, moved, verdict, actor, cause))
        self.write_routes()
        return moved

    def promote(
        self, identifier: str, verdict: Verdict, *, actor: str, cause: str | None = None
    ) -> Rollout:
        """Give a rollout's candidate all of the traffic.

        Raises:
            RolloutNotFound: None has that id.
            RolloutEnded: It came to its end before.
        """
        rollout = self._running(identifier)
        done = msgspec.structs.replace(rollout, status="promoted", reason=verdict.reason)

        def work(connection: Connection) -> None:
            self._move(connection, done, verdict, actor, cause)
            self._install(
                connection, rollout.endpoint, rollout.candidate, actor, verdict.reason, cause
            )

        self._db.write(work)
        self.write_routes()
        return done

    def abort(
        self, identifier: str, verdict: Verdict, *, actor: str, cause: str | None = None
    ) -> Rollout:
        """Give a rollout's candidate no traffic any more; the champion answers everything.

        Raises:
            RolloutNotFound: None has that id.
            RolloutEnded: It came to its end before.
        """
        rollout = self._running(identifier)
        done = msgspec.structs.replace(rollout, status="rolled-back", reason=verdict.reason)
        self._db.write(lambda c: self._move(c, done, verdict, actor, cause))
        self.write_routes()
        return done

    def preview_rollback(self, endpoint: str) -> str:
        """Say what `rollback` would do.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            NothingToRollBack: There is no earlier version.
        """
        live = self.get(endpoint)
        if live.canary is not None:
            return (
                f"{live.canary.ref} loses its {live.canary_percent:g}% of the traffic; "
                f"{live.champion.ref} answers everything."
            )
        if live.previous is None:
            raise NothingToRollBack(
                f"Endpoint {endpoint!r} has served only {live.champion.ref}.",
                hint="Deploy another version with: tidemill deploy MODEL@VERSION",
            )
        return f"{live.previous.ref} answers everything in place of {live.champion.ref}."

    def rollback(
        self, endpoint: str, *, actor: str, reason: str, cause: str | None = None
    ) -> Deployment:
        """Undo the last change: end a running rollout, or go back to the version before.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            NothingToRollBack: There is no earlier version.
        """
        self.preview_rollback(endpoint)
        live = self.get(endpoint)
        for rollout in self.rollouts(endpoint, status="running"):
            verdict = Verdict(action="rollback", reason=reason)
            self.abort(rollout.id, verdict, actor=actor, cause=cause)
            return self.get(endpoint)
        assert live.previous is not None
        return self.deploy(endpoint, live.previous, actor=actor, reason=reason, cause=cause)

    def write_routes(self) -> int:
        """Write the route table from the tables, and return its generation.

        Workers pick it up at once; a table that says the same as before is not written again.
        """
        with self._db.read() as connection:
            deployments = store.read_deployments(connection)
            generation = store.generation(connection)
        policies = self._policies()
        routes = {
            d.endpoint: _routes(d, policies.get(d.endpoint, ServingPolicy())) for d in deployments
        }
        for deployment in deployments:
            for target in _targets(deployment):
                self._unpack(target.bundle)
        table = RouteTable(generation=generation, endpoints=routes)
        if not self._routes.exists() or read_routes(self._routes) != table:
            write_routes(self._routes, table)
        return generation

    def _running(self, identifier: str) -> Rollout:
        rollout = self.rollout(identifier)
        if rollout.status != "running":
            raise RolloutEnded(
                f"The rollout of {rollout.candidate.ref} has ended: {rollout.status}.",
                hint="Start another with: tidemill deploy MODEL@VERSION --canary",
            )
        return rollout

    def _install(
        self,
        connection: Connection,
        endpoint: str,
        target: Target,
        actor: str,
        reason: str,
        cause: str | None,
    ) -> None:
        before = store.read_deployment(connection, endpoint)
        live = None if before is None else before.champion
        if live == target and before is not None and before.canary is None:
            return
        previous = before.previous if before and live == target else live
        event = Deployed(
            endpoint=endpoint,
            model=target.model,
            version=target.version,
            previous=None if previous is None else previous.version,
            reason=reason,
        )
        subject = Ref("endpoint", endpoint)
        fact = self._journal.append(connection, event, subject=subject, actor=actor, cause=cause)
        self._lineage.link(connection, target.ref, subject, "serves")
        store.set_deployment(
            connection,
            Deployment(
                endpoint=endpoint,
                champion=target,
                previous=previous,
                changed=self._clock.now(),
                decision=fact.id,
            ),
        )

    def _move(
        self,
        connection: Connection,
        rollout: Rollout,
        verdict: Verdict,
        actor: str,
        cause: str | None,
    ) -> None:
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
        subject = Ref("endpoint", rollout.endpoint)
        fact = self._journal.append(connection, event, subject=subject, actor=actor, cause=cause)
        store.set_rollout(connection, rollout)
        live = store.read_deployment(connection, rollout.endpoint)
        assert live is not None
        changed = msgspec.structs.replace(
            live,
            canary=rollout.candidate if running else None,
            canary_percent=rollout.percent if running else 0.0,
            changed=self._clock.now(),
            decision=fact.id,
        )
        store.set_deployment(connection, changed)

    def _supersede(
        self, connection: Connection, endpoint: str, actor: str, reason: str, cause: str | None
    ) -> None:
        for rollout in store.read_rollouts(connection, endpoint, "running"):
            ended = msgspec.structs.replace(rollout, status="superseded", reason=reason)
            verdict = Verdict(action="rollback", reason=reason)
            self._move(connection, ended, verdict, actor, cause)


def _targets(deployment: Deployment) -> list[Target]:
    kept = (deployment.champion, deployment.previous, deployment.canary)
    return [t for t in kept if t is not None]


def _routes(deployment: Deployment, policy: ServingPolicy) -> EndpointRoutes:
    targets = [_route(deployment.champion)]
    if deployment.canary is not None:
        canary = _route(deployment.canary)
        targets.append(
            msgspec.structs.replace(canary, role="canary", weight=deployment.canary_percent)
        )
    # Requests name versions by number, so of two models' versions with one number one is served.
    if deployment.previous is not None and deployment.previous.version not in {
        t.version for t in targets
    }:
        targets.append(msgspec.structs.replace(_route(deployment.previous), role="standby"))
    salt = "" if deployment.canary is None else str(deployment.canary.version)
    return EndpointRoutes(
        targets=tuple(targets),
        salt=salt,
        log=policy.log,
        redact=policy.redact,
        validate=policy.validate,
        durable=policy.durable,
    )


def _route(target: Target) -> RouteTarget:
    return RouteTarget(model=target.model, version=target.version, bundle=target.bundle)
