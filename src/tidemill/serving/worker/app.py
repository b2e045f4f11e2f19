"""From a request to its door: guard, find, translate errors. Knows paths and statuses, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from tidemill.core.errors import (
    Busy,
    Conflict,
    InvalidData,
    NotFound,
    OutOfSpace,
    Refused,
    TidemillError,
    Usage,
)
from tidemill.serving.worker.doors.labels import LabelDoor
from tidemill.serving.worker.doors.oip import OpenInference
from tidemill.serving.worker.doors.openapi import document
from tidemill.serving.worker.doors.operations import Operations
from tidemill.serving.worker.doors.scoring import Scoring
from tidemill.serving.worker.http import (
    HttpError,
    Request,
    Response,
    error_response,
    json_response,
)
from tidemill.serving.worker.tallies import KEEP

Answered = Response | Awaitable[Response]
Handler = Callable[[Request], Answered]
_STATUSES: tuple[tuple[type[TidemillError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (Refused, 403),
    (Busy, 503),
    (OutOfSpace, 507),
    (InvalidData, 400),
    (Usage, 400),
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEMBERED = 1000
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


class App:
    """The data plane's front: every request of a worker comes through here.

    Args:
        oip: The Open Inference Protocol.
        scoring: MLflow's and KServe's older protocols.
        labels: Where labels are taken.
        operations: What operators ask.
        hosts: Names by which clients may call, beside the local ones; `*` allows all.
    """

    def __init__(
        self,
        *,
        oip: OpenInference,
        scoring: Scoring,
        labels: LabelDoor,
        operations: Operations,
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._oip = oip
        self._scoring = scoring
        self._labels = labels
        self._hosts = None if "*" in hosts else hosts | _LOCAL
        self._exact: dict[str, tuple[str, Handler]] = {
            "/health": ("GET", lambda _: operations.health()),
            "/metrics": ("GET", lambda _: operations.metrics()),
            "/-/flush": ("POST", operations.flush),
            KEEP: ("POST", lambda _: operations.keep_counts()),
            "/ping": ("GET", lambda _: scoring.ping()),
            "/version": ("GET", lambda _: scoring.version()),
            "/invocations": ("POST", scoring.invoke),
            "/openapi.json": ("GET", lambda _: json_response(document(oip.table))),
            "/v2": ("GET", lambda _: oip.server()),
            "/v2/": ("GET", lambda _: oip.server()),
            "/v2/health/live": ("GET", lambda _: oip.live()),
            "/v2/health/ready": ("GET", lambda _: oip.ready()),
            "/v2/models": ("GET", lambda _: oip.models()),
            "/v2/repository/index": ("POST", oip.index),
            "/v1/models": ("GET", lambda _: oip.models()),
            "/": ("GET", lambda _: operations.alive()),
        }
        # What was worked out for paths and hosts before, since clients repeat themselves.
        self._found = dict(self._exact)
        self._welcome: set[bytes] = set()

    def __call__(self, request: Request) -> Answered:
        """Answer a request, or begin to."""
        try:
            handler = request.head.handler or self._admit(request)
            answer = handler(request)
        except (HttpError, TidemillError) as error:
            return refusal(error)
        return _guarded(answer) if asyncio.iscoroutine(answer) else answer

    def _admit(self, request: Request) -> Handler:
        """Return who answers; all of it by the head, which remembers.

        Raises:
            HttpError: Nobody does, or not to this client, or not to this method.
        """
        self._guard(request)
        method, handler = self._found.get(request.path) or self._find(request.path)
        if request.method != method and not (method == "GET" and request.method == "HEAD"):
            raise HttpError(
                405,
                f"{request.path} does not take {request.method}. Expected {method}.",
                ((b"allow", method.encode()),),
            )
        request.head.handler = handler
        return handler

    def _guard(self, request: Request) -> None:
        """Refuse what a foreign web page may have sent.

        Raises:
            HttpError: The host is not ours, or the origin is another's.
        """
        headers = request.headers
        host = headers.get(b"host", b"")
        if host not in self._welcome:
            self._check_host(host)
        if request.method in _SAFE:
            return
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2].lower() != host.lower():
            raise HttpError(403, "Requests from other origins are refused.")
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            raise HttpError(403, "Requests from other sites are refused.")

    def _check_host(self, host: bytes) -> None:
        name = host.decode("latin-1").lower()
        if self._hosts is not None and _without_port(name) not in self._hosts:
            raise HttpError(
                421 if host else 400,
                f"The host {name!r} is not served here. Expected localhost or an allowed name; "
                "allow one with `tidemill up --allow-hosts NAME`.",
            )
        if len(self._welcome) < _REMEMBERED:
            self._welcome.add(host)

    def _find(self, path: str) -> tuple[str, Handler]:
        parts = path.split("/")
        if "%" in path:
            parts = [unquote(part) for part in parts]
        found = self._named(parts[1:])
        if found is None:
            raise HttpError(404, f"There is nothing at {path[:200]!r}.")
        if len(self._found) >= _REMEMBERED:
            self._found = dict(self._exact)
        self._found[path] = found
        return found

    def _named(self, parts: list[str]) -> tuple[str, Handler] | None:
        """Return the method and the handler of a path that names an endpoint."""
        match parts:
            case ["v2", "models", name, "infer"]:
                return "POST", lambda r: self._oip.infer(r, name)
            case ["v2", "models", name, "versions", version, "infer"]:
                return "POST", lambda r: self._oip.infer(r, name, version)
            case ["v2", "models", name]:
                return "GET", lambda _: self._oip.model(name)
            case ["v2", "models", name, "ready"]:
                return "GET", lambda _: self._oip.model_ready(name)
            case ["v2", "models", name, "versions", version]:
                return "GET", lambda _: self._oip.model(name, version)
            case ["v2", "models", name, "versions", version, "ready"]:
                return "GET", lambda _: self._oip.model_ready(name, version)
            case ["v2", "repository", "models", name, "load"]:
                return "POST", lambda r: self._oip.load(r, name)
            case ["v2", "repository", "models", name, "unload"]:
                return "POST", lambda _: self._oip.unload(name)
            case ["invocations", name]:
                return "POST", lambda r: self._scoring.invoke(r, name)
            case ["labels", name]:
                return "POST", lambda r: self._labels.take(r, name)
            case ["v1", "models", name] if name.endswith(":predict"):
                return "POST", lambda r: self._scoring.predict(r, name.removesuffix(":predict"))
            case ["v1", "models", name] if ":" not in name:
                return "GET", lambda _: self._scoring.model(name)
        return None


def refusal(error: HttpError | TidemillError) -> Response:
    """Return the answer to what went wrong."""
    if isinstance(error, HttpError):
        return error_response(error.status, error.message, error.headers)
    status = next((s for kind, s in _STATUSES if isinstance(error, kind)), 500)
    headers = ((b"retry-after", b"1"),) if status == 503 else ()
    return error_response(status, str(error), headers)


async def _guarded(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except (HttpError, TidemillError) as error:
        return refusal(error)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
