"""`tm.deploy`, `tm.promote`, `tm.rollback`: what answers, changed from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tidemill.core.errors import Usage
from tidemill.sdk.session import Session, open_session
from tidemill.serving.records import Deployment, Plan


class BadDeploy(Usage):
    """Options of a deployment exclude each other, or one is missing."""


def deploy(
    ref: str,
    *,
    endpoint: str | None = None,
    canary: bool | float = False,
    shadow: bool | None = None,
    split: Mapping[int, float] | None = None,
    keep: int | None = None,
    dry_run: bool = False,
    home: Path | None = None,
) -> Deployment | Plan:
    """Give a version the traffic of an endpoint, or a part of it.

    Args:
        ref: `MODEL@VERSION` or `MODEL@ALIAS`; with `split` or with `keep` alone, `MODEL`.
        endpoint: Where; the model's own where it is left out.
        canary: Step by step by the policy; a number is the share in percent to begin with.
        shadow: Whether every request is mirrored to it; it answers none.
        split: Fixed shares in percent by version, sticky by key.
        keep: How many of the versions that answered before stay warm.
        dry_run: Only says what would change.
        home: The home; the project's around the working folder where it is left out.

    Raises:
        BadDeploy: Options exclude each other.
        TidemillError: It cannot be done; the message says why.
    """
    shares = None
    if split is not None:
        shares = ",".join(f"{version}={percent:g}" for version, percent in split.items())
    return change(
        ref,
        home=home,
        endpoint=endpoint,
        canary=canary,
        shadow=shadow,
        split=shares,
        keep=keep,
        dry_run=dry_run,
    )


def promote(
    ref: str, *, endpoint: str | None = None, dry_run: bool = False, home: Path | None = None
) -> Deployment | Plan:
    """Give a version all of the traffic, and end its rollout.

    Raises:
        TidemillError: It cannot be done; the message says why.
    """
    with open_session(home) as session:
        return _ask(session, "promote", dry_run, ref=ref, endpoint=endpoint)


def rollback(
    endpoint: str, *, dry_run: bool = False, home: Path | None = None
) -> Deployment | Plan:
    """Undo an endpoint's last change: end what is on trial, or go back to the version before.

    Raises:
        TidemillError: It cannot be done; the message says why.
    """
    with open_session(home) as session:
        return _ask(session, "rollback", dry_run, endpoint=endpoint)


def change(
    ref: str,
    *,
    home: Path | None,
    endpoint: str | None,
    canary: bool | float,
    shadow: bool | None,
    split: str | None,
    keep: int | None,
    dry_run: bool,
) -> Deployment | Plan:
    """Do what `deploy` and `tidemill deploy` were told.

    Raises:
        BadDeploy: Options exclude each other.
        TidemillError: It cannot be done; the message says why.
    """
    wanted = {"canary": canary is not False, "shadow": shadow is not None, "split": bool(split)}
    named = [name for name, given in wanted.items() if given]
    if len(named) > 1:
        raise BadDeploy(f"{' and '.join(named)} exclude each other.", expected="one of them")
    bare = ref.removeprefix("model:").partition("@")
    if split and bare[1]:
        raise BadDeploy(
            f"A split names versions by its shares, and {ref!r} names one too.",
            expected=f"{bare[0]!r}",
        )
    with open_session(home) as session:
        if keep is not None:
            where = endpoint or session.ask("endpoint_of", model=bare[0])
            kept: Deployment | Plan = _ask(session, "keep", dry_run, endpoint=where, versions=keep)
            if not named and not bare[1]:
                return kept
        if split:
            return _ask(session, "split", dry_run, model=bare[0], shares=split, endpoint=endpoint)
        if shadow is not None:
            return _ask(session, "shadow", dry_run, ref=ref, endpoint=endpoint, on=shadow)
        percent = None if isinstance(canary, bool) else float(canary)
        return _ask(
            session,
            "deploy",
            dry_run,
            ref=ref,
            endpoint=endpoint,
            canary=canary is True,
            percent=percent,
        )


def _ask(session: Session, verb: str, dry_run: bool, **arguments: object) -> Deployment | Plan:
    found: Deployment | Plan = session.ask(f"{verb}_plan" if dry_run else verb, **arguments)
    return found
