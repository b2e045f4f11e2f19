"""A worker of its own for one candidate: the real thing, with limits, and nothing to lose.

It gets a route table with the candidate alone, a folder that is thrown away, and none of our
variables. What it may use is capped by the system, and its memory is looked at: a candidate that
takes too much is ended, and says so.
"""

from __future__ import annotations

import http.client
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.clock import Clock
from tidemill.core.contract import Column
from tidemill.core.errors import TidemillError
from tidemill.models.bundle import open_bundle
from tidemill.models.records import Signature
from tidemill.models.runtime.opening import Surroundings
from tidemill.serving.errors import SandboxFailed
from tidemill.serving.recorded import Recorded
from tidemill.serving.routes import (
    EndpointRoutes,
    RouteTable,
    RouteTarget,
    Runtime,
    write_routes,
)
from tidemill.serving.worker.peers import read_state

NAME = "candidate"
_TICK = 0.01
_ASK_SECONDS = 60.0
_FILE_BYTES = 16 << 30
"""Above the sparse memory that a worker keeps requests in; what is written is far less."""
_OPEN_FILES = 512
_DATATYPES = {"float": "FP64", "int": "INT64", "bool": "BOOL"}
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a sandbox may use.

    Attributes:
        memory_mb: Resident memory of all its processes.
        cpu_seconds: Processor time of each.
        start_seconds: Until it must answer.
    """

    memory_mb: float = 4096.0
    cpu_seconds: int = 600
    start_seconds: float = 120.0


class Reply(msgspec.Struct, frozen=True):
    """What the candidate said to one request.

    Attributes:
        status: The HTTP status.
        values: The labels or numbers, one a row.
        scores: Binary: P(positive); multiclass: a list a row; regression: nothing.
        message: Why it was refused, where it was.
        seconds: How long it took, from the first byte sent to the last one read.
    """

    status: int
    values: list[Any]
    scores: list[Any] | None
    message: str
    seconds: float


class Sandbox:
    """One candidate in a worker process of its own; use it in a `with` block.

    Args:
        bundle: The candidate's unpacked bundle.
        clock: Tells durations.
        surroundings: What a model without a twin is run with; its environment is built before.
        limits: What it may use.

    Raises:
        SandboxFailed: It cannot be loaded, takes too long, or too much.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        clock: Clock,
        surroundings: Surroundings | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.bundle = bundle
        self.signature = _signature(bundle)
        self.startup_seconds = 0.0
        self._clock = clock
        self._limits = limits or Limits()
        self._surroundings = surroundings
        self._columns = {c.name: c for c in self.signature.features}
        self._scratch = tempfile.TemporaryDirectory(
            prefix="tidemill-sandbox-", ignore_cleanup_errors=True
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._http: http.client.HTTPConnection | None = None
        self._peak = 0.0

    def __enter__(self) -> Sandbox:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def memory_mb(self) -> float:
        """The most resident memory that its processes had when it was looked at, in megabytes."""
        self._look()
        return self._peak

    def ask(self, request: Recorded) -> Reply:
        """Ask the candidate.

        Raises:
            SandboxFailed: Its process has ended, hangs, or takes too much memory.
        """
        assert self._http is not None
        missing = [name for name in self._columns if name not in request.columns]
        if missing:
            named = ", ".join(map(repr, missing))
            return Reply(400, [], None, f"What was recorded has no column {named}.", 0.0)
        inputs = [self._tensor(c, request.columns[c.name]) for c in self._columns.values()]
        body = msgspec.json.encode({"inputs": inputs})
        began = self._clock.monotonic()
        try:
            self._http.request(
                "POST", f"/v2/models/{NAME}/infer", body, {"Content-Type": "application/json"}
            )
            answer = self._http.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._look()
            raise self._failed(f"it did not answer a request ({type(error).__name__})") from error
        seconds = self._clock.monotonic() - began
        told = msgspec.json.decode(content)
        if answer.status != 200:
            return Reply(answer.status, [], None, str(told.get("error", "")), seconds)
        return Reply(200, *self._answers(told["outputs"]), "", seconds)

    def close(self) -> None:
        """End it, and throw its folder away."""
        if self._http is not None:
            self._http.close()
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._scratch.cleanup()

    def _start(self) -> None:
        folder = Path(self._scratch.name)
        peers = folder / "peers"
        peers.mkdir()
        target = RouteTarget(model=NAME, version=1, bundle=self.bundle.name)
        how = self._surroundings
        runtime = Runtime()
        if how is not None:
            runtime = Runtime(trust=how.trust, keys=tuple(how.keys), limits=how.limits)
        routes = EndpointRoutes(targets=(target,), log=0.0, runtime=runtime)
        write_routes(folder / "routes.json", RouteTable(generation=1, endpoints={NAME: routes}))
        command = [sys.executable, "-m", "tidemill.serving.worker", "--port", "0"]
        command += ["--routes", str(folder / "routes.json"), "--bundles", str(self.bundle.parent)]
        command += ["--predictions", str(folder / "predictions"), "--peers", str(peers)]
        if how is not None:
            command += ["--environments", str(how.environments)]
        began = self._clock.monotonic()
        with (folder / "worker.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=self._environment(folder),
                start_new_session=True,
            )
        self._cap(self._process.pid)
        while (state := read_state(peers, self._process.pid)) is None:
            self._look()
            if self._process.poll() is not None:
                raise self._failed("its process ended before it answered")
            if self._clock.monotonic() - began > self._limits.start_seconds:
                raise self._failed(f"it took over {self._limits.start_seconds:g} s to start")
            self._clock.sleep(_TICK)
        if state.problems:
            raise SandboxFailed(f"The candidate cannot be loaded: {state.problems[NAME]}")
        self._http = http.client.HTTPConnection("127.0.0.1", state.port, timeout=_ASK_SECONDS)
        self._http.connect()
        self.startup_seconds = self._clock.monotonic() - began

    def _environment(self, folder: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}

    def _cap(self, pid: int) -> None:
        """Cap what the process may use; its children inherit that."""
        for what, most in (
            (resource.RLIMIT_CPU, self._limits.cpu_seconds),
            (resource.RLIMIT_FSIZE, _FILE_BYTES),
            (resource.RLIMIT_NOFILE, _OPEN_FILES),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.prlimit(pid, what)[1]
            capped = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, what, (capped, capped))

    def _look(self) -> None:
        """Look at the memory, and end what takes too much.

        Raises:
            SandboxFailed: It took too much.
        """
        if self._process is None or self._process.poll() is not None:
            return
        self._peak = max(self._peak, _memory(self._process.pid))
        if self._peak > self._limits.memory_mb:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise SandboxFailed(
                f"The candidate took {self._peak:,.0f} MB of memory.",
                expected=f"at most {self._limits.memory_mb:,.0f} MB",
            )

    def _failed(self, how: str) -> SandboxFailed:
        log = Path(self._scratch.name) / "worker.log"
        lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
        last = f" Its last words: {lines[-1][:300]}" if lines else ""
        return SandboxFailed(f"The candidate failed in its sandbox: {how}.{last}")

    def _tensor(self, column: Column, values: list[Any]) -> dict[str, Any]:
        datatype = _DATATYPES.get(column.type, "BYTES")
        if datatype == "INT64" and float in map(type, values):
            # As they were asked: a whole number may be written 3.0, and then all of its column are.
            datatype = "FP64"
        return {"name": column.name, "shape": [len(values)], "datatype": datatype, "data": values}

    def _answers(self, outputs: list[dict[str, Any]]) -> tuple[list[Any], list[Any] | None]:
        found = {o["name"]: o for o in outputs}
        if self.signature.task == "regression":
            return found["prediction"]["data"], None
        width = len(self.signature.classes)
        flat = found["probabilities"]["data"]
        rows = [flat[at : at + width] for at in range(0, len(flat), width)]
        if self.signature.task == "multiclass":
            return found["label"]["data"], rows
        return found["label"]["data"], [row[self.signature.positive_index] for row in rows]


def _signature(bundle: Path) -> Signature:
    try:
        return open_bundle(bundle, verify=False).signature
    except TidemillError as error:
        raise SandboxFailed(f"The candidate cannot be loaded: {error}") from error


def _memory(pid: int) -> float:
    """Return the resident memory of a process and of those that it started, in megabytes."""
    total = 0
    for each in (pid, *_children(pid)):
        try:
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            mine = [int(word) for word in path.read_text().split()]
        except OSError:
            continue
        for child in mine:
            found += [child, *_children(child)]
    return found
