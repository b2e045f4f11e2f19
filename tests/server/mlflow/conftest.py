"""A real server process; and programs that other interpreters run, not collected here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

collect_ignore = [
    "client_flow.py",
    "client_frameworks.py",
    "client_models.py",
    "client_torch.py",
    "client_webhooks.py",
]


class Server:
    """`tidemill up` on a home, in a process of its own.

    Args:
        home: The home's folder; it is made where there is none.
        options: What else stands on the command line.
        settings: Variables that it finds beside ours.
    """

    def __init__(self, home: Path, *options: str, **settings: str) -> None:
        command = [sys.executable, "-m", "tidemill", "up", "--home", str(home), *options]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--serve-port", "0", "--workers", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home.parent,
            env={**os.environ, **settings},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = next((part for part in self.process.stdout if "ready" in part), "")
        found = re.search(r"http://[\d.]+:\d+", line)
        assert found is not None, line
        self.address = found[0]
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
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0
        self._end()

    def _end(self) -> None:
        self.process.wait(30)
        self._rest.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    server = Server(tmp_path / "home")
    try:
        yield server.address
    finally:
        server.stop()
