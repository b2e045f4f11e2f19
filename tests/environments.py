"""Interpreters beside ours, with libraries that would hold ours back.

Each is made once and kept for later runs in the user's cache, where the workers of a test run find
it, too. What names no version is the newest of the week in which it was made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

MLFLOW = (
    *("mlflow-skinny>=3", "scikit-learn", "skops", "pandas", "pyarrow", "scipy", "pytest"),
    *("psutil", "matplotlib", "xgboost-cpu", "lightgbm"),
    *("sqlalchemy", "alembic", "sqlparse", "flask", "flask-cors", "huey", "aiohttp"),
)
"""The newest MLflow, with what its own stores and its server need."""
MLFLOW_A_YEAR_OLDER = (
    *("mlflow-skinny==3.6.0", "scikit-learn<1.8", "skops", "pandas<3", "pytest"),
    *("sqlalchemy<2.1", "alembic", "sqlparse"),
)
_SECONDS = 900.0


def python_with(name: str, packages: tuple[str, ...], *, of: str = "") -> str:
    """Return a Python that has packages; skip the test where they cannot be installed.

    Args:
        name: What it is for. `TIDEMILL_TEST_<NAME>` may name a Python that has them already.
        packages: As uv takes them, options included.
        of: What else it is made of: when that changes, it is made anew.
    """
    named = os.environ.get(f"TIDEMILL_TEST_{name.upper().replace('-', '_')}")
    if named:
        return named
    folder = _folder(name, packages, of)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _install(name, folder / "env", packages)
            (folder / "done").touch()
    return str(folder / "env" / "bin" / "python")


def torch() -> tuple[str, ...]:
    """Return what installs PyTorch for processors alone: the other build takes gigabytes.

    It is taken from a folder of wheels that `PIP_FIND_LINKS` names, or from where uv knows it.
    """
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    built = sorted(Path(wheels).glob("torch-*+cpu-*.whl")) if wheels else []
    return (str(built[-1]),) if built else ("torch", "--torch-backend", "cpu")


def cache() -> Path:
    """Return the folder of what tests make once for many runs."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "tidemill-tests"


def _folder(name: str, packages: tuple[str, ...], of: str) -> Path:
    week = datetime.now(UTC).strftime("%G-%V")
    said = repr((sys.version, packages, of, week)).encode()
    return cache() / f"{name}-{hashlib.blake2b(said, digest_size=6).hexdigest()}"


def _install(name: str, folder: Path, packages: tuple[str, ...]) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]
    subprocess.run(make, check=True, timeout=60)
    fill = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    try:
        filled = subprocess.run(
            [*fill, *packages],
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"what {name} needs takes too long to install")
    if filled.returncode != 0:
        pytest.skip(f"what {name} needs cannot be installed here: {filled.stderr[-300:]}")
