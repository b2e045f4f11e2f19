"""Real MLflows to import from, each in an environment beside ours; and small ones made by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.exchange.small import Small

from tidemill.home import Home

collect_ignore = ["mlflow_flow.py", "killed_import.py", "killed_restore.py"]
CLIENTS = {
    "new": ("mlflow-skinny", "sqlalchemy", "pandas", "flask", "flask-cors", "huey", "aiohttp"),
    "old": ("mlflow-skinny==3.6.0", "sqlalchemy<2.1", "pandas<3"),
}
BOTH = ("alembic", "sqlparse", "scikit-learn", "skops")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path / "source")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the Python of an environment that has an MLflow: the newest, or one a year older.

    `TIDEMILL_TEST_MLFLOW_NEW` and `…_OLD` may name Pythons that have them already.
    """
    made: dict[str, str] = {}

    def python(which: str) -> str:
        named = os.environ.get(f"TIDEMILL_TEST_MLFLOW_{which.upper()}")
        if named:
            return named
        if which not in made:
            made[which] = _environment(tmp_path_factory.mktemp(which) / "env", which)
        return made[which]

    return python


def _environment(folder: Path, which: str) -> str:
    uv = str(Path(sys.executable).with_name("uv"))
    make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    subprocess.run(make, check=True, timeout=60)
    python = str(folder / "bin" / "python")
    packages = (*CLIENTS[which], *BOTH)
    fill = [uv, "pip", "install", "--quiet", "--python", python, *packages]
    filled = subprocess.run(fill, check=False, capture_output=True, text=True, timeout=300)
    if filled.returncode != 0:
        pytest.skip(f"MLflow cannot be installed here: {filled.stderr[-300:]}")
    return python
