"""How versions that share traffic fared, by requests and by keys; and shadows beside champions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidemill.core.clock import SimulatedClock, micros
from tidemill.core.ids import Ids
from tidemill.core.tasks import Task
from tidemill.journal.service import Journal
from tidemill.monitoring.arms import Arms
from tidemill.monitoring.mirrors import Mirrors
from tidemill.monitoring.reference import Reference
from tidemill.monitoring.service import Monitor
from tidemill.monitoring.tally import Arm, Cut, Plan
from tidemill.predictions.identity import ids_of, request_number
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder
from tidemill.storage.db.engine import Database

from .street import SIGNATURES, START, reference_of, rides

LIVE = START + timedelta(days=30)
EDGES_MS = (0.25, 0.5, 1.0)


class Street:
    """An endpoint that answers requests of many rows."""

    def __init__(self, db: Database, journal: Journal, clock: SimulatedClock, folder: Path) -> None:
        self.task: Task = "binary"
        self.reference: Reference | None = None
        self.arms = Arms(db, lambda *_: SIGNATURES[self.task], lambda *_: self.reference)
        self.mirrors = Mirrors(db, lambda *_: SIGNATURES[self.task])
        self._monitor = Monitor(db, journal, clock, folder, lambda *_: None)
        self._rng = random.Random(0)
        self._predictions = RecordWriter(predictions_folder(folder, "taxis"), Ids(clock))
        self._labels = RecordWriter(labels_folder(folder, "taxis"), Ids(clock))

    def number(self, key: str | None = None) -> int:
        return request_number(self._rng, key)

    def answer(
        self,
        scores: list[Any],
        *,
        version: int = 1,
        number: int | None = None,
        at: datetime = LIVE,
        **fields: Any,
    ) -> list[str]:
        """Write one request; return the predictions' ids."""
        number = self.number() if number is None else number
        ids = ids_of(micros(at), version, number, len(scores)).split(",")
        binary = self.task == "binary"
        record = PredictionRecord(
            time=micros(at),
            model="taxi",
            version=version,
            role=fields.get("role", "champion"),
            request_id="",
            latency_us=fields.get("latency_us", 300),
            status=fields.get("status", "ok"),
            ids=ids,
            keys=None,
            features={"rain": [0.0] * len(ids)},
            predictions=[s > 0.5 for s in scores] if binary else scores,
            scores=scores if binary else None,
        )
        self._predictions.append(record)
        return ids

    def label(self, ids: list[str], truth: list[Any]) -> None:
        rows = [LabelRow(label=t, prediction_id=i) for i, t in zip(ids, truth, strict=True)]
        self._labels.append(LabelRecord(arrived=micros(LIVE), rows=rows))

    def seen(self) -> None:
        self._predictions.flush()
        self._labels.flush()
        self._monitor.observe("taxis")

    def arm(
        self,
        version: int,
        *,
        steps: Sequence[datetime] = (LIVE,),
        metric: str | None = None,
        cuts: Sequence[Cut] = (),
    ) -> Arm:
        plan = Plan(edges_ms=EDGES_MS, cuts=tuple(cuts), metric=metric)
        return self.arms.read(f"r/{version}", "taxis", "taxi", version, plan=plan, steps=steps)

    def close(self) -> None:
        self._predictions.close()
        self._labels.close()


@pytest.fixture
def street(
    db: Database, journal: Journal, clock: SimulatedClock, tmp_path: Path
) -> Iterator[Street]:
    made = Street(db, journal, clock, tmp_path / "predictions")
    yield made
    made.close()


def test_a_request_is_one_unit_however_many_rows_it_has(street: Street) -> None:
    for rows in (1, 40, 3):
        street.label(street.answer([0.9] * rows), [True] * rows)
    street.answer([0.1] * 7, version=2, role="canary", status="error", latency_us=900)
    street.seen()
    first, second = street.arm(1), street.arm(2)
    assert (first.losses.count, first.losses.rows) == (3, 44)
    assert first.losses.squares == 1 + 40**2 + 3**2
    assert first.losses.mean == pytest.approx(-np.log(0.9))
    assert [r.latencies for r in first.requests] == [(0, 3, 0, 0)]
    assert [(r.latencies, r.errors) for r in second.requests] == [((0, 0, 1, 0), 1)]
    assert second.losses.count == 0


def test_requests_that_name_a_key_are_one_unit_by_key(street: Street) -> None:
    for key in ("ann", "bob", "ann", "ann"):
        street.label(street.answer([0.8, 0.8], number=street.number(key)), [True, False])
    street.seen()
    arm = street.arm(1)
    assert (arm.losses.count, arm.losses.squares) == (2, 2**2 + 6**2)
    assert arm.requests[0].count == 4


def test_requests_are_counted_by_step_and_shadows_are_not(street: Street) -> None:
    steps = [LIVE, LIVE + timedelta(hours=1)]
    street.answer([0.5], at=LIVE - timedelta(minutes=1))
    for minute in (1, 2, 61):
        street.answer([0.5], at=LIVE + timedelta(minutes=minute))
    street.answer([0.5], role="shadow")
    street.seen()
    assert [r.count for r in street.arm(1, steps=steps).requests] == [2, 1]


@pytest.mark.parametrize(
    ("metric", "loss"), [("accuracy", 0.5), ("brier", (0.01 + 0.81) / 2), (None, 1.2040)]
)
def test_the_loss_is_that_of_the_metric(street: Street, metric: str | None, loss: float) -> None:
    street.label(street.answer([0.9, 0.9]), [True, False])
    street.seen()
    assert street.arm(1, metric=metric).losses.mean == pytest.approx(loss, abs=1e-3)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_answers_are_cut_by_what_was_usual_before(street: Street, task: Task) -> None:
    street.task = task
    street.reference = reference_of(rides(np.random.default_rng(0), 30, task=task), task)
    cuts = street.arms.cuts("taxis", "taxi", 1, before=LIVE)
    if task == "multiclass":
        assert [c.label for c in cuts] == list(SIGNATURES[task].classes)
        return
    assert 5 <= len(cuts) <= 9
    name = "score" if task == "binary" else "prediction"
    usual = street.reference.holdout[name].to_numpy()
    assert (usual > cuts[len(cuts) // 2].above).mean() == pytest.approx(0.5, abs=0.15)
    street.answer([float(usual.max()) + 1, float(usual.min()) - 1])
    street.seen()
    shares = street.arm(1, cuts=cuts).shares
    assert [s.total for s in shares] == [1] * len(cuts)


def test_without_a_reference_probabilities_are_cut_evenly_and_numbers_by_the_past(
    street: Street,
) -> None:
    assert len(street.arms.cuts("taxis", "taxi", 1, before=LIVE)) == 9
    street.task = "regression"
    assert street.arms.cuts("taxis", "taxi", 1, before=LIVE) == []
    street.answer([float(n) for n in range(300)], at=LIVE - timedelta(days=1))
    street.seen()
    assert len(street.arms.cuts("taxis", "taxi", 1, before=LIVE)) == 9


def test_the_usual_latency_is_told_from_before(street: Street) -> None:
    assert street.arms.usual_latency("taxis", 1, before=LIVE) is None
    for number in range(300):
        moment = LIVE - timedelta(minutes=number + 1)
        street.answer([0.5], at=moment, latency_us=50_000 if number < 4 else 1_000)
    street.answer([0.5], latency_us=9_000_000)
    street.seen()
    usual = street.arms.usual_latency("taxis", 1, before=LIVE)
    assert usual is not None
    assert 1 < usual <= 50


def test_a_shadow_is_compared_row_by_row_with_what_was_answered(street: Street) -> None:
    for number in range(40):
        request = street.number()
        said = street.answer([0.6, 0.2, 0.7], number=request)
        scores = [0.6, 0.3, 0.1 if number == 7 else 0.7]
        street.answer(scores, version=2, number=request, role="shadow", latency_us=900)
        street.label(said, [True, False, True])
    street.answer([0.6], number=street.number())
    street.answer([0.5], version=2, role="shadow", status="error")
    street.answer([0.5], version=2, role="shadow")  # its champion's was not logged
    street.seen()
    found = street.mirrors.compare("taxis", "taxi", 2, since=LIVE)
    assert found is not None
    assert (found.rows, found.requests, found.failed) == (120, 40, 1)
    assert found.agreed.totals.sum() == 119
    assert found.differences.totals.sum() == pytest.approx(40 * 0.1 - 0.6)
    assert found.largest == pytest.approx(0.6)
    assert (found.p99_ms, found.champion_p99_ms) == (0.9, 0.3)
    assert found.losses is not None
    assert found.losses.sizes.sum() == 120
    assert found.losses.totals.sum() > 0
    assert (found.examples[0].said, found.examples[0].mirrored_said) == ("True", "False")
    assert found.examples[0].prediction != found.examples[0].mirrored
    assert street.mirrors.compare("taxis", "taxi", 3, since=LIVE) is None
