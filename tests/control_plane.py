"""A real control plane, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from tidemill.storage.lock import read_owner


def environment() -> dict[str, str]:
    """Return the variables of this process without those that set Tidemill's settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL_")}


class ControlPlane:
    """`tidemill up` on a home, started in the folder that the home lies in.

    Args:
        home: The home's folder; it is made where there is none.
        options: What else stands on the command line.
        under: A command that starts it in its turn, as `strace` does.
        settings: Variables that it finds beside ours.
    """

    def __init__(
        self, home: Path, *options: str, under: Sequence[str] = (), **settings: str
    ) -> None:
        command = [sys.executable, "-m", "tidemill", "up", "--json", "--home", str(home), *options]
        self.home = home
        self.process = subprocess.Popen(
            [*under, *command, "--port", "0", "--serve-port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home.parent,
            env=environment() | settings,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        ready = _ready(self.process.stdout)
        self.address, self.serving = ready["address"], ready["serving"]
        self._rest = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._rest.start()

    def kill(self) -> None:
        """End it as a power cut would, with no chance to finish anything."""
        # Its workers would go on answering, as they are meant to.
        everything = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for process in everything:
            with suppress(psutil.NoSuchProcess):  # some end when their owner does
                process.kill()
        self._end()

    def stop(self) -> None:
        """End it as a person does."""
        if self.process.poll() is None:
            owner = read_owner(self.home)
            assert owner is not None
            os.kill(owner.pid, signal.SIGTERM)
            assert self.process.wait(120) == 0
        self._end()

    def _end(self) -> None:
        self.process.wait(30)
        self._rest.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def running(home: Path, *options: str, under: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """Have a control plane meanwhile."""
    server = ControlPlane(home, *options, under=under)
    try:
        yield server
    finally:
        server.stop()


def _ready(said: IO[str]) -> dict[str, str]:
    """Return what it says of itself once it answers."""
    lines: list[str] = []
    for line in said:
        lines.append(line)
        if line.startswith("}"):
            break
    begin = next((n for n, line in enumerate(lines) if line.startswith("{")), None)
    assert begin is not None, "".join(lines)
    found: dict[str, str] = json.loads("".join(lines[begin:]))
    return found
