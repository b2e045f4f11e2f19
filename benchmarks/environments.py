"""Environments of their own for peers, which need other versions of what Tidemill needs.

Each is made once and kept in the user's cache. Its modules are compiled when it is made, so that
nobody's start is timed with compiling in it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_MAKING_SECONDS = 1200.0


class NotInstalled(RuntimeError):
    """The packages of a peer cannot be installed here."""


def programs_of(packages: Sequence[str], python: str = "3.11") -> Path:
    """Return the folder of the programs of an environment that has packages.

    Args:
        packages: What is wanted, as pip takes it.
        python: Which Python.

    Raises:
        NotInstalled: They cannot be installed, or it takes too long.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    said = repr((python, tuple(packages))).encode()
    name = f"{Path(packages[0]).name}-{hashlib.blake2b(said, digest_size=6).hexdigest()}"
    folder = cache / "tidemill-bench" / name
    if not (folder / "done").exists():
        _make(folder, packages, python)
        (folder / "done").touch()
    return folder / "bin"


def python_with(packages: Sequence[str], python: str = "3.11") -> list[str]:
    """Return the command that runs Python with packages of its own.

    Args:
        packages: What is wanted, as pip takes it.
        python: Which Python.
    """
    return [str(programs_of(packages, python) / "python")]


def _make(folder: Path, packages: Sequence[str], python: str) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--clear", "--python", python, str(folder)], check=True)
    fill = [uv, "pip", "install", "-q", "--compile-bytecode"]
    command = [*fill, "--python", str(folder / "bin" / "python"), *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_MAKING_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"cannot be installed within {_MAKING_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise NotInstalled("cannot be installed") from error
