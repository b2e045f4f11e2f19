"""The ASGI application of the MLflow door: finds the route, reads the request, writes the answer.

Every route is a row of a table. Rooms block while they wait for the disk, so routes run in
threads of the door's own; uploads and downloads pass through them in pieces.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from tidemill.core.errors import TidemillError
from tidemill.server.guard import App, Receive, Scope, Send
from tidemill.server.mlflow.artifacts import (
    Artifacts,
    GetArtifact,
    ListArtifacts,
    ListOfModel,
    ListProxied,
    media_type,
)
from tidemill.server.mlflow.errors import BadRequest, NoEndpoint, NotOffered, translated
from tidemill.server.mlflow.experiments import (
    CreateExperiment,
    Experiments,
    OfExperiment,
    SearchExperiments,
)
from tidemill.server.mlflow.models import CreateModel, Models, OfModel, SearchModels
from tidemill.server.mlflow.records import Answer, OfRun
from tidemill.server.mlflow.requests import read_body, read_query
from tidemill.server.mlflow.runs import (
    CreateRun,
    GetHistory,
    LogBatch,
    LogEntry,
    LogInputs,
    LogMetric,
    LogOutputs,
    Runs,
    SearchRuns,
    UpdateRun,
)
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.records import Artifact
from tidemill.tracking.service import Tracking

logger = logging.getLogger(__name__)

VERSION = "3.18.0"
"""The version of MLflow whose protocol this is."""
PREFIXES = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/get-artifact", "/version", "/v1/traces")
_FILES = "/api/2.0/mlflow-artifacts/artifacts/"
_CORE = "/api/2.0/mlflow/"
_MODELS = f"{_CORE}logged-models/"
_THREADS = 32
_CHUNK = 1 << 20
_JSON = (b"content-type", b"application/json")

Route = tuple[type[Any], Callable[[Any], Answer]]


class MlflowDoor:
    """What MLflow's client speaks to.

    Args:
        tracking: Experiments and runs.
        models: Logged models.
    """

    def __init__(self, tracking: Tracking, models: LoggedModels) -> None:
        experiments = Experiments(tracking)
        runs = Runs(tracking, experiments)
        self._artifacts = Artifacts(tracking, models, runs)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tidemill-mlflow")
        self._routes = _routes(experiments, runs, Models(models, experiments), self._artifacts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        method, path = scope["method"], _path(scope)
        try:
            if path.startswith(_FILES):
                await self._file(method, path.removeprefix(_FILES), receive, send)
            elif path == "/get-artifact" and method == "GET":
                request = read_query(scope["query_string"].decode("latin-1"), GetArtifact)
                opened = await self._run(self._artifacts.open_of_run, request)
                await self._send_file(opened, send)
            elif path == "/version":
                await _send(send, 200, (b"content-type", b"text/plain"), VERSION.encode())
            else:
                (kind, route), named = self._find(method, path)
                request = await _read(scope, receive, kind, named)
                answer = await self._run(route, request)
                await _send(send, 200, _JSON, msgspec.json.encode(answer))
        except Exception as error:
            if not isinstance(error, TidemillError):
                logger.exception("%s %s failed", method, path)
            told = translated(error)
            await _send(send, told.status, _JSON, msgspec.json.encode(told))

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return a route, and the fields that the path names."""
        known, named = _pattern(path)
        found = self._routes.get((method, known))
        if found is not None:
            return found, named
        if any(other == known for _, other in self._routes):
            raise NoEndpoint(f"The method {method} is not allowed for {path}.")
        if path.startswith((*_OUTSIDE, _CORE)):
            raise NotOffered(f"Tidemill does not offer {path} of MLflow.")
        raise NoEndpoint(f"There is no {path}.")

    async def _file(self, method: str, path: str, receive: Receive, send: Send) -> None:
        match method:
            case "PUT":
                source = _Upload(receive, asyncio.get_running_loop())
                answer = await self._run(partial(self._artifacts.put, path), source)
                await _send(send, 200, _JSON, msgspec.json.encode(answer))
            case "GET":
                await self._send_file(await self._run(self._artifacts.open, path), send)
            case "DELETE":
                answer = await self._run(self._artifacts.delete, path)
                await _send(send, 200, _JSON, msgspec.json.encode(answer))
            case _:
                raise NoEndpoint(f"The method {method} is not allowed for artifacts.")

    async def _send_file(self, opened: tuple[Artifact, BinaryIO], send: Send) -> None:
        artifact, file = opened
        name = quote(artifact.path.rpartition("/")[2])
        headers = [
            (b"content-type", media_type(artifact.path).encode()),
            (b"content-length", str(artifact.size).encode()),
            (b"content-disposition", f"attachment; filename*=UTF-8''{name}".encode()),
        ]
        with file:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while chunk := await self._run(file.read, _CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _run(self, function: Callable[[Any], Any], argument: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, argument)


class Switch:
    """Sends MLflow's requests to its door and all others on.

    Args:
        door: MLflow's.
        app: For all others.
    """

    def __init__(self, door: MlflowDoor, app: App) -> None:
        self._door = door
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        ours = scope["type"] == "http" and scope["path"].startswith(PREFIXES)
        await (self._door if ours else self._app)(scope, receive, send)


class _Upload(io.RawIOBase):
    """A request's body as a file that a thread reads."""

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self._receive = receive
        self._loop = loop
        self._rest = b""
        self._more = True

    def read(self, size: int = -1) -> bytes:
        while self._more and (size < 0 or len(self._rest) < size):
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if message["type"] == "http.disconnect":
                raise BadRequest("The upload was broken off: nothing of it was kept.")
            self._rest += message.get("body", b"")
            self._more = message.get("more_body", False)
        end = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:end], self._rest[end:]
        return piece

    async def _next(self) -> Any:
        return await self._receive()


_OUTSIDE = ("/api/3.0/mlflow/", "/v1/traces", "/api/2.0/mlflow-artifacts/")


def _pattern(path: str) -> tuple[str, dict[str, str]]:
    """Return a path with names in place of the values that it carries, and the values.

    Example:
        >>> _pattern("/api/2.0/mlflow/logged-models/m-1/tags/a%20b")[1]
        {'model_id': 'm-1', 'tag_key': 'a%20b'}
        >>> _pattern("/api/2.0/mlflow/runs/get")
        ('/api/2.0/mlflow/runs/get', {})
    """
    if not path.startswith(_MODELS):
        return path, {}
    model_id, *rest = path.removeprefix(_MODELS).split("/", 2)
    if model_id == "search" and not rest:
        return path, {}
    named = {"model_id": model_id}
    if rest[:1] == ["tags"] and len(rest) == 2:
        return f"{_MODELS}{{model_id}}/tags/{{tag_key}}", named | {"tag_key": rest[1]}
    return "/".join([f"{_MODELS}{{model_id}}", *rest]), named


def _routes(
    experiments: Experiments, runs: Runs, models: Models, artifacts: Artifacts
) -> dict[tuple[str, str], Route]:
    core: dict[str, Route] = {
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
        "POST runs/create": (CreateRun, runs.create),
        "POST runs/update": (UpdateRun, runs.update),
        "GET runs/get": (OfRun, runs.get),
        "POST runs/delete": (OfRun, runs.delete),
        "POST runs/restore": (OfRun, runs.restore),
        "POST runs/log-metric": (LogMetric, runs.log_metric),
        "POST runs/log-parameter": (LogEntry, runs.log_param),
        "POST runs/set-tag": (LogEntry, runs.set_tag),
        "POST runs/delete-tag": (LogEntry, runs.delete_tag),
        "POST runs/log-batch": (LogBatch, runs.log_batch),
        "POST runs/search": (SearchRuns, runs.search),
        "GET metrics/get-history": (GetHistory, runs.history),
        "POST runs/log-inputs": (LogInputs, runs.log_inputs),
        "POST runs/outputs": (LogOutputs, runs.log_outputs),
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
            artifacts.list_of_model,
        ),
        "GET artifacts/list": (ListArtifacts, artifacts.list_of_run),
    }
    table: dict[tuple[str, str], Route] = {}
    for row, route in core.items():
        method, _, name = row.partition(" ")
        table[method, _CORE + name] = route
    table["GET", _FILES.rstrip("/")] = (ListProxied, artifacts.list_proxied)
    table["GET", "/api/3.0/mlflow/server-info"] = (ListProxied, _server_info)
    return table


def _server_info(_request: ListProxied) -> Answer:
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "artifact_serving_enabled": True,
    }


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return f"/api{path.removeprefix('/ajax-api')}" if path.startswith("/ajax-api/") else path


async def _read(scope: Scope, receive: Receive, kind: type[Any], named: dict[str, str]) -> Any:
    if scope["method"] == "GET":
        return read_query(scope["query_string"].decode("latin-1"), kind, named)
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The body is too large, or was broken off.")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    headers = dict(scope["headers"])
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    return read_body(b"".join(parts), content_type, kind, named)


async def _send(send: Send, status: int, kind: tuple[bytes, bytes], body: bytes) -> None:
    headers = [kind, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
