"""The tables of logged models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    ForeignKeyConstraint,
    Index,
    String,
    Table,
    Text,
    select,
    tuple_,
)

from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment
from tidemill.tracking import store
from tidemill.tracking.errors import LoggedModelNotFound
from tidemill.tracking.records import Artifact, LoggedModel, Metric, ModelMetric, Tag

models = Table(
    "tracking_models",
    metadata,
    Column("id", String(34), primary_key=True),
    Column("experiment_id", String(32), nullable=False),
    Column("name", String(500), nullable=False),
    Column("run_id", String(32), nullable=False),
    Column("status", String(20), nullable=False),
    Column("model_type", String(500), nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("lifecycle", String(10), nullable=False),
    ForeignKeyConstraint(["experiment_id"], ["tracking_experiments.id"]),
    Index(None, "experiment_id", "created"),
)


def _of_model(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("model_id", String(34), primary_key=True),
        *columns,
        ForeignKeyConstraint(["model_id"], ["tracking_models.id"]),
    )


params = _of_model(
    "tracking_model_params",
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)
tags = _of_model(
    "tracking_model_tags",
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)
metrics = _of_model(
    "tracking_model_metrics",
    Column("run_id", String(32), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("dataset_name", String(500), primary_key=True),
    Column("dataset_digest", String(36), primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("nan", Boolean, nullable=False),
)
artifacts = _of_model(
    "tracking_model_artifacts",
    Column("path", String(1000), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
)


def add_metrics(connection: Connection, run_id: str, logged: Sequence[ModelMetric]) -> None:
    """Keep the newest point for each model, key, run and dataset."""
    if not logged:
        return
    fresh = store.inserting(connection, metrics)
    rank = ("step", "timestamp", "value")
    upsert = fresh.on_conflict_do_update(
        index_elements=["model_id", "run_id", "key", "dataset_name", "dataset_digest"],
        set_={name: fresh.excluded[name] for name in (*rank, "nan")},
        where=tuple_(*(fresh.excluded[name] for name in rank))
        > tuple_(*(metrics.c[name] for name in rank)),
    )
    rows = [
        store.point_row(run_id, entry.point)
        | {
            "model_id": entry.model_id,
            "dataset_name": entry.dataset_name,
            "dataset_digest": entry.dataset_digest,
        }
        for entry in logged
    ]
    connection.execute(upsert, rows)


def require(connection: Connection, ids: set[str]) -> None:
    """Refuse ids that no model has.

    Raises:
        LoggedModelNotFound: One is such.
    """
    if not ids:
        return
    known = set(connection.scalars(select(models.c.id).where(models.c.id.in_(ids))))
    for missing in sorted(ids - known):
        raise LoggedModelNotFound(f"Logged model with ID '{missing}' not found.")


def set_params(connection: Connection, model_id: str, entries: Iterable[Tag]) -> None:
    """Set a model's params."""
    store.set_entries(connection, params, {"model_id": model_id}, entries)


def set_tags(connection: Connection, model_id: str, entries: Iterable[Tag]) -> None:
    """Set a model's tags."""
    store.set_entries(connection, tags, {"model_id": model_id}, entries)


def put_artifact(connection: Connection, model_id: str, artifact: Artifact) -> None:
    """Keep a file of a model in place of what its path named before."""
    store.set_artifact(connection, artifacts, {"model_id": model_id}, artifact)


def read_artifacts(connection: Connection, model_id: str) -> list[Artifact]:
    """Return a model's files by path."""
    query = select(artifacts.c.path, artifacts.c.digest, artifacts.c.size)
    found = query.filter_by(model_id=model_id).order_by(artifacts.c.path)
    return [Artifact(**row._mapping) for row in connection.execute(found)]


def read_models(
    connection: Connection,
    *where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
    offset: int | None = None,
) -> list[LoggedModel]:
    """Return logged models, newest first where no order is given."""
    ordered = order or (models.c.created.desc(), models.c.id.desc())
    query = select(models).where(*where).order_by(*ordered).limit(limit).offset(offset)
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    settings = store.by_owner(connection, params, "model_id", ids)
    notes = store.by_owner(connection, tags, "model_id", ids)
    points = _points(connection, ids)
    return [
        LoggedModel(
            **row._mapping,
            params=settings.get(row.id, {}),
            tags=notes.get(row.id, {}),
            metrics=tuple(points.get(row.id, ())),
        )
        for row in rows
    ]


def _points(connection: Connection, ids: Sequence[str]) -> dict[str, list[ModelMetric]]:
    found: dict[str, list[ModelMetric]] = {}
    for start in range(0, len(ids), 500):
        query = select(metrics).where(metrics.c.model_id.in_(ids[start : start + 500]))
        for row in connection.execute(query.order_by(metrics.c.model_id, metrics.c.key)):
            point = Metric(row.key, math.nan if row.nan else row.value, row.timestamp, row.step)
            entry = ModelMetric(
                row.model_id, point, row.run_id, row.dataset_name, row.dataset_digest
            )
            found.setdefault(row.model_id, []).append(entry)
    return found
