"""What each version behind an endpoint has to do: pure functions of the deployment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from tidemill.core.errors import nearest
from tidemill.core.policy import ServingPolicy
from tidemill.serving.errors import (
    BadEndpoint,
    BadSplit,
    NothingToRollBack,
    VersionNotServed,
)
from tidemill.serving.records import Deployment, Mirror, Part, PartRole, Plan, Share, Target
from tidemill.serving.routes import EndpointRoutes, Role, RouteTarget

MOST_KEPT = 50
"""How many versions back an endpoint remembers."""
_ROLES: dict[PartRole, Role] = {
    "champion": "champion",
    "canary": "canary",
    "split": "canary",
    "shadow": "shadow",
    "standby": "standby",
}


def placed(deployment: Deployment, keep: int) -> Iterator[tuple[Target, PartRole, float]]:
    """Go through the versions that are routed or warm, with their roles and shares.

    Requests name versions by number, so of two models' versions with one number the first is
    served.

    Args:
        deployment: What stands behind the endpoint.
        keep: How many of the versions before stay warm, where the deployment does not say.
    """
    kept = keep if deployment.keep is None else deployment.keep
    wanted: list[tuple[Target, PartRole, float]] = [
        (deployment.champion, "champion", deployment.champion_percent)
    ]
    if deployment.canary is not None:
        wanted.append((deployment.canary, "canary", deployment.canary_percent))
    wanted += [(s.target, "split", s.percent) for s in deployment.split]
    wanted += [(s.target, "shadow", 0.0) for s in deployment.shadows]
    wanted += [(t, "standby", 0.0) for t in deployment.history[:kept]]
    seen: set[int] = set()
    for target, role, percent in wanted:
        if target.version not in seen:
            seen.add(target.version)
            yield target, role, percent


def parts(deployment: Deployment, keep: int) -> tuple[Part, ...]:
    """Return what each version has to do, for people."""
    return tuple(
        Part(model=t.model, version=t.version, role=role, percent=percent)
        for t, role, percent in placed(deployment, keep)
    )


def routes_of(deployment: Deployment, policy: ServingPolicy) -> EndpointRoutes:
    """Return what workers are told."""
    salt = "" if deployment.canary is None else str(deployment.canary.version)
    return EndpointRoutes(
        targets=tuple(
            RouteTarget(
                model=target.model,
                version=target.version,
                bundle=target.bundle,
                role=_ROLES[role],
                weight=percent if role in {"canary", "split"} else 0.0,
            )
            for target, role, percent in placed(deployment, policy.keep)
        ),
        salt=salt,
        log=policy.log,
        redact=policy.redact,
        validate=policy.validate,
        durable=policy.durable,
    )


def deployed(before: Deployment | None, endpoint: str, target: Target, now: datetime) -> Deployment:
    """Return an endpoint once a version answers everything."""
    if before is None:
        return Deployment(endpoint=endpoint, champion=target, changed=now)
    history = before.history
    if before.champion != target:
        history = (before.champion, *(t for t in history if t != target))
    return msgspec.structs.replace(
        before,
        champion=target,
        history=history[:MOST_KEPT],
        canary=None,
        canary_percent=0.0,
        split=(),
        shadows=_without(before, target),
    )


def returned(before: Deployment) -> tuple[Deployment, str]:
    """Return an endpoint once its last change is undone, and say what that changes.

    What is on trial ends first; then it goes back to what answered before. The version that is
    left is not gone back to again.

    Raises:
        NothingToRollBack: There is no earlier version.
    """
    ref = before.champion.ref
    calm = msgspec.structs.replace(before, canary=None, canary_percent=0.0, split=())
    if before.canary is not None:
        lost = f"{before.canary.ref} loses its {before.canary_percent:g}% of the traffic"
        return calm, f"{lost}; {ref} answers everything."
    if before.split:
        lost = ", ".join(f"{s.target.ref} loses its {s.percent:g}%" for s in before.split)
        return calm, f"{lost}; {ref} answers everything."
    if before.previous is None:
        raise NothingToRollBack(
            f"Endpoint {before.endpoint!r} has served only {ref}.",
            hint="Deploy another version with: tidemill deploy MODEL@VERSION",
        )
    after = msgspec.structs.replace(
        calm,
        champion=before.previous,
        history=before.history[1:],
        shadows=_without(before, before.previous),
    )
    return after, f"{before.previous.ref} answers everything in place of {ref}."


def split(before: Deployment, shares: Sequence[Share]) -> tuple[Deployment, str]:
    """Return an endpoint once versions answer fixed shares, and say what that changes.

    Raises:
        BadSplit: The shares do not add up to the whole.
    """
    champion, others = divided(before.champion, shares)
    after = msgspec.structs.replace(
        deployed(before, before.endpoint, champion, before.changed), split=others
    )
    after = msgspec.structs.replace(
        after, shadows=tuple(s for s in after.shadows if s.target not in {o.target for o in others})
    )
    said = ", ".join(
        f"{t.ref} answers {percent:g}%"
        for t, role, percent in placed(after, 0)
        if role in {"champion", "split"}
    )
    return after, f"{said}, by key."


def mirrored(before: Deployment, target: Target, now: datetime) -> tuple[Deployment, str]:
    """Return an endpoint once a version sees every request and answers none.

    Raises:
        BadEndpoint: The version answers already, or another model's has its number.
    """
    answering = [before.champion, *(s.target for s in before.split)]
    answering += [] if before.canary is None else [before.canary]
    if target.version in {t.version for t in answering}:
        raise BadEndpoint(
            f"Version {target.version} answers at {before.endpoint!r} already.",
            expected="a version that answers nothing there",
        )
    shadows = (*_without(before, target), Mirror(target=target, since=now))
    after = msgspec.structs.replace(before, shadows=shadows)
    return after, f"{target.ref} sees every request from now on, and answers none."


def unmirrored(before: Deployment, target: Target) -> tuple[Deployment, str]:
    """Return an endpoint once a version is no shadow any more.

    Raises:
        BadEndpoint: It is none.
    """
    shadows = _without(before, target)
    if len(shadows) == len(before.shadows):
        known = [str(s.target.ref) for s in before.shadows]
        raise BadEndpoint(
            f"{target.ref} is no shadow at {before.endpoint!r}.",
            expected=nearest(str(target.ref), known),
        )
    return msgspec.structs.replace(before, shadows=shadows), f"{target.ref} sees nothing any more."


def tried(before: Deployment, target: Target, percent: float) -> Deployment:
    """Return an endpoint once a candidate answers a part."""
    return msgspec.structs.replace(
        before,
        canary=target,
        canary_percent=percent,
        split=(),
        shadows=_without(before, target),
    )


def kept(before: Deployment, count: int) -> tuple[Deployment, str]:
    """Return an endpoint once so many of the versions before stay warm."""
    warm = before.history[:count]
    names = ", ".join(str(t.ref) for t in warm) or "none of them yet"
    said = f"{count} of the versions before stay warm at {before.endpoint}: {names}."
    return msgspec.structs.replace(before, keep=count), said


def _without(before: Deployment, target: Target) -> tuple[Mirror, ...]:
    return tuple(s for s in before.shadows if s.target != target)


def divided(champion: Target, shares: Sequence[Share]) -> tuple[Target, tuple[Share, ...]]:
    """Return who is the champion of a split, and what the others get.

    The champion stays what it is if it gets a share or is left one; else the version with the
    largest share takes its place.

    Raises:
        BadSplit: The shares do not add up to the whole.

    Example:
        >>> old, new = (Target(model="m", version=v, bundle="b") for v in (3, 4))
        >>> who, rest = divided(old, [Share(target=old, percent=50), Share(target=new, percent=50)])
        >>> who.version, [(s.target.version, s.percent) for s in rest]
        (3, [(4, 50.0)])
    """
    total = sum(s.percent for s in shares)
    versions = [s.target.version for s in shares]
    if len(set(versions)) != len(versions):
        raise BadSplit(f"A version is named twice: {versions}.", expected="each version once")
    if any(s.percent <= 0 for s in shares):
        raise BadSplit("A share is 0% or less.", expected="shares above 0%, 100% in all")
    named = any(s.target == champion for s in shares)
    if total > 100 + 1e-9 or (total < 100 - 1e-9 and named):
        raise BadSplit(
            f"The shares add up to {total:g}%.",
            expected="100%, or less where the live version is not named and gets the rest",
        )
    if not named and total > 100 - 1e-9:
        champion = max(shares, key=lambda s: s.percent).target
    others = tuple(
        msgspec.structs.replace(s, percent=float(s.percent)) for s in shares if s.target != champion
    )
    return champion, others


def read_shares(text: str) -> dict[int, float]:
    """Read shares as people write them.

    Raises:
        BadSplit: They cannot be read.

    Example:
        >>> read_shares("3=50,4=50")
        {3: 50.0, 4: 50.0}
    """
    found: dict[int, float] = {}
    for part in text.split(","):
        version, equals, percent = part.strip().partition("=")
        try:
            number, share = int(version.removeprefix("@")), float(percent.removesuffix("%"))
        except ValueError:
            equals = ""
            number, share = 0, 0.0
        if not equals or not 0 < share <= 100 or number in found:
            raise BadSplit(
                f"The split {text!r} cannot be read at {part!r}.",
                expected="VERSION=PERCENT for each version once, as in 3=50,4=50",
            )
        found[number] = share
    return found


def chosen(
    versions: Mapping[int, Target], shares: Mapping[int, float], *, known: Iterable[int]
) -> list[Share]:
    """Return shares of versions.

    Args:
        versions: Those that are named and known.
        shares: What is to go to each.
        known: Every version that there is.

    Raises:
        VersionNotServed: A version is not there.
    """
    for version in shares:
        if version not in versions:
            raise VersionNotServed(
                f"There is no version {version}.", expected=nearest(str(version), map(str, known))
            )
    return [Share(target=versions[v], percent=p) for v, p in shares.items()]


def plan(before: Deployment | None, after: Deployment, keep: int, sentence: str) -> Plan:
    """Return what a change makes of an endpoint."""
    return Plan(
        endpoint=after.endpoint,
        sentence=sentence,
        before=() if before is None else parts(before, keep),
        after=parts(after, keep),
    )
