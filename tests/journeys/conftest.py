"""Projects on disk, and the command line run on them as a user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sklearn import datasets
from tests.control_plane import ControlPlane, environment, running

Tidemill = Callable[..., subprocess.CompletedProcess[str]]


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


@pytest.fixture
def up() -> Iterator[Callable[..., ControlPlane]]:
    """Start `tidemill up` in a project's folder; it is ended after the test."""
    with ExitStack() as started:

        def start(folder: Path, *options: str) -> ControlPlane:
            return started.enter_context(running(folder / ".tidemill", *options))

        yield start


def table(name: str) -> pl.DataFrame:
    """Read one of scikit-learn's bundled data sets, with its target."""
    bunch: Any = getattr(datasets, f"load_{name}")()
    columns = [str(c).replace(" ", "_").replace("/", "_") for c in bunch.feature_names]
    rows = pl.DataFrame(bunch.data, schema=columns)
    target = pl.Series("target", bunch.target)
    if name == "wine":
        target = pl.Series("target", [str(bunch.target_names[t]) for t in bunch.target])
    return rows.with_columns(target == 1 if name == "breast_cancer" else target)
