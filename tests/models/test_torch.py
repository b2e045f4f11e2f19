"""The contract of flavors over PyTorch, in an environment of its own.

From an index, torch brings gigabytes for graphics cards, so it is no dependency of this project,
not even for development.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.environments import python_with, torch


@pytest.mark.timeout(1500)
def test_torch_keeps_the_contract_of_flavors() -> None:
    contract = str(Path(__file__).with_name("test_flavors.py"))
    ours = sysconfig.get_paths()["purelib"]
    python = python_with("torch", ("onnxscript", *torch()), of=ours)
    place = next(Path(python).parents[1].glob("lib/python*/site-packages"))
    # All that this interpreter has is behind what that one has.
    (place / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    command = [python, "-m", "pytest", "-q", "-n", "0", "-W", "default"]
    # uv makes environments, and is beside this interpreter alone.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-k", "torch", contract],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"PATH": path},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " skipped" not in done.stdout, done.stdout[-2000:]
