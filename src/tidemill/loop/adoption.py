"""Gives versions that MLflow's client registered a bundle, so that they can be served."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import polars as pl

from tidemill.core.clock import Clock
from tidemill.core.references import Ref
from tidemill.datasets import frames
from tidemill.loop.errors import FilesElsewhere
from tidemill.models.adoption.packing import adopt
from tidemill.models.runtime.opening import Surroundings
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.records import TreeEntry
from tidemill.storage.blobs.trees import put_tree, write_tree
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.records import Artifact
from tidemill.tracking.service import Tracking


class Adoption:
    """Packs what was logged.

    Args:
        registry: Keeps the versions.
        models: Keeps the files of logged models.
        tracking: Keeps the files of runs.
        blobs: Where files lie.
        surroundings: Gives how a model is run, by its name.
        clock: Dates bundles.
    """

    def __init__(
        self,
        registry: Registry,
        models: LoggedModels,
        tracking: Tracking,
        blobs: BlobStore,
        surroundings: Callable[[str], Surroundings],
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._models = models
        self._tracking = tracking
        self._blobs = blobs
        self._surroundings = surroundings
        self._clock = clock

    def pack(self, version: ModelVersion, *, actor: str, rows: Path | None = None) -> ModelVersion:
        """Pack a version's files; one that has its bundle stays as it is.

        Args:
            version: Which one.
            actor: Who asks for it.
            rows: A file with rows to check a twin on; those that were logged with the model where
                it is left out.

        Raises:
            FilesElsewhere: Its files are not kept here.
            CannotBeAdopted: They do not say enough to serve it.
            EnvironmentNotBuilt: What it needs cannot be installed.
        """
        if version.bundle is not None:
            return version
        sample = None if rows is None else _read(rows)
        with tempfile.TemporaryDirectory(prefix="tidemill-adoption-") as scratch:
            logged, folder = Path(scratch) / "logged", Path(scratch) / "bundle"
            write_tree(self._blobs, self._files(version), logged)
            manifest = adopt(
                logged,
                folder,
                name=version.model,
                surroundings=self._surroundings(version.model),
                clock=self._clock,
                created=version.created,
                rows=sample,
            )
            bundle = put_tree(self._blobs, folder).digest
        return self._registry.pack(
            version.model,
            version.version,
            bundle=bundle,
            task=manifest.signature.task,
            flavor=manifest.flavor,
            metrics={},
            actor=actor,
        )

    def _files(self, version: ModelVersion) -> list[TreeEntry]:
        """Return the files that a version was registered from, as seen from its own folder."""
        prefix, found = self._artifacts(version)
        inside = [a for a in found if a.path.startswith(prefix)]
        if not inside:
            raise FilesElsewhere(
                f"{version.ref} was registered from {version.source!r}, and no file of it is here.",
                expected="a model that was logged to this server",
                hint="Log it with mlflow.<flavor>.log_model, and register that.",
            )
        return [TreeEntry(a.path.removeprefix(prefix), a.digest, a.size) for a in inside]

    def _artifacts(self, version: ModelVersion) -> tuple[str, list[Artifact]]:
        if version.model_id is not None:
            return "", self._models.artifacts(version.model_id)
        parts = urlsplit(version.source)
        if parts.scheme == "runs":
            run_id, _, path = unquote(parts.path).strip("/").partition("/")
            return f"{path}/" if path else "", self._tracking.artifacts(run_id)
        if parts.scheme == "models":
            name, _, number = unquote(parts.path).strip("/").rpartition("/")
            return self._artifacts(self._registry.version(Ref("model", name, number)))
        return "", []


def _read(path: Path) -> pl.DataFrame:
    return frames.collect(frames.scan(path), path.name)
