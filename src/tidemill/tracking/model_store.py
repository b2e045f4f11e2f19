"""Reads and writes the tables of logged models, which `store` declares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, tuple_

from tidemill.tracking import store
from tidemill.tracking.errors import LoggedModelNotFound
from tidemill.tracking.records import Artifact, LoggedModel, Metric, ModelMetric, Tag

models = store.models
params = store.model_params
tags = store.model_tags
metrics = store.model_metrics
artifacts = store.model_artifacts


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
