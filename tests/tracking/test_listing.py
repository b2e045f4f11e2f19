"""A listing reads the runs that it shows: however many began at one moment, none is sorted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event, text

from tidemill.core.clock import SimulatedClock
from tidemill.storage.db.engine import Database
from tidemill.tracking.service import Tracking


def test_runs_of_one_moment_are_listed_without_a_sort(
    tracking: Tracking, db: Database, clock: SimulatedClock
) -> None:
    experiment = tracking.experiment("e").id
    began = clock.now()
    runs = [tracking.start_run(experiment, actor="user:me", started=began) for _ in range(20)]
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, query: str, values: Any, _context: Any, _many: bool) -> None:
        asked.append((query, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        found = tracking.search([experiment], limit=5).items
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert [run.id for run in found] == sorted(run.id for run in runs)[:5]
    query, values = next(entry for entry in asked if "FROM tracking_runs" in entry[0])
    assert "ORDER BY" in query
    with db.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).all()
        indexes = connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'index'"))
        assert "ix_tracking_runs_experiment_id_started_id" in set(indexes)
    assert "ix_tracking_runs_experiment_id_started_id" in str(plan)
    assert "TEMP B-TREE" not in str(plan)
