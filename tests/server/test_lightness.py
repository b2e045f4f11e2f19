"""Commands that only ask stay fast: the list of operations loads no heavy library."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "polars", "pyarrow", "pandas", "scipy", "sklearn", "onnxruntime", "litestar")


def test_the_list_of_operations_loads_no_heavy_library() -> None:
    program = (
        "import sys, tidemill.server.operations; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.strip() == "[]"
