"""The route table: which versions stand behind each endpoint, and how traffic is split.

One small file. The control plane replaces it atomically, workers watch it; nothing else passes
between the two, so predictions go on without a control plane.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from tidemill.models.protocol import Trust
from tidemill.models.runtime.limits import Limits
from tidemill.models.signing import PublicKey
from tidemill.serving.errors import BadEndpoint, RoutesUnreadable

Role = Literal["champion", "canary", "shadow", "standby"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SCALE = 1 << 64


class RouteTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One version behind an endpoint.

    Attributes:
        model: The model's name.
        version: Its version.
        bundle: The name of the bundle's folder: its tree digest.
        role: `champion` and `canary` answer, `shadow` is mirrored, `standby` is only kept warm.
        weight: Its share of the traffic, in percent; the champion gets what is left.
    """

    model: str
    version: int
    bundle: str
    role: Role = "champion"
    weight: float = 0.0


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """How versions without a twin are run.

    Attributes:
        trust: Whether a pickle may be loaded in their processes.
        keys: Whose signatures count, where it says `signed`.
        limits: What the processes may use.
    """

    trust: Trust = "own"
    keys: tuple[PublicKey, ...] = ()
    limits: Limits = Limits()


class EndpointRoutes(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint: its versions, and how its requests are treated.

    Attributes:
        targets: The versions; exactly one champion.
        salt: Goes into the split, so that not the same keys are first in every rollout.
        log: Which share of the requests is logged, 0 to 1.
        redact: Columns that never reach the log.
        validate: Whether a value outside the contract is refused or only counted.
        durable: Whether an answer waits until its log record is on disk.
        runtime: How versions without a twin are run.
    """

    targets: tuple[RouteTarget, ...]
    salt: str = ""
    log: float = 1.0
    redact: tuple[str, ...] = ()
    validate: Literal["refuse", "count"] = "refuse"
    durable: bool = False
    runtime: Runtime = Runtime()

    @property
    def champion(self) -> RouteTarget:
        """The version that answers whatever no canary does."""
        return next(t for t in self.targets if t.role == "champion")


class RouteTable(msgspec.Struct, frozen=True, kw_only=True):
    """All endpoints.

    Attributes:
        generation: Grows with every change.
        endpoints: By name.
    """

    generation: int = 0
    endpoints: dict[str, EndpointRoutes] = {}


def choose(routes: EndpointRoutes, endpoint: str, key: str) -> RouteTarget:
    """Return the version that answers a key: the same one until shares change.

    Every version runs a race for the key, the faster the larger its share is; the order of the
    versions does not matter. When a share grows, keys only go to that version, and when it
    shrinks, only away from it: whoever met the candidate at 5% meets it at 25% too.

    References:
        Thaler, Ravishankar (1998): Using name-based mappings to increase hit rates. IEEE/ACM
        Transactions on Networking 6(1); weighted as by Schindelhauer, Schomaker (2005): Weighted
        distributed hash tables. SPAA.

    Example:
        >>> old = RouteTarget(model="m", version=1, bundle="a")
        >>> new = RouteTarget(model="m", version=2, bundle="b", role="canary", weight=25.0)
        >>> routes = EndpointRoutes(targets=(old, new))
        >>> keys = [str(k) for k in range(1000)]
        >>> sum(choose(routes, "e", k).version == 2 for k in keys)
        236
    """
    champion = routes.champion
    left = 100.0 - sum(t.weight for t in routes.targets if t.role == "canary")
    best, best_time = champion, math.inf
    for target in routes.targets:
        weight = target.weight if target.role == "canary" else left
        if weight <= 0 or not (target is champion or target.role == "canary"):
            continue
        time = -math.log(point(routes.salt, endpoint, str(target.version), key)) / weight
        if time < best_time:
            best, best_time = target, time
    return best


def point(*names: str) -> float:
    """Return a number above 0 and up to 1 for names: evenly spread and always the same."""
    text = "\0".join(names).encode("utf-8", "replace")
    value = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    return (value + 1) / _SCALE


def check_name(name: str) -> str:
    """Return the name if an endpoint may have it.

    Raises:
        BadEndpoint: It cannot stand in a URL.
    """
    if not _NAME.fullmatch(name):
        raise BadEndpoint(
            f"{name!r} cannot be the name of an endpoint.",
            expected="letters, digits, '_', '-' and '.', at most 128",
        )
    return name


def check_routes(table: RouteTable) -> RouteTable:
    """Return the table if it can be served.

    Raises:
        BadEndpoint: A name cannot stand in a URL, there is not one champion, or the canaries ask
            for more than all of the traffic.
    """
    for name, routes in table.endpoints.items():
        check_name(name)
        champions = [t for t in routes.targets if t.role == "champion"]
        if len(champions) != 1:
            raise BadEndpoint(
                f"Endpoint {name!r} has {len(champions)} champions.", expected="exactly one"
            )
        numbers = [t.version for t in routes.targets]
        if len(set(numbers)) != len(numbers):
            raise BadEndpoint(
                f"Endpoint {name!r} has two versions with the same number: {numbers}.",
                expected="a number for each, since requests may ask for one by it",
                hint="Deploy another model under an endpoint of its own.",
            )
        weights = [t.weight for t in routes.targets if t.role == "canary"]
        if any(w < 0 for w in weights) or sum(weights) > 100 + 1e-9:
            raise BadEndpoint(
                f"The canaries of {name!r} ask for {sum(weights):g}% of the traffic.",
                expected="shares of 0 to 100% in all",
            )
    return table


def read_routes(path: Path) -> RouteTable:
    """Read a route table.

    Raises:
        RoutesUnreadable: The file is missing or is no route table.
        BadEndpoint: What it says cannot be served.
    """
    try:
        table = msgspec.json.decode(path.read_bytes(), type=RouteTable)
    except (OSError, msgspec.DecodeError) as error:
        raise RoutesUnreadable(f"The route table {path} cannot be read: {error}.") from error
    return check_routes(table)


def write_routes(path: Path, table: RouteTable) -> None:
    """Replace the route table: a reader sees the old one or the new one, whole.

    Raises:
        BadEndpoint: The table cannot be served; the old one stays.
    """
    content = msgspec.json.format(msgspec.json.encode(check_routes(table)), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
