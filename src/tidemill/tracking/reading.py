"""Finds runs again: by id, by search, and what was logged to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from sqlalchemy import Connection, Row, select

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.engine import Database
from tidemill.storage.db.search import Page, condition, ordering, page
from tidemill.tracking import links, search, store
from tidemill.tracking.errors import (
    ArtifactNotFound,
    RunNotFound,
)
from tidemill.tracking.experiments import Experiments, seen
from tidemill.tracking.ranking import ranking_of, read_ranked
from tidemill.tracking.records import (
    Artifact,
    DatasetSummary,
    Metric,
    Run,
    RunDetail,
    RunLinks,
    View,
)
from tidemill.tracking.sampling import Samples
from tidemill.tracking.selection import selection_of
from tidemill.tracking.thinning import Span, thinned


class Reading(Experiments):
    """Experiments, and all that can be asked of runs.

    Args:
        db: The database.
        blobs: Where artifacts lie.
        journal: Where what happens is written down.
        clock: Dates everything.
        ids: Name what is new.
    """

    def __init__(
        self, db: Database, blobs: BlobStore, journal: Journal, clock: Clock, ids: Ids
    ) -> None:
        super().__init__(db, journal, clock, ids)
        self._blobs = blobs
        self._samples = Samples()

    def get(self, run_id: str) -> Run:
        """Return a run; the beginning of an id will do where only one begins so.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            return run_of(connection, run_id)

    def detail(self, run_id: str) -> RunDetail:
        """Return a run with all that hangs on it.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            rows = store.read_rows(connection, store.runs.c.id == row_of(connection, run_id))
            return links.read_details(connection, rows)[0]

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
                return links.read_details(connection, rows(connection, most, offset))

        return page(read, limit, token)

    def links(self, run_ids: Sequence[str]) -> dict[str, RunLinks]:
        """Return what some runs read and wrote, by run; those that did neither are left out."""
        with self._db.read() as connection:
            return links.read_links(connection, run_ids)

    def datasets_of(self, experiment_ids: Sequence[str], *, limit: int) -> list[DatasetSummary]:
        """Return the datasets that runs of some experiments read, each once."""
        with self._db.read() as connection:
            return links.read_summaries(connection, experiment_ids, limit)

    def history(
        self, run_id: str, key: str, *, limit: int | None = None, offset: int = 0
    ) -> list[Metric]:
        """Return the points of a metric in the order of their steps.

        A page that follows another begins at the other's last point, not with a count of all points
        before it, as long as nothing was logged to the run in between.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            run = row_of(connection, run_id)
            before = self._samples.known(run, ("before", key, offset)) if offset else None
            found = store.read_points(
                connection,
                run,
                key,
                limit=limit,
                offset=0 if before else offset,
                after=before[0] if before else None,
            )
        # Whoever shows a page asks for one point more, to see whether there is another.
        if limit is not None and len(found) == limit > 1:
            self._samples.get(run, ("before", key, offset + limit - 1), lambda: [found[-2]])
        return found

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
                span = Span(row_of(connection, run_id), key, first, last)
                return thinned(connection, span, most)

        return self._samples.get(run_id, (key, most, first, last), read)

    def newest(self, run_ids: Sequence[str]) -> dict[str, list[Metric]]:
        """Return the newest point of every metric of some runs, by run."""
        with self._db.read() as connection:
            return store.read_newest(connection, run_ids)

    def artifacts(self, run_id: str, prefix: str = "") -> list[Artifact]:
        """Return a run's artifacts below a path.

        Raises:
            RunNotFound: No run has that id.
        """
        with self._db.read() as connection:
            found = store.read_artifacts(connection, row_of(connection, run_id))
        folder = prefix.rstrip("/") + "/" if prefix else ""
        return [a for a in found if a.path.startswith(folder) or a.path == prefix]

    def artifact(self, run_id: str, path: str) -> Artifact:
        """Return what is known of one artifact.

        Raises:
            RunNotFound: No run has that id.
            ArtifactNotFound: The run has none of that path.
        """
        with self._db.read() as connection:
            identifier = row_of(connection, run_id)
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

    def _rows(
        self,
        experiment_ids: Sequence[str] | None,
        filter: str,
        order_by: Sequence[str],
        view: View,
    ) -> Callable[[Connection, int, int], Sequence[Row[Any]]]:
        """Return what reads a stretch of the rows that a search finds."""
        columns = store.runs.c
        passing = [*seen(columns.lifecycle, view), *condition(search.RUNS, filter)]
        where = list(passing)
        if experiment_ids is not None:
            only = len(experiment_ids) == 1
            of = columns.experiment_id
            where.insert(0, of == experiment_ids[0] if only else of.in_(list(experiment_ids)))
        ranking = ranking_of(experiment_ids, order_by)
        order = ordering(search.RUNS, order_by, (columns.started.desc(), columns.id.asc()))

        def read(connection: Connection, most: int, offset: int) -> Sequence[Row[Any]]:
            chosen = selection_of(connection, filter)
            # Few runs are sorted sooner than they are met along the metric's index.
            if ranking is not None and chosen.source is store.runs:
                passed = [*passing, *chosen.where]
                return read_ranked(connection, ranking, passed, most, offset)
            return store.read_rows(
                connection,
                *where,
                *chosen.where,
                source=chosen.source,
                order=order,
                limit=most,
                offset=offset,
            )

        return read


def run_of(connection: Connection, run_id: str) -> Run:
    return store.read_runs(connection, store.runs.c.id == row_of(connection, run_id))[0]


def row_of(connection: Connection, run_id: str) -> str:
    """Return the whole id of a run, from its beginning."""
    columns = store.runs.c
    begins = columns.id == run_id
    if not run_id.isascii():
        raise missing(run_id)
    if 6 <= len(run_id) < 32:
        begins |= columns.id.startswith(run_id, autoescape=True)
    found = connection.scalars(select(columns.id).where(begins).limit(2)).all()
    if len(found) != 1:
        raise missing(run_id)
    return str(found[0])


def missing(run_id: str) -> RunNotFound:
    return RunNotFound(
        f"Run with id={run_id} not found",
        expected="the id of a run, or enough of its beginning",
        hint="List them with: tidemill runs list",
    )
