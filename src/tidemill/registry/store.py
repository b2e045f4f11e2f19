"""The registry's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    func,
    select,
)

from tidemill.core.tasks import Task
from tidemill.registry.records import AliasChange, Model, ModelVersion
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a version that never changes and is never searched.

    A metric that could not be computed is NaN outside and null in here: JSON has no NaN.
    """

    bundle: str
    dataset: str | None
    task: Task
    flavor: str
    metrics: dict[str, float | None]
    tags: dict[str, str]
    description: str


models = Table(
    "registry_models",
    metadata,
    Column("name", String(250), primary_key=True),
    Column("created", Moment, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", Record(dict[str, str]), nullable=False),
)
versions = Table(
    "registry_versions",
    metadata,
    Column("model", String(250), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("created", Moment, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("run_id", String(32), nullable=False),
    Column("status", String(20), nullable=False),
    Column("record", Record(Made), nullable=False),
    ForeignKeyConstraint(["model"], ["registry_models.name"]),
    Index(None, "run_id"),
)
aliases = Table(
    "registry_aliases",
    metadata,
    Column("model", String(250), primary_key=True),
    Column("alias", String(250), primary_key=True),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(
        ["model", "version"], ["registry_versions.model", "registry_versions.version"]
    ),
)
changes = Table(
    "registry_changes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("time", Moment, nullable=False),
    Column("model", String(250), nullable=False),
    Column("alias", String(250), nullable=False),
    Column("version", Integer),
    Column("previous", Integer),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "model", "time"),
)


def read_aliases(connection: Connection, model: str) -> dict[str, int]:
    """Return which version each alias of a model names."""
    query = select(aliases.c.alias, aliases.c.version).where(aliases.c.model == model)
    return {row.alias: row.version for row in connection.execute(query.order_by("alias"))}


def read_models(connection: Connection, name: str | None = None) -> list[Model]:
    """Return all models, or the one of that name."""
    latest = (
        select(func.max(versions.c.version))
        .where(versions.c.model == models.c.name)
        .scalar_subquery()
    )
    query = select(models, latest.label("latest")).order_by(models.c.name)
    if name is not None:
        query = query.where(models.c.name == name)
    return [
        Model(**row._mapping, aliases=read_aliases(connection, row.name))
        for row in connection.execute(query)
    ]


def read_versions(connection: Connection, model: str, *where: Any) -> list[ModelVersion]:
    """Return the versions of a model, newest first."""
    query = select(versions).where(versions.c.model == model, *where)
    named: dict[int, list[str]] = {}
    for alias, version in read_aliases(connection, model).items():
        named.setdefault(version, []).append(alias)
    return [
        _version(row, tuple(named.get(row.version, ())))
        for row in connection.execute(query.order_by(versions.c.version.desc()))
    ]


def read_changes(connection: Connection, model: str, *where: Any) -> list[AliasChange]:
    """Return the changes of a model's aliases, newest first."""
    query = select(changes).where(changes.c.model == model, *where)
    ordered = query.order_by(changes.c.time.desc(), changes.c.id.desc())
    return [AliasChange(**row._mapping) for row in connection.execute(ordered)]


def without_nan(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics as JSON can hold them."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _version(row: Row[Any], aliases: tuple[str, ...]) -> ModelVersion:
    made: Made = row.record
    return ModelVersion(
        model=row.model,
        version=row.version,
        bundle=made.bundle,
        run_id=row.run_id,
        dataset=made.dataset,
        task=made.task,
        flavor=made.flavor,
        metrics={k: math.nan if v is None else v for k, v in made.metrics.items()},
        status=row.status,
        created=row.created,
        actor=row.actor,
        tags=made.tags,
        description=made.description,
        aliases=aliases,
    )
