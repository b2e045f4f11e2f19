"""`monitor`, `trace`: what is known of predictions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser("monitor", help="what is known of predictions: windows, findings")
    verbs = group.add_subparsers(metavar="VERB", required=True)
    windows = verbs.add_parser("windows", parents=[common], help="quality and drift by window")
    windows.add_argument("endpoint")
    windows.add_argument("--limit", type=int, default=12)
    windows.set_defaults(command=_windows)
    findings = verbs.add_parser("findings", parents=[common], help="what was found")
    findings.add_argument("endpoint", nargs="?")
    findings.add_argument("--limit", type=int, default=30)
    findings.set_defaults(command=_findings)
    trace = commands.add_parser(
        "trace", parents=[common], help="from a prediction back to the rows"
    )
    trace.add_argument("prediction", help="its id")
    trace.set_defaults(command=_trace)


def _windows(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("windows", endpoint=given.endpoint, limit=given.limit)
    if not context.output.data(found):
        rows = [
            (
                f"{w.since:%Y-%m-%d}",
                w.version,
                w.predictions,
                f"{w.coverage:.0%}",
                w.realised,
                w.estimated,
                [c.column for c in w.columns if c.drifted],
            )
            for w in found
        ]
        names = ("since", "version", "predictions", "labelled", "realised", "estimated", "drifted")
        context.output.table(names, rows)
    return 0


def _findings(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("findings", endpoint=given.endpoint, limit=given.limit)
    if not context.output.data(found):
        rows = [(f"{f.until:%Y-%m-%d}", f.endpoint, f.kind, f.severity, f.message) for f in found]
        context.output.table(("until", "endpoint", "kind", "severity", "what"), rows)
    return 0


def _trace(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("trace", prediction=given.prediction)
    if not context.output.data(found):
        from tidemill.cli.summary import trace_tree

        trace_tree(found)
    return 0
