"""The monitor is killed at any moment, and has seen every prediction exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.monitoring import store
from tidemill.monitoring.service import Monitor
from tidemill.predictions.reader import read_labels, read_predictions
from tidemill.storage.db.engine import Database

_CHILD = """
import sys
from datetime import timedelta
from pathlib import Path
import numpy as np
from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.monitoring.service import Monitor
from tidemill.storage.db.engine import Database
from tests.monitoring.street import START, Letterbox, rides

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
clock = SimulatedClock(START)
db = Database.open(f"sqlite:///{folder}/tidemill.db")
letters = folder / "predictions"
monitor = Monitor(db, Journal(db, clock, Ids(clock)), clock, letters, lambda m, v: None)
box = Letterbox(letters, Ids(clock))
rows = rides(np.random.default_rng(seed), 3)
for i in range(0, rows.height, 4):
    part = rows[i : i + 4]
    ids = box.answer(part)
    monitor.observe("taxis")
    box.label(ids, part["truth"].to_list(), START + timedelta(seconds=i))
    if i == 0:
        print("ready", flush=True)
"""


@pytest.mark.timeout(120)
def test_a_killed_monitor_has_seen_everything_once(tmp_path: Path, clock: SimulatedClock) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    for seed in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path), str(seed)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"ready\n"
            try:
                child.wait(0.05 + 0.11 * seed)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
    db = Database.open(f"sqlite:///{tmp_path}/tidemill.db")
    try:
        folder = tmp_path / "predictions"
        monitor = Monitor(
            db, Journal(db, clock, Ids(clock)), clock, folder, lambda model, version: None
        )
        monitor.observe("taxis")
        predictions, _ = read_predictions(folder, "taxis")
        labels, _ = read_labels(folder, "taxis")
        known = set(predictions["id"]) & set(labels["prediction_id"])
        with db.read() as connection:
            query = select(func.count(), func.count(store.rows.c.label))
            total, labelled = connection.execute(query).one()
        assert total == predictions.height > 0
        assert labelled == len(known) > 0
    finally:
        db.close()
