"""Takes in what another system has tracked: with its ids, its times and its whole histories.

Everything here may be repeated: what is known already is left as it is, and what is missing is
added. So an import that was interrupted is finished by running it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, distinct, func, insert, or_, select

from tidemill.core.errors import InvalidData
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.storage.db.engine import Database
from tidemill.tracking import events, links, model_store, store
from tidemill.tracking.entries import keep_points, point_row
from tidemill.tracking.errors import NotActive, TrackingError
from tidemill.tracking.records import (
    Artifact,
    Experiment,
    LoggedModel,
    Metric,
    Run,
    RunLinks,
    Tag,
)
from tidemill.tracking.validation import check_key, check_metrics, check_name, check_path

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,33}")
_AT_ONCE = 500
_OPEN = ("RUNNING", "SCHEDULED")


class BadIntake(TrackingError, InvalidData):
    """What is to be taken in cannot be kept."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of some runs or logged models.

    Attributes:
        owners: How many of them there are.
        params: Of all of them together.
        tags: Likewise.
        points: Of metrics, likewise.
        inputs: Datasets and models that they read or wrote.
        artifacts: Their files.
    """

    owners: int = 0
    params: int = 0
    tags: int = 0
    points: int = 0
    inputs: int = 0
    artifacts: int = 0


class Intake:
    """Writes many rows at a time, each batch whole or not at all.

    Args:
        db: The database.
        journal: Where new experiments are written down.
        ids: Name experiments whose id is taken.
    """

    def __init__(self, db: Database, journal: Journal, ids: Ids) -> None:
        self._db = db
        self._journal = journal
        self._ids = ids

    def experiment(self, given: Experiment, *, actor: str) -> Experiment:
        """Return the experiment of that name; a new one is made, with its id if that is free.

        Raises:
            BadExperiment: No experiment can be so called.
            NotActive: The one of that name was deleted here, and the one given was not.
        """
        check_name(given.name)
        for key in given.tags:
            check_key(key, "Tag key")

        def work(connection: Connection) -> Experiment:
            named = store.read_experiments(connection, store.experiments.c.name == given.name)
            known = named[0] if named else self._make(connection, given, actor)
            if known.lifecycle == "deleted" and given.lifecycle == "active":
                raise NotActive(
                    f"An experiment {given.name!r} was deleted here, and its namesake is taken in.",
                    hint="Restore it first, or rename one of them.",
                )
            _add_entries(connection, store.experiment_tags, "experiment_id", known.id, given.tags)
            return store.read_experiments(connection, store.experiments.c.id == known.id)[0]

        return self._db.write(work)

    def runs(self, given: Sequence[tuple[Run, RunLinks]]) -> None:
        """Take in runs with their params, tags and links; one that has ended since is ended.

        Raises:
            BadIntake: A run's id cannot be one.
            BadMetric: A key cannot be kept.
        """
        for run, _ in given:
            _check_id(run.id)
            for key in (*run.params, *run.tags):
                check_key(key, "Param or tag key")

        def work(connection: Connection) -> None:
            fields = [column.name for column in store.runs.c]
            rows = [{name: getattr(run, name) for name in fields} for run, _ in given]
            fresh = store.inserting(connection, store.runs)
            ended = {name: fresh.excluded[name] for name in ("status", "ended")}
            unfinished = or_(*(store.runs.c.status == status for status in _OPEN))
            connection.execute(
                fresh.on_conflict_do_update(index_elements=["id"], set_=ended, where=unfinished),
                rows,
            )
            for run, joined in given:
                _add_entries(connection, store.params, "run_id", run.id, run.params)
                _add_entries(connection, store.tags, "run_id", run.id, run.tags)
                links.add_inputs(connection, run.id, joined.datasets)
                links.add_links(connection, run.id, "in", joined.read)
                links.add_links(connection, run.id, "out", joined.written)

        if given:
            self._db.write(work)

    def points(self, given: Sequence[tuple[str, Sequence[Metric]]]) -> None:
        """Take in points of metrics, by run.

        Raises:
            BadMetric: A key or a number cannot be kept.
        """
        keys = {metric.key: metric for _, metrics in given for metric in metrics}
        check_metrics(keys.values())
        for _, metrics in given:
            check_metrics(_outside(metrics))
        rows = [point_row(run_id, metric) for run_id, metrics in given for metric in metrics]
        if rows:
            self._db.write(lambda c: keep_points(c, rows))

    def models(self, given: Sequence[LoggedModel]) -> None:
        """Take in logged models with their params, tags and metrics.

        Raises:
            BadIntake: A model's id cannot be one.
            BadMetric: A key cannot be kept.
        """
        for model in given:
            _check_id(model.id)
            for key in (*model.params, *model.tags):
                check_key(key, "Param or tag key")
            check_metrics(entry.point for entry in model.metrics)

        def work(connection: Connection) -> None:
            fields = [column.name for column in model_store.models.c]
            rows = [{name: getattr(model, name) for name in fields} for model in given]
            fresh = store.inserting(connection, model_store.models)
            connection.execute(fresh.on_conflict_do_nothing(), rows)
            for model in given:
                _add_entries(connection, model_store.params, "model_id", model.id, model.params)
                _add_entries(connection, model_store.tags, "model_id", model.id, model.tags)
                for entry in model.metrics:
                    model_store.add_metrics(connection, entry.run_id, [entry])

        if given:
            self._db.write(work)

    def run_files(self, given: Sequence[tuple[str, Artifact]]) -> None:
        """Take in the artifacts of runs, whose blobs are stored already.

        Raises:
            BadArtifactPath: A path cannot be an artifact's.
        """
        self._files(store.artifacts, "run_id", given)

    def model_files(self, given: Sequence[tuple[str, Artifact]]) -> None:
        """Take in the files of logged models, whose blobs are stored already.

        Raises:
            BadArtifactPath: A path cannot be a file's.
        """
        self._files(model_store.artifacts, "model_id", given)

    def known_points(self, run_ids: Sequence[str]) -> dict[str, int]:
        """Return how many points some runs have, by run."""
        counted = select(store.points.c.run_id, func.count()).group_by(store.points.c.run_id)
        found: dict[str, int] = {}
        with self._db.read() as connection:
            for part in _parts(run_ids):
                rows = connection.execute(counted.where(store.points.c.run_id.in_(part)))
                found.update((row[0], row[1]) for row in rows)
        return found

    def known_run_files(self, run_ids: Sequence[str]) -> set[tuple[str, str]]:
        """Return the artifacts that are known of some runs, as run and path."""
        return self._known(store.artifacts, "run_id", run_ids)

    def known_model_files(self, model_ids: Sequence[str]) -> set[tuple[str, str]]:
        """Return the files that are known of some logged models, as model and path."""
        return self._known(model_store.artifacts, "model_id", model_ids)

    def held_of_runs(self, run_ids: Sequence[str]) -> Held:
        """Return how much is kept of some runs."""
        tables = {
            "owners": (store.runs, "id"),
            "params": (store.params, "run_id"),
            "tags": (store.tags, "run_id"),
            "points": (store.points, "run_id"),
            "artifacts": (store.artifacts, "run_id"),
        }
        counted = {name: self._count(*place, run_ids) for name, place in tables.items()}
        inputs = self._count(store.inputs, "run_id", run_ids)
        return Held(**counted, inputs=inputs + self._count(store.links, "run_id", run_ids))

    def held_of_models(self, model_ids: Sequence[str]) -> Held:
        """Return how much is kept of some logged models."""
        tables = {
            "owners": (model_store.models, "id"),
            "params": (model_store.params, "model_id"),
            "tags": (model_store.tags, "model_id"),
            "points": (model_store.metrics, "model_id"),
            "artifacts": (model_store.artifacts, "model_id"),
        }
        return Held(**{name: self._count(*place, model_ids) for name, place in tables.items()})

    def _make(self, connection: Connection, given: Experiment, actor: str) -> Experiment:
        taken = select(store.experiments.c.id).filter_by(id=given.id)
        free = _ID.fullmatch(given.id) and len(given.id) <= 32
        if not free or connection.scalar(taken) is not None:
            given = msgspec.structs.replace(given, id=self._ids.new())
        row = {column.name: getattr(given, column.name) for column in store.experiments.c}
        connection.execute(insert(store.experiments), row)
        event = events.ExperimentCreated(experiment_id=given.id, name=given.name)
        subject = Ref("experiment", given.id)
        self._journal.append(connection, event, subject=subject, actor=actor)
        return given

    def _files(self, table: Table, owner: str, given: Sequence[tuple[str, Artifact]]) -> None:
        for _, artifact in given:
            check_path(artifact.path)
        rows = [{owner: name} | msgspec.structs.asdict(artifact) for name, artifact in given]

        def work(connection: Connection) -> None:
            connection.execute(store.inserting(connection, table).on_conflict_do_nothing(), rows)

        if rows:
            self._db.write(work)

    def _known(self, table: Table, owner: str, ids: Sequence[str]) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        with self._db.read() as connection:
            for part in _parts(ids):
                query = select(table.c[owner], table.c.path).where(table.c[owner].in_(part))
                found.update((row[0], row[1]) for row in connection.execute(query))
        return found

    def _count(self, table: Table, owner: str, ids: Sequence[str]) -> int:
        counted: Any = func.count(distinct(table.c[owner])) if owner == "id" else func.count()
        with self._db.read() as connection:
            return sum(
                connection.scalar(select(counted).where(table.c[owner].in_(part))) or 0
                for part in _parts(ids)
            )


def _add_entries(
    connection: Connection, table: Table, owner: str, name: str, values: dict[str, str]
) -> None:
    rows = [{owner: name, "key": t.key, "value": t.value} for t in map(_plain, values.items())]
    if rows:
        connection.execute(store.inserting(connection, table).on_conflict_do_nothing(), rows)


def _plain(entry: tuple[str, str]) -> Tag:
    """Refuse a text that no database of ours keeps; nothing is cut short."""
    key, value = entry
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadIntake(f"The value of {key!r} is no text.", expected="Unicode text") from error
    return Tag(key, value.replace("\x00", ""))


def _outside(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the points whose numbers do not fit; keys are looked at once each."""
    most = 2**63
    return [m for m in metrics if not (-most <= m.step < most and -most <= m.timestamp < most)]


def _check_id(identifier: str) -> None:
    if not _ID.fullmatch(identifier):
        raise BadIntake(
            f"{identifier[:100]!r} cannot be the id of a run or model.",
            expected="letters, digits, '_' and '-', at most 34",
        )


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
