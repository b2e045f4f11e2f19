"""`deploy`, `promote`, `rollback`: what answers."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    deploy = commands.add_parser("deploy", parents=[common], help="give a version the traffic")
    deploy.add_argument("ref", help="MODEL@VERSION or MODEL@ALIAS")
    deploy.add_argument("--endpoint", help="where (default: the model's own)")
    deploy.add_argument("--canary", action="store_true", help="step by step, by the policy")
    deploy.set_defaults(command=_deploy)

    promote = commands.add_parser("promote", parents=[common], help="end a rollout with all of it")
    promote.add_argument("ref", help="MODEL@VERSION")
    promote.set_defaults(command=_promote)

    rollback = commands.add_parser("rollback", parents=[common], help="undo the last change")
    rollback.add_argument("endpoint")
    rollback.add_argument("--yes", action="store_true", help="do not ask")
    rollback.set_defaults(command=_rollback)


def _deploy(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("deploy", ref=given.ref, endpoint=given.endpoint, canary=given.canary)
    return _say(context, found)


def _promote(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("promote", ref=given.ref)
    return _say(context, found)


def _rollback(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        context.output.say(session.ask("rollback_preview", endpoint=given.endpoint))
        if not given.yes and sys.stdin.isatty():
            sys.stderr.write("Go on? [y/N] ")
            sys.stderr.flush()
            if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
                context.output.say("Nothing was changed.")
                return 1
        found = session.ask("rollback", endpoint=given.endpoint)
    return _say(context, found)


def _say(context: Context, deployment: Any) -> int:
    if not context.output.data(deployment):
        canary = deployment.canary
        part = "" if canary is None else f", {canary.ref} {deployment.canary_percent:g}%"
        share = 100 - deployment.canary_percent
        context.output.write(f"{deployment.endpoint}: {deployment.champion.ref} {share:g}%{part}")
    return 0
