"""Where a model version's files are: what clients say it comes from, and where they fetch it."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from tidemill.core.references import Ref
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.server.mlflow.errors import BadRequest
from tidemill.server.mlflow.records import SCHEME
from tidemill.server.mlflow.runs import Runs
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.records import LoggedModel
from tidemill.tracking.service import Tracking

_AFAR = frozenset({"s3", "gs", "abfss", "wasbs", "r2", "hdfs", "dbfs", "http", "https"})
"""Stores that a client reaches by itself; this server never opens them."""


class Origin(msgspec.Struct, frozen=True):
    """What a version is registered from.

    Attributes:
        source: As the client said it.
        run_id: The run that made it.
        model_id: The logged model whose files they are.
    """

    source: str
    run_id: str | None = None
    model_id: str | None = None


class Sources:
    """Follows the addresses of models.

    Args:
        tracking: Knows the runs.
        models: Knows the logged models.
        registry: Knows the versions.
        runs: Says where a run's artifacts are.
    """

    def __init__(
        self, tracking: Tracking, models: LoggedModels, registry: Registry, runs: Runs
    ) -> None:
        self._tracking = tracking
        self._models = models
        self._registry = registry
        self._runs = runs

    def origin(self, source: str, run_id: str, model_id: str) -> Origin:
        """Return what a source is, checked against the run and the model that it is said to be of.

        Raises:
            BadRequest: It cannot be a source, or is not of that run or model.
            NotFound: It names what is not there.
        """
        parts = _split(source)
        if parts.scheme in {"", "file"}:
            raise BadRequest(
                f"Invalid model version source: {source!r}. To use a local path as a model version "
                "source, the run_id request parameter has to be specified and the local path has "
                "to be contained within the artifact directory of the run specified by the run_id."
            )
        match parts.scheme:
            case "models":
                return self._of_models(source, parts.path, run_id, model_id)
            case "runs":
                return self._of_run(source, parts.path, run_id)
            case "mlflow-artifacts":
                return self._of_proxy(source, parts.path, run_id, model_id)
            case scheme if scheme in _AFAR:
                return Origin(source, run_id or None, model_id or None)
        raise BadRequest(f"Invalid model version source: {source!r}.")

    def place(self, version: ModelVersion) -> str:
        """Return from where a client downloads a version's files.

        Raises:
            NotFound: It was registered from what is gone.
        """
        if version.model_id is not None:
            return uri_of_model(self._models.get(version.model_id))
        parts = urlsplit(version.source)
        if parts.scheme == "runs":
            run_id, _, path = parts.path.strip("/").partition("/")
            return f"{self._runs.uri(self._tracking.get(run_id))}/{path}".rstrip("/")
        if parts.scheme == "models":
            return self.place(self._named(version.source, parts.path.strip("/")))
        return version.source or f"{SCHEME}/bundles/{version.packed}/artifacts"

    def _of_models(self, source: str, path: str, run_id: str, model_id: str) -> Origin:
        name = path.strip("/")
        if "/" in name or "@" in name:
            known = self._named(source, name)
            return Origin(source, run_id or known.run_id, model_id or known.model_id)
        if model_id and model_id != name:
            raise _not_of(source, "model_id")
        logged = self._models.get(name)
        return Origin(source, run_id or logged.run_id or None, logged.id)

    def _named(self, source: str, name: str) -> ModelVersion:
        model, slash, number = name.partition("/")
        if not slash:
            model, _, number = name.partition("@")
        if not model or not number:
            raise BadRequest(f"Invalid model version source: {source!r}.")
        return self._registry.version(Ref("model", unquote(model), number))

    def _of_run(self, source: str, path: str, run_id: str) -> Origin:
        named = path.strip("/").partition("/")[0]
        if run_id and run_id != named:
            raise _not_of(source, "run_id")
        return Origin(source, self._tracking.get(named).id)

    def _of_proxy(self, source: str, path: str, run_id: str, model_id: str) -> Origin:
        parts = path.strip("/").split("/")
        if "models" in parts[:-1]:
            logged = self._models.get(parts[parts.index("models") + 1])
            if model_id and model_id != logged.id:
                raise _not_of(source, "model_id")
            return Origin(source, run_id or logged.run_id or None, logged.id)
        if not run_id:
            raise _not_of(source, "run_id")
        root = urlsplit(self._runs.uri(self._tracking.get(run_id))).path.strip("/")
        if not f"{path.strip('/')}/".startswith(f"{root}/"):
            raise _not_of(source, "run_id")
        return Origin(f"runs:/{run_id}/{path.strip('/').removeprefix(root).strip('/')}", run_id)


def uri_of_model(model: LoggedModel) -> str:
    """Return where a logged model's files are said to be."""
    return f"{SCHEME}/{model.experiment_id}/models/{model.id}/artifacts"


def _split(source: str) -> SplitResult:
    """Part a source, however often it was quoted; one that walks upwards is refused."""
    plain = source
    for _ in range(5):
        plain = unquote(plain)
    if "\x00" in plain or ".." in plain.replace("\\", "/").split("/"):
        raise BadRequest(
            f"Invalid model version source: {source[:300]!r}. An absolute path without relative "
            "path references must be provided."
        )
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise BadRequest(f"Invalid model version source: {source[:300]!r}.") from error
    if parts.netloc and parts.scheme in {"models", "runs"}:
        raise BadRequest(f"Invalid model version source: {source[:300]!r}.")
    return parts


def _not_of(source: str, parameter: str) -> BadRequest:
    return BadRequest(
        f"Invalid model version source: {source!r}. It is not among the artifacts of what the "
        f"{parameter} request parameter names."
    )
