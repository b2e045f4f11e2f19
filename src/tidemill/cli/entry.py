"""Where the command line begins: reads it, runs one command, turns errors into exit codes.

Nothing heavy is imported here: a command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tidemill import __version__
from tidemill.cli.output import Output
from tidemill.core.errors import (
    Conflict,
    Findings,
    InvalidData,
    NotFound,
    TidemillError,
    Usage,
    UserCodeFailed,
)

GROUPS = (
    "project",
    "data",
    "runs",
    "models",
    "serving",
    "backtest",
    "monitor",
    "alerts",
    "loop",
    "predict",
    "predictions",
    "moving",
    "webhooks",
    "system",
    "config",
    "completion",
)
_EXIT: tuple[tuple[type[TidemillError], int], ...] = (
    (NotFound, 3),
    (Conflict, 4),
    (InvalidData, 5),
    (Findings, 6),
    (UserCodeFailed, 1),
    (Usage, 2),
)
_REMOTE = {404: 3, 409: 4, 422: 5, 400: 2}


class Context:
    """What every command is given.

    Args:
        home: The home that was named, if one was.
        output: Where its words go.
    """

    def __init__(self, home: Path | None, output: Output) -> None:
        self.home = home
        self.output = output


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nSee {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    if not hasattr(given, "command"):
        parser.print_help()
        return 0
    output = Output(json=given.json)
    context = Context(given.home, output)
    try:
        code = int(given.command(context, given) or 0)
        sys.stdout.flush()
    except TidemillError as error:
        return _report(error, output)
    except KeyboardInterrupt:
        output.say("Interrupted.")
        return 130
    except BrokenPipeError:
        # Whoever read us has gone; nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="tidemill",
        description="The closed loop for models in production.",
    )
    parser.add_argument("--version", action="version", version=f"tidemill {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home", type=Path, metavar="DIR", help="the home (default: .tidemill of the project)"
    )
    common.add_argument("--json", action="store_true", help="write data as JSON")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for group in GROUPS:
        importlib.import_module(f"tidemill.cli.commands.{group}").register(commands, common)
    return parser


def _report(error: TidemillError, output: Output) -> int:
    if output.json:
        shape = {"code": error.code, "message": error.what}
        output.data({"error": {**shape, "expected": error.expected, "hint": error.hint}})
    output.say(f"tidemill: {error}")
    status = getattr(error, "status", None)
    if status is not None:
        return 6 if error.code == "GATE_FAILED" else _REMOTE.get(status, 1)
    return next((code for kind, code in _EXIT if isinstance(error, kind)), 1)
