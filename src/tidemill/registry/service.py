"""The registry's verbs: register, pack, alias, approve, reject; and what was live when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, update

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.references import Ref
from tidemill.core.tasks import Task
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry import store
from tidemill.registry.errors import (
    BadAlias,
    ModelNotFound,
    VersionNotFound,
    VersionRejected,
)
from tidemill.registry.events import AliasSet, StatusChanged, VersionPacked, VersionRegistered
from tidemill.registry.names import checked_name, checked_tags
from tidemill.registry.records import AliasChange, Model, ModelVersion, VersionStatus
from tidemill.storage.db.engine import Database

_NUMBER = re.compile(r"[0-9]{1,9}")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_ALIAS = re.compile(r"(?!\d+$)\w[\w.-]{0,249}")


class Registry:
    """Models and their versions.

    Args:
        db: The database.
        journal: Where every change is written down, in the same transaction.
        lineage: Where versions are tied to runs and datasets.
        clock: Dates everything.
    """

    def __init__(self, db: Database, journal: Journal, lineage: Lineage, clock: Clock) -> None:
        self._db = db
        self._journal = journal
        self._lineage = lineage
        self._clock = clock

    def register(
        self,
        model: str,
        *,
        bundle: str,
        run_id: str,
        dataset: Ref | None,
        task: Task,
        flavor: str,
        metrics: Mapping[str, float],
        actor: str,
        cause: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> ModelVersion:
        """Register a new version; the same bundle of the same run is registered once.

        Args:
            model: The model's name; it is made where it is new.
            bundle: The digest of the stored bundle folder.
            run_id: The run that made it.
            dataset: What it learned from.
            task: What it does.
            flavor: The framework's name.
            metrics: Its quality on held-out rows.
            actor: Who registers it.
            cause: The id of the fact that led to it.
            tags: For people and programs.
            description: For people.

        Raises:
            BadReference: The name has forbidden characters.
            BadModelName: The name ends in a version.
        """
        checked_name(model)
        notes = checked_tags(tags or {})
        made = store.Made(
            bundle=bundle,
            dataset=None if dataset is None else str(dataset),
            task=task,
            flavor=flavor,
            metrics=store.without_nan(metrics),
        )

        def work(connection: Connection) -> ModelVersion:
            mine = (*store.of(model), store.versions.c.run_id == run_id)
            for version in store.read_versions(connection, *mine):
                if version.bundle == bundle:
                    return version
            if not store.read_models(connection, store.models.c.name == model):
                now = self._clock.now()
                row = {"name": model, "created": now, "updated": now, "description": ""}
                connection.execute(insert(store.models), row)
            row = {"run_id": run_id, "record": made, "actor": actor, "description": description}
            return self._add(connection, model, row, notes, cause)

        return self._db.write(work)

    def register_files(
        self,
        model: str,
        source: str,
        *,
        actor: str,
        run_id: str | None = None,
        model_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
        run_link: str = "",
    ) -> ModelVersion:
        """Register files that another program logged, as a version that has no bundle yet.

        Args:
            model: The model's name.
            source: Where the files are, as that program says it.
            actor: Who registers them.
            run_id: The run that made them.
            model_id: The logged model whose files they are.
            tags: For people and programs.
            description: For people.
            run_link: Where the run is to be looked at.

        Raises:
            ModelNotFound: No model has that name.
            BadTag: A tag cannot be kept.
        """
        notes = checked_tags(tags or {})
        row = {
            "run_id": run_id or "",
            "model_id": model_id or "",
            "source": source,
            "record": store.Made(),
            "actor": actor,
            "description": description,
            "run_link": run_link,
        }

        def work(connection: Connection) -> ModelVersion:
            self._model(connection, model)
            return self._add(connection, model, row, notes, None)

        return self._db.write(work)

    def pack(
        self,
        model: str,
        version: int,
        *,
        bundle: str,
        task: Task,
        flavor: str,
        metrics: Mapping[str, float],
        actor: str,
    ) -> ModelVersion:
        """Give a version that was only files its bundle; what it has already stays.

        Raises:
            VersionNotFound: There is no such version.
        """
        ref = Ref("model", model, str(version))

        def work(connection: Connection) -> ModelVersion:
            known = self._version(connection, ref)
            if known.bundle is not None:
                return known
            made = store.Made(
                bundle=bundle,
                dataset=known.dataset,
                task=task,
                flavor=flavor,
                metrics=store.without_nan(metrics),
            )
            connection.execute(
                update(store.versions).filter_by(model=model, version=version),
                {"record": made, "updated": self._clock.now()},
            )
            event = VersionPacked(model=model, version=version, bundle=bundle, flavor=flavor)
            self._journal.append(connection, event, subject=ref, actor=actor)
            return self._version(connection, ref)

        return self._db.write(work)

    def models(self) -> list[Model]:
        """Return all models by name."""
        with self._db.read() as connection:
            return store.read_models(connection)

    def model(self, name: str) -> Model:
        """Return a model.

        Raises:
            ModelNotFound: No model has that name.
        """
        with self._db.read() as connection:
            return self._model(connection, name)

    def versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, newest first.

        Raises:
            ModelNotFound: No model has that name.
        """
        with self._db.read() as connection:
            self._model(connection, model)
            return store.read_versions(connection, *store.of(model))

    def version(self, ref: Ref) -> ModelVersion:
        """Return the version that a reference names: `@7`, `@champion`, or the newest.

        Raises:
            ModelNotFound: No model has that name.
            VersionNotFound: The model has no such version or alias.
        """
        with self._db.read() as connection:
            return self._version(connection, ref)

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int,
        *,
        actor: str,
        reason: str,
        cause: str | None = None,
    ) -> None:
        """Have an alias name a version; naming it again changes nothing.

        Raises:
            BadAlias: The alias is a number or has forbidden characters.
            VersionNotFound: There is no such version.
            VersionRejected: The version was rejected.
        """
        _check_alias(alias)

        def work(connection: Connection) -> None:
            target = self._version(connection, Ref("model", model, str(version)))
            if target.status == "rejected":
                raise VersionRejected(
                    f"{target.ref} was rejected and cannot become {alias!r}.",
                    expected="a version that is ready",
                    hint=f"Approve it first with: tidemill models approve {target.ref}",
                )
            self._alias(connection, model, alias, version, actor, reason, cause)

        self._db.write(work)

    def remove_alias(
        self, model: str, alias: str, *, actor: str, reason: str, cause: str | None = None
    ) -> None:
        """Take an alias away; one that is not there is no error.

        Raises:
            ModelNotFound: No model has that name.
        """

        def work(connection: Connection) -> None:
            self._model(connection, model)
            self._alias(connection, model, alias, None, actor, reason, cause)

        self._db.write(work)

    def approve(
        self, model: str, version: int, *, reason: str, actor: str, cause: str | None = None
    ) -> ModelVersion:
        """Mark a version as ready for use."""
        return self._set_status(model, version, "ready", reason, actor, cause)

    def reject(
        self, model: str, version: int, *, reason: str, actor: str, cause: str | None = None
    ) -> ModelVersion:
        """Mark a version as not to be used."""
        return self._set_status(model, version, "rejected", reason, actor, cause)

    def history(self, model: str) -> list[AliasChange]:
        """Return what happened to a model's aliases, newest first.

        Raises:
            ModelNotFound: No model has that name.
        """
        with self._db.read() as connection:
            self._model(connection, model)
            return store.read_changes(connection, model)

    def live_at(self, model: str, moment: datetime, alias: str = "champion") -> ModelVersion | None:
        """Return which version an alias named at a moment, or nothing.

        Raises:
            ModelNotFound: No model has that name.
        """
        changes = store.changes.c
        with self._db.read() as connection:
            self._model(connection, model)
            past = store.read_changes(
                connection, model, changes.alias == alias, changes.time <= moment
            )
            if not past or past[0].version is None:
                return None
            number = past[0].version
            known = store.read_versions(connection, *store.of(model, number))
            return known[0] if known else None

    def _model(self, connection: Connection, name: str) -> Model:
        found = store.read_models(connection, store.models.c.name == name)
        if not found:
            known = [m.name for m in store.read_models(connection)]
            raise ModelNotFound(f"There is no model {name!r}.", expected=nearest(name, known))
        return found[0]

    def _version(self, connection: Connection, ref: Ref) -> ModelVersion:
        model = self._model(connection, ref.name)
        number = _number(model, ref)
        found = (
            [] if number is None else store.read_versions(connection, *store.of(ref.name, number))
        )
        if not found:
            raise VersionNotFound(
                f"Model {ref.name!r} has no version {ref.version}.",
                expected=f"1 to {model.latest}, or an alias: "
                + nearest(ref.version or "", model.aliases),
                hint=f"List them with: tidemill models versions {ref.name}",
            )
        return found[0]

    def _add(
        self,
        connection: Connection,
        model: str,
        row: Mapping[str, Any],
        tags: Mapping[str, str],
        cause: str | None,
    ) -> ModelVersion:
        now = self._clock.now()
        number = store.next_number(connection, model)
        blank = {"model_id": "", "source": "", "run_link": "", "status": "ready", "stage": "None"}
        counted = {"model": model, "version": number, "created": now, "updated": now}
        connection.execute(insert(store.versions), blank | counted | dict(row))
        store.set_tags(connection, model, number, tags)
        touch(connection, model, now)
        version = store.read_versions(connection, *store.of(model, number))[0]
        self._tie(connection, version)
        event = VersionRegistered(
            model=model,
            version=number,
            run_id=version.run_id,
            dataset=version.dataset,
            metrics=store.without_nan(version.metrics),
            source=version.source,
            tags=version.tags,
            description=version.description,
        )
        self._journal.append(
            connection, event, subject=version.ref, actor=version.actor, cause=cause
        )
        return version

    def _tie(self, connection: Connection, version: ModelVersion) -> None:
        if version.run_id is None:
            return
        run = Ref("run", version.run_id)
        self._lineage.link(connection, run, version.ref, "produced")
        if version.dataset is not None:
            self._lineage.link(connection, Ref.parse(version.dataset), run, "trained")

    def _alias(
        self,
        connection: Connection,
        model: str,
        alias: str,
        version: int | None,
        actor: str,
        reason: str,
        cause: str | None,
    ) -> None:
        previous = store.read_aliases(connection, model).get(alias)
        if previous == version:
            return
        connection.execute(delete(store.aliases).filter_by(model=model, alias=alias))
        named = {"model": model, "alias": alias, "version": version}
        if version is not None:
            connection.execute(insert(store.aliases), named)
        event = AliasSet(
            model=model, alias=alias, version=version, previous=previous, reason=reason
        )
        subject = Ref("model", model, None if version is None else str(version))
        fact = self._journal.append(connection, event, subject=subject, actor=actor, cause=cause)
        kept = {"id": fact.id, "time": fact.time, "previous": previous}
        connection.execute(insert(store.changes), named | kept | {"actor": actor, "reason": reason})
        touch(connection, model, fact.time)

    def _set_status(
        self,
        model: str,
        version: int,
        status: VersionStatus,
        reason: str,
        actor: str,
        cause: str | None,
    ) -> ModelVersion:
        ref = Ref("model", model, str(version))

        def work(connection: Connection) -> ModelVersion:
            target = self._version(connection, ref)
            if target.status == status:
                return target
            connection.execute(
                update(store.versions).filter_by(model=model, version=version),
                {"status": status, "updated": self._clock.now()},
            )
            event = StatusChanged(model=model, version=version, status=status, reason=reason)
            self._journal.append(connection, event, subject=ref, actor=actor, cause=cause)
            return self._version(connection, ref)

        return self._db.write(work)


def touch(connection: Connection, model: str, now: datetime) -> None:
    """Say that a model has changed."""
    connection.execute(update(store.models).filter_by(name=model), {"updated": now})


def _check_alias(alias: str) -> None:
    if not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias):
        raise BadAlias(
            f"{alias!r} cannot be an alias.",
            expected="letters, digits, '_', '-' and '.'; no bare number, not 'latest' and nothing "
            "like 'v1', which read as versions",
            hint="Use a name such as 'champion'.",
        )


def _number(model: Model, ref: Ref) -> int | None:
    if ref.version is None:
        return model.latest
    if _NUMBER.fullmatch(ref.version):
        return int(ref.version)
    return model.aliases.get(ref.version)
