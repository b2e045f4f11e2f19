"""An owner that runs a pipeline until it is killed: owner.py FOLDER RUN."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import counting

from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.pipelines.service import Pipelines
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.tracking.service import Tracking


def main(folder: Path, run_id: str) -> None:
    clock = SystemClock()
    ids = Ids(clock, random.Random(1))
    db, blobs = Database.open(f"sqlite:///{folder}/tidemill.db"), LocalBlobs(folder / "blobs")
    journal = Journal(db, clock, ids)
    tracking = Tracking(db, blobs, journal, clock, ids)
    room = Pipelines(db, blobs, folder / "blobs", tracking, journal, clock, folder / "runs")
    nodes = counting.held_up.graph(str(folder))
    room.run("held", nodes, run_id=run_id, actor="test", code=Path(counting.__file__).parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
