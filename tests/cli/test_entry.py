"""The command line's own promises: help for everything, and the README names every command."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.cli.entry import build_parser, run

README = Path(__file__).parents[2] / "README.md"
HEAVY = ("polars", "sqlalchemy", "sklearn", "numpy", "litestar", "onnxruntime", "scipy")


def commands(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, str]]:
    """Go through all commands and their descriptions."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {c.dest: c.help or "" for c in action._choices_actions}
            for name, sub in action.choices.items():
                yield f"{path}{name}", helps.get(name, "")
                yield from commands(sub, f"{path}{name} ")


def test_every_command_says_what_it_does() -> None:
    for name, said in commands(build_parser()):
        assert said, name


def test_the_readme_names_every_command() -> None:
    text = README.read_text("utf-8")
    for name, _ in commands(build_parser()):
        assert name.split()[0] in text, name


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from tidemill.cli.entry import build_parser; build_parser(); "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "tidemill" in capsys.readouterr().out
