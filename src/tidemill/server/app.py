"""The control plane over HTTP: the operations, the status page, health and metrics."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from tidemill.core.errors import TidemillError
from tidemill.server.encoding import ErrorBody, ErrorShape, encode, shape, status_of
from tidemill.server.guard import Guard
from tidemill.server.metrics import exposition
from tidemill.server.mlflow.door import MlflowDoor, Switch
from tidemill.server.openapi import describe
from tidemill.server.operations import BadArgument, Operations, call

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_TYPES = {"js": "text/javascript", "css": "text/css", "html": "text/html", "svg": "image/svg+xml"}
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def create_app(
    operations: Operations, *, mlflow: MlflowDoor | None = None, hosts: frozenset[str] = LOCAL
) -> Any:
    """Return the ASGI application of a home.

    Args:
        operations: What can be asked of the home.
        mlflow: What MLflow's clients speak to, if they are to.
        hosts: The names by which the server may be called.
    """

    @get("/health", sync_to_thread=False)
    def health() -> Response[bytes]:
        return Response(b"OK", media_type="text/plain")

    @get("/metrics", sync_to_thread=True)
    def metrics() -> Response[bytes]:
        return Response(exposition(operations.status()), media_type="text/plain; version=0.0.4")

    @get("/openapi.json", sync_to_thread=True)
    def description() -> Response[bytes]:
        described = describe({} if mlflow is None else mlflow.kinds())
        return Response(encode(described), media_type="application/json")

    @get("/", sync_to_thread=False)
    def page() -> Response[bytes]:
        return _page("index.html")

    @get("/page/{name:str}", sync_to_thread=False)
    def asset(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _page(request.path_params["name"])

    @get("/api/{name:str}")
    async def read(request: Request[Any, Any, Any]) -> Response[bytes]:
        name = request.path_params["name"]
        return await _call(operations, name, dict(request.query_params), post=False)

    @post("/api/{name:str}", status_code=200)
    async def change(request: Request[Any, Any, Any]) -> Response[bytes]:
        name = request.path_params["name"]
        return await _call(operations, name, _arguments(await request.body()), post=True)

    app = Litestar(
        [health, metrics, description, page, asset, read, change],
        openapi_config=None,
        exception_handlers={
            TidemillError: _tidemill_error,
            HTTPException: _http_error,
            Exception: _unexpected,
        },
    )
    inner: Any = app if mlflow is None else Switch(mlflow, app)  # type: ignore[arg-type]
    guarded: ASGIApp = Guard(inner, hosts)  # type: ignore[assignment]
    return guarded


async def _call(
    operations: Operations, name: str, arguments: dict[str, Any], *, post: bool
) -> Response[bytes]:
    value = await asyncio.to_thread(call, operations, name, arguments, post=post)
    return Response(encode(value), media_type="application/json")


def _arguments(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArgument(
            f"The body cannot be read: {error}.", expected="a JSON object with the arguments"
        ) from error


def _page(name: str) -> Response[bytes]:
    suffix = name.rpartition(".")[2]
    source = files("tidemill.server") / "page" / name
    if "/" in name or suffix not in _TYPES or not source.is_file():
        body = ErrorShape(ErrorBody("NOT_FOUND", f"There is no page {name!r}."))
        return Response(encode(body), status_code=404, media_type="application/json")
    return Response(source.read_bytes(), media_type=f"{_TYPES[suffix]}; charset=utf-8")


def _tidemill_error(_request: Request[Any, Any, Any], error: TidemillError) -> Response[bytes]:
    return Response(
        encode(shape(error)), status_code=status_of(error), media_type="application/json"
    )


def _http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    code = _CODES.get(error.status_code, "BAD_REQUEST")
    body = ErrorShape(ErrorBody(code, str(error.detail)))
    return Response(encode(body), status_code=error.status_code, media_type="application/json")


def _unexpected(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    body = ErrorShape(ErrorBody("INTERNAL", f"Something went wrong: {type(error).__name__}."))
    return Response(encode(body), status_code=500, media_type="application/json")
