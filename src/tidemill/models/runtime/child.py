"""One process that has loaded one model: started, asked, watched and ended from here.

Blocking: whoever asks waits. The process gets none of this one's environment variables, and ends
when this one does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.errors import ChildEnded, ModelNotLoaded, ModelRaised, TooSlow
from tidemill.models.inputs import MISSING_TEXT
from tidemill.models.records import Label, Manifest
from tidemill.models.runtime import runner
from tidemill.models.runtime.limits import Limits

logger = logging.getLogger(__name__)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
_END_SECONDS = 5.0


class Child:
    """A process with the model of a bundle.

    Args:
        python: The interpreter of the model's environment.
        folder: The bundle.
        manifest: Its manifest, whose files have been checked.
        limits: What it may use.

    Raises:
        ModelNotLoaded: The model cannot be loaded there, or not in time.
    """

    def __init__(self, python: Path, folder: Path, manifest: Manifest, limits: Limits) -> None:
        self._name = manifest.name
        self._limits = limits
        self._scratch = Path(tempfile.mkdtemp(prefix="tidemill-model-"))
        self._connection, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        code = str(files("tidemill.models.runtime").joinpath("runner.py"))
        descriptors = (theirs.fileno(), lifeline)
        try:
            self._process = subprocess.Popen(
                [str(python), "-I", "-B", code, *map(str, descriptors), str(limits.memory)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                cwd=self._scratch,
                env=_variables(python, self._scratch, limits),
                start_new_session=True,
            )
        except OSError as error:
            self._let_go()
            raise ModelNotLoaded(
                f"The environment of model {manifest.name!r} cannot be started: {error}."
            ) from error
        finally:
            theirs.close()
            os.close(lifeline)
        self._load(folder, manifest)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def memory(self) -> int:
        """How many bytes it has in memory; 0 when it has ended."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def answer(self, matrices: list[NDArray[Any]], rows: int) -> NDArray[np.float64]:
        """Ask the model.

        Args:
            matrices: The rows as an encoder made them: numbers, then strings.
            rows: How many.

        Raises:
            ModelRaised: It raised, or answered with something else than agreed.
            TooSlow: It did not answer in time, and is no more.
            ChildEnded: It ended, or has no memory left.
        """
        numbers, texts = _parted(matrices)
        said, body = self._ask(
            {"rows": rows, "texts": texts}, numbers, self._limits.call_seconds, "answer"
        )
        if said.get("error") == "MemoryError":  # it may have leaked: a fresh one may well answer
            self.kill()
            raise ChildEnded(
                f"The process of {self._name!r} had no memory left, of "
                f"{self._limits.memory >> 20:,} MiB."
            )
        if "error" in said:
            raise ModelRaised(
                f"The model {self._name!r} raised {said['error']}: {said.get('message', '')}"
            )
        return np.frombuffer(body, dtype=np.float64).reshape(said["shape"])

    def shoot(self) -> None:
        """End the process at once; whoever asks it finds out."""
        self._process.send_signal(signal.SIGKILL)

    def kill(self) -> None:
        """End the process at once, and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._let_go()

    def close(self) -> None:
        """Let the process end by itself, or else end it."""
        self._connection.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("the process %s of %s did not end by itself", self.pid, self._name)
        self.kill()

    def _load(self, folder: Path, manifest: Manifest) -> None:
        head = told_of(folder, manifest, self._limits)
        try:
            said, _ = self._ask(head, memoryview(b""), self._limits.start_seconds, "load")
            self.classes: tuple[Label, ...] | None = _classes(said)
        except (ChildEnded, TooSlow) as error:
            self.kill()
            raise ModelNotLoaded(
                f"The model {manifest.name!r} cannot be loaded: {error.what}",
                hint="What its process printed is in the log of the workers, or above.",
            ) from error
        if "error" in said:
            self.kill()
            raise ModelNotLoaded(
                f"The model {manifest.name!r} cannot be loaded: "
                f"{said['error']}: {said.get('message', '')}",
                expected="every library that it needs in its environment",
            )

    def _ask(
        self, head: Mapping[str, Any], body: memoryview, seconds: float, verb: str
    ) -> tuple[dict[str, Any], bytearray]:
        self._connection.settimeout(seconds)
        try:
            runner.send(self._connection, dict(head), body)
            return runner.receive(self._connection)
        except TimeoutError as error:
            self.kill()
            raise TooSlow(
                f"The process of {self._name!r} did not {verb} within {seconds:g} s, and was ended."
            ) from error
        except (OSError, runner.Closed, ValueError) as error:
            how = self._ended()
            raise ChildEnded(f"The process of {self._name!r} {how}.") from error

    def _ended(self) -> str:
        """Say how the process ended, once it has."""
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        self.kill()
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was ended by {signal.Signals(-code).name}"

    def _let_go(self) -> None:
        self._connection.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        shutil.rmtree(self._scratch, ignore_errors=True)


def _classes(said: dict[str, Any]) -> tuple[Label, ...] | None:
    found = said.get("classes")
    return None if found is None else tuple(found)


def told_of(folder: Path, manifest: Manifest, limits: Limits) -> dict[str, Any]:
    """Return what a process is told of the model that it is to load."""
    from tidemill.models.flavors.sklearn import TRUSTED

    signature = manifest.signature
    adopted = folder / "adopted.json"
    return {
        "adopted": json.loads(adopted.read_bytes()) if manifest.saved_as == "mlflow" else None,
        "folder": str(folder.absolute()),
        "flavor": manifest.flavor,
        "file": manifest.original,
        "form": manifest.saved_as,
        "task": signature.task,
        "classes": len(signature.classes),
        "features": [(c.name, c.type) for c in signature.features],
        "trusted": sorted(TRUSTED),
        "cpu_seconds": limits.cpu_seconds,
    }


def _variables(python: Path, scratch: Path, limits: Limits) -> dict[str, str]:
    """Return all that the process finds in its environment: nothing of this one's."""
    return {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        **dict.fromkeys(_THREADS, str(limits.threads)),
    }


def _parted(matrices: list[NDArray[Any]]) -> tuple[memoryview, list[list[str | None]]]:
    """Return the numbers column by column as bytes, and the strings by column."""
    numbers, texts = memoryview(b""), list[list[str | None]]()
    for matrix in matrices:
        if matrix.dtype == np.float64:
            numbers = np.ascontiguousarray(matrix.T).data.cast("B")
        else:
            texts = [[None if t == MISSING_TEXT else t for t in c] for c in matrix.T.tolist()]
    return numbers, texts
