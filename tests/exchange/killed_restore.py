"""Takes an export in, and is killed at a file. Run as: killed_restore.py EXPORT HOME FILES."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tidemill.home import Home


def die(done: int, _total: int) -> None:
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)


with Home.open(Path(sys.argv[2])) as home:
    home.restorer.read(Path(sys.argv[1]), on_progress=die)
