"""The data plane stays light: what a worker must never load, and what it may cost."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

FORBIDDEN = (
    "sqlalchemy",
    "sqlite3",
    "alembic",
    "polars",
    "pyarrow",
    "sklearn",
    "litestar",
    "opentelemetry",
)


def test_a_worker_loads_no_database_and_no_table_library() -> None:
    program = (
        "import sys, tidemill.serving.worker.process\n"
        f"print([m for m in {FORBIDDEN!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")
def test_a_worker_reads_parquet_without_pandas(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pl.DataFrame({"a": [1.5, None], "b": ["x", None]}).write_parquet(file)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tidemill.serving.worker.doors.parquet import read_parquet\n"
        "print(read_parquet(Path(sys.argv[1]).read_bytes()), 'pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], check=False, capture_output=True, text=True
    )
    assert done.stdout.strip() == "{'a': [1.5, None], 'b': ['x', None]} False", done.stderr
