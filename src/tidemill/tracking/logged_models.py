"""Logged models: a model's files, params and metrics, before anybody registers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.engine import Database
from tidemill.storage.db.search import Page, condition, ordering, page
from tidemill.tracking import model_store, search, store
from tidemill.tracking.errors import (
    ArtifactNotFound,
    ExperimentNotFound,
    LoggedModelNotFound,
    TagNotFound,
)
from tidemill.tracking.events import ModelLogged
from tidemill.tracking.records import Artifact, LoggedModel, ModelStatus, Param, Tag
from tidemill.tracking.validation import check_name, check_path, cut_params, cut_tags


class LoggedModels:
    """The models that runs have logged.

    Args:
        db: The database.
        blobs: Where their files lie.
        journal: Where a finished model is written down.
        clock: Dates everything.
        ids: Name the models.
    """

    def __init__(
        self, db: Database, blobs: BlobStore, journal: Journal, clock: Clock, ids: Ids
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._journal = journal
        self._clock = clock
        self._ids = ids

    def create(
        self,
        experiment_id: str,
        name: str,
        *,
        run_id: str = "",
        model_type: str = "",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> LoggedModel:
        """Make a model whose files are still to come.

        Raises:
            BadExperiment: No model can be so called.
            ExperimentNotFound: No experiment has that id.
        """
        identifier = f"m-{self._ids.new()}"
        known_as = name or f"model-{identifier[-6:]}"
        check_name(known_as)
        settings, notes = _params(params or {}), _tags(tags or {})
        now = self._clock.now()
        row = {
            "id": identifier,
            "experiment_id": experiment_id,
            "name": known_as,
            "run_id": run_id,
            "status": "PENDING",
            "model_type": model_type,
            "created": now,
            "updated": now,
            "lifecycle": "active",
        }

        def work(connection: Connection) -> LoggedModel:
            there = select(store.experiments.c.id).filter_by(id=experiment_id)
            if connection.scalar(there) is None:
                raise ExperimentNotFound(f"No Experiment with id={experiment_id} exists")
            connection.execute(insert(model_store.models), row)
            model_store.set_params(connection, identifier, settings)
            model_store.set_tags(connection, identifier, notes)
            return _model(connection, identifier)

        return self._db.write(work)

    def get(self, model_id: str) -> LoggedModel:
        """Return a logged model.

        Raises:
            LoggedModelNotFound: None has that id.
        """
        with self._db.read() as connection:
            return _model(connection, model_id)

    def finish(self, model_id: str, status: ModelStatus, *, actor: str) -> LoggedModel:
        """Say whether a model's files are all there.

        Raises:
            LoggedModelNotFound: None has that id.
        """

        def work(connection: Connection) -> LoggedModel:
            known = _model(connection, model_id)
            if known.status == status:
                return known
            self._touch(connection, model_id, status=status)
            event = ModelLogged(
                model_id=model_id, name=known.name, run_id=known.run_id, status=status
            )
            subject = Ref("run", known.run_id) if known.run_id else Ref("model", known.id)
            self._journal.append(connection, event, subject=subject, actor=actor)
            return _model(connection, model_id)

        return self._db.write(work)

    def delete(self, model_id: str) -> None:
        """Delete a model; its files stay until they are collected.

        Raises:
            LoggedModelNotFound: None has that id.
        """

        def work(connection: Connection) -> None:
            _model(connection, model_id)
            self._touch(connection, model_id, lifecycle="deleted", deleted=self._clock.now())

        self._db.write(work)

    def log_params(self, model_id: str, params: Mapping[str, str]) -> None:
        """Add params to a model.

        Raises:
            LoggedModelNotFound: None has that id.
        """
        entries = _params(params)

        def work(connection: Connection) -> None:
            _model(connection, model_id)
            model_store.set_params(connection, model_id, entries)

        self._db.write(work)

    def set_tags(self, model_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a model.

        Raises:
            LoggedModelNotFound: None has that id.
        """
        entries = _tags(tags)

        def work(connection: Connection) -> None:
            _model(connection, model_id)
            model_store.set_tags(connection, model_id, entries)

        self._db.write(work)

    def delete_tag(self, model_id: str, key: str) -> None:
        """Take a tag off a model.

        Raises:
            LoggedModelNotFound: None has that id.
            TagNotFound: It has no such tag.
        """

        def work(connection: Connection) -> None:
            known = _model(connection, model_id)
            if key not in known.tags:
                raise TagNotFound(
                    f"No tag with key {key!r} found for model with ID {model_id!r}.",
                    expected=nearest(key, known.tags),
                )
            connection.execute(delete(model_store.tags).filter_by(model_id=model_id, key=key))

        self._db.write(work)

    def search(
        self,
        experiment_ids: Sequence[str],
        filter: str = "",
        *,
        order_by: Sequence[str] = (),
        limit: int = 100,
        token: str | None = None,
    ) -> Page[LoggedModel]:
        """Return the models that a filter lets through, newest first where no order is given.

        Raises:
            BadSearch: The filter, an order or the token cannot be read.
        """
        columns = model_store.models.c
        where: list[ColumnElement[bool]] = [
            columns.lifecycle == "active",
            columns.experiment_id.in_(list(experiment_ids)),
            *condition(search.MODELS, filter),
        ]
        last = (columns.created.desc(), columns.id.asc())
        order = ordering(search.MODELS, order_by, last)

        def read(most: int, offset: int) -> list[LoggedModel]:
            with self._db.read() as connection:
                return model_store.read_models(
                    connection, *where, order=order, limit=most, offset=offset
                )

        return page(read, limit, token)

    def log_artifact(self, model_id: str, path: str, source: bytes | BinaryIO | Path) -> Artifact:
        """Keep a file of a model, in place of what its path named before.

        Raises:
            LoggedModelNotFound: None has that id.
            BadArtifactPath: The path leaves the model.
        """
        check_path(path)
        self.get(model_id)
        blob = self._blobs.put(source)
        artifact = Artifact(path=path, digest=blob.digest, size=blob.size)
        self._db.write(lambda c: model_store.put_artifact(c, model_id, artifact))
        return artifact

    def artifacts(self, model_id: str, prefix: str = "") -> list[Artifact]:
        """Return a model's files below a path.

        Raises:
            LoggedModelNotFound: None has that id.
        """
        with self._db.read() as connection:
            _model(connection, model_id)
            found = model_store.read_artifacts(connection, model_id)
        folder = prefix.rstrip("/") + "/" if prefix else ""
        return [a for a in found if a.path.startswith(folder) or a.path == prefix]

    def artifact(self, model_id: str, path: str) -> Artifact:
        """Return what is known of one file.

        Raises:
            LoggedModelNotFound: None has that id.
            ArtifactNotFound: The model has none of that path.
        """
        known = self.artifacts(model_id)
        for artifact in known:
            if artifact.path == path:
                return artifact
        raise ArtifactNotFound(
            f"Model {model_id} has no artifact {path!r}.",
            expected=nearest(path, [a.path for a in known]),
        )

    def open_artifact(self, model_id: str, path: str) -> BinaryIO:
        """Open a file of a model for reading.

        Raises:
            LoggedModelNotFound: None has that id.
            ArtifactNotFound: The model has none of that path.
        """
        return self._blobs.open(self.artifact(model_id, path).digest)

    def delete_artifacts(self, model_id: str, path: str) -> int:
        """Forget a file, or all below a folder; return how many.

        Raises:
            LoggedModelNotFound: None has that id.
        """
        gone = [a.path for a in self.artifacts(model_id, path)]
        table = model_store.artifacts
        each = delete(table).filter_by(model_id=model_id).where(table.c.path.in_(gone))
        return self._db.write(lambda c: c.execute(each).rowcount)

    def _touch(self, connection: Connection, model_id: str, **changes: Any) -> None:
        row = {"updated": self._clock.now()} | changes
        connection.execute(update(model_store.models).filter_by(id=model_id), row)


def _model(connection: Connection, model_id: str) -> LoggedModel:
    columns = model_store.models.c
    mine = (columns.id == model_id, columns.lifecycle == "active")
    found = model_store.read_models(connection, *mine) if model_id.isascii() else []
    if not found:
        raise LoggedModelNotFound(f"Logged model with ID '{model_id}' not found.")
    return found[0]


def _params(params: Mapping[str, str]) -> list[Tag]:
    return [Tag(p.key, p.value) for p in cut_params(Param(k, v) for k, v in params.items())]


def _tags(tags: Mapping[str, str]) -> list[Tag]:
    return cut_tags(Tag(k, v) for k, v in tags.items())
