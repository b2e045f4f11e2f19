"""`doctor`, `gc`: the state of the installation, and the space it takes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tidemill.cli.output import size

if TYPE_CHECKING:
    from tidemill.cli.entry import Context
    from tidemill.upkeep.records import Reclaimed


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    doctor = commands.add_parser("doctor", parents=[common], help="look for what is wrong")
    doctor.add_argument("--scrub", action="store_true", help="read every stored byte again")
    doctor.set_defaults(command=_doctor)
    gc = commands.add_parser(
        "gc", parents=[common], help="erase what was deleted long ago, and give space back"
    )
    gc.add_argument(
        "--older-than", default="30d", metavar="AGE", help="how long ago (default: 30d)"
    )
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.set_defaults(command=_gc)


def _doctor(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.examination import examine

    checks = examine(context.home, scrub=given.scrub)
    if not context.output.data(checks):
        rows = [("ok" if c.passed else "PROBLEM", c.name, c.said) for c in checks]
        context.output.table(("", "check", "found"), rows)
    return 0 if all(c.passed for c in checks) else 6


def _gc(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.following import follow
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        asked = session.ask("gc", older_than=given.older_than, dry_run=given.dry_run)
        found: Reclaimed = follow(session, asked, context.output).reclaimed
    if context.output.data(found):
        return 0
    rows = [
        ("experiments", f"{len(found.experiments):,}", ""),
        ("runs", f"{len(found.runs):,}", ""),
        ("logged models", f"{len(found.models):,}", ""),
        ("stored files", f"{found.blobs:,}", size(found.blob_bytes)),
        ("unpacked folders", f"{found.folders:,}", ""),
        ("database", "", size(found.database_bytes)),
        *(
            (
                f"log of {d.endpoint}, {d.days[0]} to {d.days[-1]}",
                f"{d.predictions:,}",
                size(d.bytes),
            )
            for d in found.log
        ),
    ]
    context.output.table(("would go" if found.dry else "gone", "", "freed"), rows)
    if found.kept:
        context.output.say(
            f"{len(found.kept):,} deleted runs and models stay: registered versions need them."
        )
    if found.young:
        context.output.say(
            f"{found.young:,} stored files that nothing names are less than a day old and stay "
            "until they are older."
        )
    return 0
