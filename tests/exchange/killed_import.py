"""Imports, and is killed in the middle. Run as: killed_import.py SOURCE HOME PARTS."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tidemill.exchange.mlflow.records import SourceFile, SourceModel, SourceRun
from tidemill.exchange.mlflow.sqlite import SqliteSource
from tidemill.home import Home
from tidemill.tracking.records import Metric


class Dying(SqliteSource):
    """Ends the process as a power switch would, when it has given some parts."""

    left = int(sys.argv[3])

    def points(self, run: SourceRun) -> Iterator[list[Metric]]:
        for part in super().points(run):
            yield part
            self._count()

    def files(self, owner: SourceRun | SourceModel) -> Iterator[SourceFile]:
        for file in super().files(owner):
            yield file
            self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


with Home.open(Path(sys.argv[2])) as home:
    home.mlflow_import.run(Dying(Path(sys.argv[1])), actor="user:me")
