"""What people write about models: names, descriptions, tags and stages; and the search in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.events import Event
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry import events, search, store
from tidemill.registry.errors import BadStage, ModelExists, ModelNotFound, VersionNotFound
from tidemill.registry.names import checked_name, checked_tags
from tidemill.registry.records import STAGES, Model, ModelVersion, Stage
from tidemill.registry.service import touch
from tidemill.storage.db.engine import Database
from tidemill.storage.db.search import Page, condition, ordering, page


class Catalogue:
    """Models and versions as people name, describe, sort and find them.

    Args:
        db: The database.
        journal: Where every change is written down, in the same transaction.
        lineage: Where versions stay tied to what they were called before.
        clock: Dates everything.
    """

    def __init__(self, db: Database, journal: Journal, lineage: Lineage, clock: Clock) -> None:
        self._db = db
        self._journal = journal
        self._lineage = lineage
        self._clock = clock

    def create(
        self,
        name: str,
        *,
        actor: str,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> Model:
        """Make a name under which versions can be registered.

        Raises:
            BadModelName: It cannot be a model's name.
            BadTag: A tag cannot be kept.
            ModelExists: A model has that name.
        """
        checked_name(name)
        notes = checked_tags(tags or {})

        def work(connection: Connection) -> Model:
            self._unused(connection, name)
            self._insert(connection, name, description)
            store.set_tags(connection, name, None, notes)
            event = events.ModelRegistered(model=name, description=description, tags=notes)
            self._journal.append(connection, event, subject=Ref("model", name), actor=actor)
            return _model(connection, name)

        return self._db.write(work)

    def model(self, name: str) -> Model:
        """Return a model.

        Raises:
            ModelNotFound: No model has that name.
        """
        with self._db.read() as connection:
            return _model(connection, name)

    def version(self, name: str, version: int) -> ModelVersion:
        """Return a version.

        Raises:
            ModelNotFound: No model has that name.
            VersionNotFound: It has no such version.
        """
        with self._db.read() as connection:
            return _version(connection, name, version)

    def rename(self, name: str, new: str, *, actor: str) -> Model:
        """Give a model and its versions another name.

        Raises:
            BadModelName: It cannot be a model's name.
            ModelExists: A model has the new name.
            ModelNotFound: No model has the old one.
        """
        checked_name(new)

        def work(connection: Connection) -> Model:
            known = _model(connection, name)
            if name == new:
                return known
            self._unused(connection, new)
            self._move(connection, known, new)
            event = events.ModelRenamed(model=new, previous=name)
            self._journal.append(connection, event, subject=Ref("model", new), actor=actor)
            return _model(connection, new)

        return self._db.write(work)

    def describe(
        self, name: str, description: str, *, actor: str, version: int | None = None
    ) -> None:
        """Say what a model, or one of its versions, is.

        Raises:
            ModelNotFound: No model has that name.
            VersionNotFound: It has no such version.
        """

        def work(connection: Connection) -> None:
            _require(connection, name, version)
            if version is None:
                where = update(store.models).filter_by(name=name)
            else:
                where = update(store.versions).filter_by(model=name, version=version)
            connection.execute(where, {"description": description})
            event = events.Described(model=name, version=version, description=description)
            self._changed(connection, name, version, event, actor)

        self._db.write(work)

    def set_tag(
        self, name: str, key: str, value: str, *, actor: str, version: int | None = None
    ) -> None:
        """Set a tag of a model, or of one of its versions.

        Raises:
            BadTag: It cannot be kept.
            ModelNotFound: No model has that name.
            VersionNotFound: It has no such version.
        """
        checked_tags({key: value})

        def work(connection: Connection) -> None:
            _require(connection, name, version)
            store.set_tags(connection, name, version, {key: value})
            event = events.TagChanged(model=name, version=version, key=key, value=value)
            self._changed(connection, name, version, event, actor)

        self._db.write(work)

    def delete_tag(self, name: str, key: str, *, actor: str, version: int | None = None) -> None:
        """Remove a tag; one that is not there is no error.

        Raises:
            ModelNotFound: No model has that name.
            VersionNotFound: It has no such version.
        """

        def work(connection: Connection) -> None:
            _require(connection, name, version)
            if store.delete_tag(connection, name, version, key):
                event = events.TagChanged(model=name, version=version, key=key, value=None)
                self._changed(connection, name, version, event, actor)

        self._db.write(work)

    def set_stage(
        self,
        name: str,
        version: int,
        stage: str,
        *,
        actor: str,
        reason: str = "",
        archive_others: bool = False,
    ) -> ModelVersion:
        """Put a version into a stage.

        Args:
            name: The model.
            version: The version.
            stage: One of `STAGES`, in any case.
            actor: Who does it.
            reason: Why.
            archive_others: Whether versions that are in the stage now are archived.

        Raises:
            BadStage: There is no such stage.
            ModelNotFound: No model has that name.
            VersionNotFound: It has no such version.
        """
        wanted = checked_stage(stage)

        def work(connection: Connection) -> ModelVersion:
            known = _version(connection, name, version)
            if archive_others:
                mine = (*store.of(name), store.versions.c.stage == wanted)
                for other in store.read_versions(connection, *mine):
                    if other.version != version:
                        self._to_stage(connection, other, "Archived", actor, reason)
            self._to_stage(connection, known, wanted, actor, reason)
            return store.read_versions(connection, *store.of(name, version))[0]

        return self._db.write(work)

    def delete(self, name: str, *, actor: str) -> None:
        """Delete a model with its versions and aliases; their history stays in the journal.

        Raises:
            ModelNotFound: No model has that name.
        """

        def work(connection: Connection) -> None:
            _model(connection, name)
            versions = store.versions.c
            gone = connection.scalars(select(versions.version).where(versions.model == name)).all()
            for table in (store.aliases, store.version_tags, store.model_tags, store.versions):
                connection.execute(delete(table).where(table.c.model == name))
            connection.execute(delete(store.models).filter_by(name=name))
            event = events.ModelDeleted(model=name, versions=tuple(sorted(gone)))
            self._journal.append(connection, event, subject=Ref("model", name), actor=actor)

        self._db.write(work)

    def delete_version(self, name: str, version: int, *, actor: str) -> None:
        """Delete a version and the aliases that name it; its number is not given again.

        Raises:
            ModelNotFound: No model has that name.
            VersionNotFound: It has no such version.
        """

        def work(connection: Connection) -> None:
            _require(connection, name, version)
            for table in (store.aliases, store.version_tags, store.versions):
                connection.execute(delete(table).filter_by(model=name, version=version))
            event = events.VersionDeleted(model=name, version=version)
            self._changed(connection, name, version, event, actor)

        self._db.write(work)

    def search_models(
        self,
        filter: str = "",
        *,
        order_by: Sequence[str] = (),
        limit: int = 100,
        token: str | None = None,
    ) -> Page[Model]:
        """Return the models that a filter lets through, by name where no order is given.

        Raises:
            BadSearch: The filter, an order or the token cannot be read.
        """
        where = condition(search.MODELS, filter)
        order = ordering(search.MODELS, order_by, (store.models.c.name.asc(),))

        def read(most: int, offset: int) -> list[Model]:
            with self._db.read() as connection:
                return store.read_models(connection, *where, order=order, limit=most, offset=offset)

        return page(read, limit, token)

    def search_versions(
        self,
        filter: str = "",
        *,
        order_by: Sequence[str] = (),
        limit: int = 1000,
        token: str | None = None,
    ) -> Page[ModelVersion]:
        """Return the versions that a filter lets through, newest changes first.

        Raises:
            BadSearch: The filter, an order or the token cannot be read.
        """
        columns = store.versions.c
        where = condition(search.VERSIONS, filter)
        last = [columns.model.asc(), columns.version.desc()]
        if not order_by:
            last.insert(0, columns.updated.desc())
        order = ordering(search.VERSIONS, order_by, last)

        def read(most: int, offset: int) -> list[ModelVersion]:
            with self._db.read() as connection:
                return store.read_versions(
                    connection, *where, order=order, limit=most, offset=offset
                )

        return page(read, limit, token)

    def latest(self, name: str, stages: Sequence[str] = ()) -> list[ModelVersion]:
        """Return the newest version of each stage.

        Args:
            name: The model.
            stages: Which stages; all that have a version where it is empty.

        Raises:
            BadStage: There is no such stage.
            ModelNotFound: No model has that name.
        """
        wanted = {checked_stage(stage) for stage in stages} or set(STAGES)
        with self._db.read() as connection:
            _model(connection, name)
            newest: dict[str, ModelVersion] = {}
            for version in store.read_versions(connection, *store.of(name)):
                newest.setdefault(version.stage, version)
        return [newest[stage] for stage in STAGES if stage in newest and stage in wanted]

    def _insert(self, connection: Connection, name: str, description: str) -> None:
        now = self._clock.now()
        row = {"name": name, "created": now, "updated": now, "description": description}
        connection.execute(insert(store.models), row)

    def _unused(self, connection: Connection, name: str) -> None:
        if store.read_models(connection, store.models.c.name == name):
            raise ModelExists(
                f"Registered Model (name={name}) already exists.",
                expected="a name that is not taken",
                hint=f"Look at it with: tidemill models versions '{name}'",
            )

    def _move(self, connection: Connection, known: Model, new: str) -> None:
        """Rename rows; those that point to others go first and come back last."""
        old = known.name
        row = {"name": new, "created": known.created, "updated": self._clock.now()}
        connection.execute(insert(store.models), row | {"description": known.description})
        pointing = [store.aliases, store.version_tags, store.model_tags]
        kept = [connection.execute(select(t).where(t.c.model == old)).all() for t in pointing]
        for table in pointing:
            connection.execute(delete(table).where(table.c.model == old))
        connection.execute(update(store.versions).filter_by(model=old), {"model": new})
        connection.execute(update(store.changes).filter_by(model=old), {"model": new})
        for table, rows in zip(pointing, kept, strict=True):
            if rows:
                connection.execute(insert(table), [dict(r._mapping) | {"model": new} for r in rows])
        connection.execute(delete(store.models).filter_by(name=old))
        self._move_numbers(connection, old, new)
        for version in store.read_versions(connection, *store.of(new)):
            before = Ref("model", old, str(version.version))
            self._lineage.link(connection, before, version.ref, "renamed")

    def _move_numbers(self, connection: Connection, old: str, new: str) -> None:
        both = store.numbers.c.model.in_([old, new])
        highest = max(connection.scalars(select(store.numbers.c.highest).where(both)), default=0)
        connection.execute(delete(store.numbers).filter_by(model=new))
        connection.execute(insert(store.numbers), {"model": new, "highest": highest})

    def _to_stage(
        self, connection: Connection, version: ModelVersion, stage: Stage, actor: str, reason: str
    ) -> None:
        if version.stage == stage:
            return
        where = update(store.versions).filter_by(model=version.model, version=version.version)
        connection.execute(where, {"stage": stage})
        event = events.StageChanged(
            model=version.model,
            version=version.version,
            stage=stage,
            previous=version.stage,
            reason=reason,
        )
        self._changed(connection, version.model, version.version, event, actor)

    def _changed(
        self,
        connection: Connection,
        name: str,
        version: int | None,
        event: Event,
        actor: str,
    ) -> None:
        now = self._clock.now()
        if version is not None:
            where = update(store.versions).filter_by(model=name, version=version)
            connection.execute(where, {"updated": now})
        touch(connection, name, now)
        subject = Ref("model", name, None if version is None else str(version))
        self._journal.append(connection, event, subject=subject, actor=actor)


def checked_stage(stage: str) -> Stage:
    """Return a stage as it is written.

    Raises:
        BadStage: There is no such stage.

    Example:
        >>> checked_stage("production")
        'Production'
    """
    for known in STAGES:
        if known.lower() == stage.lower():
            return known
    raise BadStage(
        f"Invalid Model Version stage: {stage}. Value must be one of {', '.join(STAGES)}.",
        expected=nearest(stage, STAGES),
    )


def _model(connection: Connection, name: str) -> Model:
    found = store.read_models(connection, store.models.c.name == name)
    if not found:
        known = connection.scalars(select(store.models.c.name).limit(1000)).all()
        raise ModelNotFound(
            f"Registered Model with name={name} not found", expected=nearest(name, known)
        )
    return found[0]


def _version(connection: Connection, name: str, version: int) -> ModelVersion:
    _model(connection, name)
    found = store.read_versions(connection, *store.of(name, version))
    if not found:
        raise VersionNotFound(
            f"Model Version (name={name}, version={version}) not found",
            hint=f"List them with: tidemill models versions '{name}'",
        )
    return found[0]


def _require(connection: Connection, name: str, version: int | None) -> None:
    if version is None:
        _model(connection, name)
    else:
        _version(connection, name, version)
