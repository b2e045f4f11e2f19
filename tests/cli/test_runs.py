"""`tidemill runs`: found, looked at and compared, in a home that is open here or elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.control_plane import ControlPlane

from tidemill.cli.entry import run
from tidemill.home import Home
from tidemill.tracking.records import DatasetInput, Metric, ModelLink, Param, Tag

ME = "user:me"


@pytest.fixture(params=["here", "owned"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A home with runs of two experiments, that nobody has open or a server has."""
    folder = tmp_path / "home"
    with Home.open(folder) as opened:
        tracking = opened.tracking
        for name, auc, team in (("a", 0.5, "red"), ("b", math.nan, "blue"), ("c", 0.9, "red")):
            experiment = tracking.experiment("tides" if name != "c" else "winds")
            made = tracking.start_run(experiment.id, actor=ME, name=name)
            tracking.log(
                made.id,
                metrics=[Metric("auc", auc, 1), *(Metric(f"m{i}", i, 1) for i in range(9))],
                params=[Param("depth", "3")],
                tags=[Tag("team", team)],
            )
            tracking.log_artifact(made.id, "plots/roc.svg", b"<svg/>")
            data = DatasetInput(name="rows", digest="d1", source_type="local", source="x")
            tracking.link(made.id, datasets=[data], written=[ModelLink("m-" + "0" * 32)])
    if request.param == "here":
        yield folder
        return
    server = ControlPlane(folder)
    try:
        yield folder
    finally:
        server.stop()


def test_runs_are_found_shown_and_compared(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str, code: int = 0) -> str:
        assert run(["runs", *words, "--home", str(home)]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    def names(*words: str) -> list[str]:
        return [found["name"] for found in json.loads(ask("list", "--json", *words))]

    assert names() == ["c", "b", "a"]
    assert names("--filter", "tags.team = 'red' OR metrics.auc > 0.7") == ["c", "a"]
    assert names("--filter", "tags.team NOT LIKE 'r%'") == ["b"]
    assert names("--order", "tags.team, metrics.auc DESC") == ["b", "c", "a"]
    assert names("--experiment", "tides") == ["b", "a"]
    assert names("--experiment", "tides", "--experiment", "winds", "--limit", "1") == ["c"]
    assert names("--deleted") == []
    assert "at its end" in ask("list", "--filter", "metrics.auc", code=2)
    assert "Expected 'tides'" in ask("list", "--experiment", "tide", code=3)
    assert "metrics.auc DESC" in ask("list", "--order", "a b c", code=2)
    assert "auc 0.5, m0 0, m1 1, m2 2, …" in ask("list")

    last, middle = (found["id"] for found in json.loads(ask("list", "--json", "--limit", "2")))
    shown = ask("show", middle)
    for fact in ("auc\tnan", "depth\t3", "team\tblue", "rows\td1", "plots/roc.svg\t6 B"):
        assert fact in shown
    assert "m-" + "0" * 32 + "\twritten" in shown
    assert json.loads(ask("show", "--json", middle))["pipeline"] is None
    assert "Run with id=zzz not found. Expected" in ask("show", "zzz", code=3)
    assert "auc\t0.9\tnan\t≠" in ask("compare", last, middle)
    ask("delete", last)
    assert "RUNNING, deleted" in ask("show", last)
    assert names("--deleted") == ["c"]
    ask("restore", last)
    assert names("--limit", "1") == ["c"]
