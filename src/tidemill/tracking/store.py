"""The tracking tables.

A metric's value is kept as text: NaN and the infinities are values like others, which a floating
column of SQLite would turn into NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    ForeignKeyConstraint,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.types import TypeDecorator

from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment
from tidemill.tracking.records import Artifact, Experiment, Metric, Param, Run, Tag


class AnyFloat(TypeDecorator[float]):
    """A float, not-a-number and the infinities included, as its shortest exact text."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> str | None:
        return None if value is None else repr(float(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> float | None:
        return None if value is None else float(value)


experiments = Table(
    "tracking_experiments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(500), nullable=False),
    Column("created", Moment, nullable=False),
    Column("lifecycle", String(10), nullable=False),
    UniqueConstraint("name"),
)
runs = Table(
    "tracking_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("experiment_id", String(32), nullable=False),
    Column("name", String(500), nullable=False),
    Column("status", String(10), nullable=False),
    Column("started", Moment, nullable=False),
    Column("ended", Moment),
    Column("actor", String(200), nullable=False),
    Column("parent", String(32)),
    Column("lifecycle", String(10), nullable=False),
    ForeignKeyConstraint(["experiment_id"], ["tracking_experiments.id"]),
    Index(None, "experiment_id", "started"),
)


def _of_run(name: str, *columns: Column[object]) -> Table:
    return Table(
        name,
        metadata,
        Column("run_id", String(32), primary_key=True),
        *columns,
        ForeignKeyConstraint(["run_id"], ["tracking_runs.id"]),
        sqlite_with_rowid=name != "tracking_metrics",
    )


params = _of_run(
    "tracking_params",
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)
tags = _of_run(
    "tracking_tags",
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)
metrics = _of_run(
    "tracking_metrics",
    Column("key", String(250), primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("timestamp", BigInteger, primary_key=True),
    Column("value", AnyFloat, primary_key=True),
)
latest = _of_run(
    "tracking_latest",
    Column("key", String(250), primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", AnyFloat, nullable=False),
)
artifacts = _of_run(
    "tracking_artifacts",
    Column("path", String(1000), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
)


def add_metrics(connection: Connection, run_id: str, points: Sequence[Metric]) -> None:
    """Keep points, each once, and renew the newest of each key."""
    if not points:
        return
    rows = [
        {
            "run_id": run_id,
            "key": p.key,
            "step": p.step,
            "timestamp": p.timestamp,
            "value": float(p.value),
        }
        for p in points
    ]
    make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    connection.execute(make(metrics).on_conflict_do_nothing(), rows)
    newest: dict[str, Metric] = {}
    for point in points:
        known = newest.get(point.key)
        if known is None or _order(point) >= _order(known):
            newest[point.key] = point
    for key, point in newest.items():
        known_row = connection.execute(
            select(latest.c.step, latest.c.timestamp, latest.c.value).filter_by(
                run_id=run_id, key=key
            )
        ).first()
        if known_row is None or _order(point) >= (known_row[0], known_row[1], known_row[2]):
            connection.execute(delete(latest).filter_by(run_id=run_id, key=key))
            connection.execute(
                insert(latest),
                {
                    "run_id": run_id,
                    "key": key,
                    "step": point.step,
                    "timestamp": point.timestamp,
                    "value": float(point.value),
                },
            )


def set_tags(connection: Connection, run_id: str, entries: Sequence[Tag]) -> None:
    """Set tags, the later of two of one key winning."""
    for key, value in {t.key: t.value for t in entries}.items():
        connection.execute(delete(tags).filter_by(run_id=run_id, key=key))
        connection.execute(insert(tags), {"run_id": run_id, "key": key, "value": value})


def add_params(connection: Connection, run_id: str, entries: Sequence[Param]) -> Param | None:
    """Keep params; return the first that was known with another value, and keep none then."""
    query = select(params.c.key, params.c.value).filter_by(run_id=run_id)
    known: dict[str, str] = {row.key: row.value for row in connection.execute(query)}
    fresh = []
    for entry in entries:
        if known.get(entry.key, entry.value) != entry.value:
            return entry
        if entry.key not in known:
            known[entry.key] = entry.value
            fresh.append({"run_id": run_id, "key": entry.key, "value": entry.value})
    if fresh:
        connection.execute(insert(params), fresh)
    return None


def read_runs(connection: Connection, *where: object, limit: int | None = None) -> list[Run]:
    """Return runs, newest first, with the newest of what was logged."""
    query = select(runs).where(*where).order_by(runs.c.started.desc(), runs.c.id.desc())  # type: ignore[arg-type]
    rows = connection.execute(query.limit(limit)).all()
    ids = [row.id for row in rows]
    logged: dict[str, dict[str, Any]] = {
        name: _by_run(connection, table, ids)
        for name, table in (("metrics", latest), ("params", params), ("tags", tags))
    }
    return [
        Run(**row._mapping, **{name: found.get(row.id, {}) for name, found in logged.items()})
        for row in rows
    ]


def read_experiments(connection: Connection, *where: object) -> list[Experiment]:
    """Return experiments by name."""
    query = select(experiments).where(*where).order_by(experiments.c.name)  # type: ignore[arg-type]
    return [Experiment(**row._mapping) for row in connection.execute(query)]


def read_artifacts(connection: Connection, run_id: str) -> list[Artifact]:
    """Return a run's artifacts by path."""
    query = select(artifacts.c.path, artifacts.c.digest, artifacts.c.size)
    rows = connection.execute(query.filter_by(run_id=run_id).order_by(artifacts.c.path))
    return [Artifact(**row._mapping) for row in rows]


def _order(point: Metric) -> tuple[int, int, float]:
    return point.step, point.timestamp, point.value


def _by_run(
    connection: Connection, table: Table, ids: Sequence[str]
) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for start in range(0, len(ids), 500):
        query = select(table.c.run_id, table.c.key, table.c.value)
        for row in connection.execute(query.where(table.c.run_id.in_(ids[start : start + 500]))):
            found.setdefault(row.run_id, {})[row.key] = row.value
    return found
