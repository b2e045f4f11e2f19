"""The command line's own promises: help for everything, and the README names every command."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.cli.entry import build_parser, run
from tidemill.home import Home

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


def test_runs_are_deleted_restored_and_erased(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(tmp_path / "home")
    with Home.open(Path(home)) as opened:
        experiment = opened.tracking.experiment("e").id
        ids = [opened.tracking.start_run(experiment, actor="user:me").id for _ in range(2)]
    assert run(["runs", "delete", *ids, "--home", home]) == 0
    assert run(["runs", "restore", f"run:{ids[0]}", "--home", home]) == 0
    assert run(["gc", "--home", home, "--older-than", "soon"]) == 2
    assert "a number and a unit" in capsys.readouterr().err
    assert run(["gc", "--home", home, "--older-than", "0s", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == [ids[1]]
    assert run(["gc", "--home", home, "--older-than", "0s"]) == 0
    assert "runs\t1" in capsys.readouterr().out
    assert run(["runs", "show", ids[1], "--home", home]) == 3
    assert run(["runs", "show", ids[0], "--home", home]) == 0
    assert run(["doctor", "--scrub", "--home", home]) == 0
    assert "0 blobs, 0 B, 0 damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["mlflow"], 2, "nothing to import"),
        (["mlflow", "missing.db"], 3, "There is nothing at"),
        (["mlflow", "http://127.0.0.1:9"], 1, "does not answer"),
        (["a", "b", "c"], 2, "nothing to import"),
    ],
)
def test_bad_imports_are_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], code: int, said: str
) -> None:
    assert run(["import", *given, "--home", str(tmp_path / "home")]) == code
    assert said in capsys.readouterr().err
