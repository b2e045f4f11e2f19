"""`alerts`: what people are told, and what they say to that."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context

FOUND = 6
_MATCHERS = ("kind", "rule", "endpoint", "model", "severity")


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser(
        "alerts", help="what people are told: list, show, ack, silence, test, deliveries"
    )
    verbs = group.add_subparsers(metavar="VERB", required=True)
    listed = verbs.add_parser("list", parents=[common], help="what fires")
    listed.add_argument("--all", action="store_true", help="what is over, too")
    listed.add_argument("--limit", type=int, default=100)
    listed.add_argument(
        "--check", action="store_true", help="exit 6 if something fires, for use in CI"
    )
    listed.set_defaults(command=_list)
    show = verbs.add_parser("show", parents=[common], help="one alert")
    show.add_argument("number", type=int)
    show.set_defaults(command=_show)
    history = verbs.add_parser("history", parents=[common], help="what happened to an alert")
    history.add_argument("number", type=int)
    history.set_defaults(command=_history)
    ack = verbs.add_parser("ack", parents=[common], help="say that somebody takes care of it")
    ack.add_argument("number", type=int)
    ack.add_argument("--note", default="", help="for the others")
    ack.set_defaults(command=_acknowledge)
    resolve = verbs.add_parser(
        "resolve", parents=[common], help="say that it is over, where nothing will"
    )
    resolve.add_argument("number", type=int)
    resolve.add_argument("--reason", required=True)
    resolve.set_defaults(command=_resolve)
    _silencing(verbs, common)
    test = verbs.add_parser("test", parents=[common], help="send a test message")
    test.add_argument("sinks", nargs="*", help="which sinks; all of them if none is named")
    test.set_defaults(command=_test)
    deliveries = verbs.add_parser(
        "deliveries", parents=[common], help="messages, and whether they arrived"
    )
    deliveries.add_argument("--alert", type=int, help="of this alert")
    which = deliveries.add_mutually_exclusive_group()
    which.add_argument("--dead", action="store_true", help="what was given up")
    which.add_argument("--waiting", action="store_true", help="what is still tried")
    deliveries.add_argument("--limit", type=int, default=30)
    deliveries.set_defaults(command=_deliveries)
    retry = verbs.add_parser("retry", parents=[common], help="try again what was given up")
    retry.add_argument("delivery", help="its id")
    retry.set_defaults(command=_retry)


def _silencing(verbs: Any, common: argparse.ArgumentParser) -> None:
    silence = verbs.add_parser(
        "silence", parents=[common], help="have nobody told for a while, with a reason"
    )
    silence.add_argument("number", type=int, nargs="?", help="one alert only")
    silence.add_argument("--for", dest="lasting", required=True, help="how long, such as 2h or 3d")
    silence.add_argument("--reason", required=True)
    for name in _MATCHERS:
        silence.add_argument(f"--{name}", help=f"alerts of this {name} only")
    silence.set_defaults(command=_silence)
    silences = verbs.add_parser("silences", parents=[common], help="what is silenced")
    silences.add_argument("--all", action="store_true", help="what has ended, too")
    silences.set_defaults(command=_silences)
    unsilence = verbs.add_parser("unsilence", parents=[common], help="end a silence")
    unsilence.add_argument("number", type=int)
    unsilence.set_defaults(command=_unsilence)


def _list(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        asked = {} if given.all else {"status": "firing"}
        found = session.ask("alerts", limit=given.limit, **asked)
    if not context.output.data(found):
        names = ("number", "status", "severity", "since", "where", "kind", "incident", "what")
        rows = [
            (
                a.number,
                "acknowledged" if a.acknowledged and a.status == "firing" else a.status,
                a.severity,
                a.fired,
                a.endpoint or a.subject,
                a.rule,
                a.incident,
                a.message,
            )
            for a in found
        ]
        context.output.table(names, rows)
        if not found:
            context.output.say("Nothing fires." if not given.all else "Nothing has fired yet.")
    fires = any(a.status == "firing" for a in found)
    return FOUND if given.check and fires else 0


def _show(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        alert = session.ask("alert", number=given.number)
    if not context.output.data(alert):
        from tidemill.cli.accounts import alert_summary

        alert_summary(alert, context.output)
    return 0


def _history(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("alert_history", number=given.number)
    if not context.output.data(found):
        rows = [(f.time, f.type, f.actor, _plain(f.fields())) for f in found]
        context.output.table(("when", "what", "by", "details"), rows)
    return 0


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what a row has room for."""
    return {k: v for k, v in fields.items() if k not in {"alert", "incident"} and v not in ("", 0)}


def _acknowledge(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        alert = session.ask("acknowledge", number=given.number, note=given.note)
    if not context.output.data(alert):
        context.output.say(f"Alert {alert.number} is yours.")
    return 0


def _resolve(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        alert = session.ask("resolve", number=given.number, reason=given.reason)
    if not context.output.data(alert):
        context.output.say(f"Alert {alert.number} is over.")
    return 0


def _silence(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    asked = {name: getattr(given, name) for name in _MATCHERS if getattr(given, name)}
    if given.number is not None:
        asked["alert"] = given.number
    with open_session(context.home) as session:
        made = session.ask("silence", lasting=given.lasting, reason=given.reason, **asked)
    if not context.output.data(made):
        context.output.write(str(made.number))
        context.output.say(f"Silenced until {made.until:%Y-%m-%d %H:%M} UTC.")
    return 0


def _silences(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("silences", every=given.all)
    if not context.output.data(found):
        rows = []
        for s in found:
            what = {k: getattr(s, k) for k in ("alert", *_MATCHERS) if getattr(s, k) is not None}
            rows.append((s.number, s.made, s.ended or s.until, what, s.by, s.reason))
        context.output.table(("number", "made", "until", "of", "by", "reason"), rows)
    return 0


def _unsilence(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        ended = session.ask("unsilence", number=given.number)
    if not context.output.data(ended):
        context.output.say(f"Silence {ended.number} is ended.")
    return 0


def _test(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("test_sinks", sinks=given.sinks)
    if not context.output.data(found):
        rows = [(t.sink, t.kind, "arrived" if t.arrived else "failed", t.error) for t in found]
        context.output.table(("sink", "kind", "message", "error"), rows)
    return 0 if all(t.arrived for t in found) else 1


def _deliveries(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    asked: dict[str, Any] = {"limit": given.limit}
    if given.dead or given.waiting:
        asked["status"] = "dead" if given.dead else "waiting"
    if given.alert is not None:
        asked["alert"] = given.alert
    with open_session(context.home) as session:
        found = session.ask("alert_deliveries", **asked)
    if not context.output.data(found):
        rows = [
            (d.id, d.made, d.sink, d.alert, d.message.status, d.status, d.attempts, d.error)
            for d in found
        ]
        names = ("id", "made", "sink", "alert", "tells", "status", "attempts", "error")
        context.output.table(names, rows)
    return 0


def _retry(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        delivery = session.ask("redeliver", id=given.delivery)
    if not context.output.data(delivery):
        context.output.say(f"{delivery.sink} will be tried again.")
    return 0
