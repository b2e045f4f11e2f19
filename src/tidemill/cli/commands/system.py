"""`doctor`: the state of the installation."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    doctor = commands.add_parser("doctor", parents=[common], help="look for what is wrong")
    doctor.add_argument("--scrub", action="store_true", help="read every stored byte again")
    doctor.set_defaults(command=_doctor)


def _doctor(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.examination import examine

    checks = examine(context.home, scrub=given.scrub)
    if not context.output.data(checks):
        rows = [("ok" if c.passed else "PROBLEM", c.name, c.said) for c in checks]
        context.output.table(("", "check", "found"), rows)
    return 0 if all(c.passed for c in checks) else 6
