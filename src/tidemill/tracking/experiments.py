"""The verbs of experiments: what runs are kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.events import Event
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.storage.db.engine import Database
from tidemill.storage.db.search import Page, condition, ordering, page
from tidemill.tracking import events, search, store
from tidemill.tracking.errors import (
    BadExperiment,
    ExperimentExists,
    ExperimentNotFound,
    NotActive,
    TagNotFound,
)
from tidemill.tracking.records import (
    Experiment,
    Lifecycle,
    Tag,
    View,
)
from tidemill.tracking.validation import (
    MAX_EXPERIMENT_TAG,
    check_name,
    cut_tags,
)

DEFAULT = "Default"
DEFAULT_ID = "0"


class Experiments:
    """Makes, names, finds and deletes experiments. Every verb is atomic, and may be repeated.

    Args:
        db: The database.
        journal: Where what happens to them is written down, in the same transaction.
        clock: Dates everything.
        ids: Name the experiments.
    """

    def __init__(self, db: Database, journal: Journal, clock: Clock, ids: Ids) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._ids = ids

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

    def experiment_ids(self, names: Sequence[str]) -> list[str]:
        """Return the ids of the experiments of some names.

        Raises:
            ExperimentNotFound: None has one of the names.
        """
        columns = store.experiments.c
        with self._db.read() as connection:
            rows = connection.execute(select(columns.name, columns.id)).all()
        known = {row.name: row.id for row in rows}
        for name in names:
            if name not in known:
                raise ExperimentNotFound(
                    f"There is no experiment {name!r}.", expected=nearest(name, known)
                )
        return [known[name] for name in names]

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return an experiment.

        Raises:
            ExperimentNotFound: None has that id.
        """
        with self._db.read() as connection:
            return experiment_of(connection, experiment_id)

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
        where = [*seen(columns.lifecycle, view), *condition(search.EXPERIMENTS, filter)]
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
            known = active_experiment(connection, experiment_id)
            if known.name == name:
                return known
            _require_free(connection, name)
            if name == DEFAULT and not _there(connection, DEFAULT_ID):
                # It is made when it is first asked for, and the name waits for it.
                raise _taken(name)
            self._touch(connection, known.id, name=name)
            event = events.ExperimentRenamed(experiment_id=known.id, name=name, was=known.name)
            self._note(connection, event, Ref("experiment", known.id), actor)
            return experiment_of(connection, known.id)

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
            known = active_experiment(connection, experiment_id)
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
            known = active_experiment(connection, experiment_id)
            if key not in known.tags:
                raise TagNotFound(
                    f"No tag with name: {key} in experiment with id {known.id}",
                    expected=nearest(key, known.tags),
                )
            table = store.experiment_tags
            connection.execute(delete(table).filter_by(experiment_id=known.id, key=key))
            self._touch(connection, known.id)

        self._db.write(work)

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
        return experiment_of(connection, identifier)

    def _keep_experiment(
        self, experiment_id: str, lifecycle: Lifecycle, event: Event, actor: str
    ) -> Experiment:
        def work(connection: Connection) -> Experiment:
            known = experiment_of(connection, experiment_id)
            if known.lifecycle == lifecycle:
                return known
            kept = self._kept(lifecycle)
            self._touch(connection, known.id, **kept)
            of_it = update(store.runs).filter_by(experiment_id=known.id)
            connection.execute(of_it.where(store.runs.c.lifecycle != lifecycle), kept)
            self._note(connection, event, Ref("experiment", known.id), actor)
            return experiment_of(connection, known.id)

        return self._db.write(work)

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


def seen(lifecycle: ColumnElement[str], view: View) -> list[ColumnElement[bool]]:
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


def experiment_of(connection: Connection, experiment_id: str) -> Experiment:
    mine = store.experiments.c.id == experiment_id
    found = store.read_experiments(connection, mine) if experiment_id.isascii() else []
    if not found:
        raise ExperimentNotFound(
            f"No Experiment with id={experiment_id} exists", expected="the id of an experiment"
        )
    return found[0]


def active_experiment(connection: Connection, experiment_id: str) -> Experiment:
    found = experiment_of(connection, experiment_id)
    if found.lifecycle != "active":
        raise NotActive(
            f"The experiment {experiment_id} must be in the 'active' state. "
            f"Current state is {found.lifecycle}.",
            hint="Restore it first.",
        )
    return found
