"""The data plane stays light: what a worker must never load, and what it may cost."""

from __future__ import annotations

import subprocess
import sys

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
