"""Deployments: what stands behind each endpoint, and the steps by which it changes.

The tables are the truth; the route table that workers read is written from them after every
change, and again at every start, so that a crash between the two is mended by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.core.policy import RolloutPolicy, ServingPolicy
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.models.errors import ModelsError
from tidemill.serving import store, traffic
from tidemill.serving.changes import By, Changes
from tidemill.serving.errors import BadEndpoint, EndpointNotFound, RolloutEnded, RolloutNotFound
from tidemill.serving.evidence import Verdict
from tidemill.serving.records import Deployment, Part, Rollout, RolloutStatus, Share, Target
from tidemill.serving.routes import RouteTable, Runtime, check_name, read_routes, write_routes
from tidemill.storage.db.engine import Database

logger = logging.getLogger(__name__)
Prepare = Callable[[str, str], None]
Policies = Callable[[], Mapping[str, ServingPolicy]]
Runtimes = Callable[[], Mapping[str, Runtime]]


class Deployments:
    """Endpoints and rollouts.

    Args:
        db: The database.
        journal: Where every change is written down, in the same transaction.
        lineage: Where endpoints are tied to model versions.
        clock: Dates everything.
        ids: Name rollouts.
        routes: The route table's file.
        prepare: Brings a model's bundle to where workers read it, with the environment that it
            needs; called before a route names it.
        policies: Gives each endpoint's serving policy.
        runtimes: Gives how each endpoint's versions without a twin are run.
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
        prepare: Prepare,
        policies: Policies,
        runtimes: Runtimes = dict,
    ) -> None:
        self._db = db
        self._changes = Changes(journal, lineage, clock)
        self._clock = clock
        self._ids = ids
        self._routes = routes
        self._prepare = prepare
        self._policies = policies
        self._runtimes = runtimes
        self._writing = threading.Lock()

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

    def generation(self) -> int:
        """Return the number of the newest change."""
        with self._db.read() as connection:
            return store.generation(connection)

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

    def parts(self, endpoint: str) -> tuple[Part, ...]:
        """Return what each version behind an endpoint has to do.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
        """
        return traffic.parts(self.get(endpoint), self.kept(endpoint))

    def deploy(
        self,
        endpoint: str,
        target: Target,
        *,
        actor: str,
        reason: str,
        cause: str | None = None,
    ) -> Deployment:
        """Give all of an endpoint's traffic to a version, at once; a running rollout ends.

        Raises:
            BadEndpoint: The name cannot be an endpoint's.
        """
        check_name(endpoint)
        self._prepare(target.model, target.bundle)
        by = By(actor=actor, reason=reason, cause=cause)

        def work(connection: Connection) -> None:
            superseded = By(actor=actor, reason=f"{target.ref} was deployed.", cause=cause)
            self._changes.supersede(connection, endpoint, superseded)
            self._changes.install(connection, endpoint, target, by)

        self._db.write(work)
        self.write_routes()
        return self.get(endpoint)

    def split(
        self,
        endpoint: str,
        shares: Sequence[Share],
        *,
        actor: str,
        reason: str,
        cause: str | None = None,
    ) -> Deployment:
        """Have versions answer fixed shares of the keys, until something else is said.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            BadSplit: The shares do not add up to the whole.
        """
        traffic.split(self.get(endpoint), shares)
        for share in shares:
            self._prepare(share.target.model, share.target.bundle)

        def change(live: Deployment) -> Deployment:
            return traffic.split(live, shares)[0]

        return self._divert(
            endpoint, change, By(actor=actor, reason=reason, cause=cause), supersede=True
        )

    def mirror(
        self,
        endpoint: str,
        target: Target,
        *,
        actor: str,
        reason: str,
        on: bool = True,
        cause: str | None = None,
    ) -> Deployment:
        """Mirror every request to a version that answers none, or stop that.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            BadEndpoint: It answers there already, or is to stop and is no shadow.
        """
        now = self._clock.now()
        live = self.get(endpoint)
        traffic.mirrored(live, target, now) if on else traffic.unmirrored(live, target)
        if on:
            self._prepare(target.model, target.bundle)

        def change(live: Deployment) -> Deployment:
            found = traffic.mirrored(live, target, now) if on else traffic.unmirrored(live, target)
            return found[0]

        return self._divert(endpoint, change, By(actor=actor, reason=reason, cause=cause))

    def keep(
        self, endpoint: str, count: int, *, actor: str, reason: str, cause: str | None = None
    ) -> Deployment:
        """Keep so many of the versions that answered before warm, whatever the policy says.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
        """
        self.get(endpoint)
        return self._divert(
            endpoint,
            lambda live: traffic.kept(live, count)[0],
            By(actor=actor, reason=reason, cause=cause),
        )

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
        self._prepare(target.model, target.bundle)
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
            steps_started=(now,),
            reason=reason,
        )

        def work(connection: Connection) -> Rollout:
            for known in store.read_rollouts(connection, endpoint, "running"):
                if known.candidate == target:
                    return known
            next_one = By(actor=actor, reason=f"{target.ref} came next.", cause=cause)
            self._changes.supersede(connection, endpoint, next_one)
            by = By(actor=actor, reason=reason, cause=cause)
            verdict = Verdict(action="advance", reason=reason)
            self._changes.move(connection, rollout, verdict, by)
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

        def change(rollout: Rollout) -> Rollout:
            step = rollout.step + 1
            if step >= len(rollout.policy.steps) or rollout.policy.steps[step] >= 100:
                return msgspec.structs.replace(rollout, status="promoted", reason=verdict.reason)
            now = self._clock.now()
            return msgspec.structs.replace(
                rollout,
                step=step,
                step_started=now,
                steps_started=(*(rollout.steps_started or (rollout.started,)), now),
                reason=verdict.reason,
            )

        return self._moved(identifier, change, verdict, actor, cause)

    def promote(
        self, identifier: str, verdict: Verdict, *, actor: str, cause: str | None = None
    ) -> Rollout:
        """Give a rollout's candidate all of the traffic.

        Raises:
            RolloutNotFound: None has that id.
            RolloutEnded: It came to its end before.
        """

        def change(rollout: Rollout) -> Rollout:
            return msgspec.structs.replace(rollout, status="promoted", reason=verdict.reason)

        return self._moved(identifier, change, verdict, actor, cause)

    def abort(
        self, identifier: str, verdict: Verdict, *, actor: str, cause: str | None = None
    ) -> Rollout:
        """Give a rollout's candidate no traffic any more; the champion answers everything.

        Raises:
            RolloutNotFound: None has that id.
            RolloutEnded: It came to its end before.
        """

        def change(rollout: Rollout) -> Rollout:
            return msgspec.structs.replace(rollout, status="rolled-back", reason=verdict.reason)

        return self._moved(identifier, change, verdict, actor, cause)

    def rollback(
        self, endpoint: str, *, actor: str, reason: str, cause: str | None = None
    ) -> Deployment:
        """Undo the last change: end what is on trial, or go back to the version before.

        Raises:
            EndpointNotFound: Nothing is deployed under that name.
            NothingToRollBack: There is no earlier version.
        """
        after, _ = traffic.returned(self.get(endpoint))
        self._prepare(after.champion.model, after.champion.bundle)
        by = By(actor=actor, reason=reason, cause=cause)

        def work(connection: Connection) -> None:
            running = store.read_rollouts(connection, endpoint, "running")
            for rollout in running:
                ended = msgspec.structs.replace(rollout, status="rolled-back", reason=reason)
                verdict = Verdict(action="rollback", reason=reason)
                self._changes.move(connection, ended, verdict, by)
            if not running:
                self._changes.go_back(connection, endpoint, by)

        self._db.write(work)
        self.write_routes()
        return self.get(endpoint)

    def write_routes(self) -> int:
        """Write the route table from the tables, and return its generation.

        Workers pick it up at once; a table that says the same as before is not written again.
        """
        # One at a time: who read the tables before another change must not write after it.
        with self._writing:
            with self._db.read() as connection:
                deployments = store.read_deployments(connection)
                generation = store.generation(connection)
            policies, runtimes = self._policies(), self._runtimes()
            routes = {
                d.endpoint: msgspec.structs.replace(
                    traffic.routes_of(d, policies.get(d.endpoint, ServingPolicy())),
                    runtime=runtimes.get(d.endpoint, Runtime()),
                )
                for d in deployments
            }
            for endpoint in routes.values():
                for target in endpoint.targets:
                    self._prepare_again(target.model, target.bundle)
            table = RouteTable(generation=generation, endpoints=routes)
            if not self._routes.exists() or read_routes(self._routes) != table:
                write_routes(self._routes, table)
            return generation

    def _prepare_again(self, model: str, bundle: str) -> None:
        """Bring back what a route names already; a version that cannot be is the workers' to tell.

        One version whose environment is gone must not keep all others from being served.
        """
        try:
            self._prepare(model, bundle)
        except ModelsError as error:
            logger.error("a version of %r cannot be prepared: %s", model, error)

    def _moved(
        self,
        identifier: str,
        change: Callable[[Rollout], Rollout],
        verdict: Verdict,
        actor: str,
        cause: str | None,
    ) -> Rollout:
        """Change a rollout that runs; whether it still does is asked where it is changed."""
        self.rollout(identifier)
        by = By(actor=actor, reason=verdict.reason, cause=cause)

        def work(connection: Connection) -> Rollout:
            moved = change(_running(store.read_rollout(connection, identifier)))
            self._changes.move(connection, moved, verdict, by)
            if moved.status == "promoted":
                self._changes.install(connection, moved.endpoint, moved.candidate, by)
            return moved

        moved = self._db.write(work)
        self.write_routes()
        return moved

    def _divert(
        self,
        endpoint: str,
        change: Callable[[Deployment], Deployment],
        by: By,
        *,
        supersede: bool = False,
    ) -> Deployment:
        keep = self.kept(endpoint)

        def work(connection: Connection) -> None:
            if supersede:
                self._changes.supersede(connection, endpoint, by)
            live = store.read_deployment(connection, endpoint)
            assert live is not None
            self._changes.divert(connection, change(live), by, keep=keep)

        self._db.write(work)
        self.write_routes()
        return self.get(endpoint)

    def kept(self, endpoint: str) -> int:
        """Return how many versions that answered before stay warm, by the policy."""
        return self._policies().get(endpoint, ServingPolicy()).keep


def _running(rollout: Rollout) -> Rollout:
    if rollout.status != "running":
        raise RolloutEnded(
            f"The rollout of {rollout.candidate.ref} has ended: {rollout.status}.",
            hint="Start another with: tidemill deploy MODEL@VERSION --canary",
        )
    return rollout
