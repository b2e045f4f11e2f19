"""The examples of docs/serving.md work when they are pasted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tests.serving.conftest import MOMENT, RunningWorker, table, target

from tidemill.core.contract import Column, Contract
from tidemill.models.packing import pack
from tidemill.serving.routes import write_routes

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    command
    for kind, text in BLOCKS
    if not kind
    for command in re.split(r"^(?=curl )", text, flags=re.M)
    if command
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """A worker that serves the manual's model."""
    folder = tmp_path_factory.mktemp("manual")
    rng = np.random.default_rng(7)
    temp = np.where(rng.random(300) > 0.9, None, rng.normal(40, 10, 300))
    frame = pl.DataFrame({"temp": temp.tolist(), "origin": rng.choice(["EWR", "JFK"], 300)})
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["origin"]),
        remainder="passthrough",
    )
    model = make_pipeline(encoded, HistGradientBoostingClassifier(max_iter=5))
    model.fit(frame.to_pandas(), rng.random(300) > 0.5)
    columns = (
        Column(name="temp", type="float"),
        Column(name="origin", type="string", nullable=False),
    )
    manifest = pack(
        model,
        name="my-model",
        task="binary",
        contract=Contract(columns=columns),
        sample=frame,
        folder=folder / "bundles" / "mine",
        created=MOMENT,
    )
    assert manifest.twin, manifest.no_twin
    write_routes(folder / "routes.json", table(1, **{"my-model": target(1, "mine")}))
    running = RunningWorker(folder, folder / "bundles")
    yield running
    running.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_answered(served: RunningWorker, tmp_path: Path, command: str) -> None:
    pl.DataFrame({"temp": [41.0], "origin": ["EWR"]}).write_parquet(tmp_path / "rows.parquet")
    pasted = command.replace("localhost:8751", f"localhost:{served.port}")
    done = subprocess.run(
        ["bash", "-c", pasted], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer.keys() & {"predictions", "outputs", "accepted"}, answer


def test_the_program_of_the_manual_runs(served: RunningWorker) -> None:
    pytest.importorskip("tritonclient.http")
    (program,) = (text for kind, text in BLOCKS if kind == "python")
    pasted = program.replace("localhost:8751", f"localhost:{served.port}")
    done = subprocess.run(
        [sys.executable, "-c", pasted], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[[")


def test_every_form_of_request_has_its_example() -> None:
    assert len(COMMANDS) == 9
