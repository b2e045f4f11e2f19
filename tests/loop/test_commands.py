"""The commands that move traffic, as people type them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tidemill as tm
from tidemill.cli.entry import run
from tidemill.core.clock import SystemClock, micros
from tidemill.core.ids import Ids
from tidemill.home import Home
from tidemill.predictions.identity import ids_of, request_number
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.writer import RecordWriter, predictions_folder
from tidemill.serving.records import Deployment, Plan

from .conftest import Register


class Said(NamedTuple):
    """What a command said."""

    stdout: str
    stderr: str


Typed = Callable[..., Said]


@pytest.fixture
def typed(project: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run the command line in the project, and return what it said."""

    def run_in(*arguments: str, code: int = 0) -> Said:
        capsys.readouterr()
        try:
            found = run(arguments)
        except SystemExit as end:
            found = int(end.code or 0)
        said = Said(*capsys.readouterr())
        assert found == code, said
        return said

    return run_in


@pytest.fixture
def project(tmp_path: Path, register: Register, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with three versions of `m`, and the working folder around it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDEMILL_HOME", raising=False)
    with Home.open(tmp_path / ".tidemill") as home:
        for kind in ("good", "contrary", "good"):
            register(home, kind)
    return tmp_path


def data(answer: Any) -> Any:
    return json.loads(answer.stdout)


def test_traffic_is_moved_by_commands_and_each_can_be_rehearsed(
    project: Path, typed: Typed
) -> None:
    typed("deploy", "m@1")
    rehearsed = typed("deploy", "m@2", "--canary", "10", "--dry-run")
    assert "model:m@2 answers 10%" in rehearsed.stderr
    assert "model:m@1 100% → model:m@1 90%, model:m@2 10%" in rehearsed.stdout
    split = typed("deploy", "m", "--split", "1=50,2=50", "--keep", "2", "--json")
    assert [s["percent"] for s in data(split)["split"]] == [50.0]
    assert data(split)["keep"] == 2
    back = typed("rollback", "m", "--dry-run")
    assert "model:m@2 loses its 50%" in back.stderr
    assert "model:m@1 50%, model:m@2 50% → model:m@1 100%" in back.stdout
    assert data(typed("rollback", "m", "--yes", "--json"))["split"] == []
    shadow = typed("deploy", "m@3", "--shadow")
    assert shadow.stdout.strip() == "m: model:m@1 100%, model:m@3 shadow"


def test_mistakes_are_answered_with_what_to_type(project: Path, typed: Typed) -> None:
    typed("deploy", "m@1")
    for arguments, code, words in (
        (("deploy", "m", "--split", "1=50;2"), 2, "VERSION=PERCENT"),
        (("deploy", "m", "--split", "1=50,9=50"), 3, "no version 9"),
        (("deploy", "m", "--split", "1=50,2=60"), 2, "110%"),
        (("deploy", "m@2", "--split", "1=50,2=50"), 2, "names one too"),
        (("deploy", "m@2", "--canary", "150"), 2, "no share"),
        (("deploy", "m@2", "--canary", "--shadow"), 2, "not allowed with"),
        (("deploy", "m@1", "--shadow"), 2, "answers at 'm' already"),
        (("deploy", "m@2", "--no-shadow"), 2, "is no shadow"),
        (("deploy", "m@7"), 3, "no version 7"),
        (("deploy", "m@2", "--endpoint", "a/b"), 2, "cannot be the name"),
        (("rollback", "m", "--yes"), 4, "has served only"),
        (("rollback", "n", "--yes"), 3, "'m'"),
        (("backtest", "m@2"), 3, "recorded nothing"),
    ):
        answer = typed(*arguments, code=code)
        assert words in answer.stderr, answer.stderr


def test_the_same_from_python(project: Path) -> None:
    tm.deploy("m@1")
    plan = tm.deploy("m@2", canary=20, dry_run=True)
    assert isinstance(plan, Plan)
    assert [p.percent for p in plan.after] == [80.0, 20.0]
    found = tm.deploy("m", split={1: 60, 2: 40})
    assert isinstance(found, Deployment)
    assert found.champion_percent == 60
    tm.promote("m@2")
    assert tm.rollback("m", dry_run=True).endpoint == "m"
    back = tm.rollback("m")
    assert isinstance(back, Deployment)
    assert back.champion.version == 1
    with pytest.raises(Exception, match="exclude each other"):
        tm.deploy("m@2", canary=True, shadow=True)


def test_a_backtest_is_told_as_text_json_and_page_and_exits_6_over_its_limits(
    project: Path, typed: Typed
) -> None:
    clock = SystemClock()
    ids = Ids(clock)
    with Home.open(project / ".tidemill") as home:
        writer = RecordWriter(predictions_folder(home.predictions_folder, "m"), ids)
        for n in range(120):
            number = request_number(random.Random(n), None)
            moment = micros(clock.now())
            score = 1 / (1 + 2.718281828 ** (-(n - 60) / 30))
            writer.append(
                PredictionRecord(
                    moment, "m", 1, "champion", "", 300, "ok",
                    [ids_of(moment, 1, number, 1)], None,
                    {"a": [(n - 60) / 30], "b": [3.0 + n % 2]}, [score >= 0.5], [score],
                )
            )  # fmt: skip
        writer.close()
    same = typed("backtest", "m@1", "--html", "same.html")
    assert "rows replayed: 120 in 120 requests" in same.stdout
    assert "answers that change: 0.00%" in same.stdout
    assert "Within every limit" in (project / "same.html").read_text()
    turned = typed("backtest", "m@2", "--json", "--max-changed", "0.1", "--segment", "b", code=6)
    found = data(turned)
    assert found["changed"] > 0.9
    assert {s["value"] for s in found["segments"]} == {"3.0", "4.0"}
    assert found["changed_interval"][0] > 0.5
    empty = typed("backtest", "m@1", "--since", "2099-01-01", code=3)
    assert "recorded nothing in that stretch" in empty.stderr
