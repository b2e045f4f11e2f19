"""What every request must pass before any of it is looked at.

A web page that is open in somebody's browser can reach a server on loopback. So the `Host` must be
one of ours, which a rebound name is not; and whatever changes something must come from our own
origin, or from no browser at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tidemill.server.encoding import ErrorBody, ErrorShape, encode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1 << 20
MAX_UPLOAD = 1 << 40
MAX_MLFLOW = 32 << 20
"""MLflow's clients describe a dataset in up to 17 MB."""
UPLOADS = "/mlflow-artifacts/artifacts/"
"""Files come in here; they are written piece by piece and never held in memory."""
MAX_HEADERS = 100
SAFE = frozenset({"GET", "HEAD"})
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Guard:
    """An ASGI layer around the whole server.

    Args:
        app: What is guarded.
        hosts: The names by which this server may be called.
    """

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on with its body capped and its answer headed."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refused = refusal(scope, self._hosts)
        if refused is not None:
            await _answer(send, *refused)
            return
        body = _Body(receive, _most(scope))
        try:
            await self._app(scope, body, body.unless_too_large(_headed(send)))
        except Exception:
            if not body.too_large:
                raise
        if body.too_large:
            said = f"The body has over {_most(scope):,} bytes."
            await _answer(send, 413, ErrorBody("BODY_TOO_LARGE", said))


def refusal(scope: Scope, hosts: frozenset[str]) -> tuple[int, ErrorBody] | None:
    """Return why a request is not let in: a status and what is said; nothing where it is."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name == b"host" and name in headers:
            return 400, ErrorBody("BAD_HOST", "The request has several Host headers.")
        headers[name] = value
    host = _bare(headers.get(b"host", b"").decode("latin-1"))
    if host not in hosts:
        known = ", ".join(sorted(hosts))
        return 403, ErrorBody(
            "FOREIGN_HOST", f"The Host {host!r} is not this server's.", f"one of {known}"
        )
    if len(scope["headers"]) > MAX_HEADERS:
        return 431, ErrorBody("TOO_MANY_HEADERS", f"Over {MAX_HEADERS} headers were sent.")
    if scope["method"] not in SAFE:
        foreign = _foreign(headers, hosts)
        if foreign is not None:
            return 403, ErrorBody(
                "FOREIGN_ORIGIN", f"The request comes from {foreign}.", "our own pages"
            )
    size = headers.get(b"content-length", b"0")
    if not size.isdigit():
        return 400, ErrorBody("BAD_LENGTH", "Content-Length is not a number.")
    if int(size) > _most(scope):
        return 413, ErrorBody(
            "BODY_TOO_LARGE", f"The body has {int(size):,} bytes.", f"at most {_most(scope):,}"
        )
    return None


class _Body:
    """Hands a body on until it grows too large; then nothing that is answered counts."""

    too_large = False

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._size = 0

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._most:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message

    def unless_too_large(self, send: Send) -> Send:
        """Return what sends an answer, if the body was taken."""

        async def sending(message: MutableMapping[str, Any]) -> None:
            if not self.too_large:
                await send(message)

        return sending


def _most(scope: Scope) -> int:
    path = scope["path"]
    if scope["method"] == "PUT" and UPLOADS in path:
        return MAX_UPLOAD
    return MAX_MLFLOW if "/mlflow/" in path else MAX_BODY


def _headed(send: Send) -> Send:
    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await send(message)

    return with_headers


def _foreign(headers: dict[bytes, bytes], hosts: frozenset[str]) -> str | None:
    """Return where a browser says that the request comes from, if that is not from us."""
    site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
    if site not in {"", "same-origin", "none"}:
        return f"another site ({site})"
    origin = headers.get(b"origin")
    if origin is None:
        return None
    name = origin.decode("latin-1")
    bare = _bare(name.partition("://")[2])
    ours = headers.get(b"host", b"") == name.partition("://")[2].encode("latin-1")
    return None if bare in hosts and ours else f"the origin {name!r}"


def _bare(host: str) -> str:
    """Return a host without its port."""
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


async def _answer(send: Send, status: int, body: ErrorBody) -> None:
    content = encode(ErrorShape(body))
    size = str(len(content)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", size), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
