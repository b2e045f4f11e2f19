"""The contract of flavors over PyTorch, in an environment of its own.

From an index, torch brings gigabytes for graphics cards, so it is no dependency of this project,
not even for development. It is installed here as the build for processors alone, from a folder of
wheels that `PIP_FIND_LINKS` names or from where uv knows it; `TIDEMILL_TEST_TORCH` may name a
Python that has it already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


def _python(folder: Path) -> str:
    """Return a Python with torch, and with all that this one has."""
    named = os.environ.get("TIDEMILL_TEST_TORCH")
    if named:
        return named
    uv = str(Path(sys.executable).with_name("uv"))
    python = folder / "bin" / "python"
    make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    subprocess.run(make, check=True, timeout=120)
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    built = sorted(Path(wheels).glob("torch-*+cpu-*.whl")) if wheels else []
    wanted = [str(built[-1])] if built else ["torch", "--torch-backend", "cpu"]
    fill = [uv, "pip", "install", "--quiet", "--python", str(python), "onnxscript", *wanted]
    filled = subprocess.run(fill, check=False, capture_output=True, text=True, timeout=900)
    if filled.returncode != 0:
        pytest.skip(f"torch cannot be installed, its flavor is not tested: {filled.stderr[-300:]}")
    place = next(folder.glob("lib/python*/site-packages"))
    ours = sysconfig.get_paths()["purelib"]
    (place / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    return str(python)


@pytest.mark.timeout(1500)
def test_torch_keeps_the_contract_of_flavors(tmp_path: Path) -> None:
    contract = str(Path(__file__).with_name("test_flavors.py"))
    command = [_python(tmp_path / "torch"), "-m", "pytest", "-q", "-n", "0", "-W", "default"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-k", "torch", contract],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " skipped" not in done.stdout, done.stdout[-2000:]
