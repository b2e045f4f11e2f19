"""Real MLflows to import from, each in an environment beside ours; and small ones made by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.environments import MLFLOW, MLFLOW_A_YEAR_OLDER, python_with
from tests.exchange.small import Small

from tidemill.home import Home

collect_ignore = ["mlflow_flow.py", "killed_import.py", "killed_restore.py"]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path / "source")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture(scope="session")
def client() -> Callable[[str], str]:
    """Return the Python of an environment that has an MLflow: the newest, or one a year older."""

    def python(which: str) -> str:
        if which == "new":
            return python_with("mlflow", MLFLOW)
        return python_with("mlflow-older", MLFLOW_A_YEAR_OLDER)

    return python
