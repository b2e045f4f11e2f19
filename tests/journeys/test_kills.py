"""Killed at any moment, the loop goes on where it was and ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.control_plane import environment

from .conftest import Tidemill

KILLS = 12
BATCHES = 3


def prepare(folder: Path, tidemill: Tidemill) -> None:
    """Make a project whose loop trains on every arrival of data."""
    folder.mkdir()
    tidemill(folder, "init")
    policy = folder / "tidemill.toml"
    text = policy.read_text().replace('cooldown = "1d"', 'cooldown = "0s"')
    policy.write_text(text.replace('strategy = "canary"', 'strategy = "all-at-once"'))
    tidemill(folder, "run")


def deliver(folder: Path, number: int) -> None:
    """Have another batch of data arrive."""
    rows = pl.read_parquet(folder / "data" / "breast_cancer.parquet")
    half = rows.sample(fraction=0.5, seed=number).with_columns(pl.col("mean_radius") + 0.01)
    draft = folder / "draft"
    half.write_parquet(draft)
    draft.rename(folder / "data" / f"batch-{number}.parquet")


def state(folder: Path, tidemill: Tidemill) -> dict[str, Any]:
    """Return what must be the same, whatever happened on the way."""
    versions = json.loads(tidemill(folder, "models", "versions", "model", "--json").stdout)
    data = json.loads(tidemill(folder, "data", "list", "--json").stdout)
    decisions = json.loads(tidemill(folder, "loop", "decisions", "--json").stdout)
    return {
        "versions": [(v["version"], v["metrics"], v["status"], v["aliases"]) for v in versions],
        "rows": data[0]["rows"],
        "decisions": [(d["kind"], d["outcome"]) for d in decisions],
    }


@pytest.mark.timeout(600)
def test_kills_in_the_middle_of_the_loop_change_nothing(tmp_path: Path, tidemill: Tidemill) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    prepare(calm, tidemill)
    prepare(rough, tidemill)
    rng = random.Random(20)  # earlier than 0.7 s it has imported what it needs, and done nothing
    kills = 0
    for number in range(BATCHES):
        deliver(calm, number)
        tidemill(calm, "loop", "tick")
        deliver(rough, number)
        while kills < KILLS * (number + 1) // BATCHES:
            kills += killed(rough, rng.uniform(0.7, 4.0))
        tidemill(rough, "loop", "tick")
    assert state(rough, tidemill) == state(calm, tidemill)
    checks = json.loads(tidemill(rough, "doctor", "--scrub", "--json").stdout)
    assert all(c["passed"] for c in checks)


def killed(folder: Path, seconds: float) -> int:
    """Have the loop go around, kill it after a while, and count that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "loop", "tick"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # A round that was done before its time is over has nothing left to interrupt, and counts.
    return 1
