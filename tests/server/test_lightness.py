"""What is asked for often starts fast: it loads no library that it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "polars", "pyarrow", "pandas", "scipy", "sklearn", "onnxruntime", "httpx")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        # Commands only ask.
        ("tidemill.server.operations", (*HEAVY, "litestar")),
        # The API answers before the loop has loaded what it needs.
        ("tidemill.server.process", HEAVY),
    ],
)
def test_it_loads_no_heavy_library(module: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.strip() == "[]"
