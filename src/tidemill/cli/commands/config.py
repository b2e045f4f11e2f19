"""`config`: the settings that hold here, and the schema of `tidemill.toml`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context
    from tidemill.core.settings import Value


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser("config", help="settings, and the schema of tidemill.toml")
    verbs = group.add_subparsers(metavar="VERB", required=True)
    show = verbs.add_parser("show", parents=[common], help="every setting's value")
    show.add_argument("--origin", action="store_true", help="say where each value comes from")
    show.set_defaults(command=_show)
    schema = verbs.add_parser("schema", parents=[common], help="the JSON Schema of tidemill.toml")
    schema.set_defaults(command=_schema)


def _show(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.configuration import project_around, settings_of
    from tidemill.core.settings import Resolved

    flags = {"home": None if given.home is None else str(given.home)}
    known = settings_of(project_around(Path.cwd()), flags).values()
    found = [Resolved(s.name, _shown(s.value), s.origin, s.sentence) for s in known]
    if not context.output.data(found):
        names = ("setting", "value", "origin") if given.origin else ("setting", "value")
        rows = [(s.name, s.value, s.origin)[: len(names)] for s in found]
        context.output.table(names, rows)
    return 0


def _shown(value: Value) -> Value:
    from tidemill.core.settings import without_password

    return without_password(value) if isinstance(value, str) else value


def _schema(context: Context, _given: argparse.Namespace) -> int:
    from tidemill.core.policy.schema import policy_schema

    found = policy_schema()
    if not context.output.data(found):
        context.output.write(json.dumps(found, indent=2))
    return 0
