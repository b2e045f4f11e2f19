"""What `import tidemill` costs, and what it gives."""

from __future__ import annotations

import subprocess
import sys

import tidemill
from tidemill import _PUBLIC  # type: ignore[attr-defined]


def _fresh(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_importing_tidemill_takes_under_60_milliseconds() -> None:
    code = (
        "import time; t = time.perf_counter(); import tidemill;"
        "print((time.perf_counter() - t) * 1000)"
    )
    assert min(float(_fresh(code)) for _ in range(5)) < 60


def test_importing_tidemill_imports_no_library() -> None:
    code = "import tidemill, sys; print([m for m in sys.modules if m.startswith('tidemill.')])"
    assert _fresh(code).strip() == "[]"


def test_logging_from_a_step_needs_no_database() -> None:
    code = (
        "import tidemill as tm, sys; tm.log_metric; tm.step;"
        "print([m for m in ('sqlalchemy', 'polars', 'numpy', 'sqlite3') if m in sys.modules])"
    )
    assert _fresh(code).strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in _PUBLIC:
        assert callable(getattr(tidemill, name)), name
    assert set(dir(tidemill)) == {*_PUBLIC, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(tidemill, "log_metrik")
