"""The contract of flavors over PyTorch, in an environment of its own.

From an index, torch brings gigabytes for graphics cards, so it is no dependency of this project,
not even for development.
"""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest
from tests.environments import python_with, torch

BESIDE = """
import site, sys
site.addsitedir(sys.argv.pop(1))
import pytest
sys.exit(pytest.main())
"""


@pytest.mark.timeout(1500)
def test_torch_keeps_the_contract_of_flavors() -> None:
    contract = str(Path(__file__).with_name("test_flavors.py"))
    python = python_with("torch", ("onnxscript", *torch()))
    # All that this interpreter has is behind what that one has.
    ours = sysconfig.get_paths()["purelib"]
    command = [python, "-c", BESIDE, ours, "-q", "-n", "0", "-W", "default"]
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
