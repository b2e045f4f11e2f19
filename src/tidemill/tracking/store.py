"""The tracking tables.

Not-a-number is kept as zero beside a mark: SQLite would turn it into NULL, and no database orders
it alike. The newest point of every metric is kept apart, so that a listing never reads histories.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    ForeignKeyConstraint,
    FromClause,
    Index,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record
from tidemill.tracking.records import (
    Artifact,
    Experiment,
    Metric,
    Run,
    Tag,
)

experiments = Table(
    "tracking_experiments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(500), nullable=False),
    Column("created", Moment, nullable=False),
    Column("lifecycle", String(10), nullable=False),
    Column("artifact_location", String(1000)),
    Column("updated", Moment, nullable=False, server_default=text("0")),
    Column("deleted", Moment),
    UniqueConstraint("name"),
    Index(None, "deleted"),
)
experiment_tags = Table(
    "tracking_experiment_tags",
    metadata,
    Column("experiment_id", String(32), primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(["experiment_id"], ["tracking_experiments.id"]),
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
    Column("deleted", Moment),
    ForeignKeyConstraint(["experiment_id"], ["tracking_experiments.id"]),
    Index(None, "deleted"),
)
Index(
    "ix_tracking_runs_experiment_id_started_id",
    runs.c.experiment_id,
    runs.c.started.desc(),
    runs.c.id,
)


_ALL = 2**62
INDEXED = 100
"""How many characters of a param's or tag's value are indexed."""


def _of_run(name: str, *columns: Column[object] | Index) -> Table:
    return Table(
        name,
        metadata,
        Column("run_id", String(32), primary_key=True),
        *columns,
        ForeignKeyConstraint(["run_id"], ["tracking_runs.id"]),
        sqlite_with_rowid=name not in {"tracking_points", "tracking_blocks"},
    )


def _texts(name: str) -> Table:
    table = _of_run(
        name, Column("key", String(250), primary_key=True), Column("value", Text, nullable=False)
    )
    Index(f"ix_{name}_key_value", table.c.key, beginning(table), table.c.run_id)
    return table


def beginning(table: Table) -> ColumnElement[str]:
    """Return the part of a value that is indexed; its bounds are literal, as the index has them."""
    return func.substr(table.c.value, literal_column("1"), literal_column(str(INDEXED)))


params = _texts("tracking_params")
tags = _texts("tracking_tags")
points = _of_run(
    "tracking_points",
    Column("key", String(250), primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("timestamp", BigInteger, primary_key=True),
    Column("value", Double, primary_key=True),
    Column("nan", Boolean, primary_key=True),
)
newest = _of_run(
    "tracking_newest",
    Column("key", String(250), primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("nan", Boolean, nullable=False),
    Column("experiment_id", String(32), nullable=False),
    Column("loose_from", BigInteger),
    Column("loose", BigInteger, nullable=False, server_default=text("0")),
    Index(None, "experiment_id", "key", "nan", "value"),
)
blocks = _of_run(
    "tracking_blocks",
    Column("key", String(250), primary_key=True),
    Column("last", BigInteger, primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("low", Double),
    Column("low_timestamp", BigInteger),
    Column("low_step", BigInteger),
    Column("high", Double),
    Column("high_timestamp", BigInteger),
    Column("high_step", BigInteger),
)
artifacts = _of_run(
    "tracking_artifacts",
    Column("path", String(1000), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
)

inputs = _of_run(
    "tracking_inputs",
    Column("name", String(500), primary_key=True),
    Column("digest", String(36), primary_key=True),
    Column("source_type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("context", String(500)),
    Column("tags", Record(dict[str, str]), nullable=False),
)
links = _of_run(
    "tracking_model_links",
    Column("model_id", String(34), primary_key=True),
    Column("way", String(10), primary_key=True),
    Column("step", BigInteger, nullable=False),
)

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
    Column("deleted", Moment),
    ForeignKeyConstraint(["experiment_id"], ["tracking_experiments.id"]),
    Index(None, "experiment_id", "created"),
    Index(None, "deleted"),
)


def _of_model(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("model_id", String(34), primary_key=True),
        *columns,
        ForeignKeyConstraint(["model_id"], ["tracking_models.id"]),
    )


model_params = _of_model(
    "tracking_model_params",
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)
model_tags = _of_model(
    "tracking_model_tags",
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
)
model_metrics = _of_model(
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
model_artifacts = _of_model(
    "tracking_model_artifacts",
    Column("path", String(1000), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
)


def set_tags(connection: Connection, run_id: str, entries: Iterable[Tag]) -> None:
    """Set a run's tags, the later of two of one key winning."""
    set_entries(connection, tags, {"run_id": run_id}, entries)


def set_experiment_tags(connection: Connection, identifier: str, entries: Iterable[Tag]) -> None:
    """Set an experiment's tags, the later of two of one key winning."""
    set_entries(connection, experiment_tags, {"experiment_id": identifier}, entries)


def put_artifact(connection: Connection, run_id: str, artifact: Artifact) -> None:
    """Keep an artifact of a run in place of what its path named before."""
    set_artifact(connection, artifacts, {"run_id": run_id}, artifact)


def set_artifact(
    connection: Connection, table: Table, owner: dict[str, str], artifact: Artifact
) -> None:
    """Keep an artifact of whatever owns it in place of what its path named before."""
    fresh = inserting(connection, table)
    upsert = fresh.on_conflict_do_update(
        index_elements=[*owner, "path"],
        set_={"digest": fresh.excluded.digest, "size": fresh.excluded.size},
    )
    row = {"path": artifact.path, "digest": artifact.digest, "size": artifact.size}
    connection.execute(upsert, owner | row)


def read_runs(
    connection: Connection,
    *where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
    offset: int | None = None,
) -> list[Run]:
    """Return runs, newest first where no order is given, with the newest of what was logged."""
    rows = read_rows(connection, *where, order=order, limit=limit, offset=offset)
    return runs_of(connection, rows, read_newest(connection, [row.id for row in rows]))


def read_rows(
    connection: Connection,
    *where: ColumnElement[bool],
    source: FromClause = runs,
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
    offset: int | None = None,
) -> Sequence[Row[Any]]:
    """Return the rows of runs, newest first where no order is given."""
    ordered = order or (runs.c.started.desc(), runs.c.id.desc())
    query = (
        select(runs)
        .select_from(source)
        .where(*where)
        .order_by(*ordered)
        .limit(limit)
        .offset(offset)
    )
    return connection.execute(query).all()


def runs_of(
    connection: Connection, rows: Sequence[Row[Any]], values: Mapping[str, Sequence[Metric]]
) -> list[Run]:
    """Return the runs of some rows, with their params, their tags and the values given."""
    ids = [row.id for row in rows]
    notes = by_owner(connection, tags, "run_id", ids)
    settings = by_owner(connection, params, "run_id", ids)
    return [
        Run(
            **row._mapping,
            metrics={point.key: point.value for point in values.get(row.id, ())},
            params=settings.get(row.id, {}),
            tags=notes.get(row.id, {}),
        )
        for row in rows
    ]


def read_newest(connection: Connection, ids: Sequence[str]) -> dict[str, list[Metric]]:
    """Return the newest point of every metric of some runs, by run."""
    columns = "run_id, key, value, timestamp, step, nan"
    found: dict[str, list[Metric]] = {}
    for run_id, key, value, timestamp, step, nan in owned(
        connection, newest, columns, "run_id", ids, " ORDER BY run_id, key"
    ):
        point = Metric(key, math.nan if nan else value, timestamp, step)
        found.setdefault(run_id, []).append(point)
    return found


def read_points(
    connection: Connection,
    run_id: str,
    key: str,
    *,
    limit: int | None = None,
    offset: int = 0,
    first: int | None = None,
    last: int | None = None,
    after: Metric | None = None,
) -> list[Metric]:
    """Return a metric's points in the order of their steps; those after one, where it is given."""
    where: list[tuple[str, tuple[Any, ...]]] = []
    if first is not None:
        where.append((" AND step >= ?", (first,)))
    if last is not None:
        where.append((" AND step <= ?", (last,)))
    if after is not None:
        where.append((" AND (step, timestamp, value, nan) > (?, ?, ?, ?)", _place(after)))
    query = (
        # A column less is a tenth of the time less, where there are many points. It needs a name:
        # PostgreSQL would call it `value`, and order by it.
        "SELECT CASE WHEN nan THEN NULL ELSE value END AS known, timestamp, step "  # noqa: S608
        f"FROM tracking_points WHERE run_id = ? AND key = ?{''.join(text for text, _ in where)} "
        "ORDER BY step, timestamp, value, nan LIMIT ? OFFSET ?"
    )
    if connection.dialect.paramstyle != "qmark":
        query = query.replace("?", "%s")
    bounds = [bound for _, bounds in where for bound in bounds]
    values = (run_id, key, *bounds, _ALL if limit is None else limit, offset)
    return [
        Metric(key, math.nan if value is None else value, timestamp, step)
        for value, timestamp, step in driver_of(connection).execute(query, values).fetchall()
    ]


def _place(point: Metric) -> tuple[int, int, float, bool]:
    """Return what points are put in order by."""
    unknown = math.isnan(point.value)
    return point.step, point.timestamp, 0.0 if unknown else point.value, unknown


def driver_of(connection: Connection) -> Any:
    """Return the driver's own connection, for what would spend most of its time above it."""
    return connection.connection.driver_connection


def read_experiments(
    connection: Connection,
    *where: ColumnElement[bool],
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
    offset: int | None = None,
) -> list[Experiment]:
    """Return experiments, by name where no order is given."""
    query = select(experiments).where(*where).order_by(*(order or (experiments.c.name,)))
    rows = connection.execute(query.limit(limit).offset(offset)).all()
    notes = by_owner(connection, experiment_tags, "experiment_id", [row.id for row in rows])
    return [Experiment(**row._mapping, tags=notes.get(row.id, {})) for row in rows]


def read_artifacts(
    connection: Connection, run_id: str, *where: ColumnElement[bool]
) -> list[Artifact]:
    """Return a run's artifacts by path."""
    query = select(artifacts.c.path, artifacts.c.digest, artifacts.c.size)
    found = query.filter_by(run_id=run_id).where(*where).order_by(artifacts.c.path)
    return [Artifact(**row._mapping) for row in connection.execute(found)]


def point_row(run_id: str, point: Metric) -> dict[str, Any]:
    """Return a point as a row."""
    nan = math.isnan(point.value)
    return {
        "run_id": run_id,
        "key": point.key,
        "step": point.step,
        "timestamp": point.timestamp,
        "value": 0.0 if nan else float(point.value),
        "nan": nan,
    }


def inserting(connection: Connection, table: Table) -> Any:
    """Return an insert that can say what is to be done about rows that are there already."""
    make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    return make(table)


def set_entries(
    connection: Connection, table: Table, owner: dict[str, str], entries: Iterable[Tag]
) -> None:
    """Set params or tags of whatever owns them, the later of two of one key winning."""
    rows = [owner | {"key": k, "value": v} for k, v in {t.key: t.value for t in entries}.items()]
    if not rows:
        return
    fresh = inserting(connection, table)
    upsert = fresh.on_conflict_do_update(
        index_elements=[*owner, "key"], set_={"value": fresh.excluded.value}
    )
    connection.execute(upsert, rows)


def by_owner(
    connection: Connection, table: Table, owner: str, ids: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return params or tags of several owners, by owner and key."""
    found: dict[str, dict[str, str]] = {}
    for identifier, key, value in owned(connection, table, f"{owner}, key, value", owner, ids):
        found.setdefault(identifier, {})[key] = value
    return found


def owned(
    connection: Connection,
    table: Table,
    columns: str,
    owner: str,
    ids: Sequence[str],
    order: str = "",
) -> Iterator[Any]:
    """Go through rows of several owners, by a text: to compose it again takes longer than to ask.

    Only the ids come from outside, and they are bound.
    """
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    for part in parts(ids):
        marks = ", ".join([mark] * len(part))
        query = f"SELECT {columns} FROM {table.name} WHERE {owner} IN ({marks}){order}"  # noqa: S608
        yield from driver_of(connection).execute(query, tuple(part)).fetchall()


def parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Part ids into as many as one statement takes."""
    return (ids[start : start + 500] for start in range(0, len(ids), 500))
