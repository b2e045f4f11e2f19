"""The registry's verbs: register, alias, approve, reject; and what was live when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.references import Ref
from tidemill.core.tasks import Task
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry import store
from tidemill.registry.errors import (
    BadAlias,
    BadModelName,
    ModelNotFound,
    VersionNotFound,
    VersionRejected,
)
from tidemill.registry.events import AliasSet, StatusChanged, VersionRegistered
from tidemill.registry.records import AliasChange, Model, ModelVersion, VersionStatus
from tidemill.storage.db.engine import Database

_NUMBER = re.compile(r"[0-9]{1,9}")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_ALIAS = re.compile(r"[A-Za-z_][\w.-]{0,249}")


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
        name = Ref.parse(f"model:{model}")
        if name.version is not None:
            raise BadModelName(
                f"{model!r} cannot be a model's name.",
                expected="a name without '@': versions are counted by the registry",
            )
        made = store.Made(
            bundle=bundle,
            dataset=None if dataset is None else str(dataset),
            task=task,
            flavor=flavor,
            metrics=store.without_nan(metrics),
            tags=dict(tags or {}),
            description=description,
        )

        def work(connection: Connection) -> ModelVersion:
            known = store.read_versions(connection, model, store.versions.c.run_id == run_id)
            for version in known:
                if version.bundle == bundle:
                    return version
            number = self._add(connection, model, run_id, made, actor)
            version = store.read_versions(connection, model, store.versions.c.version == number)[0]
            run = Ref("run", run_id)
            self._lineage.link(connection, run, version.ref, "produced")
            if dataset is not None:
                self._lineage.link(connection, dataset, run, "trained")
            event = VersionRegistered(
                model=model,
                version=number,
                run_id=run_id,
                dataset=made.dataset,
                metrics=made.metrics,
            )
            self._journal.append(connection, event, subject=version.ref, actor=actor, cause=cause)
            return version

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
            return store.read_versions(connection, model)

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
            return store.read_versions(connection, model, store.versions.c.version == number)[0]

    def _model(self, connection: Connection, name: str) -> Model:
        found = store.read_models(connection, name)
        if not found:
            known = [m.name for m in store.read_models(connection)]
            raise ModelNotFound(f"There is no model {name!r}.", expected=nearest(name, known))
        return found[0]

    def _version(self, connection: Connection, ref: Ref) -> ModelVersion:
        model = self._model(connection, ref.name)
        number = _number(model, ref)
        found = store.read_versions(connection, ref.name, store.versions.c.version == number)
        if not found:
            raise VersionNotFound(
                f"Model {ref.name!r} has no version {ref.version}.",
                expected=f"1 to {model.latest}, or an alias: "
                + nearest(ref.version or "", model.aliases),
                hint=f"List them with: tidemill models versions {ref.name}",
            )
        return found[0]

    def _add(
        self, connection: Connection, model: str, run_id: str, made: store.Made, actor: str
    ) -> int:
        now = self._clock.now()
        if not store.read_models(connection, model):
            connection.execute(
                insert(store.models),
                {"name": model, "created": now, "description": "", "tags": {}},
            )
        highest = select(func.max(store.versions.c.version)).filter_by(model=model)
        number = (connection.scalar(highest) or 0) + 1
        row = {"model": model, "version": number, "created": now, "actor": actor}
        connection.execute(
            insert(store.versions), row | {"run_id": run_id, "status": "ready", "record": made}
        )
        return number

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
                update(store.versions).filter_by(model=model, version=version), {"status": status}
            )
            event = StatusChanged(model=model, version=version, status=status, reason=reason)
            self._journal.append(connection, event, subject=ref, actor=actor, cause=cause)
            return self._version(connection, ref)

        return self._db.write(work)


def _check_alias(alias: str) -> None:
    if not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias):
        raise BadAlias(
            f"{alias!r} cannot be an alias.",
            expected="letters, digits, '_', '-' and '.', beginning with a letter; not 'latest' "
            "and nothing like 'v1', which read as versions",
            hint="Use a name such as 'champion'.",
        )


def _number(model: Model, ref: Ref) -> int | None:
    if ref.version is None:
        return model.latest
    if _NUMBER.fullmatch(ref.version):
        return int(ref.version)
    return model.aliases.get(ref.version)
