"""Metrics that were kept as text are numbers after the upgrade, each what it was."""

from __future__ import annotations

import math
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.storage.db.migration import VERSIONS
from tidemill.tracking.blocks import SIZE
from tidemill.tracking.records import Metric
from tidemill.tracking.service import Tracking

RUN = "013c930d7c0070008000000000000000"


def _old_home(path: Path) -> None:
    """Make a database as the first version of this room left it."""
    scripts = ScriptDirectory(str(VERSIONS.parent), version_locations=[str(VERSIONS)])
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"fn": lambda rev, _: scripts._upgrade_revs("tracking_0001", rev)},
        )
        with Operations.context(context):
            context.run_migrations()
        connection.execute(
            text("INSERT INTO tracking_experiments VALUES ('e', 'tides', 5, 'active')")
        )
        connection.execute(
            text(
                "INSERT INTO tracking_runs VALUES "
                f"('{RUN}', 'e', 'r', 'RUNNING', 5, NULL, 'user:me', NULL, 'active')"
            )
        )
        for table in ("tracking_metrics", "tracking_latest"):
            for key, value in (("a", "0.1"), ("b", "nan"), ("c", "inf"), ("d", "-inf")):
                connection.execute(
                    text(f"INSERT INTO {table} VALUES ('{RUN}', '{key}', 1, 2, '{value}')")
                )
    engine.dispose()


def test_an_old_home_is_upgraded_without_loss(tmp_path: Path, clock: SimulatedClock) -> None:
    _old_home(tmp_path / "tidemill.db")
    db = Database.open(f"sqlite:///{tmp_path}/tidemill.db")
    ids = Ids(clock)
    blobs = LocalBlobs(tmp_path / "blobs")
    tracking = Tracking(db, blobs, Journal(db, clock, ids), clock, ids)
    run = tracking.get(RUN)
    assert math.isnan(run.metrics.pop("b"))
    assert run.metrics == {"a": 0.1, "c": math.inf, "d": -math.inf}
    assert tracking.history(RUN, "a") == [Metric("a", 0.1, 2, 1)]
    assert tracking.experiment("tides").updated == tracking.experiment("tides").created
    db.close()


def test_what_was_deleted_before_is_dated(tmp_path: Path, clock: SimulatedClock) -> None:
    """From the journal, from the experiment that took the run along, or else from its beginning."""
    url = f"sqlite:///{tmp_path}/tidemill.db"
    db = Database.open(url)
    journal = Journal(db, clock, Ids(clock))
    tracking = Tracking(db, LocalBlobs(tmp_path / "blobs"), journal, clock, Ids(clock))
    kept, lost = tracking.experiment("kept").id, tracking.experiment("lost").id
    places = (kept, lost, kept, kept)
    alone, along, unknown, live = (tracking.start_run(e, actor="user:me").id for e in places)
    clock.sleep(100)
    tracking.delete_run(alone, actor="user:me")
    clock.sleep(100)
    tracking.delete_experiment(lost, actor="user:me")
    db.write(
        lambda c: c.execute(
            text("UPDATE tracking_runs SET lifecycle = 'deleted' WHERE id = :id"), {"id": unknown}
        ).close()
    )
    before = {r.id: r.deleted for r in tracking.search(view="all").items}
    db.close()
    _undo_0005(tmp_path / "tidemill.db")
    again = Database.open(url)
    tracking = Tracking(again, LocalBlobs(tmp_path / "blobs"), journal, clock, Ids(clock))
    after = {r.id: r.deleted for r in tracking.search(view="all").items}
    started = tracking.get(unknown).started
    assert after == before | {unknown: started}
    assert (after[live], after[along]) == (None, tracking.get_experiment(lost).deleted)
    again.close()


def test_an_old_metric_gets_its_blocks_as_more_is_logged(
    tmp_path: Path, clock: SimulatedClock
) -> None:
    url = f"sqlite:///{tmp_path}/tidemill.db"
    db = Database.open(url)
    journal = Journal(db, clock, Ids(clock))
    tracking = Tracking(db, LocalBlobs(tmp_path / "blobs"), journal, clock, Ids(clock))
    run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
    tracking.log(run, metrics=[Metric("m", math.sin(s), 5, s) for s in range(10_000)])
    tracking.log(run, metrics=[Metric("few", 0.5, 5, 0)])
    before = tracking.sample(run, "m", most=100)
    db.close()
    _undo_0006(tmp_path / "tidemill.db")
    again = Database.open(url)
    tracking = Tracking(again, LocalBlobs(tmp_path / "blobs"), journal, clock, Ids(clock))
    assert tracking.sample(run, "m", most=100) == before
    more = [Metric("m", math.sin(s), 5, s) for s in range(10_000, 20_000)]
    for first in range(0, len(more), 1000):
        tracking.log(run, metrics=more[first : first + 1000])
    with again.read() as connection:
        (blocks,) = connection.execute(text("SELECT COUNT(*) FROM tracking_blocks")).one()
    assert 50 < blocks < 20_000 / SIZE
    assert tracking.sample(run, "m", most=100, first=0, last=9_999) == before
    again.close()


def _undo_0006(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        before = "ix_tracking_runs_experiment_id_started"
        connection.execute(text(f"DROP INDEX {before}_id"))
        connection.execute(text(f"CREATE INDEX {before} ON tracking_runs (experiment_id, started)"))
        connection.execute(text("DROP TABLE tracking_blocks"))
        for column in ("loose", "loose_from"):
            connection.execute(text(f"ALTER TABLE tracking_newest DROP COLUMN {column}"))
        connection.execute(
            text(
                "UPDATE alembic_version SET version_num = 'tracking_0005' "
                "WHERE version_num = 'tracking_0007'"
            )
        )
    engine.dispose()


def _undo_0005(path: Path) -> None:
    _undo_0006(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for table in ("tracking_experiments", "tracking_runs", "tracking_models"):
            connection.execute(text(f"DROP INDEX ix_{table}_deleted"))
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN deleted"))
        connection.execute(
            text(
                "UPDATE alembic_version SET version_num = 'tracking_0004' "
                "WHERE version_num = 'tracking_0005'"
            )
        )
    engine.dispose()
