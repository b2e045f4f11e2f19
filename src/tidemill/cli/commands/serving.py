"""`deploy`, `promote`, `rollback`: what answers. Each says what it changes before it does."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context
    from tidemill.serving.records import Deployment, Part, Plan


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    careful = argparse.ArgumentParser(add_help=False)
    careful.add_argument("--endpoint", help="where (default: the model's own)")
    careful.add_argument("--dry-run", action="store_true", help="only say what would change")

    deploy = commands.add_parser(
        "deploy", parents=[common, careful], help="give a version the traffic, or a part of it"
    )
    deploy.add_argument("ref", help="MODEL@VERSION or MODEL@ALIAS; with --split or --keep, MODEL")
    how = deploy.add_mutually_exclusive_group()
    how.add_argument(
        "--canary",
        nargs="?",
        const=True,
        default=False,
        type=_percent,
        metavar="PERCENT",
        help="step by step by the policy, from PERCENT on where it is given",
    )
    how.add_argument(
        "--shadow", action="store_true", help="mirror every request to it; it answers none"
    )
    how.add_argument("--no-shadow", action="store_true", help="mirror to it no more")
    how.add_argument(
        "--split", metavar="SHARES", help="fixed shares by key, as in 3=50,4=50", type=_shares
    )
    deploy.add_argument(
        "--keep", type=int, metavar="N", help="how many of the versions before stay warm"
    )
    deploy.set_defaults(command=_deploy)

    promote = commands.add_parser(
        "promote", parents=[common, careful], help="end a rollout with all of it"
    )
    promote.add_argument("ref", help="MODEL@VERSION")
    promote.set_defaults(command=_promote)

    rollback = commands.add_parser("rollback", parents=[common], help="undo the last change")
    rollback.add_argument("endpoint")
    rollback.add_argument("--yes", action="store_true", help="do not ask")
    rollback.add_argument("--dry-run", action="store_true", help="only say what would change")
    rollback.set_defaults(command=_rollback)


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no share. Expected above 0, to 100 percent.")
    return value


def _shares(text: str) -> str:
    from tidemill.core.errors import TidemillError
    from tidemill.serving.traffic import read_shares

    try:
        read_shares(text)
    except TidemillError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _ready(context: Context, ref: str) -> None:
    """Pack a version that MLflow's client registered, before any traffic is sent to it."""
    from tidemill.cli.packing import pack
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        if session.ask("version", ref=ref).bundle is None:
            pack(context, session, ref, None)


def _deploy(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.traffic import change

    if "@" in given.ref and not given.dry_run:
        _ready(context, given.ref)
    return _done(
        context,
        change(
            given.ref,
            home=context.home,
            endpoint=given.endpoint,
            canary=given.canary,
            shadow=True if given.shadow else False if given.no_shadow else None,
            split=given.split,
            keep=given.keep,
            dry_run=given.dry_run,
        ),
    )


def _promote(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        verb = "promote_plan" if given.dry_run else "promote"
        found = session.ask(verb, ref=given.ref, endpoint=given.endpoint)
    return _done(context, found)


def _rollback(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        plan = session.ask("rollback_plan", endpoint=given.endpoint)
        if given.dry_run:
            return _done(context, plan)
        context.output.say(plan.sentence)
        if not given.yes and sys.stdin.isatty():
            sys.stderr.write("Go on? [y/N] ")
            sys.stderr.flush()
            if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
                context.output.say("Nothing was changed.")
                return 1
        found = session.ask("rollback", endpoint=given.endpoint)
    return _done(context, found)


def _done(context: Context, found: Deployment | Plan) -> int:
    from tidemill.serving.records import Plan
    from tidemill.serving.traffic import parts

    if context.output.data(found):
        return 0
    if isinstance(found, Plan):
        context.output.say(f"{found.sentence} (Nothing was changed.)")
        context.output.write(f"{found.endpoint}: {_words(found.before)} → {_words(found.after)}")
    else:
        context.output.write(f"{found.endpoint}: {_words(parts(found, 0))}")
    return 0


def _words(parts: tuple[Part, ...]) -> str:
    """Return what versions do, for people."""
    answering = [f"model:{p.model}@{p.version} {p.percent:g}%" for p in parts if p.percent > 0]
    answering += [f"model:{p.model}@{p.version} shadow" for p in parts if p.role == "shadow"]
    return ", ".join(answering) or "nothing"
