"""`backtest`: what a candidate would have said to yesterday's requests."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    backtest = commands.add_parser(
        "backtest",
        parents=[common],
        help="replay recorded requests through a version; exits 6 when over its limits",
    )
    backtest.add_argument("ref", help="MODEL@VERSION or MODEL@ALIAS")
    backtest.add_argument("--since", help="a day or a moment, UTC (default: the first request)")
    backtest.add_argument("--until", help="the same, exclusive (default: now)")
    backtest.add_argument("--endpoint", help="whose requests (default: the model's own)")
    backtest.add_argument("--segment", action="append", help="tell differences by this column")
    backtest.add_argument(
        "--max-changed", type=float, metavar="SHARE", help="0 to 1 (default: as the policy says)"
    )
    backtest.add_argument("--html", type=Path, metavar="FILE", help="write a page as well")
    backtest.set_defaults(command=_backtest)


def _backtest(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.following import follow
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        job = session.ask(
            "backtest",
            ref=given.ref,
            since=given.since,
            until=given.until,
            endpoint=given.endpoint,
            segments=",".join(given.segment) if given.segment else None,
            max_changed=given.max_changed,
        )
        found = follow(session, job, context.output).backtest
        if given.html is not None:
            given.html.write_text(session.ask("backtest_page", id=job.id), "utf-8")
    if not context.output.data(found):
        _tell(context, found)
        if given.html is not None:
            context.output.say(f"The page is {given.html}")
    return 0 if found.passed else 6


def _tell(context: Context, found: Any) -> None:
    from tidemill.serving.backtest_page import facts

    for name, value in facts(found):
        context.output.write(f"{name}: {value}")
    if found.segments:
        context.output.table(
            ("segment", "rows", "changed", "mean difference", "loss", "answered"),
            [
                (
                    f"{s.column} = {s.value}",
                    s.rows,
                    f"{s.changed:.1%}",
                    s.mean_difference,
                    s.loss,
                    s.answered_loss,
                )
                for s in found.segments[:30]
            ],
        )
    for said in found.breaches:
        context.output.say(said)
