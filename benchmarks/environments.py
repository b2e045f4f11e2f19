"""Environments of their own for peers, which need other versions of what Tidemill needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def python_with(packages: Sequence[str], python: str = "3.11") -> list[str]:
    """Return the command that runs Python with packages of its own; uv makes it at the first use.

    Args:
        packages: What is wanted, as pip takes it.
        python: Which Python.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    wanted = [part for package in packages for part in ("--with", package)]
    return [uv, "run", "--no-project", "--isolated", "--python", python, *wanted, "python"]
