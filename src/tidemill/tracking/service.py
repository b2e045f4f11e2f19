"""The tracking verbs: start a run, log to it, end it, find it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sqlalchemy import Connection, delete, insert, select, update

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.engine import Database
from tidemill.tracking import store
from tidemill.tracking.errors import (
    ArtifactNotFound,
    BadArtifactPath,
    BadMetric,
    ExperimentNotFound,
    ParamChanged,
    RunNotFound,
)
from tidemill.tracking.events import RunFinished, RunResumed, RunStarted
from tidemill.tracking.records import Artifact, Experiment, Metric, Param, Run, RunStatus, Tag

MAX_KEY = 250


class Tracking:
    """Experiments and runs. Every verb is atomic, and may be repeated.

    Args:
        db: The database.
        blobs: Where artifacts lie.
        journal: Where starts and ends are written down, in the same transaction.
        clock: Dates everything.
        ids: Name the runs.
    """

    def __init__(
        self, db: Database, blobs: BlobStore, journal: Journal, clock: Clock, ids: Ids
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._journal = journal
        self._clock = clock
        self._ids = ids

    def experiment(self, name: str) -> Experiment:
        """Return the experiment of that name; it is made where it is new."""

        def work(connection: Connection) -> Experiment:
            found = store.read_experiments(connection, store.experiments.c.name == name)
            if found:
                return found[0]
            made = Experiment(id=self._ids.new(), name=name, created=self._clock.now())
            row = {"id": made.id, "name": name, "created": made.created, "lifecycle": "active"}
            connection.execute(insert(store.experiments), row)
            return made

        with self._db.read() as connection:
            found = store.read_experiments(connection, store.experiments.c.name == name)
        return found[0] if found else self._db.write(work)

    def experiments(self) -> list[Experiment]:
        """Return all experiments by name."""
        with self._db.read() as connection:
            return store.read_experiments(connection)

    def start_run(
        self,
        experiment_id: str,
        *,
        actor: str,
        name: str = "",
        run_id: str | None = None,
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        cause: str | None = None,
    ) -> Run:
        """Start a run; starting one of a known id again returns it as it is.

        Raises:
            ExperimentNotFound: No experiment has that id.
        """
        identifier = run_id or self._ids.new()

        def work(connection: Connection) -> Run:
            known = store.read_runs(connection, store.runs.c.id == identifier)
            if known:
                return known[0]
            found = store.read_experiments(connection, store.experiments.c.id == experiment_id)
            if not found:
                raise ExperimentNotFound(f"There is no experiment {experiment_id!r}.")
            row = {
                "id": identifier,
                "experiment_id": experiment_id,
                "name": name or f"run-{identifier[-6:]}",
                "status": "RUNNING",
                "started": self._clock.now(),
                "ended": None,
                "actor": actor,
                "parent": parent,
                "lifecycle": "active",
            }
            connection.execute(insert(store.runs), row)
            store.set_tags(connection, identifier, [Tag(k, v) for k, v in (tags or {}).items()])
            event = RunStarted(run_id=identifier, name=str(row["name"]), experiment=found[0].name)
            subject = Ref("run", identifier)
            self._journal.append(connection, event, subject=subject, actor=actor, cause=cause)
            return store.read_runs(connection, store.runs.c.id == identifier)[0]

        return self._db.write(work)

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
    ) -> None:
        """Keep a batch, whole or not at all; a point that is known changes nothing.

        Raises:
            RunNotFound: No run has that id.
            ParamChanged: A param is known with another value.
            BadMetric: A key is empty or too long.
        """
        for key in [e.key for e in metrics] + [e.key for e in params] + [e.key for e in tags]:
            if not 0 < len(key) <= MAX_KEY:
                raise BadMetric(
                    f"The key {key[:60]!r} has {len(key)} characters.",
                    expected=f"1 to {MAX_KEY}",
                )

        def work(connection: Connection) -> None:
            self._require(connection, run_id)
            changed = store.add_params(connection, run_id, params)
            if changed is not None:
                raise ParamChanged(
                    f"The param {changed.key!r} of run {run_id} is to become {changed.value!r}.",
                    expected="the value that it was logged with before: params do not change",
                    hint="Log it under another key, or in another run.",
                )
            store.add_metrics(connection, run_id, metrics)
            store.set_tags(connection, run_id, tags)

        self._db.write(work)

    def end_run(
        self, run_id: str, status: RunStatus, *, actor: str, cause: str | None = None
    ) -> Run:
        """End a run; ending it again the same way changes nothing.

        Raises:
            RunNotFound: No run has that id.
        """

        def work(connection: Connection) -> Run:
            run = self._require(connection, run_id)
            if run.status == status:
                return run
            connection.execute(
                update(store.runs).filter_by(id=run_id),
                {"status": status, "ended": self._clock.now()},
            )
            event = RunFinished(run_id=run_id, status=status)
            subject = Ref("run", run_id)
            self._journal.append(connection, event, subject=subject, actor=actor, cause=cause)
            return self._require(connection, run_id)

        return self._db.write(work)

    def resume_run(self, run_id: str, *, actor: str, cause: str | None = None) -> Run:
        """Have a run go on that had ended.

        Raises:
            RunNotFound: No run has that id.
        """

        def work(connection: Connection) -> Run:
            run = self._require(connection, run_id)
            if run.status == "RUNNING":
                return run
            connection.execute(
                update(store.runs).filter_by(id=run.id), {"status": "RUNNING", "ended": None}
            )
            event = RunResumed(run_id=run.id, was=run.status)
            subject = Ref("run", run.id)
            self._journal.append(connection, event, subject=subject, actor=actor, cause=cause)
            return self._require(connection, run.id)

        return self._db.write(work)

    def get(self, run_id: str) -> Run:
        """Return a run; the beginning of an id will do where only one begins so.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            return self._require(connection, run_id)

    def runs(self, experiment_id: str | None = None, *, limit: int = 100) -> list[Run]:
        """Return the newest runs, of one experiment or of all."""
        where = [store.runs.c.lifecycle == "active"]
        if experiment_id is not None:
            where.append(store.runs.c.experiment_id == experiment_id)
        with self._db.read() as connection:
            return store.read_runs(connection, *where, limit=limit)

    def history(self, run_id: str, key: str) -> list[Metric]:
        """Return all points of a metric in the order of their steps.

        Raises:
            RunNotFound: No run has that id.
        """
        points = store.metrics.c
        query = select(points.key, points.value, points.timestamp, points.step)
        ordered = query.filter_by(run_id=run_id, key=key).order_by(points.step, points.timestamp)
        with self._db.read() as connection:
            self._require(connection, run_id)
            return [Metric(*row) for row in connection.execute(ordered)]

    def log_artifact(self, run_id: str, path: str, source: bytes | BinaryIO | Path) -> Artifact:
        """Keep a file under a path, in place of what was there.

        Raises:
            RunNotFound: No run has that id.
            BadArtifactPath: The path leaves the run, or cannot be a file name.
        """
        _check_path(path)
        self.get(run_id)
        blob = self._blobs.put(source)
        artifact = Artifact(path=path, digest=blob.digest, size=blob.size)

        def work(connection: Connection) -> None:
            connection.execute(delete(store.artifacts).filter_by(run_id=run_id, path=path))
            row = {"run_id": run_id, "path": path, "digest": blob.digest, "size": blob.size}
            connection.execute(insert(store.artifacts), row)

        self._db.write(work)
        return artifact

    def artifacts(self, run_id: str, prefix: str = "") -> list[Artifact]:
        """Return a run's artifacts below a path.

        Raises:
            RunNotFound: No run has that id.
        """
        folder = prefix.rstrip("/") + "/" if prefix else ""
        with self._db.read() as connection:
            self._require(connection, run_id)
            found = store.read_artifacts(connection, run_id)
        return [a for a in found if a.path.startswith(folder) or a.path == prefix]

    def open_artifact(self, run_id: str, path: str) -> BinaryIO:
        """Open an artifact for reading.

        Raises:
            ArtifactNotFound: The run has none of that path.
        """
        known = self.artifacts(run_id)
        for artifact in known:
            if artifact.path == path:
                return self._blobs.open(artifact.digest)
        raise ArtifactNotFound(
            f"Run {run_id} has no artifact {path!r}.",
            expected=nearest(path, [a.path for a in known]),
        )

    def _require(self, connection: Connection, run_id: str) -> Run:
        found = store.read_runs(connection, store.runs.c.id == run_id)
        if not found and 6 <= len(run_id) < 32:
            begins = store.runs.c.id.startswith(run_id, autoescape=True)
            found = store.read_runs(connection, begins, limit=2)
        if len(found) != 1:
            raise RunNotFound(
                f"There is no run {run_id!r}.",
                expected="the id of a run, or enough of its beginning",
                hint="List them with: tidemill runs list",
            )
        return found[0]


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path != "/".join(parts)
        or any(part in {".", ".."} or len(part.encode()) > 255 for part in parts)
        or "\\" in path
        or any(ord(c) < 32 for c in path)
    ):
        raise BadArtifactPath(
            f"{path!r} cannot be the path of an artifact.",
            expected="a relative path with forward slashes, such as plots/roc.svg",
        )
