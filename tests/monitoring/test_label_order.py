"""The monitor joins labels as the log does, in whatever order and portions it takes them in."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tidemill.core.clock import SimulatedClock, micros
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.monitoring import store
from tidemill.monitoring.service import Monitor
from tidemill.predictions.reading import scan
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder
from tidemill.storage.db.engine import Database

from .street import START

KEYS = ("a", "a", "b", "b", None)
letters = st.one_of(
    st.tuples(st.just("answer"), st.integers(0, 4)),
    st.tuples(
        st.sampled_from(["id", "key"]), st.integers(0, 4), st.integers(0, 9), st.integers(0, 99)
    ),
)


@settings(max_examples=10, deadline=None)
@given(sent=st.lists(letters, max_size=14), data=st.data())
def test_any_order_and_portions_give_the_join_of_the_log(
    migrated: Path, sent: list[Any], data: st.DataObject
) -> None:
    # One letter a microsecond: what arrives at the same time from two sides has no order.
    told = {letter[3]: letter for letter in sent if letter[0] != "answer"}
    answers = [letter for letter in dict.fromkeys(sent) if letter[0] == "answer"]
    post = data.draw(st.permutations([*answers, *told.values()]))
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), SimulatedClock(START)
        shutil.copyfile(migrated, folder / "tidemill.db")
        db = Database.open(f"sqlite:///{folder}/tidemill.db")
        ids = Ids(clock, random.Random(0))
        monitor = Monitor(db, Journal(db, clock, ids), clock, folder, lambda m, v: None)
        boxes = [
            RecordWriter(make(folder, "e"), ids) for make in (predictions_folder, labels_folder)
        ]
        for letter in post:
            _put(boxes, letter)
            if data.draw(st.booleans()):
                monitor.observe("e")
        for box in boxes:
            box.close()
        monitor.observe("e")
        with db.read() as connection:
            kept = connection.execute(select(store.rows.c.id, store.rows.c.label)).all()
        db.close()
        mine = {i: None if label is None else msgspec.msgpack.decode(label) for i, label in kept}
        if mine:
            theirs = scan(folder, "e", labels=True).select("id", "label").collect()
            assert mine == dict(theirs.iter_rows())


def _put(boxes: list[RecordWriter], letter: Any) -> None:
    number = letter[1]
    if letter[0] == "answer":
        made = [f"{number:032x}"]
        key = KEYS[number]
        boxes[0].append(
            PredictionRecord(
                micros(START), "m", 1, "champion", "r", 1, "ok", made, [key], {"x": [1]}, [1], None
            )
        )
        boxes[0].flush()
        return
    by, _, label, arrived = letter
    row = (
        LabelRow(label, prediction_id=f"{number:032x}")
        if by == "id"
        else LabelRow(label, key=KEYS[number] or "none")
    )
    boxes[1].append(LabelRecord(micros(START) + arrived, [row]))
    boxes[1].flush()
