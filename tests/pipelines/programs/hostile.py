"""What users' functions do to the process that they run in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tidemill as tm


def fine() -> int:
    print("all is well")
    return 42


def raises() -> None:
    raise ValueError("no luck today")


def exits() -> None:
    sys.exit(3)


def exits_at_once() -> None:
    os._exit(7)


def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ignores_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def leaves_its_group() -> None:
    os.setpgid(0, os.getpgid(os.getppid()))
    time.sleep(60)


def leaves_a_process_running() -> int:
    return subprocess.Popen(["sleep", "60"]).pid


def forks() -> int:
    if os.fork() == 0:
        os._exit(0)
    return 1


def prints_a_lot() -> None:
    print("the beginning")
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        print("x" * 10_000)
    print("the end")


def leaves_temporary_files() -> str:
    folder = tempfile.mkdtemp()
    Path(folder, "large").write_bytes(b"x" * 1000)
    return folder


def cannot_be_handed_on() -> object:
    return (i for i in range(3))


def logs() -> None:
    tm.log_metric("loss", 0.25)


def database() -> str | None:
    return os.environ.get("TIDEMILL_DATABASE")
