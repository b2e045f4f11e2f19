"""Some weeks of flights through the whole loop, twice, with the same decisions."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tidemill.demo.runner import DemoFolderInUse, Outcome, run_demo

from .conftest import Tidemill

DAYS = 17


def play(folder: Path) -> Outcome:
    return run_demo(folder, Console(file=io.StringIO()), days=DAYS, baselines=False)


@pytest.mark.timeout(300)
def test_the_same_weeks_give_the_same_decisions_and_metrics(
    tmp_path: Path, tidemill: Tidemill
) -> None:
    first, second = play(tmp_path / "one"), play(tmp_path / "two")
    assert first.failed == 0
    assert first.predictions == second.predictions > 10_000
    told = [[(d.time, d.kind, d.reason, d.result) for d in o.decisions] for o in (first, second)]
    assert told[0] == told[1]
    assert any(d.kind == "train" for d in first.decisions)
    assert first.strategies[0].total == second.strategies[0].total
    report = Path(first.report)
    assert report.stat().st_size < 1 << 20
    page = report.read_text()
    assert not any(mark in page for mark in ("src=", "href=", "url(", "@import", "<script"))

    project = Path(first.project)
    trace = json.loads(tidemill(project, "trace", first.prediction, "--json").stdout)
    chain = [link["what"] for link in trace["links"]]
    assert chain[0] == "prediction"
    for what in ("deployment", "model version", "run", "code", "environment", "dataset version"):
        assert what in chain
    again = json.loads(tidemill(project, "reproduce", first.run, "--json").stdout)
    assert again["identical"], again["differences"]
    before = json.loads(tidemill(project, "models", "list", "--json").stdout)
    tidemill(project, "rollback", "flight-delay", "--yes", code=None)
    assert json.loads(tidemill(project, "loop", "explain", "--json").stdout)
    assert before


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DemoFolderInUse, match="not empty"):
        play(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
