"""`monitor`, `trace`: what is known of predictions."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.core.errors import TidemillError

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


class ReportNotWritten(TidemillError):
    """The file of a report cannot be written."""


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser("monitor", help="what is known of predictions: windows, findings")
    verbs = group.add_subparsers(metavar="VERB", required=True)
    windows = verbs.add_parser("windows", parents=[common], help="quality and drift by window")
    windows.add_argument("endpoint")
    windows.add_argument("--limit", type=int, default=12)
    windows.set_defaults(command=_windows)
    window = verbs.add_parser("window", parents=[common], help="any stretch, from kept sums")
    window.add_argument("endpoint")
    window.add_argument("--since", required=True, help="a day or a moment, UTC")
    window.add_argument("--until", required=True, help="the same, exclusive")
    window.add_argument("--version", type=int, help="whose quality; the one that answered most")
    window.set_defaults(command=_window)
    estimates = verbs.add_parser(
        "estimates", parents=[common], help="estimated quality against what labels told"
    )
    estimates.add_argument("endpoint")
    estimates.set_defaults(command=_estimates)
    health = verbs.add_parser(
        "health", parents=[common], help="how the machine, its processes and endpoints fare"
    )
    health.add_argument("--since", help="a moment, or how long ago: 6h, 3d; 1h if left out")
    health.add_argument("--until", help="a moment, exclusive")
    health.set_defaults(command=_health)
    findings = verbs.add_parser("findings", parents=[common], help="what was found")
    findings.add_argument("endpoint", nargs="?")
    findings.add_argument("--limit", type=int, default=30)
    findings.set_defaults(command=_findings)
    report = verbs.add_parser(
        "report", parents=[common], help="one page with everything, as a file"
    )
    report.add_argument("endpoint")
    report.add_argument("--since", help="a day or a moment, UTC; of all that is kept if left out")
    report.add_argument("--until", help="the same, exclusive; until now if left out")
    report.add_argument("--version", type=int, help="whose quality; the one that answered most")
    report.add_argument(
        "--to",
        type=Path,
        help="the file: a page, or JSON where its name ends so; ENDPOINT-report.html if left out",
    )
    report.set_defaults(command=_report)
    incidents = verbs.add_parser("incidents", parents=[common], help="alerts that belong together")
    incidents.add_argument("--open", action="store_true", help="only what is not over")
    incidents.add_argument("--limit", type=int, default=30)
    incidents.set_defaults(command=_incidents)
    incident = verbs.add_parser(
        "incident", parents=[common], help="one incident: cause, what was done, how it ended"
    )
    incident.add_argument("number", type=int)
    incident.set_defaults(command=_incident)
    rules = verbs.add_parser(
        "rules", parents=[common], help="writes the rules of alerts as a Prometheus rules file"
    )
    rules.set_defaults(command=_rules)
    grafana = verbs.add_parser(
        "grafana", parents=[common], help="writes a Grafana dashboard over the metrics"
    )
    grafana.set_defaults(command=_grafana)
    trace = commands.add_parser(
        "trace", parents=[common], help="from a prediction back to the rows"
    )
    trace.add_argument("prediction", help="its id, or the W3C trace or request id it came with")
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
        if not found:
            context.output.say(
                f"No window of {given.endpoint} has been judged yet: the first is when it is over, "
                "after a week where [models.NAME.monitor] has no other `window`. Of any stretch "
                f"tells `tidemill monitor window {given.endpoint} --since DAY --until DAY`."
            )
    return 0


def _window(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    asked: dict[str, Any] = {"endpoint": given.endpoint, "since": given.since, "until": given.until}
    if given.version is not None:
        asked["version"] = given.version
    with open_session(context.home) as session:
        found = session.ask("window", **asked)
    if not context.output.data(found):
        context.output.table(
            ("since", "until", "version", "predictions", "errors", "labelled", "p99"),
            [
                (
                    f"{found.since:%Y-%m-%d %H:%M}",
                    f"{found.until:%Y-%m-%d %H:%M}",
                    found.version,
                    found.predictions,
                    found.errors,
                    f"{found.coverage:.0%}",
                    f"{found.latency_p99_us / 1000:.2f} ms",
                )
            ],
        )
        known = list(dict.fromkeys([*found.realised, *found.estimated]))
        rows = [
            (n, found.realised.get(n), found.intervals.get(n), found.estimated.get(n))
            for n in known
        ]
        context.output.table(("metric", "realised", "95% interval", "estimated"), rows)
        _apart(context, found)
        moved = sorted(found.columns, key=lambda c: -c.effect)
        drift = [(c.column, c.drifted, c.effect, c.reference, c.current) for c in moved]
        context.output.table(("column", "drifted", "effect", "usual", "now"), drift)
        for note in found.notes:
            context.output.say(note)
    return 0


def _report(context: Context, given: argparse.Namespace) -> int:
    from tidemill.monitoring.endpoint_page import write
    from tidemill.sdk.session import open_session

    asked = {"since": given.since, "until": given.until, "version": given.version}
    said = {name: value for name, value in asked.items() if value is not None}
    with open_session(context.home) as session:
        found = session.ask("report", endpoint=given.endpoint, **said)
    if context.output.json and given.to is None:
        context.output.data(found)
        return 0
    path = given.to or Path(f"{re.sub(r'[^A-Za-z0-9_.-]', '_', given.endpoint)}-report.html")
    try:
        write(found, path)
    except OSError as error:
        raise ReportNotWritten(
            f"The report cannot be written to {path}: {error.strerror}.",
            expected="a file in a folder that exists",
            hint="Name another with --to FILE.",
        ) from error
    if not context.output.data({"report": str(path)}):
        context.output.write(str(path))
    return 0


def _apart(context: Context, found: Any) -> None:
    """Print quality by version and role, and by segment, where there is more than one."""
    if len(found.versions) > 1:
        rows = [
            (v.version, v.role, v.predictions, v.errors, f"{v.coverage:.0%}", v.metrics)
            for v in found.versions
        ]
        names = ("version", "role", "predictions", "errors", "labelled", "realised")
        context.output.table(names, rows)
    if found.segments:
        rows = [
            (s.column, s.value, s.predictions, f"{s.coverage:.0%}", s.metrics, s.reference)
            for s in found.segments
        ]
        names = ("segment", "value", "predictions", "labelled", "realised", "usual")
        context.output.table(names, rows)


def _estimates(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("estimates", endpoint=given.endpoint)
    if not context.output.data(found):
        rows = [
            (e.metric, e.windows, e.mean_absolute, e.bias, f"{e.within:.0%}") for e in found.errors
        ]
        context.output.table(("metric", "windows", "mean error", "bias", "in band"), rows)
        checks = [
            (f"{c.since:%Y-%m-%d}", c.version, c.metric, c.estimated, c.realised, c.within)
            for c in found.checks
        ]
        names = ("since", "version", "metric", "estimated", "realised", "in band")
        context.output.table(names, checks)
        if not checks:
            context.output.say("No window has both an estimate and enough labels yet.")
    return 0


def _health(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.health import figure, sparkline
    from tidemill.sdk.session import open_session

    asked = {"since": given.since, "until": given.until}
    with open_session(context.home) as session:
        found = session.ask("health", **{k: v for k, v in asked.items() if v is not None})
    if not context.output.data(found):
        rows = [
            (s.subject, s.figure, figure(s.latest, s.unit), sparkline(s.points))
            for s in found.series
        ]
        if not rows:
            context.output.say("Nothing was sampled then: `tidemill up` takes samples as it runs.")
        else:
            context.output.table(("of", "what", "now", "since then"), rows)
        for trouble in found.troubles:
            context.output.say(trouble)
    return 0


def _findings(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("findings", endpoint=given.endpoint, limit=given.limit)
    if not context.output.data(found):
        rows = [(f"{f.until:%Y-%m-%d}", f.endpoint, f.kind, f.severity, f.message) for f in found]
        context.output.table(("until", "endpoint", "kind", "severity", "what"), rows)
        if not found:
            context.output.say("Nothing was found.")
    return 0


def _incidents(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    asked = {"status": "firing"} if given.open else {}
    with open_session(context.home) as session:
        found = session.ask("incidents", limit=given.limit, **asked)
    if not context.output.data(found):
        rows = [
            (i.number, i.status, i.severity, i.opened, i.resolved, i.subject, i.alerts, i.title)
            for i in found
        ]
        names = ("number", "status", "severity", "opened", "over", "of", "alerts", "what")
        context.output.table(names, rows)
    return 0


def _incident(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("incident", number=given.number)
    if not context.output.data(found):
        from tidemill.cli.accounts import account_of

        account_of(found, context.output)
    return 0


def _grafana(context: Context, _given: argparse.Namespace) -> int:
    import json

    from tidemill.server.board import board

    context.output.write(json.dumps(board(), indent=1))
    return 0


def _rules(context: Context, _given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("prometheus_rules")
    if not context.output.data(found):
        context.output.write(found.rstrip())
    return 0


def _trace(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("trace", prediction=given.prediction)
    if not context.output.data(found):
        from tidemill.cli.summary import trace_tree

        trace_tree(found)
    return 0
