"""Completion, in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tidemill.cli.commands.completion import SHELLS
from tidemill.cli.completion.tree import places
from tidemill.cli.entry import build_parser, run

ASK = {
    "bash": (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tidemill; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    "zsh": (
        "compdef() { :; }; _files() { print -l *; }; compadd() { shift; print -l -- $@; }; "
        '_describe() { print -l -- ${(P)2}; }; source "$1"; shift; words=("$@"); '
        'CURRENT=$#; PREFIX="${words[-1]}"; _tidemill'
    ),
    "fish": 'source $argv[1]; complete -C (string join " " -- $argv[2..])',
}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(["completion", shell]) == 0
    path = tmp_path / "script"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"),
    [
        (("",), {"runs", "models", "webhooks"}, {"list", "--home"}),
        (("models", ""), {"list", "history", "stage"}, {"runs", "--home"}),
        (("models", "list", "--"), {"--home", "--json"}, {"--reason"}),
        (("models", "alias", "m", "a", "1", "--"), {"--reason"}, {"--archive-others"}),
        (("completion", ""), {"bash", "zsh", "fish"}, {"runs"}),
        (("--home", "x", "models", "--json", ""), {"list"}, {"runs"}),
        (("runs", "list", "--home", ""), {"a file"}, {"show"}),
    ],
)
def test_what_may_follow_is_offered(
    shell: str,
    script: Path,
    tmp_path: Path,
    typed: tuple[str, ...],
    offered: set[str],
    not_offered: set[str],
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "a file").touch()
    name = ["_"] if shell != "fish" else []
    command = [shell, *(["-f"] if shell == "zsh" else []), "-c", ASK[shell], *name]
    done = subprocess.run(
        [*command, str(script), "tidemill", *typed],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    found = {line.split("\t")[0].split(":")[0] for line in done.stdout.splitlines()}
    if shell == "fish":
        found = {name.replace("\\ ", " ") for name in found}
    assert offered <= found, done.stderr
    assert not found & not_offered


def test_every_command_is_a_place() -> None:
    words = {" ".join(place.words) for place in places(build_parser())}
    assert {"", "runs", "runs list", "models history", "webhooks add", "completion"} <= words
