"""A project moves to another place: its home is exported, and the export makes it again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tidemill.cli.entry import run as run_here
from tidemill.predictions.finding import latest_predictions

from .conftest import Tidemill, table


def test_a_home_moves_without_loss(
    tmp_path: Path,
    tidemill: Tidemill,
    up: Callable[[Path], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = table("breast_cancer")
    rows.write_csv(tmp_path / "rows.csv")
    here, there = tmp_path / "here", tmp_path / "there"
    source = str(tmp_path / "rows.csv")
    tidemill(tmp_path, "init", str(here), "--data", source, "--label", "target")
    run = json.loads(tidemill(here, "run", "--json").stdout)["id"]
    features = rows.drop("target").head(5).to_dicts()
    answers = _served(up, here, features)
    tidemill(here, "export", str(tmp_path / "first"))

    there.mkdir()
    shutil.copy(here / "tidemill.toml", there)
    shutil.copy(here / "pipeline.py", there)
    tidemill(there, "import", str(tmp_path / "first"))
    tidemill(there, "export", str(tmp_path / "second"))
    first = _digests(tmp_path / "first")
    assert _digests(tmp_path / "second") == first
    assert {Path(name).parts[0] for name in first} == {
        *("README.txt", "manifest.json", "tables", "files", "blobs", "predictions", "logs")
    }

    for command in (
        ("runs", "list"),
        ("runs", "show", run),
        ("runs", "logs", run, "train"),
        ("models", "history", "model"),
        ("data", "list"),
        ("loop", "decisions"),
        ("trace", latest_predictions(here / ".tidemill/predictions", "model")[0]),
    ):
        told = []
        for place in (here, there):
            assert run_here([*command, "--json", "--home", str(place / ".tidemill")]) == 0
            told.append(capsys.readouterr().out)
        assert told[0] == told[1], command
    shown = json.loads(tidemill(there, "models", "show", "model@champion", "--json").stdout)
    assert Path(shown["bundle"]).is_relative_to(there)
    assert _served(up, there, features) == answers
    said = tidemill(there, "import", str(tmp_path / "first"), code=4).stderr
    assert "holds something already" in said


def test_an_export_is_read_without_tidemill(tmp_path: Path, tidemill: Tidemill) -> None:
    table("wine").write_csv(tmp_path / "rows.csv")
    source = str(tmp_path / "rows.csv")
    tidemill(tmp_path, "init", "project", "--data", source, "--label", "target")
    tidemill(tmp_path / "project", "run")
    tidemill(tmp_path / "project", "export", str(tmp_path / "out"))
    out = tmp_path / "out"
    runs = pl.read_parquet(out / "tables/tracking/runs.parquet")
    assert runs["status"].to_list() == ["FINISHED"]
    assert runs.schema["started"] == pl.Datetime("us", "UTC")
    rows = pl.read_parquet(next((out / "files/datasets").glob("*/*.parquet")))
    assert len(rows) == len(table("wine"))
    assert (out / "files/registry/model/1/manifest.json").is_file()
    assert len(list((out / "files/runs" / runs["id"][0]).iterdir())) > 1
    assert "champion" in pl.read_parquet(out / "tables/registry/changes.parquet")["alias"].to_list()


def _served(up: Callable[[Path], Any], project: Path, features: list[dict[str, Any]]) -> Any:
    running = up(project)
    answer = httpx.post(
        f"{running.serving}/invocations", json={"dataframe_records": features}, timeout=20
    )
    running.stop()
    return answer.json()["predictions"]


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
