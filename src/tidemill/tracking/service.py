"""The tracking verbs: start a run, log to it, end it, find it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from tidemill.core.errors import nearest
from tidemill.core.events import Event
from tidemill.core.references import Ref
from tidemill.tracking import entries, events, links, model_store, store
from tidemill.tracking.errors import (
    BadArtifactPath,
    NotActive,
    TagNotFound,
)
from tidemill.tracking.experiments import active_experiment
from tidemill.tracking.reading import Reading, missing, row_of, run_of
from tidemill.tracking.records import (
    Artifact,
    DatasetInput,
    Lifecycle,
    Metric,
    ModelLink,
    ModelMetric,
    Param,
    Run,
    RunStatus,
    Tag,
)
from tidemill.tracking.validation import (
    check_metrics,
    check_path,
    cut_params,
    cut_tags,
)

_ENDED = {"FINISHED", "FAILED", "KILLED"}


class Tracking(Reading):
    """Experiments and runs. Every verb is atomic, and may be repeated.

    Args:
        db: The database.
        blobs: Where artifacts lie.
        journal: Where starts and ends are written down, in the same transaction.
        clock: Dates everything.
        ids: Name the runs.
    """

    def new_id(self) -> str:
        """Return an id for a run that is about to start."""
        return self._ids.new()

    def start_run(
        self,
        experiment_id: str,
        *,
        actor: str,
        name: str = "",
        run_id: str | None = None,
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        started: datetime | None = None,
        cause: str | None = None,
    ) -> Run:
        """Start a run; starting one of a known id again returns it as it is.

        Raises:
            ExperimentNotFound: No experiment has that id.
            NotActive: The experiment was deleted.
        """
        identifier = run_id or self._ids.new()
        notes = cut_tags(Tag(k, v) for k, v in (tags or {}).items())

        def work(connection: Connection) -> Run:
            known = store.read_runs(connection, store.runs.c.id == identifier) if run_id else []
            if known:
                return known[0]
            experiment = active_experiment(connection, experiment_id)
            row = {
                "id": identifier,
                "experiment_id": experiment.id,
                "name": name or f"run-{identifier[-6:]}",
                "status": "RUNNING",
                "started": started or self._clock.now(),
                "ended": None,
                "actor": actor,
                "parent": parent,
                "lifecycle": "active",
            }
            connection.execute(insert(store.runs), row)
            store.set_tags(connection, identifier, notes)
            event = events.RunStarted(
                run_id=identifier, name=str(row["name"]), experiment=experiment.name
            )
            self._note(connection, event, Ref("run", identifier), actor, cause)
            return msgspec.convert(row | {"tags": {tag.key: tag.value for tag in notes}}, Run)

        return self._db.write(work)

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
        of_models: Sequence[ModelMetric] = (),
    ) -> None:
        """Keep a batch, whole or not at all; a point that is known changes nothing.

        Args:
            run_id: The run.
            metrics: Points of the run's metrics.
            params: Are written once.
            tags: Replace those of the same keys.
            of_models: Points that also say something of logged models.

        Raises:
            RunNotFound: No run has that id.
            NotActive: The run was deleted.
            ParamChanged: A param is known with another value.
            BadMetric: A key or a value cannot be kept.
            LoggedModelNotFound: A point is said to be of a model that is not there.
        """
        self.log_soon(
            run_id, metrics=metrics, params=params, tags=tags, of_models=of_models
        ).result()

    def log_soon(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
        of_models: Sequence[ModelMetric] = (),
    ) -> Future[None]:
        """Like `log`, but return at once; the future ends when the batch is durable.

        Raises:
            BadMetric: A key or a value cannot be kept.
            DatabaseBusy: Too many writes are waiting.
        """
        check_metrics(metrics)
        points = entries.point_rows(run_id, metrics)
        batch = entries.Batch(run_id, points, cut_params(params), cut_tags(tags))

        def work(connection: Connection) -> None:
            for refused in filter(None, entries.write(connection, [batch])):
                raise refused
            model_store.require(connection, {metric.model_id for metric in of_models})
            model_store.add_metrics(connection, run_id, of_models)

        written: Future[None] = (
            self._db.submit(work) if of_models else self._db.submit_merged(entries.write, batch)
        )
        if metrics:
            written.add_done_callback(lambda _: self._samples.end(run_id))
        return written

    def link(
        self,
        run_id: str,
        *,
        datasets: Sequence[DatasetInput] = (),
        read: Sequence[ModelLink] = (),
        written: Sequence[ModelLink] = (),
    ) -> None:
        """Keep which datasets and logged models a run read, and which models it wrote.

        Raises:
            RunNotFound: No run has that id.
            NotActive: The run was deleted.
        """

        def work(connection: Connection) -> None:
            _require_active(connection, run_id)
            links.add_inputs(connection, run_id, datasets)
            links.add_links(connection, run_id, "in", read)
            links.add_links(connection, run_id, "out", written)

        self._db.write(work)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Take a tag off a run.

        Raises:
            RunNotFound: No run has that id.
            NotActive: The run was deleted.
            TagNotFound: It has no such tag.
        """

        def work(connection: Connection) -> None:
            _require_active(connection, run_id)
            gone = connection.execute(delete(store.tags).filter_by(run_id=run_id, key=key))
            if gone.rowcount == 0:
                known = run_of(connection, run_id).tags
                raise TagNotFound(
                    f"No tag with name: {key} in run with id {run_id}",
                    expected=nearest(key, known),
                )

        self._db.write(work)

    def end_run(
        self, run_id: str, status: RunStatus, *, actor: str, cause: str | None = None
    ) -> Run:
        """End a run; ending it again the same way changes nothing.

        Raises:
            RunNotFound: No run has that id.
        """
        return self.update_run(run_id, status=status, actor=actor, cause=cause)

    def resume_run(self, run_id: str, *, actor: str, cause: str | None = None) -> Run:
        """Have a run go on that had ended.

        Raises:
            RunNotFound: No run has that id.
            NotActive: It was deleted.
        """
        return self.update_run(run_id, status="RUNNING", actor=actor, cause=cause)

    def update_run(
        self,
        run_id: str,
        *,
        actor: str,
        status: RunStatus | None = None,
        ended: datetime | None = None,
        name: str | None = None,
        cause: str | None = None,
    ) -> Run:
        """Change how a run stands, when it ended, or what it is called.

        Raises:
            RunNotFound: No run has that id.
            NotActive: It was deleted.
        """

        def work(connection: Connection) -> Run:
            run = run_of(connection, run_id)
            _require_active(connection, run.id)
            changes: dict[str, Any] = {} if not name or name == run.name else {"name": name}
            if status is not None and status != run.status:
                end = (ended or self._clock.now()) if status in _ENDED else None
                changes |= {"status": status, "ended": end}
                self._note_status(connection, run, status, actor, cause)
            elif ended is not None and ended != run.ended:
                changes["ended"] = ended
            if not changes:
                return run
            connection.execute(update(store.runs).filter_by(id=run.id), changes)
            return run_of(connection, run.id)

        return self._db.write(work)

    def delete_run(self, run_id: str, *, actor: str) -> Run:
        """Delete a run; it can be restored.

        Raises:
            RunNotFound: No run has that id.
        """
        return self._keep_run(run_id, "deleted", events.RunDeleted(run_id=run_id), actor)

    def restore_run(self, run_id: str, *, actor: str) -> Run:
        """Restore a deleted run.

        Raises:
            RunNotFound: No run has that id.
        """
        return self._keep_run(run_id, "active", events.RunRestored(run_id=run_id), actor)

    def log_artifact(self, run_id: str, path: str, source: bytes | BinaryIO | Path) -> Artifact:
        """Keep a file under a path, in place of what was there.

        Raises:
            RunNotFound: No run has that id.
            BadArtifactPath: The path leaves the run, or a folder or file is in its way.
        """
        check_path(path)
        with self._db.read() as connection:
            identifier = row_of(connection, run_id)
        blob = self._blobs.put(source)
        artifact = Artifact(path=path, digest=blob.digest, size=blob.size)

        def work(connection: Connection) -> None:
            _require_active(connection, identifier)
            _require_room(connection, identifier, path)
            store.put_artifact(connection, identifier, artifact)

        self._db.write(work)
        return artifact

    def delete_artifacts(self, run_id: str, path: str) -> int:
        """Forget an artifact, or all below a folder; return how many.

        Raises:
            RunNotFound: No run has that id.
        """
        table = store.artifacts
        below = table.c.path.startswith(f"{path}/", autoescape=True)

        def work(connection: Connection) -> int:
            _require_active(connection, run_id)
            gone = delete(table).filter_by(run_id=run_id).where((table.c.path == path) | below)
            return connection.execute(gone).rowcount

        return self._db.write(work)

    def _keep_run(self, run_id: str, lifecycle: Lifecycle, event: Event, actor: str) -> Run:
        def work(connection: Connection) -> Run:
            run = run_of(connection, run_id)
            if run.lifecycle == lifecycle:
                return run
            changed = update(store.runs).filter_by(id=run.id)
            connection.execute(changed, self._kept(lifecycle))
            self._note(connection, event, Ref("run", run.id), actor)
            return run_of(connection, run.id)

        return self._db.write(work)

    def _note_status(
        self, connection: Connection, run: Run, status: RunStatus, actor: str, cause: str | None
    ) -> None:
        if status in _ENDED:
            event: Event = events.RunFinished(run_id=run.id, status=status)
        elif run.status in _ENDED:
            event = events.RunResumed(run_id=run.id, was=run.status)
        else:
            return
        self._note(connection, event, Ref("run", run.id), actor, cause)


def _require_active(connection: Connection, run_id: str) -> None:
    lifecycle = connection.scalar(select(store.runs.c.lifecycle).filter_by(id=run_id))
    if lifecycle is None:
        raise missing(run_id)
    if lifecycle != "active":
        raise NotActive(
            f"The run {run_id} must be in the 'active' state. Current state is {lifecycle}.",
            hint="Restore it first.",
        )


def _require_room(connection: Connection, run_id: str, path: str) -> None:
    """Refuse a file where a folder is, and a folder where a file is."""
    columns = store.artifacts.c
    parts = path.split("/")
    above = ["/".join(parts[:i]) for i in range(1, len(parts))]
    in_the_way = columns.path.in_(above) | columns.path.startswith(f"{path}/", autoescape=True)
    found = store.read_artifacts(connection, run_id, in_the_way)
    if found:
        raise BadArtifactPath(
            f"{path!r} cannot be kept beside {found[0].path!r}: one is a folder in the other.",
            expected="a path that is not both a file and a folder",
        )
