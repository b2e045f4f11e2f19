"""The tracking verbs: start a run, log to it, end it, find it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.events import Event
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.engine import Database
from tidemill.storage.db.search import Page, condition, ordering, page
from tidemill.tracking import entries, events, model_store, search, store
from tidemill.tracking.errors import (
    ArtifactNotFound,
    BadArtifactPath,
    BadExperiment,
    ExperimentExists,
    ExperimentNotFound,
    NotActive,
    RunNotFound,
    TagNotFound,
)
from tidemill.tracking.ranking import ranking_of, read_ranked
from tidemill.tracking.records import (
    Artifact,
    DatasetInput,
    DatasetSummary,
    Experiment,
    Lifecycle,
    Metric,
    ModelLink,
    ModelMetric,
    Param,
    Run,
    RunDetail,
    RunLinks,
    RunStatus,
    Tag,
    View,
)
from tidemill.tracking.sampling import Samples
from tidemill.tracking.selection import source_of
from tidemill.tracking.thinning import Span, thinned
from tidemill.tracking.validation import (
    MAX_EXPERIMENT_TAG,
    check_metrics,
    check_name,
    check_path,
    cut_params,
    cut_tags,
)

DEFAULT = "Default"
DEFAULT_ID = "0"
_ENDED = {"FINISHED", "FAILED", "KILLED"}


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
        self._samples = Samples()

    # Experiments

    def experiment(self, name: str, *, actor: str = "tidemill") -> Experiment:
        """Return the experiment of that name; it is made where it is new.

        Raises:
            BadExperiment: No experiment can be so called.
        """
        check_name(name)
        known = self.find_experiment(name)
        if known is not None:
            return known
        return self._db.write(
            lambda c: _named(c, name) or self._make_experiment(c, name, None, {}, actor)
        )

    def create_experiment(
        self,
        name: str,
        *,
        actor: str,
        artifact_location: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Experiment:
        """Make a new experiment.

        Raises:
            BadExperiment: No experiment can be so called.
            ExperimentExists: One is so called already.
        """
        check_name(name)
        notes = dict(tags or {})

        def work(connection: Connection) -> Experiment:
            _require_free(connection, name)
            return self._make_experiment(connection, name, artifact_location, notes, actor)

        return self._db.write(work)

    def experiments(self) -> list[Experiment]:
        """Return all experiments by name."""
        with self._db.read() as connection:
            return store.read_experiments(connection)

    def find_experiment(self, name: str) -> Experiment | None:
        """Return the experiment of that name, or nothing."""
        with self._db.read() as connection:
            return _named(connection, name)

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return an experiment.

        Raises:
            ExperimentNotFound: None has that id.
        """
        with self._db.read() as connection:
            return _experiment(connection, experiment_id)

    def search_experiments(
        self,
        filter: str = "",
        *,
        order_by: Sequence[str] = (),
        view: View = "active",
        limit: int = 1000,
        token: str | None = None,
    ) -> Page[Experiment]:
        """Return the experiments that a filter lets through, newest first.

        Raises:
            BadSearch: The filter, the order or the token cannot be read.
        """
        columns = store.experiments.c
        where = [*_seen(columns.lifecycle, view), *condition(search.EXPERIMENTS, filter)]
        last = (columns.created.desc(), columns.id.asc())
        order = ordering(search.EXPERIMENTS, order_by, last)

        def read(most: int, offset: int) -> list[Experiment]:
            with self._db.read() as connection:
                return store.read_experiments(
                    connection, *where, order=order, limit=most, offset=offset
                )

        return page(read, limit, token)

    def rename_experiment(self, experiment_id: str, name: str, *, actor: str) -> Experiment:
        """Give an experiment another name.

        Raises:
            ExperimentNotFound: None has that id.
            ExperimentExists: Another one is so called.
            NotActive: It was deleted.
        """
        check_name(name)

        def work(connection: Connection) -> Experiment:
            known = _active_experiment(connection, experiment_id)
            if known.name == name:
                return known
            _require_free(connection, name)
            if name == DEFAULT and not _there(connection, DEFAULT_ID):
                # It is made when it is first asked for, and the name waits for it.
                raise _taken(name)
            self._touch(connection, known.id, name=name)
            event = events.ExperimentRenamed(experiment_id=known.id, name=name, was=known.name)
            self._note(connection, event, Ref("experiment", known.id), actor)
            return _experiment(connection, known.id)

        return self._db.write(work)

    def delete_experiment(self, experiment_id: str, *, actor: str) -> Experiment:
        """Delete an experiment and its runs; both can be restored.

        Raises:
            ExperimentNotFound: None has that id.
            BadExperiment: It is the default one.
        """
        if experiment_id == DEFAULT_ID:
            raise BadExperiment(
                "Cannot delete the default experiment.", expected="another experiment"
            )
        event = events.ExperimentDeleted(experiment_id=experiment_id)
        return self._keep_experiment(experiment_id, "deleted", event, actor)

    def restore_experiment(self, experiment_id: str, *, actor: str) -> Experiment:
        """Restore a deleted experiment with its runs.

        Raises:
            ExperimentNotFound: None has that id.
        """
        event = events.ExperimentRestored(experiment_id=experiment_id)
        return self._keep_experiment(experiment_id, "active", event, actor)

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set a tag of an experiment.

        Raises:
            ExperimentNotFound: None has that id.
            NotActive: It was deleted.
        """
        entries = cut_tags([Tag(key, value)], MAX_EXPERIMENT_TAG)

        def work(connection: Connection) -> None:
            known = _active_experiment(connection, experiment_id)
            store.set_experiment_tags(connection, known.id, entries)
            self._touch(connection, known.id)

        self._db.write(work)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Take a tag off an experiment.

        Raises:
            ExperimentNotFound: None has that id.
            TagNotFound: It has no such tag.
        """

        def work(connection: Connection) -> None:
            known = _active_experiment(connection, experiment_id)
            if key not in known.tags:
                raise TagNotFound(
                    f"No tag with name: {key} in experiment with id {known.id}",
                    expected=nearest(key, known.tags),
                )
            table = store.experiment_tags
            connection.execute(delete(table).filter_by(experiment_id=known.id, key=key))
            self._touch(connection, known.id)

        self._db.write(work)

    # Runs

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
            experiment = _active_experiment(connection, experiment_id)
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
            store.add_inputs(connection, run_id, datasets)
            store.add_links(connection, run_id, "in", read)
            store.add_links(connection, run_id, "out", written)

        self._db.write(work)

    def links(self, run_ids: Sequence[str]) -> dict[str, RunLinks]:
        """Return what some runs read and wrote, by run; those that did neither are left out."""
        with self._db.read() as connection:
            return store.read_links(connection, run_ids)

    def datasets_of(self, experiment_ids: Sequence[str], *, limit: int) -> list[DatasetSummary]:
        """Return the datasets that runs of some experiments read, each once."""
        with self._db.read() as connection:
            return store.read_summaries(connection, experiment_ids, limit)

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
                known = _run(connection, run_id).tags
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
            run = _run(connection, run_id)
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
            return _run(connection, run.id)

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

    def get(self, run_id: str) -> Run:
        """Return a run; the beginning of an id will do where only one begins so.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            return _run(connection, run_id)

    def detail(self, run_id: str) -> RunDetail:
        """Return a run with all that hangs on it.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            rows = store.read_rows(connection, store.runs.c.id == _row(connection, run_id))
            return store.read_details(connection, rows)[0]

    def runs(self, experiment_id: str | None = None, *, limit: int = 100) -> list[Run]:
        """Return the newest runs, of one experiment or of all."""
        where = [store.runs.c.lifecycle == "active"]
        if experiment_id is not None:
            where.append(store.runs.c.experiment_id == experiment_id)
        with self._db.read() as connection:
            return store.read_runs(connection, *where, limit=limit)

    def search(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter: str = "",
        *,
        order_by: Sequence[str] = (),
        view: View = "active",
        limit: int = 1000,
        token: str | None = None,
    ) -> Page[Run]:
        """Return the runs that a filter lets through, newest first where no order is given.

        Args:
            experiment_ids: Of which experiments; of all where it is left out.
            filter: As `core.search.parser` reads it, such as `metrics.auc > 0.7 AND NOT
                (params.depth = '3' OR tags.team IS NULL)`.
            order_by: Such as `metrics.auc DESC`.
            view: Whether deleted runs are seen.
            limit: How many on a page.
            token: Where the page begins, as the one before it said.

        Raises:
            BadSearch: The filter, an order or the token cannot be read.
        """
        rows = self._rows(experiment_ids, filter, order_by, view)

        def read(most: int, offset: int) -> list[Run]:
            with self._db.read() as connection:
                found = rows(connection, most, offset)
                values = store.read_newest(connection, [row.id for row in found])
                return store.runs_of(connection, found, values)

        return page(read, limit, token)

    def search_details(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter: str = "",
        *,
        order_by: Sequence[str] = (),
        view: View = "active",
        limit: int = 1000,
        token: str | None = None,
    ) -> Page[RunDetail]:
        """Like `search`, with all that hangs on the runs.

        Raises:
            BadSearch: The filter, an order or the token cannot be read.
        """
        rows = self._rows(experiment_ids, filter, order_by, view)

        def read(most: int, offset: int) -> list[RunDetail]:
            with self._db.read() as connection:
                return store.read_details(connection, rows(connection, most, offset))

        return page(read, limit, token)

    def _rows(
        self,
        experiment_ids: Sequence[str] | None,
        filter: str,
        order_by: Sequence[str],
        view: View,
    ) -> Callable[[Connection, int, int], Sequence[Row[Any]]]:
        """Return what reads a stretch of the rows that a search finds."""
        columns = store.runs.c
        where = [*_seen(columns.lifecycle, view), *condition(search.RUNS, filter)]
        ranking = ranking_of(experiment_ids, order_by)
        if ranking is not None:
            return lambda connection, most, offset: read_ranked(
                connection, ranking, where, most, offset
            )
        if experiment_ids is not None:
            only = len(experiment_ids) == 1
            of = columns.experiment_id
            where.insert(0, of == experiment_ids[0] if only else of.in_(list(experiment_ids)))
        order = ordering(search.RUNS, order_by, (columns.started.desc(), columns.id.asc()))
        return lambda connection, most, offset: store.read_rows(
            connection,
            *where,
            source=source_of(connection, filter),
            order=order,
            limit=most,
            offset=offset,
        )

    def history(
        self, run_id: str, key: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Metric]:
        """Return the points of a metric in the order of their steps.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            run = _row(connection, run_id)
            return store.read_points(connection, run, key, limit=limit, offset=offset)

    def sample(
        self,
        run_id: str,
        key: str,
        *,
        most: int,
        first: int | None = None,
        last: int | None = None,
    ) -> list[Metric]:
        """Return a metric's points thinned out for a plot, its extremes kept.

        Args:
            run_id: The run.
            key: The metric.
            most: How many points at the most, at least 4.
            first: The first step to see.
            last: The last step to see.

        Raises:
            RunNotFound: No run has that id.
        """

        def read() -> list[Metric]:
            with self._db.read() as connection:
                span = Span(_row(connection, run_id), key, first, last)
                return thinned(connection, span, most)

        return self._samples.get(run_id, (key, most, first, last), read)

    def newest(self, run_ids: Sequence[str]) -> dict[str, list[Metric]]:
        """Return the newest point of every metric of some runs, by run."""
        with self._db.read() as connection:
            return store.read_newest(connection, run_ids)

    # Artifacts

    def log_artifact(self, run_id: str, path: str, source: bytes | BinaryIO | Path) -> Artifact:
        """Keep a file under a path, in place of what was there.

        Raises:
            RunNotFound: No run has that id.
            BadArtifactPath: The path leaves the run, or a folder or file is in its way.
        """
        check_path(path)
        with self._db.read() as connection:
            identifier = _row(connection, run_id)
        blob = self._blobs.put(source)
        artifact = Artifact(path=path, digest=blob.digest, size=blob.size)

        def work(connection: Connection) -> None:
            _require_active(connection, identifier)
            _require_room(connection, identifier, path)
            store.put_artifact(connection, identifier, artifact)

        self._db.write(work)
        return artifact

    def artifacts(self, run_id: str, prefix: str = "") -> list[Artifact]:
        """Return a run's artifacts below a path.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            found = store.read_artifacts(connection, _row(connection, run_id))
        folder = prefix.rstrip("/") + "/" if prefix else ""
        return [a for a in found if a.path.startswith(folder) or a.path == prefix]

    def artifact(self, run_id: str, path: str) -> Artifact:
        """Return what is known of one artifact.

        Raises:
            RunNotFound: No run has that id.
            ArtifactNotFound: The run has none of that path.
        """
        with self._db.read() as connection:
            identifier = _row(connection, run_id)
            found = store.read_artifacts(connection, identifier, store.artifacts.c.path == path)
            known = [] if found else store.read_artifacts(connection, identifier)
        if not found:
            raise ArtifactNotFound(
                f"Run {run_id} has no artifact {path!r}.",
                expected=nearest(path, [a.path for a in known]),
            )
        return found[0]

    def open_artifact(self, run_id: str, path: str) -> BinaryIO:
        """Open an artifact for reading.

        Raises:
            RunNotFound: No run has that id.
            ArtifactNotFound: The run has none of that path.
        """
        return self._blobs.open(self.artifact(run_id, path).digest)

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

    # Steps of the above

    def _make_experiment(
        self,
        connection: Connection,
        name: str,
        location: str | None,
        tags: Mapping[str, str],
        actor: str,
    ) -> Experiment:
        now = self._clock.now()
        taken = connection.scalar(select(store.experiments.c.id).filter_by(id=DEFAULT_ID))
        identifier = DEFAULT_ID if name == DEFAULT and not taken else self._ids.new()
        row = {"id": identifier, "name": name, "created": now, "updated": now}
        connection.execute(
            insert(store.experiments), row | {"lifecycle": "active", "artifact_location": location}
        )
        entries = cut_tags((Tag(k, v) for k, v in tags.items()), MAX_EXPERIMENT_TAG)
        store.set_experiment_tags(connection, identifier, entries)
        event = events.ExperimentCreated(experiment_id=identifier, name=name)
        self._note(connection, event, Ref("experiment", identifier), actor)
        return _experiment(connection, identifier)

    def _keep_experiment(
        self, experiment_id: str, lifecycle: Lifecycle, event: Event, actor: str
    ) -> Experiment:
        def work(connection: Connection) -> Experiment:
            known = _experiment(connection, experiment_id)
            if known.lifecycle == lifecycle:
                return known
            kept = self._kept(lifecycle)
            self._touch(connection, known.id, **kept)
            of_it = update(store.runs).filter_by(experiment_id=known.id)
            connection.execute(of_it.where(store.runs.c.lifecycle != lifecycle), kept)
            self._note(connection, event, Ref("experiment", known.id), actor)
            return _experiment(connection, known.id)

        return self._db.write(work)

    def _keep_run(self, run_id: str, lifecycle: Lifecycle, event: Event, actor: str) -> Run:
        def work(connection: Connection) -> Run:
            run = _run(connection, run_id)
            if run.lifecycle == lifecycle:
                return run
            changed = update(store.runs).filter_by(id=run.id)
            connection.execute(changed, self._kept(lifecycle))
            self._note(connection, event, Ref("run", run.id), actor)
            return _run(connection, run.id)

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

    def _kept(self, lifecycle: Lifecycle) -> dict[str, Any]:
        deleted = self._clock.now() if lifecycle == "deleted" else None
        return {"lifecycle": lifecycle, "deleted": deleted}

    def _touch(self, connection: Connection, experiment_id: str, **changes: Any) -> None:
        row = {"updated": self._clock.now()} | changes
        connection.execute(update(store.experiments).filter_by(id=experiment_id), row)

    def _note(
        self,
        connection: Connection,
        event: Event,
        subject: Ref,
        actor: str,
        cause: str | None = None,
    ) -> None:
        self._journal.append(connection, event, subject=subject, actor=actor, cause=cause)


def _seen(lifecycle: ColumnElement[str], view: View) -> list[ColumnElement[bool]]:
    return [] if view == "all" else [lifecycle == view]


def _named(connection: Connection, name: str) -> Experiment | None:
    found = store.read_experiments(connection, store.experiments.c.name == name)
    return found[0] if found else None


def _require_free(connection: Connection, name: str) -> None:
    if _named(connection, name) is not None:
        raise _taken(name)


def _there(connection: Connection, experiment_id: str) -> bool:
    known = select(store.experiments.c.id).filter_by(id=experiment_id)
    return connection.scalar(known) is not None


def _taken(name: str) -> ExperimentExists:
    return ExperimentExists(
        f"Experiment(name={name}) already exists.",
        expected="another name",
        hint="It may have been deleted: then restore it.",
    )


def _experiment(connection: Connection, experiment_id: str) -> Experiment:
    mine = store.experiments.c.id == experiment_id
    found = store.read_experiments(connection, mine) if experiment_id.isascii() else []
    if not found:
        raise ExperimentNotFound(
            f"No Experiment with id={experiment_id} exists", expected="the id of an experiment"
        )
    return found[0]


def _active_experiment(connection: Connection, experiment_id: str) -> Experiment:
    found = _experiment(connection, experiment_id)
    if found.lifecycle != "active":
        raise NotActive(
            f"The experiment {experiment_id} must be in the 'active' state. "
            f"Current state is {found.lifecycle}.",
            hint="Restore it first.",
        )
    return found


def _run(connection: Connection, run_id: str) -> Run:
    return store.read_runs(connection, store.runs.c.id == _row(connection, run_id))[0]


def _row(connection: Connection, run_id: str) -> str:
    """Return the whole id of a run, from its beginning."""
    columns = store.runs.c
    begins = columns.id == run_id
    if not run_id.isascii():
        raise _missing(run_id)
    if 6 <= len(run_id) < 32:
        begins |= columns.id.startswith(run_id, autoescape=True)
    found = connection.scalars(select(columns.id).where(begins).limit(2)).all()
    if len(found) != 1:
        raise _missing(run_id)
    return str(found[0])


def _missing(run_id: str) -> RunNotFound:
    return RunNotFound(
        f"Run with id={run_id} not found",
        expected="the id of a run, or enough of its beginning",
        hint="List them with: tidemill runs list",
    )


def _require_active(connection: Connection, run_id: str) -> None:
    lifecycle = connection.scalar(select(store.runs.c.lifecycle).filter_by(id=run_id))
    if lifecycle is None:
        raise _missing(run_id)
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
