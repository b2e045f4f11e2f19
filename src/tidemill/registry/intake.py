"""Takes in models that another registry kept: with their numbers, times, stages and aliases.

What is known already is left as it is and what is missing is added, so that an import which was
interrupted is finished by running it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, func, insert, select

from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry import store
from tidemill.registry.events import AliasSet, ModelRegistered, VersionRegistered
from tidemill.registry.names import checked_name, checked_tags
from tidemill.registry.records import Model, ModelVersion
from tidemill.storage.db.engine import Database


class HeldModel(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of a model.

    Attributes:
        models: 1, or 0 where there is none of that name.
        versions: How many of those asked for.
        aliases: Likewise.
    """

    models: int
    versions: int
    aliases: int


class RegistryIntake:
    """Writes models with their versions, each model whole or not at all.

    Args:
        db: The database.
        journal: Where every new model, version and alias is written down.
        lineage: Where versions are tied to their runs.
    """

    def __init__(self, db: Database, journal: Journal, lineage: Lineage) -> None:
        self._db = db
        self._journal = journal
        self._lineage = lineage

    def clash(self, versions: Sequence[ModelVersion]) -> ModelVersion | None:
        """Return the first version that has a number which another one has here, or nothing."""
        with self._db.read() as connection:
            return next((v for v in versions if _is_another(connection, v)), None)

    def model(self, given: Model, versions: Sequence[ModelVersion], *, actor: str) -> None:
        """Take in a model; call `clash` first.

        Raises:
            BadModelName: It cannot be a model's name.
            BadTag: A tag cannot be kept.
        """
        checked_name(given.name)
        for tags in (given.tags, *(version.tags for version in versions)):
            checked_tags(tags)

        def work(connection: Connection) -> None:
            self._model(connection, given, actor)
            for version in versions:
                if not store.read_versions(connection, *store.of(given.name, version.version)):
                    self._version(connection, version, actor)
            store.raise_number(
                connection, given.name, max((v.version for v in versions), default=0)
            )
            known = store.read_aliases(connection, given.name)
            for alias, number in sorted(given.aliases.items()):
                if alias not in known:
                    self._alias(connection, given.name, alias, number, actor)

        self._db.write(work)

    def held(self, given: Model, versions: Sequence[ModelVersion]) -> HeldModel:
        """Return how much of a model is here."""
        with self._db.read() as connection:
            here = store.versions.c
            wanted = [version.version for version in versions]
            counted = select(func.count()).where(here.model == given.name)
            return HeldModel(
                models=len(store.read_models(connection, store.models.c.name == given.name)),
                versions=connection.scalar(counted.where(here.version.in_(wanted))) or 0,
                aliases=len(store.read_aliases(connection, given.name).keys() & given.aliases),
            )

    def _model(self, connection: Connection, given: Model, actor: str) -> None:
        if store.read_models(connection, store.models.c.name == given.name):
            return
        row = {column.name: getattr(given, column.name) for column in store.models.c}
        connection.execute(insert(store.models), row)
        store.set_tags(connection, given.name, None, given.tags)
        event = ModelRegistered(model=given.name, description=given.description, tags=given.tags)
        self._journal.append(connection, event, subject=Ref("model", given.name), actor=actor)

    def _version(self, connection: Connection, version: ModelVersion, actor: str) -> None:
        row = {column.name: getattr(version, column.name, None) for column in store.versions.c}
        row |= {
            "run_id": version.run_id or "",
            "model_id": version.model_id or "",
            "record": store.Made(),
        }
        connection.execute(insert(store.versions), row)
        store.set_tags(connection, version.model, version.version, version.tags)
        if version.run_id is not None:
            self._lineage.link(connection, Ref("run", version.run_id), version.ref, "produced")
        event = VersionRegistered(
            model=version.model,
            version=version.version,
            run_id=version.run_id,
            dataset=None,
            metrics={},
            source=version.source,
            tags=version.tags,
            description=version.description,
        )
        self._journal.append(connection, event, subject=version.ref, actor=actor)

    def _alias(
        self, connection: Connection, model: str, alias: str, version: int, actor: str
    ) -> None:
        named = {"model": model, "alias": alias, "version": version}
        connection.execute(insert(store.aliases), named)
        reason = "It was taken over from where the model was kept before."
        event = AliasSet(model=model, alias=alias, version=version, previous=None, reason=reason)
        subject = Ref("model", model, str(version))
        fact = self._journal.append(connection, event, subject=subject, actor=actor)
        kept = {"id": fact.id, "time": fact.time, "previous": None}
        connection.execute(insert(store.changes), named | kept | {"actor": actor, "reason": reason})


def _is_another(connection: Connection, version: ModelVersion) -> bool:
    known = store.read_versions(connection, *store.of(version.model, version.version))
    return bool(known) and (known[0].created, known[0].run_id) != (version.created, version.run_id)
