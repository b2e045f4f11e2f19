"""The pipelines' tables."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from tidemill.pipelines.records import PipelineRun, StepRun, Stored
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record

runs = Table(
    "pipelines_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("pipeline", String(250), nullable=False),
    Column("status", String(12), nullable=False),
    Column("started", Moment, nullable=False),
    Column("ended", Moment),
    Column("actor", String(200), nullable=False),
    Column("error", Text),
    Column("arguments", Record(msgspec.Raw), nullable=False),
    Index(None, "status"),
)
steps = Table(
    "pipelines_steps",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("name", String(250), nullable=False),
    Column("status", String(12), nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("key", String(64)),
    Column("value", Record(Stored)),
    Column("error", Text),
    ForeignKeyConstraint(["run_id"], ["pipelines_runs.id"]),
)
values = Table(
    "pipelines_values",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Record(Stored), nullable=False),
    Column("created", Moment, nullable=False),
)


def read_runs(
    connection: Connection, *where: object, limit: int | None = None
) -> list[PipelineRun]:
    """Return runs with their steps, newest first."""
    query = select(runs).where(*where).order_by(runs.c.started.desc(), runs.c.id.desc())  # type: ignore[arg-type]
    return [
        PipelineRun(**row._mapping, steps=tuple(read_steps(connection, row.id)))
        for row in connection.execute(query.limit(limit))
    ]


def read_steps(connection: Connection, run_id: str) -> list[StepRun]:
    """Return a run's steps in order."""
    wanted = [c for c in steps.c if c.name != "run_id"]
    query = select(*wanted).where(steps.c.run_id == run_id).order_by(steps.c.place)
    return [StepRun(**row._mapping) for row in connection.execute(query)]


def set_run(connection: Connection, run: PipelineRun) -> None:
    """Write how a run stands."""
    row = {c.name: getattr(run, c.name) for c in runs.c}
    if connection.execute(select(runs.c.id).where(runs.c.id == run.id)).first() is None:
        connection.execute(insert(runs), row)
    else:
        connection.execute(update(runs).where(runs.c.id == run.id), row)


def set_step(connection: Connection, run_id: str, step: StepRun) -> None:
    """Write how a step stands."""
    connection.execute(delete(steps).filter_by(run_id=run_id, place=step.place))
    connection.execute(insert(steps), {"run_id": run_id} | msgspec.structs.asdict(step))


def known_value(connection: Connection, key: str) -> Stored | None:
    """Return the value that was computed from the same inputs before."""
    return connection.scalar(select(values.c.value).where(values.c.key == key))


def keep_value(connection: Connection, key: str, value: Stored, now: datetime) -> None:
    """Keep a value for the next run with the same inputs."""
    if known_value(connection, key) is None:
        connection.execute(insert(values), {"key": key, "value": value, "created": now})
