"""Erases for good what was deleted long ago: nothing of it is left but the journal's fact."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Select, Table, delete, or_, select

from tidemill.core.events import Event
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.tracking import events, model_store, store

AT_ONCE = 200
_OF_RUN = (
    store.params,
    store.tags,
    store.points,
    store.newest,
    store.blocks,
    store.artifacts,
    store.inputs,
    store.links,
)
_OF_MODEL = (
    model_store.params,
    model_store.tags,
    model_store.metrics,
    model_store.artifacts,
)


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased, by id.

    Attributes:
        experiments: Whole experiments.
        runs: Runs, of these experiments and of others.
        models: Logged models, likewise.
    """

    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            experiments=self.experiments + other.experiments,
            runs=self.runs + other.runs,
            models=self.models + other.models,
        )

    def __bool__(self) -> bool:
        return bool(self.experiments or self.runs or self.models)


class Erasure:
    """Erases, some at a time, inside writes of whoever calls.

    Args:
        journal: Where everything that is erased is written down.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def some(
        self,
        connection: Connection,
        before: datetime,
        *,
        actor: str,
        keep_runs: Collection[str] = (),
        keep_models: Collection[str] = (),
    ) -> Erased:
        """Erase some of what was deleted before a moment; nothing is left to do if it is empty.

        An experiment goes when it is empty. Its logged models go with it.

        Args:
            connection: The connection of the write.
            before: The moment.
            actor: Who does it.
            keep_runs: Runs that stay, deleted or not.
            keep_models: Logged models that stay, deleted or not.
        """
        runs = self._due_runs(connection, before, keep_runs)
        models = self._due_models(connection, before, keep_models)
        _erase(connection, _OF_RUN, "run_id", store.runs, runs)
        _erase(connection, _OF_MODEL, "model_id", model_store.models, models)
        for run in runs:
            self._note(connection, events.RunErased(run_id=run), Ref("run", run), actor)
        for model in models:
            self._note(connection, events.ModelErased(model_id=model), Ref("model", model), actor)
        # Only when nothing else is due, so that experiments are not looked at again and again.
        gone = () if runs or models else self._empty_experiments(connection, before)
        _erase(connection, (store.experiment_tags,), "experiment_id", store.experiments, gone)
        for name in gone:
            event = events.ExperimentErased(experiment_id=name)
            self._note(connection, event, Ref("experiment", name), actor)
        return Erased(experiments=tuple(gone), runs=tuple(runs), models=tuple(models))

    def spared(
        self,
        connection: Connection,
        before: datetime,
        *,
        keep_runs: Collection[str],
        keep_models: Collection[str],
    ) -> set[str]:
        """Return what would be erased if it were not to be kept."""
        runs, models = store.runs.c, model_store.models.c
        found: set[str] = set()
        for columns, keep in ((runs, keep_runs), (models, keep_models)):
            due = select(columns.id).where(columns.lifecycle == "deleted", columns.deleted < before)
            for part in _parts(sorted(keep)):
                found.update(connection.scalars(due.where(columns.id.in_(part))))
        return found

    def known(self, connection: Connection, names: Sequence[str]) -> set[str]:
        """Return which of some runs are there."""
        query = select(store.runs.c.id)
        return {
            str(name)
            for part in _parts(names)
            for name in connection.scalars(query.where(store.runs.c.id.in_(part)))
        }

    def _due_runs(
        self, connection: Connection, before: datetime, keep: Collection[str]
    ) -> list[str]:
        columns = store.runs.c
        due = select(columns.id).where(columns.lifecycle == "deleted", columns.deleted < before)
        return _first(connection, due.order_by(columns.deleted, columns.id), keep)

    def _due_models(
        self, connection: Connection, before: datetime, keep: Collection[str]
    ) -> list[str]:
        columns, experiments = model_store.models.c, store.experiments.c
        gone = select(experiments.id).where(
            experiments.lifecycle == "deleted", experiments.deleted < before
        )
        itself = (columns.lifecycle == "deleted") & (columns.deleted < before)
        due = select(columns.id).where(or_(itself, columns.experiment_id.in_(gone)))
        return _first(connection, due.order_by(columns.id), keep)

    def _empty_experiments(self, connection: Connection, before: datetime) -> list[str]:
        columns = store.experiments.c
        due = select(columns.id).where(columns.lifecycle == "deleted", columns.deleted < before)
        for table in (store.runs, model_store.models):
            held = select(table.c.id).where(table.c.experiment_id == columns.id)
            due = due.where(~held.exists())
        return list(connection.scalars(due.order_by(columns.id).limit(AT_ONCE)))

    def _note(self, connection: Connection, event: Event, subject: Ref, actor: str) -> None:
        self._journal.append(connection, event, subject=subject, actor=actor)


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))


def _first(connection: Connection, due: Select[str], keep: Collection[str]) -> list[str]:
    """Return the first names that are due; those kept are few, and passed over here."""
    found = []
    for name in connection.scalars(due):
        if name not in keep:
            found.append(str(name))
        if len(found) == AT_ONCE:
            break
    return found


def _erase(
    connection: Connection, parts: Sequence[Table], owner: str, whole: Table, names: Sequence[str]
) -> None:
    if not names:
        return
    for table in parts:
        connection.execute(delete(table).where(table.c[owner].in_(names)))
    connection.execute(delete(whole).where(whole.c.id.in_(names)))
