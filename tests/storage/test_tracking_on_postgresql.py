"""The tracking room on a real PostgreSQL: the same answers as on SQLite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.records import DatasetInput, Metric, ModelMetric, Param, Run, Tag
from tidemill.tracking.service import Tracking

ME = "user:me"


class Server(Protocol):
    """A running PostgreSQL."""

    def make(self, name: str) -> str:
        """Make a database and return its URL."""
        ...


@pytest.fixture
def rooms(
    postgres: Server, tmp_path: Path, clock: SimulatedClock, ids: Ids
) -> Iterator[tuple[Tracking, LoggedModels]]:
    db = Database.open(postgres.make("mill_tracking"))
    blobs, journal = LocalBlobs(tmp_path / "blobs"), Journal(db, clock, ids)
    yield (
        Tracking(db, blobs, journal, clock, ids),
        LoggedModels(db, blobs, journal, clock, ids),
    )
    db.close()


def test_runs_and_models_are_logged_and_found(
    rooms: tuple[Tracking, LoggedModels], clock: SimulatedClock
) -> None:
    tracking, models = rooms
    experiment = tracking.experiment("tides").id
    runs: list[Run] = []
    for value, text in ((0.5, "Abc"), (math.nan, "a%c"), (math.inf, "it's"), (None, "")):
        clock.sleep(1)
        run = tracking.start_run(experiment, actor=ME)
        points = [] if value is None else [Metric("x", value, 1), Metric("x", value, 1)]
        tracking.log(run.id, metrics=points, params=[Param("p", text)], tags=[Tag("t", text)])
        runs.append(run)
    names = {run.id: str(number) for number, run in enumerate(runs)}

    def found(filter: str = "", *order: str) -> str:
        return "".join(names[r.id] for r in tracking.search(filter=filter, order_by=order).items)

    assert found() == "3210"
    assert found("metrics.x > 0") == "20"
    assert found("metrics.x != 0.5") == "21"
    assert found("NOT metrics.x > 0 OR params.p = 'Abc'") == "310"
    assert found("params.p LIKE 'a%'") == "1"
    assert found("params.p ILIKE 'A%'") == "10"
    assert found("tags.t IN ('it''s', '') AND end_time IS NULL") == "32"
    assert found("", "metrics.x DESC") == "2013"
    assert found("", "metrics.x") == "0213"
    assert math.isnan(tracking.get(runs[1].id).metrics["x"])

    tracking.link(runs[0].id, datasets=[DatasetInput(name="d", digest="1")])
    assert found("dataset.name = 'd'") == "0"
    model = models.create(experiment, "m", run_id=runs[0].id, params={"C": "1"})
    point = ModelMetric(model.id, Metric("auc", 0.8, 1), dataset_name="d", dataset_digest="1")
    tracking.log(runs[0].id, of_models=[point, point])
    models.log_artifact(model.id, "MLmodel", b"x")
    page = models.search([experiment], "metrics.auc > 0.5", order_by=["metrics.auc DESC"])
    assert [m.id for m in page.items] == [model.id]
    assert len(page.items[0].metrics) == 1
