"""`loop`: what it did, and what it would do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser("loop", help="the loop: explain, decisions, tick")
    verbs = group.add_subparsers(metavar="VERB", required=True)
    explain = verbs.add_parser("explain", parents=[common], help="what it would do now, and why")
    explain.add_argument("model", nargs="?")
    explain.set_defaults(command=_explain)
    decisions = verbs.add_parser("decisions", parents=[common], help="what it decided, and why")
    decisions.add_argument("--limit", type=int, default=30)
    decisions.set_defaults(command=_decisions)
    tick = verbs.add_parser("tick", parents=[common], help="go once around now")
    tick.set_defaults(command=_tick)


def _explain(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("explain", model=given.model)
    if not context.output.data(found):
        for intention in found:
            act = "train now" if intention.act else "wait"
            context.output.write(f"{intention.model}: {act}. {intention.reason}")
            for signal in intention.signals[-5:]:
                context.output.write(f"  {signal.time:%Y-%m-%d} {signal.trigger}: {signal.message}")
    return 0


def _decisions(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("decisions", limit=given.limit)
    _table(context, found)
    return 0


def _tick(context: Context, _given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("tick")
    _table(context, found)
    return 0


def _table(context: Context, decisions: list[Any]) -> None:
    if not context.output.data(decisions):
        rows = [(d.time, d.kind, d.subject, d.reason, d.outcome, d.result) for d in decisions]
        names = ("when", "decision", "subject", "because", "outcome", "result")
        context.output.table(names, rows)
