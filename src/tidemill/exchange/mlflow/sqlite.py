"""MLflow's SQLite file, read in one transaction and never written."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tidemill.exchange.errors import ArtifactsElsewhere, BadSource, SourceNotFound
from tidemill.exchange.mlflow import values
from tidemill.exchange.mlflow.places import Places
from tidemill.exchange.mlflow.records import (
    SourceFile,
    SourceModel,
    SourceRegistered,
    SourceRun,
)
from tidemill.registry.records import Model, ModelVersion
from tidemill.tracking.records import (
    DatasetInput,
    Experiment,
    LoggedModel,
    Metric,
    ModelLink,
    ModelMetric,
    Run,
    RunLinks,
)

AT_ONCE = 500
POINTS_AT_ONCE = 20_000
_MAGIC = b"SQLite format 3\x00"
_NEEDED = {
    "experiments": {"experiment_id", "name", "lifecycle_stage"},
    "runs": {"run_uuid", "experiment_id", "status", "start_time", "end_time", "artifact_uri"},
    "params": {"run_uuid", "key", "value"},
    "tags": {"run_uuid", "key", "value"},
    "metrics": {"run_uuid", "key", "value", "timestamp", "step", "is_nan"},
}
Row = dict[str, Any]
Entries = dict[str, dict[str, str]]


class SqliteSource:
    """A database file of MLflow's.

    Args:
        path: The file, such as `mlflow.db`.
        artifacts: Folders that artifacts may be read from, beside the file's own.

    Raises:
        SourceNotFound: There is no such file.
        BadSource: It is no SQLite database, is damaged, or has tables that are not known.
    """

    def __init__(self, path: Path, *, artifacts: Sequence[Path] = ()) -> None:
        _check_file(path)
        self.name = str(path)
        self._places = Places(path.absolute().parent, artifacts)
        self._connection = _connected(path)
        try:
            self._columns = self._read_columns()
            self._check_tables()
            self._check_names()
        except BaseException:
            self._connection.close()
            raise

    @property
    def skipped(self) -> int:
        return self._places.skipped

    def close(self) -> None:
        self._connection.close()

    def elsewhere(self) -> list[str]:
        missing: dict[str, None] = {}
        places = [
            (place, 3 if kind == "runs" else 4)
            for kind, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location"))
            for (place,) in self._rows_of(kind, f"SELECT DISTINCT {column}", "")
        ]
        for place, parts in places:
            try:
                self._places.find(place or "", parts=parts)
            except ArtifactsElsewhere:
                missing[place] = None
        return list(missing)

    def experiments(self) -> list[Experiment]:
        tags = self._entries("experiment_tags", "experiment_id")
        return [
            Experiment(
                id=str(row["experiment_id"]),
                name=_text(row, "name"),
                created=values.moment(row.get("creation_time")),
                updated=values.moment(row.get("last_update_time")),
                lifecycle=values.lifecycle(row["lifecycle_stage"]),
                deleted=_deleted(row["lifecycle_stage"], row.get("last_update_time")),
                tags=tags.get(str(row["experiment_id"]), {}),
            )
            for row in self._all("experiments", "ORDER BY experiment_id")
        ]

    def count_runs(self) -> int:
        return int(self._ask("SELECT COUNT(*) FROM runs")[0][0])

    def runs(self) -> Iterator[list[SourceRun]]:
        ids = [row[0] for row in self._ask("SELECT run_uuid FROM runs ORDER BY start_time")]
        for part in _parts(ids):
            yield self._some_runs(part)

    def points(self, run: SourceRun) -> Iterator[list[Metric]]:
        cursor = self._execute(
            "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ?",
            [run.run.id],
        )
        while rows := cursor.fetchmany(POINTS_AT_ONCE):
            yield _points(rows)

    def models(self) -> Iterator[list[SourceModel]]:
        ids = [row[0] for row in self._rows_of("logged_models", "SELECT model_id", "")]
        for part in _parts(ids):
            yield self._some_models(part)

    def registered(self) -> Iterator[SourceRegistered]:
        tags = self._entries("registered_model_tags", "name")
        for row in self._all("registered_models", "ORDER BY name"):
            name = _text(row, "name")
            named = self._rows_of(
                "registered_model_aliases", "SELECT alias, version", "WHERE name = ?", name
            )
            model = Model(
                name=name,
                created=values.moment(row["creation_time"]),
                updated=values.moment(row["last_updated_time"]),
                description=row.get("description") or "",
                tags=tags.get(name, {}),
                aliases={alias: int(version) for alias, version in named},
            )
            yield SourceRegistered(model=model, versions=tuple(self._versions(name)))

    def files(self, owner: SourceRun | SourceModel) -> Iterator[SourceFile]:
        parts = 3 if isinstance(owner, SourceRun) else 4
        folder = self._places.find(owner.place, parts=parts) if owner.place else None
        return iter(()) if folder is None else self._places.files(folder)

    # Steps of the above

    def _some_runs(self, ids: Sequence[str]) -> list[SourceRun]:
        rows = self._all("runs", "WHERE run_uuid IN", ids)
        params, tags = (self._entries(t, "run_uuid", ids) for t in ("params", "tags"))
        counted = self._in(
            "SELECT run_uuid, COUNT(*) FROM metrics WHERE run_uuid IN", ids, " GROUP BY run_uuid"
        )
        counts: dict[str, int] = dict(counted)
        links = self._links(ids)
        by_id = {row["run_uuid"]: row for row in rows}
        return [
            SourceRun(
                run=_run(by_id[name], params.get(name, {}), tags.get(name, {})),
                links=links.get(name, RunLinks()),
                place=by_id[name]["artifact_uri"] or "",
                points=counts.get(name, 0),
            )
            for name in ids
        ]

    def _some_models(self, ids: Sequence[str]) -> list[SourceModel]:
        params = self._entries("logged_model_params", "model_id", ids, "param_key", "param_value")
        tags = self._entries("logged_model_tags", "model_id", ids, "tag_key", "tag_value")
        points: dict[str, list[ModelMetric]] = {}
        for row in self._all("logged_model_metrics", "WHERE model_id IN", ids):
            points.setdefault(row["model_id"], []).append(_model_point(row))
        return [
            SourceModel(
                model=LoggedModel(
                    id=_text(row, "model_id"),
                    experiment_id=str(row["experiment_id"]),
                    name=_text(row, "name"),
                    run_id=row["source_run_id"] or "",
                    status=values.model_status(row["status"]),
                    model_type=row["model_type"] or "",
                    created=values.moment(row["creation_timestamp_ms"]),
                    updated=values.moment(row["last_updated_timestamp_ms"]),
                    lifecycle=values.lifecycle(row["lifecycle_stage"]),
                    deleted=_deleted(row["lifecycle_stage"], row["last_updated_timestamp_ms"]),
                    params=params.get(row["model_id"], {}),
                    tags=tags.get(row["model_id"], {}),
                    metrics=tuple(points.get(row["model_id"], ())),
                ),
                place=row["artifact_location"] or "",
            )
            for row in self._all("logged_models", "WHERE model_id IN", ids)
        ]

    def _versions(self, name: str) -> Iterator[ModelVersion]:
        tags: dict[int, dict[str, str]] = {}
        for version, key, value in self._rows_of(
            "model_version_tags", "SELECT version, key, value", "WHERE name = ?", name
        ):
            tags.setdefault(int(version), {})[key] = value or ""
        for row in self._all("model_versions", "WHERE name IN", [name]):
            if row["current_stage"] == values.DELETED_STAGE:
                continue
            yield ModelVersion(
                model=name,
                version=int(row["version"]),
                source=row["source"] or "",
                model_id=values.logged_model_of(row["source"] or ""),
                run_id=row["run_id"] or None,
                created=values.moment(row["creation_time"]),
                updated=values.moment(row["last_updated_time"]),
                actor=values.actor(row["user_id"]),
                status=values.version_status(row["status"]),
                stage=values.stage(row["current_stage"]),
                description=row["description"] or "",
                run_link=row.get("run_link") or "",
                tags=tags.get(int(row["version"]), {}),
            )

    def _links(self, ids: Sequence[str]) -> dict[str, RunLinks]:
        """Return what runs read and wrote; MLflow keeps all of it in one table of edges."""
        if "inputs" not in self._columns:
            return {}
        datasets = self._inputs(ids)
        edges = self._all("inputs", "WHERE source_type <> 'DATASET' AND source_id IN", ids)
        ways: dict[tuple[str, str], list[ModelLink]] = {}
        for row in edges:
            link = ModelLink(row["destination_id"], int(row.get("step") or 0))
            ways.setdefault((row["source_id"], row["source_type"]), []).append(link)
        return {
            name: RunLinks(
                datasets=tuple(datasets.get(name, ())),
                read=tuple(ways.get((name, "RUN_INPUT"), ())),
                written=tuple(ways.get((name, "RUN_OUTPUT"), ())),
            )
            for name in ids
        }

    def _inputs(self, ids: Sequence[str]) -> dict[str, list[DatasetInput]]:
        joined = self._in(
            "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, "
            "d.dataset_source, d.dataset_schema, d.dataset_profile FROM inputs i "
            "JOIN datasets d ON d.dataset_uuid = i.source_id "
            "WHERE i.source_type = 'DATASET' AND i.destination_id IN",
            ids,
        )
        tags = self._entries("input_tags", "input_uuid", [row[1] for row in joined], "name")
        found: dict[str, list[DatasetInput]] = {}
        for run_id, edge, name, digest, kind, source, schema, profile in joined:
            entry = DatasetInput(
                name=str(name),
                digest=str(digest),
                source_type=kind or "",
                source=source or "",
                schema=schema or "",
                profile=profile or "",
                tags=tags.get(edge, {}),
            )
            found.setdefault(run_id, []).append(entry)
        return found

    def _entries(
        self,
        table: str,
        owner: str,
        ids: Sequence[Any] | None = None,
        key: str = "key",
        value: str = "value",
    ) -> Entries:
        found: Entries = {}
        if table not in self._columns:
            return found
        query = f"SELECT {owner}, {key}, {value} FROM {table}"  # noqa: S608
        rows = self._ask(query) if ids is None else self._in(f"{query} WHERE {owner} IN", ids)
        for name, entry, text in rows:
            if name is None or entry is None or isinstance(text, bytes):
                raise BadSource(f"A row of {table!r} in {self.name} has no text as its {key}.")
            found.setdefault(str(name), {})[str(entry)] = "" if text is None else str(text)
        return found

    def _all(self, table: str, rest: str, ids: Sequence[Any] | None = None) -> list[Row]:
        if table not in self._columns:
            return []
        names = sorted(self._columns[table])
        query = f"SELECT {', '.join(names)} FROM {table} {rest}"  # noqa: S608
        rows = self._ask(query) if ids is None else self._in(query, ids)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _rows_of(self, table: str, select: str, where: str, *given: Any) -> list[tuple[Any, ...]]:
        return self._ask(f"{select} FROM {table} {where}", given) if table in self._columns else []

    def _in(self, query: str, ids: Sequence[Any], rest: str = "") -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for part in _parts(ids):
            marks = ",".join("?" * len(part))
            found += self._ask(f"{query} ({marks}){rest}", part)
        return found

    def _ask(self, query: str, given: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        return self._execute(query, list(given)).fetchall()

    def _execute(self, query: str, given: list[Any]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(query, given)
        except sqlite3.DatabaseError as error:
            raise BadSource(
                f"The database {self.name} cannot be read: {error}.",
                expected="an undamaged database of MLflow's",
                hint="Look at it with: sqlite3 FILE 'PRAGMA integrity_check'",
            ) from error

    def _read_columns(self) -> dict[str, set[str]]:
        tables = [row[0] for row in self._ask("SELECT name FROM sqlite_master WHERE type='table'")]
        described = {t: self._ask("SELECT name FROM pragma_table_info(?)", [t]) for t in tables}
        return {table: {row[0] for row in rows} for table, rows in described.items()}

    def _check_tables(self) -> None:
        for table, needed in _NEEDED.items():
            lacks = sorted(needed - self._columns.get(table, set()))
            if not lacks:
                continue
            known = self._rows_of("alembic_version", "SELECT version_num", "")
            revision = f"revision {known[0][0]}" if known else "no revision"
            raise BadSource(
                f"{self.name} is no database of MLflow's that is known here ({revision}): its "
                f"table {table!r} has no {', '.join(map(repr, lacks))}.",
                expected="one that MLflow 1.11 or a later version keeps",
                hint="If MLflow is newer than this Tidemill, import from its server instead: "
                "tidemill import mlflow http://…",
            )

    def _check_names(self) -> None:
        """Refuse what two workspaces call by one name: a home is one workspace."""
        for table in ("experiments", "registered_models"):
            twice = self._rows_of(table, "SELECT name", "GROUP BY name HAVING COUNT(*) > 1")
            if twice:
                raise BadSource(
                    f"{self.name} has {twice[0][0]!r} in several workspaces.",
                    expected="names that are used once: a home is one workspace",
                    hint="Rename one of them in MLflow.",
                )


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_MAGIC))
    except FileNotFoundError as error:
        raise SourceNotFound(
            f"There is no file {path}.", expected="MLflow's database, such as mlflow.db"
        ) from error
    except OSError as error:
        raise BadSource(f"{path} cannot be read: {error.strerror}.") from error
    if beginning != _MAGIC:
        raise BadSource(
            f"{path} is not a SQLite database.",
            expected="mlflow.db, a folder mlruns, or the address of a server",
        )


def _connected(path: Path) -> sqlite3.Connection:
    """Open a file for reading, in one transaction, with nothing in it that may run."""
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
    connection.isolation_level = None
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        for statement in ("PRAGMA trusted_schema=OFF", "PRAGMA query_only=ON", "BEGIN"):
            connection.execute(statement).close()
        connection.execute("SELECT COUNT(*) FROM sqlite_master").close()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise BadSource(
            f"The database {path} cannot be opened: {error}.",
            expected="an undamaged database in a folder that this user may write to",
        ) from error
    return connection


def _run(row: Row, params: dict[str, str], tags: dict[str, str]) -> Run:
    name = _text(row, "run_uuid")
    gone = row.get("deleted_time") or row["end_time"] or row["start_time"]
    return Run(
        id=name,
        experiment_id=str(row["experiment_id"]),
        name=values.run_name(row.get("name"), tags, name),
        status=values.run_status(row["status"]),
        started=values.moment(row["start_time"]),
        ended=values.maybe_moment(row["end_time"]),
        actor=values.actor(row.get("user_id")),
        parent=tags.get(values.PARENT_TAG),
        lifecycle=values.lifecycle(row.get("lifecycle_stage")),
        deleted=_deleted(row.get("lifecycle_stage"), gone),
        params=params,
        tags=tags,
    )


def _text(row: Row, column: str) -> str:
    """Return a text that has to be there; SQLite lets a column hold anything."""
    value = row[column]
    if not isinstance(value, str) or not value:
        raise BadSource(f"A row has {value!r} as its {column}.", expected="a text")
    return value


def _points(rows: Sequence[tuple[Any, ...]]) -> list[Metric]:
    try:
        return [_point(str(key), *numbers) for key, *numbers in rows]
    except (TypeError, ValueError) as error:
        raise BadSource(f"A point of a metric has no numbers: {error}.") from error


def _point(key: str, value: Any, timestamp: Any, step: Any, nan: Any) -> Metric:
    number = math.nan if nan or value is None else float(value)
    return Metric(key, number, int(timestamp), int(step))


def _model_point(row: Row) -> ModelMetric:
    value, stamp, step = (row[f"metric_{n}"] for n in ("value", "timestamp_ms", "step"))
    return ModelMetric(
        row["model_id"],
        _points([(row["metric_name"], value, stamp, step, 0)])[0],
        row["run_id"],
        row["dataset_name"] or "",
        row["dataset_digest"] or "",
    )


def _deleted(stage: Any, millis: Any) -> Any:
    return values.moment(millis) if stage == "deleted" else None


def _parts(ids: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


if TYPE_CHECKING:
    from tidemill.exchange.mlflow.protocol import Source

    _CONFORMS: Source = SqliteSource(Path())
