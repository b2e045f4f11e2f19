"""Projects on disk, and the command line run on them as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sklearn import datasets

Tidemill = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL_")}


@pytest.fixture(scope="session")
def tidemill() -> Tidemill:
    """Run the command line in a folder, and return what it said."""

    def run(
        folder: Path, *arguments: str, code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        answer = subprocess.run(
            [sys.executable, "-m", "tidemill", *arguments],
            cwd=folder,
            env=environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert "Traceback" not in answer.stderr, answer.stderr
        if code is not None:
            assert answer.returncode == code, answer.stdout + answer.stderr
        return answer

    return run


class Up:
    """A running `tidemill up`."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, str]) -> None:
        self.process = process
        self.address = ready["address"]
        self.serving = ready["serving"]


@pytest.fixture
def up() -> Iterator[Callable[[Path], Up]]:
    """Start `tidemill up` in a folder; it is ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *options: str) -> Up:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tidemill", "up", "--json"),
                *("--port", "0", "--serve-port", "0", *options),
            ],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        return Up(process, json.loads("".join(lines)))

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


def table(name: str) -> pl.DataFrame:
    """Read one of scikit-learn's bundled data sets, with its target."""
    bunch: Any = getattr(datasets, f"load_{name}")()
    columns = [str(c).replace(" ", "_").replace("/", "_") for c in bunch.feature_names]
    rows = pl.DataFrame(bunch.data, schema=columns)
    target = pl.Series("target", bunch.target)
    if name == "wine":
        target = pl.Series("target", [str(bunch.target_names[t]) for t in bunch.target])
    return rows.with_columns(target == 1 if name == "breast_cancer" else target)
