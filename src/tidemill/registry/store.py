"""The registry's tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
)

from tidemill.core.tasks import Task
from tidemill.registry.records import AliasChange, Model, ModelVersion
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record

_AT_ONCE = 500


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a version that is never searched.

    A metric that could not be computed is NaN outside and null in here: JSON has no NaN.
    """

    bundle: str | None = None
    dataset: str | None = None
    task: Task | None = None
    flavor: str = ""
    metrics: dict[str, float | None] = {}


models = Table(
    "registry_models",
    metadata,
    Column("name", String(250), primary_key=True),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("description", Text, nullable=False),
)
numbers = Table(
    "registry_numbers",
    metadata,
    Column("model", String(250), primary_key=True),
    Column("highest", Integer, nullable=False),
)
"""The highest version number that a name was ever given: a reference never changes its meaning."""
model_tags = Table(
    "registry_model_tags",
    metadata,
    Column("model", String(250), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(["model"], ["registry_models.name"]),
)
versions = Table(
    "registry_versions",
    metadata,
    Column("model", String(250), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("run_id", String(32), nullable=False),
    Column("model_id", String(40), nullable=False),
    Column("source", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("description", Text, nullable=False),
    Column("run_link", Text, nullable=False),
    Column("record", Record(Made), nullable=False),
    ForeignKeyConstraint(["model"], ["registry_models.name"]),
    Index(None, "run_id"),
    Index(None, "updated"),
)
version_tags = Table(
    "registry_version_tags",
    metadata,
    Column("model", String(250), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(
        ["model", "version"], ["registry_versions.model", "registry_versions.version"]
    ),
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
    return _aliases(connection, [model]).get(model, {})


def read_models(
    connection: Connection,
    *where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
    offset: int | None = None,
) -> list[Model]:
    """Return models, by name where no order is given."""
    newest = select(func.max(versions.c.version)).where(versions.c.model == models.c.name)
    query = select(models, newest.scalar_subquery().label("latest")).where(*where)
    ordered = query.order_by(*(order or (models.c.name,))).limit(limit).offset(offset)
    rows = connection.execute(ordered).all()
    names = [row.name for row in rows]
    named, notes = _aliases(connection, names), _model_tags(connection, names)
    return [
        Model(**row._mapping, aliases=named.get(row.name, {}), tags=notes.get(row.name, {}))
        for row in rows
    ]


def read_versions(
    connection: Connection,
    *where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
    offset: int | None = None,
) -> list[ModelVersion]:
    """Return versions, the highest numbers first where no order is given."""
    ordered = order or (versions.c.version.desc(), versions.c.model)
    query = select(versions).where(*where).order_by(*ordered).limit(limit).offset(offset)
    rows = connection.execute(query).all()
    names = sorted({row.model for row in rows})
    called: dict[tuple[str, int], list[str]] = {}
    for model, named in _aliases(connection, names).items():
        for alias, version in named.items():
            called.setdefault((model, version), []).append(alias)
    notes = _version_tags(connection, names, rows)
    return [
        _version(
            row,
            tuple(called.get((row.model, row.version), ())),
            notes.get((row.model, row.version), {}),
        )
        for row in rows
    ]


def of(model: str, version: int | None = None) -> list[ColumnElement[bool]]:
    """Return the conditions that name a model's versions, or one of them."""
    mine = [versions.c.model == model]
    return mine if version is None else [*mine, versions.c.version == version]


def read_changes(connection: Connection, model: str, *where: Any) -> list[AliasChange]:
    """Return the changes of a model's aliases, newest first."""
    query = select(changes).where(changes.c.model == model, *where)
    ordered = query.order_by(changes.c.time.desc(), changes.c.id.desc())
    return [AliasChange(**row._mapping) for row in connection.execute(ordered)]


def next_number(connection: Connection, model: str) -> int:
    """Give out the next version number of a name."""
    highest = connection.scalar(select(numbers.c.highest).filter_by(model=model)) or 0
    connection.execute(delete(numbers).filter_by(model=model))
    connection.execute(insert(numbers), {"model": model, "highest": highest + 1})
    return highest + 1


def raise_number(connection: Connection, model: str, number: int) -> None:
    """See to it that no number up to this one is given out."""
    highest = connection.scalar(select(numbers.c.highest).filter_by(model=model)) or 0
    if number > highest:
        connection.execute(delete(numbers).filter_by(model=model))
        connection.execute(insert(numbers), {"model": model, "highest": number})


def set_tags(
    connection: Connection, model: str, version: int | None, tags: Mapping[str, str]
) -> None:
    """Set tags of a model, or of one of its versions."""
    table, owner = _tags_of(model, version)
    for key, value in tags.items():
        connection.execute(delete(table).filter_by(**owner, key=key))
        connection.execute(insert(table), owner | {"key": key, "value": value})


def delete_tag(connection: Connection, model: str, version: int | None, key: str) -> bool:
    """Remove a tag; say whether it was there."""
    table, owner = _tags_of(model, version)
    return bool(connection.execute(delete(table).filter_by(**owner, key=key)).rowcount)


def without_nan(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics as JSON can hold them."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _tags_of(model: str, version: int | None) -> tuple[Table, dict[str, Any]]:
    if version is None:
        return model_tags, {"model": model}
    return version_tags, {"model": model, "version": version}


def _aliases(connection: Connection, names: Sequence[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for some in _pieces(names):
        query = select(aliases).where(aliases.c.model.in_(some)).order_by(aliases.c.alias)
        for row in connection.execute(query):
            found.setdefault(row.model, {})[row.alias] = row.version
    return found


def _model_tags(connection: Connection, names: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for some in _pieces(names):
        query = select(model_tags).where(model_tags.c.model.in_(some)).order_by(model_tags.c.key)
        for row in connection.execute(query):
            found.setdefault(row.model, {})[row.key] = row.value
    return found


def _version_tags(
    connection: Connection, names: Sequence[str], rows: Sequence[Row[Any]]
) -> dict[tuple[str, int], dict[str, str]]:
    wanted = sorted({row.version for row in rows})
    found: dict[tuple[str, int], dict[str, str]] = {}
    for some in _pieces(names):
        for few in _pieces(wanted):
            where = (version_tags.c.model.in_(some), version_tags.c.version.in_(few))
            query = select(version_tags).where(*where).order_by(version_tags.c.key)
            for row in connection.execute(query):
                found.setdefault((row.model, row.version), {})[row.key] = row.value
    return found


def _pieces(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _version(row: Row[Any], named: tuple[str, ...], tags: dict[str, str]) -> ModelVersion:
    made: Made = row.record
    return ModelVersion(
        model=row.model,
        version=row.version,
        bundle=made.bundle,
        source=row.source,
        model_id=row.model_id or None,
        run_id=row.run_id or None,
        dataset=made.dataset,
        task=made.task,
        flavor=made.flavor,
        metrics={k: math.nan if v is None else v for k, v in made.metrics.items()},
        status=row.status,
        stage=row.stage,
        created=row.created,
        updated=row.updated,
        actor=row.actor,
        tags=tags,
        description=row.description,
        run_link=row.run_link,
        aliases=named,
    )
