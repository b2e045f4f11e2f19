"""`completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context

SHELLS = ("bash", "fish", "zsh")


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    completion = commands.add_parser(
        "completion", parents=[common], help="a script by which a shell completes commands"
    )
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(command=_completion)


def _completion(context: Context, given: argparse.Namespace) -> int:
    import importlib

    from tidemill.cli.completion.tree import places
    from tidemill.cli.entry import build_parser

    shell = importlib.import_module(f"tidemill.cli.completion.{given.shell}")
    script: str = shell.script(list(places(build_parser())))
    if not context.output.data({"shell": given.shell, "script": script}):
        context.output.write(script.rstrip("\n"))
    return 0
