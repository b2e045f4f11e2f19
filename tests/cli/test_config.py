"""`tidemill config`: what holds here, and who said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill.cli.entry import run


def test_settings_are_shown_with_their_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    below = tmp_path / "deep" / "below"
    below.mkdir(parents=True)
    (tmp_path / "tidemill.toml").write_text("[settings]\nport = 9000\nworkers = 3\n")
    monkeypatch.chdir(below)
    monkeypatch.setenv("TIDEMILL_WORKERS", "4")
    assert run(["config", "show", "--origin", "--home", "h"]) == 0
    shown = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["port"] == f"9000\t{tmp_path / 'tidemill.toml'}"
    assert shown["workers"] == "4\tTIDEMILL_WORKERS"
    assert shown["home"] == "h\t--home"
    assert shown["tick"].endswith("\tdefault")
    assert run(["config", "show", "--json"]) == 0
    assert {s["name"] for s in json.loads(capsys.readouterr().out)} == set(shown)


@pytest.mark.parametrize(
    ("text", "said"),
    [("[settings]\nprot = 1\n", "'port'"), ('[settings]\nhome = "x"\n', "TIDEMILL_HOME")],
)
def test_a_setting_that_cannot_be_is_named_with_its_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    said: str,
) -> None:
    (tmp_path / "tidemill.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run(["config", "show"]) == 2
    complaint = capsys.readouterr().err
    assert "tidemill.toml:2: " in complaint
    assert said in complaint


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    assert "ModelPolicy" in json.loads(capsys.readouterr().out)["$defs"]
