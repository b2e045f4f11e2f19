"""The table of MLflow's routes: which record each reads, and which function answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, BinaryIO

from tidemill.registry.catalogue import Catalogue
from tidemill.registry.service import Registry
from tidemill.server.mlflow.artifacts import (
    Artifacts,
    GetArtifact,
    GetOfModel,
    GetOfVersion,
    ListArtifacts,
    ListOfModel,
    ListProxied,
)
from tidemill.server.mlflow.experiments import (
    CreateExperiment,
    Experiments,
    OfExperiment,
    SearchDatasets,
    SearchExperiments,
)
from tidemill.server.mlflow.models import CreateModel, Models, OfModel, SearchModels
from tidemill.server.mlflow.paths import CORE, FILES, MODELS
from tidemill.server.mlflow.plots import GetHistories, GetIntervals, Plots
from tidemill.server.mlflow.records import Answer, OfRun
from tidemill.server.mlflow.registered import (
    CreateRegistered,
    OfAlias,
    OfRegistered,
    Registered,
    SearchRegistered,
)
from tidemill.server.mlflow.runs import (
    CreateRun,
    GetHistory,
    LogBatch,
    LogEntry,
    LogInputs,
    LogMetric,
    LogOutputs,
    NoteModel,
    Runs,
    SearchRuns,
    UpdateRun,
)
from tidemill.server.mlflow.sources import Sources
from tidemill.server.mlflow.versions import CreateVersion, OfVersion, SearchVersions, Versions
from tidemill.server.mlflow.webhooks import (
    CreateWebhook,
    Hooks,
    ListWebhooks,
    OfWebhook,
    TestWebhook,
)
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.records import Artifact
from tidemill.tracking.service import Tracking
from tidemill.webhooks.service import Webhooks

Route = tuple[type[Any], Callable[[Any], Answer]]
Opener = tuple[type[Any], Callable[[Any], tuple[Artifact, BinaryIO]]]
Writer = tuple[type[Any], Callable[[Any], Future[None]]]
Named = dict[tuple[str, str], Route]


class Rooms:
    """The translators, each with the rooms that it needs.

    Args:
        tracking: Experiments and runs.
        models: Logged models.
        registry: Registered models and their versions.
        catalogue: What people write about them.
        blobs: Where bundles lie.
        webhooks: Who is told what happens to them.
        is_under_way: Tells whether a pipeline is running a run, whose end is not for others to say.
    """

    def __init__(
        self,
        tracking: Tracking,
        models: LoggedModels,
        registry: Registry,
        catalogue: Catalogue,
        blobs: BlobStore,
        webhooks: Webhooks,
        is_under_way: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.experiments = Experiments(tracking)
        self.runs = Runs(tracking, self.experiments, is_under_way)
        self.plots = Plots(tracking)
        self.models = Models(models, self.experiments)
        sources = Sources(tracking, models, registry, self.runs)
        self.registered = Registered(registry, catalogue)
        self.versions = Versions(registry, catalogue, models, sources)
        self.artifacts = Artifacts(tracking, models, self.runs, self.versions, blobs)
        self.hooks = Hooks(webhooks)


def routes(rooms: Rooms) -> Named:
    """Return every route by method and path; a path may have names in braces."""
    table: Named = {}
    parts = (_tracking, _logged_models, _registered, _versions, _webhooks)
    for part in (of(rooms) for of in parts):
        for row, route in part.items():
            method, _, name = row.partition(" ")
            table[method, CORE + name] = route
    table["GET", FILES.rstrip("/")] = (ListProxied, rooms.artifacts.list_proxied)
    table["GET", "/api/3.0/mlflow/server-info"] = (ListProxied, _server_info)
    return table


def writers(rooms: Rooms) -> dict[tuple[str, str], Writer]:
    """Return the routes that only write: they never wait, and answer when the write is durable."""
    return {
        ("POST", f"{CORE}runs/log-metric"): (LogMetric, rooms.runs.log_metric),
        ("POST", f"{CORE}runs/log-parameter"): (LogEntry, rooms.runs.log_param),
        ("POST", f"{CORE}runs/log-batch"): (LogBatch, rooms.runs.log_batch),
    }


def openers(rooms: Rooms) -> dict[tuple[str, str], Opener]:
    """Return the routes that answer with a file."""
    files = rooms.artifacts
    return {
        ("GET", "/get-artifact"): (GetArtifact, files.open_of_run),
        ("GET", "/model-versions/get-artifact"): (GetOfVersion, files.open_of_version),
        ("GET", f"{MODELS}{{model_id}}/artifacts/files"): (GetOfModel, files.open_of_model),
    }


def _tracking(rooms: Rooms) -> dict[str, Route]:
    experiments, runs, plots = rooms.experiments, rooms.runs, rooms.plots
    return {
        "GET experiments/get": (OfExperiment, experiments.get),
        "GET experiments/get-by-name": (OfExperiment, experiments.get_by_name),
        "POST experiments/create": (CreateExperiment, experiments.create),
        "POST experiments/search": (SearchExperiments, experiments.search),
        "GET experiments/search": (SearchExperiments, experiments.search),
        "POST experiments/update": (OfExperiment, experiments.update),
        "POST experiments/delete": (OfExperiment, experiments.delete),
        "POST experiments/restore": (OfExperiment, experiments.restore),
        "POST experiments/set-experiment-tag": (OfExperiment, experiments.set_tag),
        "POST experiments/delete-experiment-tag": (OfExperiment, experiments.delete_tag),
        "POST experiments/search-datasets": (SearchDatasets, experiments.search_datasets),
        "POST runs/create": (CreateRun, runs.create),
        "POST runs/update": (UpdateRun, runs.update),
        "GET runs/get": (OfRun, runs.get),
        "POST runs/delete": (OfRun, runs.delete),
        "POST runs/restore": (OfRun, runs.restore),
        "POST runs/set-tag": (LogEntry, runs.set_tag),
        "POST runs/delete-tag": (LogEntry, runs.delete_tag),
        "POST runs/log-model": (NoteModel, runs.note_model),
        "POST runs/search": (SearchRuns, runs.search),
        "POST runs/log-inputs": (LogInputs, runs.log_inputs),
        "POST runs/outputs": (LogOutputs, runs.log_outputs),
        "GET metrics/get-history": (GetHistory, runs.history),
        "GET metrics/get-history-bulk": (GetHistories, plots.histories),
        "GET metrics/get-history-bulk-interval": (GetIntervals, plots.intervals),
        "GET artifacts/list": (ListArtifacts, rooms.artifacts.list_of_run),
    }


def _logged_models(rooms: Rooms) -> dict[str, Route]:
    models = rooms.models
    return {
        "POST logged-models": (CreateModel, models.create),
        "POST logged-models/search": (SearchModels, models.search),
        "GET logged-models/{model_id}": (OfModel, models.get),
        "PATCH logged-models/{model_id}": (OfModel, models.finish),
        "DELETE logged-models/{model_id}": (OfModel, models.delete),
        "PATCH logged-models/{model_id}/tags": (OfModel, models.set_tags),
        "DELETE logged-models/{model_id}/tags/{tag_key}": (OfModel, models.delete_tag),
        "POST logged-models/{model_id}/params": (OfModel, models.log_params),
        "GET logged-models/{model_id}/artifacts/directories": (
            ListOfModel,
            rooms.artifacts.list_of_model,
        ),
    }


def _registered(rooms: Rooms) -> dict[str, Route]:
    registered = rooms.registered
    return {
        "POST registered-models/create": (CreateRegistered, registered.create),
        "GET registered-models/get": (OfRegistered, registered.get),
        "POST registered-models/rename": (OfRegistered, registered.rename),
        "PATCH registered-models/update": (OfRegistered, registered.update),
        "DELETE registered-models/delete": (OfRegistered, registered.delete),
        "GET registered-models/search": (SearchRegistered, registered.search),
        "POST registered-models/get-latest-versions": (OfRegistered, registered.latest_versions),
        "GET registered-models/get-latest-versions": (OfRegistered, registered.latest_versions),
        "POST registered-models/set-tag": (OfRegistered, registered.set_tag),
        "DELETE registered-models/delete-tag": (OfRegistered, registered.delete_tag),
        "POST registered-models/alias": (OfAlias, registered.set_alias),
        "DELETE registered-models/alias": (OfAlias, registered.delete_alias),
        "GET registered-models/alias": (OfAlias, registered.by_alias),
    }


def _versions(rooms: Rooms) -> dict[str, Route]:
    versions = rooms.versions
    return {
        "POST model-versions/create": (CreateVersion, versions.create),
        "GET model-versions/get": (OfVersion, versions.get),
        "PATCH model-versions/update": (OfVersion, versions.update),
        "POST model-versions/transition-stage": (OfVersion, versions.transition),
        "DELETE model-versions/delete": (OfVersion, versions.delete),
        "GET model-versions/search": (SearchVersions, versions.search),
        "GET model-versions/get-download-uri": (OfVersion, versions.download_uri),
        "POST model-versions/set-tag": (OfVersion, versions.set_tag),
        "DELETE model-versions/delete-tag": (OfVersion, versions.delete_tag),
    }


def _webhooks(rooms: Rooms) -> dict[str, Route]:
    hooks = rooms.hooks
    return {
        "POST webhooks": (CreateWebhook, hooks.create),
        "GET webhooks": (ListWebhooks, hooks.list_all),
        "GET webhooks/{webhook_id}": (OfWebhook, hooks.get),
        "PATCH webhooks/{webhook_id}": (OfWebhook, hooks.update),
        "DELETE webhooks/{webhook_id}": (OfWebhook, hooks.delete),
        "POST webhooks/{webhook_id}/test": (TestWebhook, hooks.test),
    }


def _server_info(_request: ListProxied) -> Answer:
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "artifact_serving_enabled": True,
    }
