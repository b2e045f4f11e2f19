"""Collects, and is killed at a write. Run as: killed_collection.py HOME WRITES."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from tidemill.home import Home

writes = itertools.count(1)


def die() -> None:
    if next(writes) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)


with Home.open(Path(sys.argv[1])) as home:
    home.db.watch(die)
    home.upkeep.collect(older_than=timedelta(days=30), actor="user:me")
