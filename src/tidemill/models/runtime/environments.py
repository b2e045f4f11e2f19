"""Environments of models, each built once from its lock by uv and named by the lock's digest."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.models.errors import EnvironmentNotBuilt
from tidemill.models.runtime.lock import Lock

_BUILD_SECONDS = 1800.0
_TORCH_BUILD = re.compile(r"torch==[^+]+\+(\w+)$")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Environments:
    """A folder of environments.

    An environment appears whole, under its digest, and is never changed; two processes that want
    the same one build it once.

    Args:
        root: The folder; made if it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, lock: Lock) -> Path | None:
        """Return the interpreter of an environment that has been built, or nothing."""
        python = self.root / lock.digest / "bin" / "python"
        return python if python.exists() else None

    def built(self, lock: Lock, *, name: str) -> Path:
        """Return the interpreter of an environment that must have been built before.

        Raises:
            EnvironmentNotBuilt: It has not.
        """
        python = self.find(lock)
        if python is None:
            raise EnvironmentNotBuilt(
                f"The environment of model {name!r} is not in {self.root}.",
                expected=f"the folder {lock.digest[:12]}…, built when the version is deployed",
                hint="Deploy the version again with: tidemill deploy MODEL@VERSION",
            )
        return python

    def build(self, lock: Lock, *, name: str) -> Path:
        """Return an environment's interpreter, and build it first where that is needed.

        What uv has in its cache is used without the network.

        Args:
            lock: What goes in.
            name: The model's, for messages.

        Raises:
            EnvironmentNotBuilt: uv is missing, or something cannot be installed.
        """
        known = self.find(lock)
        if known is not None:
            return known
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone(lock):
            known = self.find(lock)
            if known is not None:
                return known
            draft = Path(tempfile.mkdtemp(prefix=f"{lock.digest[:12]}.", dir=self.root))
            try:
                _fill(draft, lock, name)
                draft.rename(self.root / lock.digest)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return self.built(lock, name=name)

    @contextmanager
    def _alone(self, lock: Lock) -> Iterator[None]:
        descriptor = os.open(self.root / f"{lock.digest}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _fill(folder: Path, lock: Lock, name: str) -> None:
    uv = _uv(name)
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = sys.executable if lock.minor == ours else lock.minor
    made = _run([uv, "venv", "--quiet", "--relocatable", "--python", interpreter, str(folder)])
    if made.returncode != 0:
        raise EnvironmentNotBuilt(
            f"The environment of model {name!r} needs Python {lock.minor}: {_reason(made.stderr)}",
            hint=f"Get it with: uv python install {lock.minor}",
        )
    listed = folder / "requirements.txt"
    listed.write_text("".join(f"{r}\n" for r in lock.requirements))
    # Processes of a model write nothing there: uncompiled, each would compile all that it imports.
    command = [uv, "pip", "install", "--quiet", "--compile-bytecode"]
    command += ["--python", str(folder / "bin" / "python")]
    command += [*(("--no-deps",) if lock.complete else ()), "--requirement", str(listed)]
    # Last, from PyTorch's own index: builds for one kind of processor are nowhere else.
    places: list[tuple[str, ...]] = [("--offline",), ()]
    places += [("--torch-backend", kind) for kind in _torch_builds(lock)]
    said = ""
    for place in places:
        filled = _run([*command, *place])
        if filled.returncode == 0:
            return
        said = said if place and said else filled.stderr
    raise _not_filled(name, lock, said)


def _torch_builds(lock: Lock) -> list[str]:
    """Return the kinds of processor that PyTorch is wanted for, where a lock says one.

    Example:
        >>> _torch_builds(Lock(python="3.11.9", requirements=("numpy==2.4", "torch==2.13.0+cpu")))
        ['cpu']
    """
    found = (_TORCH_BUILD.match(requirement) for requirement in lock.requirements)
    return [match[1] for match in found if match is not None]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_BUILD_SECONDS
    )


def _uv(name: str) -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise EnvironmentNotBuilt(
            f"The model {name!r} has no ONNX twin and needs an environment of its own, and uv, "
            "which builds it, is not installed.",
            hint="Install it with: pip install uv",
        )
    return found


def _not_filled(name: str, lock: Lock, said: str) -> EnvironmentNotBuilt:
    """Say which requirement it was, and what uv said of it."""
    culprit = next((r for r in lock.requirements if _is_named(r, said)), None)
    return EnvironmentNotBuilt(
        f"The environment of model {name!r} cannot be built"
        + (f": {culprit!r} cannot be installed. " if culprit else ". ")
        + _reason(said),
        expected=f"{len(lock.requirements)} packages from an index, or from uv's cache",
        hint=f"See why with: uv pip install --no-deps '{culprit}'" if culprit else "",
    )


def _is_named(requirement: str, said: str) -> bool:
    match = _NAME.match(requirement)
    name = "" if match is None else match[0]
    return bool(name) and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said) is not None


def _reason(said: str) -> str:
    lines = [" ".join(line.split()).strip("×╰─▶ ") for line in said.strip().splitlines()]
    return "uv said: " + " ".join(line for line in lines if line)[:500]
