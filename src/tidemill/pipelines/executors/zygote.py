"""A warm process that forks a child for every job: a step costs milliseconds, not an interpreter.

It imports what steps usually need and nothing runs in it, so that it has one thread when it forks.
Each line on its input is a job's folder; on its output it says `started PID FOLDER` and
`ended PID STATUS`. When its input ends, because the owner is gone, it ends its children and itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import select
import signal
import sys
from pathlib import Path

PRELOAD = (
    "numpy",
    "polars",
    "sklearn.ensemble",
    "sklearn.pipeline",
    "sklearn.compose",
    "sklearn.preprocessing",
    "onnxruntime",
    "skl2onnx",
    "skops.io",
    "cloudpickle",
    "scipy.stats",
    "tidemill.pipelines.executors.child",
    "tidemill.pipelines.training",
    "tidemill.models.packing",
)
_TICK = 0.003
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve jobs until the input ends."""
    for name in PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    children: set[int] = set()
    buffer = b""
    _say("ready")
    while True:
        readable, _, _ = select.select([0], [], [], _TICK if children else None)
        if readable:
            chunk = os.read(0, 65536)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                folder = line.decode()
                pid = _fork(Path(folder))
                children.add(pid)
                _say(f"started {pid} {folder}")
        _reap(children)
    for pid in children:
        _kill_group(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork(folder: Path) -> int:
    pid = os.fork()
    if pid:
        # The child does the same: whoever is first, the group exists before anybody needs it.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        from tidemill.pipelines.executors.child import run_job

        run_job(folder)
        status = 0
    finally:
        os._exit(status)


def _reap(children: set[int]) -> None:
    while children:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        # What the step left running ends with it. Until it is waited for, its number is its own.
        _kill_group(ended.si_pid)
        pid, status = os.waitpid(ended.si_pid, 0)
        children.discard(pid)
        _say(f"ended {pid} {os.waitstatus_to_exitcode(status)}")


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    sys.argv = ["tidemill-zygote"]
    main()
    os._exit(0)  # taking apart all that was imported takes longer than many a step
