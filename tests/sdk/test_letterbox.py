"""The prediction log from a program, and from the command line."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import tidemill as tm
from tidemill.cli.entry import run
from tidemill.core.clock import SimulatedClock, micros
from tidemill.core.ids import Ids
from tidemill.home import Home
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.writer import RecordWriter, predictions_folder
from tidemill.sdk.letterbox import WhichEndpoint

START = datetime(2013, 2, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose endpoint `taxi` answered three requests."""
    folder = tmp_path / ".tidemill"
    Home.open(folder).close()
    write(folder, "taxi", 3)
    return folder


def write(home: Path, endpoint: str, count: int) -> list[str]:
    clock = SimulatedClock(START)
    ids = Ids(clock, random.Random(0))
    writer = RecordWriter(predictions_folder(home / "predictions", endpoint), ids)
    made = []
    for n in range(count):
        made.append(ids.new())
        writer.append(
            PredictionRecord(
                micros(clock.now()),
                "taxi",
                1,
                "champion",
                "r",
                250,
                "ok",
                [made[-1]],
                [f"k{n}"],
                {"rain": [n / 2], "area": ["north"]},
                [n > 1],
                [0.25 * n],
            )
        )
        clock.sleep(86_400)
    writer.close()
    return made


def told(home: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> Any:
    assert run([*arguments, "--home", str(home), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_predictions_with_labels_are_a_lazy_table(home: Path) -> None:
    done = tm.log_labels(
        [{"key": "k0", "label": True}, {"key": "k1", "label": False, "time": "2013-02-03"}],
        home=home,
    )
    assert done.accepted == 2
    tm.log_labels(pl.DataFrame({"key": ["k0"], "label": [False]}), "taxi", home=home)
    rows = tm.read_predictions(
        "taxi", since="2013-02-01", until="2013-02-03", labels=True, home=home
    )
    frame = rows.sort("time").collect()
    assert frame.select("key", "feature.rain", "label", "label_count").rows() == [
        ("k0", 0.0, False, 2),
        ("k1", 0.5, False, 1),
    ]
    write(home, "bus", 1)
    with pytest.raises(WhichEndpoint, match="2 endpoints"):
        tm.read_predictions(home=home)


def test_the_one_line_for_duckdb_that_the_manual_has(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manual = Path(__file__).parents[2] / "docs" / "prediction-log.md"
    line = next(x for x in manual.read_text().splitlines() if x.startswith('duckdb -c "'))
    told(home, "predictions", "compact", capsys=capsys)
    monkeypatch.chdir(home.parent)
    assert duckdb.sql(line.removeprefix('duckdb -c "').removesuffix('"')).fetchall() == [
        (1, 3, 250.0)
    ]


def test_the_commands(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("key,label\nk0,true\nk2,false\nk9,true\nk2,true\n")
    done = told(home, "labels", "add", str(file), capsys=capsys)
    assert done == {"accepted": 4, "contradictory": 1, "examples": ["k2"]}
    listed = told(home, "predictions", "list", "--limit", "2", capsys=capsys)
    assert [(row["key"], row["label"]) for row in listed] == [("k1", None), ("k2", True)]
    done = told(home, "predictions", "compact", capsys=capsys)
    assert [(c["kind"], c["rows"], c["files"]) for c in done] == [
        ("predictions", 3, 3),
        ("labels", 4, 1),
    ]
    (found,) = told(home, "predictions", "stats", capsys=capsys)
    assert (found["predictions"], found["labelled"], found["unmatched"]) == (3, 2, 1)
    assert (found["segments"], found["files"], found["examples"]) == (0, 4, ["k9"])
    shown = told(home, "predictions", "show", listed[1]["id"], capsys=capsys)
    assert [t["label"] for t in shown["labels"]] == [False, True]
    assert shown["features"] == {"area": "north", "rain": 1.0}
    for ending in ("parquet", "csv"):
        to = tmp_path / f"out.{ending}"
        said = told(
            home, "predictions", "export", "--since", "2013-02-02", "--to", str(to), capsys=capsys
        )
        assert said["rows"] == 2
        read = pl.read_parquet(to) if ending == "parquet" else pl.read_csv(to)
        assert read["key"].to_list() == ["k1", "k2"]
        assert read["label"].to_list() == [None, True]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("predictions", "list", "taxy"), 3, "taxi"),
        (("predictions", "show", "0" * 32), 3, "There is no prediction"),
        (("predictions", "export", "--to", "x.xls"), 2, ".parquet or .csv"),
        (("predictions", "list", "--since", "soon"), 2, "'soon'"),
        (("labels", "add", "missing.csv"), 2, "cannot be read"),
    ],
)
def test_mistakes_are_said(
    home: Path,
    arguments: tuple[str, ...],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*arguments, "--home", str(home)]) == code
    assert said in capsys.readouterr().err
