"""`webhooks`: who is told what happens to models."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser(
        "webhooks", help="who is told of models: list, add, test, deliveries, remove"
    )
    verbs = group.add_subparsers(metavar="VERB", required=True)
    show_all = verbs.add_parser("list", parents=[common], help="all webhooks")
    show_all.set_defaults(command=_list)
    add = verbs.add_parser("add", parents=[common], help="tell a web server of events")
    add.add_argument("name")
    add.add_argument("url", help="https://…, at a host that the setting webhook_hosts names")
    add.add_argument(
        "--event",
        dest="events",
        action="append",
        required=True,
        metavar="EVENT",
        help="such as model_version.created; may be given several times",
    )
    add.add_argument(
        "--secret-env", metavar="VARIABLE", help="the environment variable with the secret"
    )
    add.add_argument("--description", default="")
    add.set_defaults(command=_add)
    test = verbs.add_parser("test", parents=[common], help="send an example now")
    test.add_argument("webhook", help="its id")
    test.add_argument("--event", default="", help="of which event (default: its first)")
    test.set_defaults(command=_test)
    deliveries = verbs.add_parser(
        "deliveries", parents=[common], help="what was sent, what waits, and what failed"
    )
    deliveries.add_argument("webhook", help="its id")
    deliveries.set_defaults(command=_deliveries)
    remove = verbs.add_parser("remove", parents=[common], help="delete a webhook")
    remove.add_argument("webhook", help="its id")
    remove.set_defaults(command=_remove)


def _list(context: Context, _given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("webhooks")
    if not context.output.data(found):
        rows = [(h.id, h.name, h.status, h.url, ", ".join(h.events)) for h in found]
        context.output.table(("id", "name", "status", "url", "events"), rows)
    return 0


def _add(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        made = session.ask(
            "add_webhook",
            name=given.name,
            url=given.url,
            events=given.events,
            secret=_secret(given.secret_env),
            description=given.description,
        )
    if not context.output.data(made):
        context.output.write(made.id)
        context.output.say(f"Try it with: tidemill webhooks test {made.id}")
    return 0


def _test(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        outcome = session.ask("try_webhook", webhook=given.webhook, event=given.event)
    if not context.output.data(outcome):
        context.output.write(outcome.error or f"answered {outcome.answered}: {outcome.body}")
    return 0 if outcome.done else 6


def _deliveries(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("deliveries", webhook=given.webhook)
    if not context.output.data(found):
        rows = [(d.event, d.status, d.attempts, d.answered, d.due, d.error) for d in found]
        names = ("event", "status", "attempts", "answered", "next or last", "error")
        context.output.table(names, rows)
    return 0


def _remove(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        session.ask("remove_webhook", webhook=given.webhook)
    if not context.output.data({"removed": given.webhook}):
        context.output.say(f"{given.webhook} is told nothing more.")
    return 0


def _secret(variable: str | None) -> str:
    """Return a secret, which stands in the environment: arguments are seen by other users."""
    import os

    from tidemill.core.errors import Usage

    if variable is None:
        return ""
    found = os.environ.get(variable, "")
    if not found:
        raise Usage(
            f"The environment variable {variable!r} is not set.",
            expected="a variable that holds the webhook's secret",
        )
    return found
