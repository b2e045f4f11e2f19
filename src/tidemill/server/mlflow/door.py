"""The ASGI application of the MLflow door: finds the route, reads the request, writes the answer.

Every route is a row of a table. Rooms block while they wait for the disk, so routes run in
threads of the door's own; uploads and downloads pass through them in pieces.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from tidemill.core.errors import TidemillError
from tidemill.server.guard import App, Receive, Scope, Send
from tidemill.server.inflow import Inflow
from tidemill.server.mlflow.artifacts import UploadOfRun, media_type
from tidemill.server.mlflow.errors import BadRequest, NoEndpoint, NotOffered, translated
from tidemill.server.mlflow.paths import FILES, PREFIXES, UPLOAD, canonical, not_offered, pattern
from tidemill.server.mlflow.records import Answer
from tidemill.server.mlflow.requests import read_body, read_query
from tidemill.server.mlflow.routes import Rooms, Route, openers, routes, writers
from tidemill.tracking.records import Artifact

logger = logging.getLogger(__name__)

VERSION = "3.18.0"
"""The version of MLflow whose protocol this is."""
_THREADS = 32
_CHUNK = 1 << 20
_SMALL = 1 << 16
"""Bytes of a body that are read in the event loop: less than a change of threads costs."""
_JSON = (b"content-type", b"application/json")
_DONE = b"{}"

Begin = Callable[[bytes], Future[None]]
"""Reads the body of a request that only writes, and begins the write."""
Upload = Callable[[BinaryIO], Answer]
"""Keeps the file that a body is; what it answers says nothing."""


class MlflowDoor:
    """What MLflow's client speaks to.

    Args:
        rooms: Who translates for it.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._artifacts = rooms.artifacts
        self._routes = routes(rooms)
        self._openers = openers(rooms)
        self._writers = writers(rooms)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tidemill-mlflow")

    def kinds(self) -> dict[tuple[str, str], type[Any]]:
        """Return the record that each route reads, by method and path."""
        tables = (self._routes, self._writers, self._openers)
        return {row: route[0] for table in tables for row, route in table.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        method, path = scope["method"], canonical(scope["path"])
        try:
            upload = self.upload(scope)
            if upload is not None:
                await self._pour(upload, receive)
                await _send(send, 200, _JSON, _DONE)
            elif path.startswith(FILES):
                await self._file(method, path.removeprefix(FILES), send)
            elif path == "/version":
                await _send(send, 200, (b"content-type", b"text/plain"), VERSION.encode())
            else:
                await self._answer(method, path, scope, receive, send)
        except Exception as error:
            status, content = self.told(error)
            await _send(send, status, _JSON, content)

    def writer(self, scope: Scope) -> Begin | None:
        """Return what begins the write that a request asks for, if it asks for no more than one."""
        found = self._writers.get((scope["method"], canonical(scope["path"])))
        if found is None:
            return None
        kind, function = found
        content_type = _content_type(scope)

        def begin(body: bytes) -> Future[None]:
            return function(read_body(body, content_type, kind))

        return lambda body: begin(body) if len(body) <= _SMALL else self._apart(begin, body)

    def upload(self, scope: Scope) -> Upload | None:
        """Return what keeps the file that a request brings, if it brings one."""
        method, path = scope["method"], canonical(scope["path"])
        if method == "PUT" and path.startswith(FILES):
            return partial(self._artifacts.put, path.removeprefix(FILES))
        if method == "POST" and path == UPLOAD:
            query = scope["query_string"].decode("latin-1")
            return lambda source: self._artifacts.put_of_run(read_query(query, UploadOfRun), source)
        return None

    def receive(self, upload: Upload, inflow: Inflow) -> Future[None]:
        """Have a thread keep a file while it arrives; the future ends when it is durable."""

        def work() -> None:
            with inflow:
                upload(inflow)  # type: ignore[arg-type]  # a RawIOBase reads bytes

        return self._threads.submit(work)

    def told(self, failure: BaseException | None) -> tuple[int, bytes]:
        """Return how the end of a write is answered: the status and the JSON."""
        if failure is None:
            return 200, _DONE
        if not isinstance(failure, TidemillError):
            logger.error("a request of MLflow's failed", exc_info=failure)
        said = translated(failure)
        return said.status, msgspec.json.encode(said)

    def _apart(self, begin: Begin, body: bytes) -> Future[None]:
        """Have a thread read a body that is large, which would hold up the event loop."""
        ended: Future[None] = Future()

        def work() -> None:
            try:
                begin(body).add_done_callback(partial(_pass_on, ended))
            except BaseException as error:
                ended.set_exception(error)

        self._threads.submit(work)
        return ended

    async def _answer(
        self, method: str, path: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        begin = self.writer(scope)
        if begin is not None:
            await asyncio.shield(asyncio.wrap_future(begin(await _body(receive))))
            await _send(send, 200, _JSON, _DONE)
            return
        known, named = pattern(path)
        opener = self._openers.get((method, known))
        if opener is not None:
            kind, function = opener
            wanted = read_query(scope["query_string"].decode("latin-1"), kind, named)
            await self._send_file(await self._run(function, wanted), send)
            return
        kind, route = self._find(method, path, known)
        request = await _read(scope, receive, kind, named)
        answer = await self._run(route, request)
        await _send(send, 200, _JSON, msgspec.json.encode(answer))

    async def _pour(self, upload: Upload, receive: Receive) -> None:
        """Keep the file that a body is, whose pieces ASGI brings."""
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        room.set()
        inflow = Inflow(room.clear, lambda: loop.call_soon_threadsafe(room.set))
        ended = asyncio.wrap_future(self.receive(upload, inflow))
        more = True
        while more and not ended.done():
            await room.wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                inflow.break_off()
                break
            inflow.pour(message.get("body", b""))
            more = message.get("more_body", False)
        if not more:
            inflow.end()
        await asyncio.shield(ended)

    def _find(self, method: str, path: str, known: str) -> Route:
        found = self._routes.get((method, known))
        if found is not None:
            return found
        if any(other == known for _, other in self.kinds()):
            raise NoEndpoint(f"The method {method} is not allowed for {path}.")
        said = not_offered(path)
        if said is not None:
            raise NotOffered(said)
        raise NoEndpoint(f"There is no {path}.")

    async def _file(self, method: str, path: str, send: Send) -> None:
        match method:
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
            coming = self._soon(file.read, _CHUNK)
            while chunk := await coming:
                coming = self._soon(file.read, _CHUNK)
                try:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                except BaseException:
                    await asyncio.wait([coming])  # or it would read from a closed file
                    raise
            await send({"type": "http.response.body", "body": b""})

    def _soon(self, function: Callable[[Any], Any], argument: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, argument)

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


def _pass_on(ended: Future[None], write: Future[None]) -> None:
    failure = write.exception()
    if failure is None:
        ended.set_result(None)
    else:
        ended.set_exception(failure)


async def _read(scope: Scope, receive: Receive, kind: type[Any], named: dict[str, str]) -> Any:
    if scope["method"] == "GET":
        return read_query(scope["query_string"].decode("latin-1"), kind, named)
    return read_body(await _body(receive), _content_type(scope), kind, named)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The body is too large, or was broken off.")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _content_type(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value.decode("latin-1"))
    return ""


async def _send(send: Send, status: int, kind: tuple[bytes, bytes], body: bytes) -> None:
    headers = [kind, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
