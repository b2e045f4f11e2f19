"""What this worker serves now: the route table with every version of it loaded and warm."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping

import msgspec

from tidemill.core.clock import Clock
from tidemill.core.errors import TidemillError, nearest
from tidemill.serving.routes import EndpointRoutes, RouteTable, RouteTarget, Runtime, choose
from tidemill.serving.worker.http import HttpError
from tidemill.serving.worker.opening import Places, open_version
from tidemill.serving.worker.version import Version

logger = logging.getLogger(__name__)
_Key = tuple[str, bool, Runtime]


class Endpoint(msgspec.Struct, frozen=True):
    """One endpoint, ready to answer.

    Attributes:
        name: As in the URL.
        routes: How its traffic is split.
        versions: The loaded versions, by number.
        champion: The version that answers whatever no canary does.
        is_split: Whether a canary takes a part of the traffic.
        shadows: The versions that see every request and answer none.
    """

    name: str
    routes: EndpointRoutes
    versions: dict[int, Version]
    champion: RouteTarget
    is_split: bool
    shadows: tuple[RouteTarget, ...]

    def target(self, key: str | None, version: str | None, rng: random.Random) -> RouteTarget:
        """Return the version that answers a key, or the one asked for.

        Args:
            key: What the split goes by; a random one where it is left out.
            version: The version asked for.
            rng: For random keys.

        Raises:
            HttpError: No such version is kept warm.
        """
        if version is None:
            if not self.is_split:
                return self.champion
            return choose(self.routes, self.name, key or f"{rng.getrandbits(64):x}")
        return self.asked(version)

    def asked(self, version: str | None) -> RouteTarget:
        """Return the version of that number, or the champion.

        Raises:
            HttpError: No such version is kept warm.
        """
        if version is None:
            return self.champion
        for target in self.routes.targets:
            if str(target.version) == version:
                return target
        known = [str(t.version) for t in self.routes.targets]
        raise HttpError(
            404,
            f"Endpoint {self.name!r} serves no version {version!r}. "
            f"Expected {nearest(version, known)}.",
        )


class Table(msgspec.Struct, frozen=True):
    """All endpoints of one generation of the route table.

    Attributes:
        generation: Of the route table.
        endpoints: By name.
        problems: Why an endpoint is not as the route table says, by name.
    """

    generation: int = -1
    endpoints: dict[str, Endpoint] = {}
    problems: dict[str, str] = {}

    @property
    def troubles(self) -> dict[str, str]:
        """The problems, and what ails the processes of champions that have any of their own."""
        states = {n: e.versions[e.champion.version].state() for n, e in self.endpoints.items()}
        ailing = {n: state.problem for n, state in states.items() if state and state.problem}
        return ailing | self.problems

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint.

        Raises:
            HttpError: There is none of that name.
        """
        found = self.endpoints.get(name)
        if found is None:
            known = nearest(name, self.endpoints)
            raise HttpError(404, f"There is no model {name!r}. Expected {known}.")
        return found


def load_table(routes: RouteTable, places: Places, before: Table, clock: Clock) -> Table:
    """Load what is new and keep what is loaded.

    An endpoint with a version that cannot be loaded stays as it was before: a broken candidate
    must not take the live version with it.
    """
    loaded = _loaded(before)
    endpoints: dict[str, Endpoint] = {}
    problems: dict[str, str] = {}
    for name, wanted in routes.endpoints.items():
        try:
            endpoints[name] = _endpoint(name, wanted, places, loaded, clock)
        except (TidemillError, OSError, RuntimeError) as error:
            problems[name] = str(error)
            logger.error("endpoint %s stays as it was: %s", name, error)
            if name in before.endpoints:
                endpoints[name] = before.endpoints[name]
    return Table(routes.generation, endpoints, problems)


def _endpoint(
    name: str,
    routes: EndpointRoutes,
    places: Places,
    loaded: Mapping[_Key, Version],
    clock: Clock,
) -> Endpoint:
    versions = {}
    for target in routes.targets:
        found = loaded.get(_key(target.bundle, routes))
        if found is None or (found.model, found.number) != (target.model, target.version):
            found = open_version(places, target, routes, clock)
            logger.info("endpoint %s: %s@%s is warm", name, target.model, target.version)
        versions[target.version] = found
    return Endpoint(
        name,
        routes,
        versions,
        champion=routes.champion,
        is_split=any(t.role == "canary" for t in routes.targets),
        shadows=tuple(t for t in routes.targets if t.role == "shadow"),
    )


def _loaded(table: Table) -> dict[_Key, Version]:
    return {
        _key(version.bundle, endpoint.routes): version
        for endpoint in table.endpoints.values()
        for version in endpoint.versions.values()
    }


def _key(bundle: str, routes: EndpointRoutes) -> _Key:
    """Return what a loaded version was made of: with anything else it is loaded anew."""
    return bundle, routes.validate == "refuse", routes.runtime
