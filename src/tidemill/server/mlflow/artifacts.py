"""MLflow's artifact proxy: paths name a run and a file of it, never a place on disk.

A path reads `EXPERIMENT/RUN/artifacts/PATH`, `EXPERIMENT/models/MODEL/artifacts/PATH` or
`bundles/DIGEST/artifacts/PATH`, as the `artifact_uri` of the run, of the logged model or of the
model version says.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import BinaryIO, Literal

import msgspec

from tidemill.server.mlflow.bundles import Bundles
from tidemill.server.mlflow.errors import BadRequest
from tidemill.server.mlflow.records import SCHEME, Answer, OfRun
from tidemill.server.mlflow.requests import required
from tidemill.server.mlflow.runs import Runs
from tidemill.server.mlflow.versions import OfVersion, Versions
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.tracking.errors import BadArtifactPath
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.records import Artifact
from tidemill.tracking.service import Tracking
from tidemill.tracking.validation import check_path

_FOLDER = "artifacts"
_KINDS: dict[str, Literal["run", "model", "bundle"]] = {"models": "model", "bundles": "bundle"}
_SHOWN = {"text/plain", "image/png", "image/jpeg", "application/json", "text/csv"}
"""Everything else is sent as bytes: nothing that somebody logged may run in our origin."""


class Place(msgspec.Struct, frozen=True):
    """A run, a logged model or a bundle, and a path among its files; an empty one is all."""

    owner: str
    path: str
    kind: Literal["run", "model", "bundle"] = "run"


class ListProxied(msgspec.Struct, frozen=True):
    """A folder of the proxy."""

    path: str = ""


class ListArtifacts(OfRun, frozen=True):
    """A folder of a run."""

    path: str = ""


class ListOfModel(msgspec.Struct, frozen=True):
    """A folder of a logged model."""

    model_id: str = ""
    artifact_directory_path: str = ""


class GetArtifact(OfRun, frozen=True):
    """A file of a run."""

    path: str = ""


class UploadOfRun(OfRun, frozen=True):
    """A file that a page sends."""

    path: str = ""


class GetOfModel(msgspec.Struct, frozen=True):
    """A file of a logged model."""

    model_id: str = ""
    artifact_file_path: str = ""


class GetOfVersion(OfVersion, frozen=True):
    """A file of a model version."""

    path: str = ""


class Artifacts:
    """Translates requests about artifacts.

    Args:
        tracking: The room.
        models: The logged models.
        runs: Says where a run's artifacts are.
        versions: Says where a model version's files are.
        blobs: Where bundles lie.
    """

    def __init__(
        self,
        tracking: Tracking,
        models: LoggedModels,
        runs: Runs,
        versions: Versions,
        blobs: BlobStore,
    ) -> None:
        self._tracking = tracking
        self._models = models
        self._runs = runs
        self._versions = versions
        self._bundles = Bundles(blobs)

    def list_proxied(self, request: ListProxied) -> Answer:
        """List a folder; the paths are relative to it."""
        path = request.path.strip("/")
        if ".." in path.split("/") or "\\" in path:
            raise BadRequest("Invalid path")
        place = place_of(path)
        if place is None:
            return {}
        found = self._room(place).artifacts(place.owner, place.path)
        files = listing(found, place.path)
        return {"files": files} if files else {}

    def list_of_run(self, request: ListArtifacts) -> Answer:
        """List a folder of a run; the paths are relative to the run's root."""
        run = self._tracking.get(self._runs.exact(request.run))
        folder = _checked(request.path.strip("/"))
        files = _below(folder, listing(self._tracking.artifacts(run.id, folder), folder))
        return {"root_uri": self._runs.uri(run)} | ({"files": files} if files else {})

    def put(self, path: str, source: BinaryIO) -> Answer:
        """Keep a file."""
        place = self._file(path)
        self._room(place).log_artifact(place.owner, place.path, source)
        return {}

    def open(self, path: str) -> tuple[Artifact, BinaryIO]:
        """Open a file of the proxy."""
        place = self._file(path)
        return self._open(place)

    def open_of_run(self, request: GetArtifact) -> tuple[Artifact, BinaryIO]:
        """Open a file of a run."""
        run_id = self._runs.exact(request.run)
        return self._open(Place(run_id, _checked(required(request.path, "path"))))

    def open_of_model(self, request: GetOfModel) -> tuple[Artifact, BinaryIO]:
        """Open a file of a logged model."""
        model_id = required(request.model_id, "model_id")
        path = _checked(required(request.artifact_file_path, "artifact_file_path"))
        return self._open(Place(model_id, path, "model"))

    def open_of_version(self, request: GetOfVersion) -> tuple[Artifact, BinaryIO]:
        """Open a file of a model version that lies here."""
        uri = self._versions.download_uri(request)["artifact_uri"]
        path = required(request.path, "path")
        if not uri.startswith(f"{SCHEME}/"):
            raise BadRequest(f"The version's files lie at {uri}, which this server does not open.")
        return self.open(f"{uri.removeprefix(f'{SCHEME}/')}/{path}")

    def put_of_run(self, request: UploadOfRun, source: BinaryIO) -> Answer:
        """Keep a file of a run."""
        run_id = self._runs.exact(request.run)
        path = required(request.path, "path")
        self._room(Place(run_id, path)).log_artifact(run_id, path, source)
        return {}

    def delete(self, path: str) -> Answer:
        """Forget a file, or a folder with all that is in it."""
        place = self._file(path)
        self._room(place).delete_artifacts(place.owner, place.path)
        return {}

    def list_of_model(self, request: ListOfModel) -> Answer:
        """List a folder of a logged model; the paths are relative to the model's root."""
        folder = request.artifact_directory_path.strip("/")
        found = self._models.artifacts(required(request.model_id, "model_id"), folder)
        return {"files": _below(folder, listing(found, folder))}

    def _open(self, place: Place) -> tuple[Artifact, BinaryIO]:
        room = self._room(place)
        artifact = room.artifact(place.owner, place.path)
        return artifact, room.open_artifact(place.owner, place.path)

    def _room(self, place: Place) -> Tracking | LoggedModels | Bundles:
        if place.kind == "bundle":
            return self._bundles
        return self._models if place.kind == "model" else self._tracking

    def _file(self, path: str) -> Place:
        place = place_of(_checked(path))
        if place is None or not place.path:
            raise BadRequest(f"Invalid path {path[:200]!r}: it is of no run.")
        return place


def place_of(path: str) -> Place | None:
    """Return whose file a path of the proxy names, or nothing.

    Example:
        >>> place_of("0/0192/artifacts/plots/roc.svg")
        Place(owner='0192', path='plots/roc.svg', kind='run')
        >>> place_of("0/models/m-0192/artifacts").kind
        'model'
        >>> place_of("0/0192") is None
        True
    """
    parts = path.split("/")
    if _FOLDER not in parts[2:]:
        return None
    at = parts.index(_FOLDER, 2)
    kind = _KINDS.get(parts[at - 2], "run")
    return Place(parts[at - 1], "/".join(parts[at + 1 :]), kind)


def _checked(path: str) -> str:
    """Return a path that an artifact may have, or none at all.

    Raises:
        BadRequest: It leads elsewhere.
    """
    try:
        if path:
            check_path(path)
    except BadArtifactPath as error:
        raise BadRequest("Invalid path") from error
    return path


def _below(folder: str, files: list[Answer]) -> list[Answer]:
    prefix = f"{folder}/" if folder else ""
    return [entry | {"path": prefix + str(entry["path"])} for entry in files]


def listing(found: Sequence[Artifact], folder: str) -> list[Answer]:
    """Return the files and folders directly below a folder, by name."""
    start = len(folder) + 1 if folder else 0
    files: dict[str, Answer] = {}
    for artifact in found:
        name, slash, _ = artifact.path[start:].partition("/")
        if slash:
            files[name] = {"path": name, "is_dir": True}
        elif name:
            files[name] = {"path": name, "is_dir": False, "file_size": artifact.size}
    return [files[name] for name in sorted(files)]


def media_type(path: str) -> str:
    """Return as what a file may be shown.

    Example:
        >>> media_type("a.csv"), media_type("a.html")
        ('text/csv', 'application/octet-stream')
    """
    guessed = mimetypes.guess_type(path)[0] or "text/plain"
    return guessed if guessed in _SHOWN else "application/octet-stream"
