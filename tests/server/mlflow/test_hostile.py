"""Hostile and malformed requests, by category: each is refused cleanly, and the next one is served.

Cleanly is: a status below 500, an error in JSON, nothing of our insides in it, no file outside the
home's own, and no memory kept.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.control_plane import ControlPlane

CORE = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Target:
    """A server that is talked to in bytes."""

    def __init__(self, server: ControlPlane, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.host = urlsplit(server.address).netloc
        self.run = self.new_run()

    def raw(self, content: bytes) -> Answer:
        """Send bytes as they are, and read one answer."""
        host, _, port = self.host.partition(":")
        with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
            with contextlib.suppress(OSError):  # where it is refused before its end
                connection.sendall(content)
            return _answer(connection)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        known = {"Host": self.host, "Connection": "close", "Content-Length": str(len(body))}
        lines = [
            f"{method} {path} HTTP/1.1",
            *(f"{k}: {v}" for k, v in (known | (headers or {})).items()),
        ]
        return self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", f"{CORE}/{path}", json.dumps(body).encode(), JSON)

    def new_run(self) -> str:
        made = self.post("runs/create", {"experiment_id": "0", "user_id": "me"})
        return str(json.loads(made.body)["run"]["info"]["run_id"])

    def memory(self) -> int:
        """Return the megabytes that the control plane holds."""
        pages = Path(f"/proc/{self.server.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096 >> 20

    def outside(self) -> set[Path]:
        """Return every file that is not the home's."""
        return {p for p in self.folder.rglob("*") if self.folder / "home" not in [p, *p.parents]}


def _answer(connection: socket.socket) -> Answer:
    content = b""
    try:
        while part := connection.recv(1 << 16):
            content += part
    except ConnectionResetError:
        pass
    head, _, body = content.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(":")[::2] for line in lines]
    status = int(first.split()[1]) if first else 0
    return Answer(status, {name.lower(): value.strip() for name, value in fields}, body)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("hostile")
    server = ControlPlane(folder / "home")
    try:
        yield Target(server, folder)
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def unharmed(target: Target) -> Iterator[None]:
    """Whatever was sent: it is served after it, has not grown, and wrote nowhere else."""
    before = target.memory()
    yield
    assert target.ask("GET", "/health").body == b"OK"
    assert target.memory() - before < 64
    assert target.outside() == set()


def refused(answer: Answer, *, least: int = 400) -> None:
    assert least <= answer.status < 500, answer
    told = json.loads(answer.body)
    assert told.get("error_code") or told["error"]["code"], told
    for secret in (b"Traceback", b"/home/", b"site-packages", b"sqlite3."):
        assert secret not in answer.body


PATHS = {
    "parent": "../../../etc/passwd",
    "parent, encoded": "..%2f..%2f..%2fetc%2fpasswd",
    "parent, encoded twice": "..%252f..%252fetc/passwd",
    "parent in the middle": "a/../../b",
    "backslash": "a\\..\\..\\b",
    "backslash, encoded": "a%5c..%5cb",
    "absolute": "/etc/passwd",
    "absolute, encoded": "%2fetc%2fpasswd",
    "drive": "C:%5cwindows",
    "network": "%5c%5chost%5cshare",
    "zero byte": "a%00b",
    "control": "a%01b",
    "line break": "a%0d%0aX-Evil:%201",
    "long segment": "a" * 300,
    "many segments": "/".join(["a"] * 150),
    "dot": "./a",
    "empty segment": "a//b",
    "not UTF-8": "%ff%fe",
    "overlong": "%c0%ae%c0%ae/x",
    "surrogate": "%ed%a0%80",
}


@pytest.mark.parametrize("kind", PATHS)
def test_paths(target: Target, kind: str) -> None:
    path = f"{FILES}/0/{target.run}/artifacts/{PATHS[kind]}"
    put = target.ask("PUT", path, b"evil")
    if put.status == 200:  # a strange name is a name: it comes back under itself, and nowhere else
        assert target.ask("GET", path).body == b"evil"
        assert target.ask("DELETE", path).status == 200
        return
    refused(put)
    refused(target.ask("GET", path))
    refused(target.ask("DELETE", path))
    for wanted in (PATHS[kind], f"0/{target.run}/artifacts/{PATHS[kind]}"):
        listed = target.ask("GET", f"{FILES}?path={wanted}")
        assert listed.status < 500
        assert b"passwd" not in listed.body
    got = target.ask("GET", f"/get-artifact?run_id={target.run}&path={PATHS[kind]}")
    refused(got)


def test_names_that_look_alike_are_different_files(target: Target) -> None:
    names = ["caf\u00e9", "cafe\u0301", "CAF\u00c9", "\u202eexe.txt", "CON", "a b", "ａ"]
    root = f"{FILES}/0/{target.new_run()}/artifacts"
    for number, name in enumerate(names):
        assert target.ask("PUT", f"{root}/{quote(name)}", str(number).encode()).status == 200
    for number, name in enumerate(names):
        assert target.ask("GET", f"{root}/{quote(name)}").body == str(number).encode()
    refused(target.ask("PUT", f"{root}/{quote(names[0])}/below", b"x"))


def test_a_page_that_was_logged_does_not_run_in_our_origin(target: Target) -> None:
    for name in ("x.html", "x.svg", "x.xml", "x.js", "x.xhtml", "x", "x.png.html"):
        path = f"{FILES}/0/{target.run}/artifacts/pages/{name}"
        target.ask("PUT", path, b"<script>alert(1)</script>")
        for url in (path, f"/get-artifact?run_id={target.run}&path=pages/{name}"):
            headers = target.ask("GET", url).headers
            assert headers["content-type"] in {"application/octet-stream", "text/plain"}
            assert headers["content-disposition"].startswith("attachment")
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]


BODIES = {
    "truncated": b'{"run_id": "',
    "empty": b"",
    "null": b"null",
    "scalar": b"7",
    "array": b"[]",
    "deep": b'{"metrics":' + b"[" * 100_000,
    "deep and closed": b'{"metrics":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "repeated key": b'{"run_id": "a", "run_id": "b", "key": "k", "value": 1, "timestamp": 1}',
    "NaN": b'{"run_id": "a", "key": "k", "value": NaN, "timestamp": 1}',
    "Infinity": b'{"run_id": "a", "key": "k", "value": 1e400, "timestamp": 1}',
    "beyond 64 bits": b'{"run_id": "a", "key": "k", "value": 1, "timestamp": 99999999999999999999}',
    "5,000 digits": b'{"run_id": "a", "key": "k", "value": 1, "timestamp": ' + b"9" * 5000 + b"}",
    "lone surrogate": b'{"run_id": "\\ud800", "key": "k", "value": 1, "timestamp": 1}',
    "not UTF-8": b'{"run_id": "\xff"}',
    "BOM": b'\xef\xbb\xbf{"run_id": "a"}',
    "wrong types": b'{"run_id": {}, "key": [], "value": {}, "timestamp": "x"}',
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("route", ["runs/log-metric", "runs/log-batch", "logged-models"])
def test_bodies(target: Target, kind: str, route: str) -> None:
    answer = target.ask("POST", f"{CORE}/{route}", BODIES[kind], JSON)
    refused(answer)
    answer = target.ask("POST", "/api/deploy", BODIES[kind], JSON)
    refused(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "\xff"},
    ],
)
def test_a_body_that_is_not_said_to_be_json(target: Target, headers: dict[str, str]) -> None:
    body = json.dumps({"run_id": target.run, "key": "p", "value": "1"}).encode()
    refused(target.ask("POST", f"{CORE}/runs/log-parameter", body, headers))


def test_limits(target: Target) -> None:
    point = {"key": "k", "value": 1, "timestamp": 1}
    for fields in (
        {"metrics": [point] * 1001},
        {"params": [{"key": f"k{i}", "value": "1"} for i in range(101)]},
        {"tags": [{"key": f"k{i}", "value": "1"} for i in range(101)]},
        {"metrics": [point | {"key": "k" * 251}]},
        {"metrics": [point | {"timestamp": -(2**63) - 1}]},
        {"tags": [{"key": "k" * 251, "value": "1"}]},
    ):
        refused(target.post("runs/log-batch", {"run_id": target.run} | fields))
    for name in ("a" * 501, ""):
        refused(target.post("experiments/create", {"name": name}))
    refused(target.post("registered-models/create", {"name": "a/b:c"}))


def test_bodies_over_the_limit(target: Target) -> None:
    large = b'{"run_id": "' + b"a" * (40 << 20) + b'"}'
    for path in (f"{CORE}/runs/log-metric", "/api/deploy"):
        assert target.ask("POST", path, large, JSON).status in {0, 400, 413}
        head = f"POST {path} HTTP/1.1\r\nHost: {target.host}\r\nTransfer-Encoding: chunked\r\n"
        head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
        chunked = f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n"
        assert target.raw(head.encode() + chunked).status in {0, 400, 413}


def test_a_body_that_is_packed_is_not_unpacked(target: Target) -> None:
    bomb = gzip.compress(b" " * (200 << 20))
    headers = JSON | {"Content-Encoding": "gzip"}
    refused(target.ask("POST", f"{CORE}/runs/log-metric", bomb, headers))


HEADERS = {
    "two lengths": "Content-Length: 2\r\nContent-Length: 3\r\n",
    "negative length": "Content-Length: -1\r\n",
    "length that is none": "Content-Length: x\r\n",
    "length and chunks": "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "header too large": f"Content-Length: 2\r\nX-A: {'a' * 70_000}\r\n",
    "too many headers": "Content-Length: 2\r\n" + "".join(f"X-{i}: 1\r\n" for i in range(150)),
    "foreign origin": "Content-Length: 2\r\nOrigin: http://evil.example\r\n",
    "null origin": "Content-Length: 2\r\nOrigin: null\r\n",
    "other port's origin": "Content-Length: 2\r\nOrigin: http://127.0.0.1:1\r\n",
    "cross-site": "Content-Length: 2\r\nSec-Fetch-Site: cross-site\r\n",
    "second host": "Content-Length: 2\r\nHost: evil.example\r\n",
    "broken line": "Content-Length: 2\r\nX-A: b\rc\r\n",
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("path", [f"{CORE}/experiments/search", "/api/tick"])
def test_headers(target: Target, kind: str, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\n" + HEADERS[kind]
    refused(target.raw(head.encode() + b"\r\n{}"))


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:80", "127.0.0.1@evil.example", "127.0.0.1.evil.example"],
)
def test_hosts(target: Target, host: str) -> None:
    for path in (
        "/",
        "/health",
        "/api/status",
        f"{CORE}/experiments/get?experiment_id=0",
        "/version",
    ):
        refused(
            target.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        )
    refused(target.raw(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"))


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PROPFIND", "EVIL"])
def test_methods(target: Target, method: str) -> None:
    for path in ("/api/deploy", f"{CORE}/runs/get", f"{FILES}/0/{target.run}/artifacts/x"):
        answer = target.ask(method, path)
        assert 400 <= answer.status < 500 or (method, answer.status) == ("OPTIONS", 204)
        assert "access-control-allow-origin" not in answer.headers


def test_what_changes_something_is_no_get(target: Target) -> None:
    for path in (
        "runs/create",
        "runs/log-metric",
        "runs/delete",
        "experiments/delete",
        "webhooks/x/test",
    ):
        refused(target.ask("GET", f"{CORE}/{path}?run_id={target.run}&experiment_id=0"))
    refused(target.ask("GET", "/api/tick"))


def test_a_web_socket_is_not_opened(target: Target) -> None:
    upgrade = {
        **{"Connection": "Upgrade, close", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        **{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.example"},
    }
    assert target.ask("GET", "/health", headers=upgrade).status != 101


def test_an_upload_that_breaks_off_leaves_nothing(target: Target) -> None:
    path = f"{FILES}/0/{target.run}/artifacts/broken.bin"
    host, _, port = target.host.partition(":")
    for head in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
        with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
            start = f"PUT {path} HTTP/1.1\r\nHost: {target.host}\r\n{head}\r\n\r\n"
            connection.sendall(
                start.encode() + (b"3e8\r\n" if "chunked" in head else b"") + b"x" * 500
            )
    refused(target.ask("GET", path), least=404)


def test_many_idle_connections_hold_nobody_up(target: Target) -> None:
    host, _, port = target.host.partition(":")
    idle = [socket.create_connection((host, int(port)), timeout=60) for _ in range(300)]
    try:
        assert target.ask("GET", "/health").status == 200
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize(
    "wanted", ["bytes=0-", "bytes=999999-", "bytes=-1", "bytes=" + ",".join(["0-1"] * 500), "x=1"]
)
def test_ranges(target: Target, wanted: str) -> None:
    path = f"{FILES}/0/{target.run}/artifacts/range.txt"
    target.ask("PUT", path, b"0123456789")
    answer = target.ask("GET", path, headers={"Range": wanted})
    assert answer.status in {200, 206, 416}
    assert len(answer.body) < 1000


FILTERS = [
    *("(", ")", "((((", "a", "metrics.", "metrics.m", "metrics.m >", "metrics.m = 'a' OR", "'"),
    *(
        "metrics.m = 1; DROP TABLE tracking_runs",
        "tags.x = 'a\x00b'",
    ),
    *("foo.bar = 1", "attributes.password = 'x'", "NOT", "NOT NOT", "IS NULL"),
    " AND ".join(["metrics.m > 1"] * 5000),
    "(" * 5000 + "metrics.m > 1" + ")" * 5000,
    "run_id IN (" + ",".join(["'a'"] * 20_000) + ")",
    *("params.p RLIKE '('", "params.p RLIKE '(a+)+$" + "a" * 5000 + "'"),
]


@pytest.mark.parametrize("number", range(len(FILTERS)))
def test_filters(target: Target, number: int) -> None:
    body = {"experiment_ids": ["0"], "filter": FILTERS[number]}
    for route in ("runs/search", "logged-models/search"):
        refused(target.post(route, body))
    refused(target.post("experiments/search", {"max_results": 5, "filter": FILTERS[number]}))
    for route in ("registered-models/search", "model-versions/search"):
        if len(FILTERS[number]) < 5000:
            refused(target.ask("GET", f"{CORE}/{route}?filter={quote(FILTERS[number])}"))


def test_a_key_is_a_key_whatever_is_in_it(target: Target) -> None:
    body = {"experiment_ids": ["0"], "filter": "params.`a' OR 1=1 --` = 'x'"}
    assert json.loads(target.post("runs/search", body).body)["runs"] == []


def test_patterns_that_explode_are_answered(target: Target) -> None:
    target.post("runs/log-parameter", {"run_id": target.run, "key": "long", "value": "a" * 5000})
    for pattern in ("params.long LIKE '" + "%a" * 200 + "%b'", "params.long RLIKE '(a|aa)+$b'"):
        answer = target.post("runs/search", {"experiment_ids": ["0"], "filter": pattern})
        assert answer.status in {200, 400}
        assert answer.status == 400 or json.loads(answer.body)["runs"] == []


@pytest.mark.parametrize(
    "fields",
    [
        *({"max_results": size} for size in (-1, 50_001, 2**70, "x", 1.5, None)),
        *({"order_by": [text]} for text in ("x; DROP TABLE y", "metrics.m ASC DESC", "1", "'", "")),
        *(
            {"page_token": t}
            for t in ("x", "eyJvZmZzZXQiOi0xfQ==", "eyJvZmZzZXQiOjFlOTl9", "=", "e30=")
        ),
        {"page_token": "eyJvZmZzZXQiOjk5OTk5OTk5OTk5OTk5OTk5OTk5OTl9"},
        {"run_view_type": "EVERYTHING"},
        {"experiment_ids": "0"},
        {"experiment_ids": [["0"]]},
    ],
)
def test_searches(target: Target, fields: dict[str, object]) -> None:
    answer = target.post("runs/search", {"experiment_ids": ["0"]} | fields)
    if fields == {"max_results": None}:
        assert answer.status < 500
        return
    refused(answer)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(path=st.text(max_size=60), method=st.sampled_from(["GET", "PUT", "DELETE"]))
def test_no_path_reads_or_writes_outside(target: Target, path: str, method: str) -> None:
    for start in (f"{FILES}/", f"{FILES}/0/{target.run}/artifacts/", f"{CORE}/logged-models/"):
        answer = target.ask(method, start + quote(path, errors="replace"), b"evil")
        assert answer.status < 500
        assert b"root:" not in answer.body
