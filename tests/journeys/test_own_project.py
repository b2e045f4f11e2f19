"""A user's own project, from an empty folder to a served model, by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from .conftest import Tidemill, table


@pytest.mark.parametrize(
    ("data", "task"),
    [("breast_cancer", "binary"), ("wine", "multiclass"), ("diabetes", "regression")],
)
def test_a_model_of_each_kind_is_trained_served_and_judged(
    tmp_path: Path, tidemill: Tidemill, up: Callable[[Path], Any], data: str, task: str
) -> None:
    rows = table(data)
    source = tmp_path / "rows.csv"
    rows.write_csv(source)
    project = tmp_path / "project"
    tidemill(tmp_path, "init", str(project), "--data", str(source), "--label", "target")
    ran = json.loads(tidemill(project, "run", "--json").stdout)
    assert ran["status"] == "finished", ran["error"]
    shown = json.loads(tidemill(project, "models", "show", "model@champion", "--json").stdout)
    assert shown["version"]["task"] == task
    assert shown["manifest"]["twin"]["parity"]["differing"] == 0

    running = up(project)
    features = rows.drop("target").head(5)
    answer = httpx.post(
        f"{running.serving}/invocations",
        json={"dataframe_records": features.to_dicts()},
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 5
    status = httpx.get(f"{running.address}/api/status", timeout=20).json()
    assert status["endpoints"][0]["deployment"]["champion"]["version"] == 1
    page = httpx.get(f"{running.address}/", timeout=20)
    assert "Tidemill" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    listed = json.loads(tidemill(project, "models", "list", "--json").stdout)
    assert listed[0]["aliases"] == {"champion": 1}

    running.stop()
    assert not (project / ".tidemill" / "owner.json").exists()


def test_rows_that_have_a_day_are_split_by_it_and_the_next_model_is_judged_fairly(
    tmp_path: Path, tidemill: Tidemill
) -> None:
    rows = table("breast_cancer")
    days = [date(2026, 1, 1) + timedelta(days=n // 8) for n in range(rows.height)]
    rows.with_columns(day=pl.Series(days)).write_csv(tmp_path / "rows.csv")
    tidemill(tmp_path, "init", "p", "--data", "rows.csv", "--label", "target")
    policy = tmp_path / "p" / "tidemill.toml"
    assert 'time = "day"' in policy.read_text()
    for _ in range(2):
        ran = json.loads(tidemill(tmp_path / "p", "run", "--json").stdout)
        assert ran["status"] == "finished", ran["error"]


def test_a_run_is_made_again_and_a_gate_that_says_no_leaves_the_live_model_alone(
    tmp_path: Path, tidemill: Tidemill
) -> None:
    tidemill(tmp_path, "init")
    run = json.loads(tidemill(tmp_path, "run", "--json").stdout)
    again = json.loads(tidemill(tmp_path, "reproduce", run["id"], "--json").stdout)
    assert again["identical"]
    assert again["differences"] == []
    policy = tmp_path / "tidemill.toml"
    policy.write_text(policy.read_text().replace("min = 0.6", "min = 0.9999"))
    held = tidemill(tmp_path, "run", code=6)
    assert "0.9999" in held.stderr
    models = json.loads(tidemill(tmp_path, "models", "list", "--json").stdout)
    assert models[0]["aliases"] == {"champion": 1}
    assert models[0]["latest"] == 1


def test_ci_reports_and_exits_6_when_the_gate_says_no(tmp_path: Path, tidemill: Tidemill) -> None:
    tidemill(tmp_path, "init", "--github")
    assert (tmp_path / ".github" / "workflows" / "tidemill.yml").exists()
    passed = tidemill(tmp_path, "ci", "--report", "report.md")
    assert "passes its gate" in passed.stdout
    assert (tmp_path / "report.md").read_text() in passed.stdout + "\n"
    policy = tmp_path / "tidemill.toml"
    policy.write_text(policy.read_text().replace("min = 0.6", "min = 0.9999"))
    held = tidemill(tmp_path, "ci", code=6)
    assert "held back" in held.stdout
    assert json.loads(tidemill(tmp_path, "models", "list", "--json").stdout) == []
