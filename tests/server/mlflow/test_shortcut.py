"""Writes take the short way or the ordinary one, and are answered alike."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.control_plane import ControlPlane

from tidemill.core.clock import SystemClock
from tidemill.home import Home
from tidemill.server.app import LOCAL
from tidemill.server.doors import mlflow_door
from tidemill.server.inflow import BLOCK
from tidemill.server.shortcut import Shortcut
from tidemill.server.traffic import Traffic

CORE = "/api/2.0/mlflow/"
PATH = f"{CORE}runs/log-metric"


@pytest.fixture
def run(address: str) -> str:
    body = {"experiment_id": "0", "start_time": 1_790_000_000_000}
    answer = httpx.post(f"{address}{CORE}runs/create", json=body)
    return str(answer.json()["run"]["info"]["run_id"])


def _body(run: str, step: int, **others: Any) -> bytes:
    point = {"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1_790_000_000_000}
    return json.dumps(point | {"step": step} | others).encode()


def _request(body: bytes, *headers: str, path: str = PATH, version: str = "1.1") -> bytes:
    lines = [
        f"POST {path} HTTP/{version}",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        *(headers or [f"Content-Length: {len(body)}"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _connect(address: str) -> socket.socket:
    host, _, port = address.partition("://")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def _answers(connection: socket.socket, count: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the next answers on a connection, as status and JSON."""
    found = []
    with connection.makefile("rb") as stream:
        for _ in range(count):
            status = int(stream.readline().split()[1])
            size = 0
            while (line := stream.readline()) != b"\r\n":
                named = re.match(rb"content-length: (\d+)", line.lower())
                size = int(named[1]) if named else size
            found.append((status, json.loads(stream.read(size))))
    return found


def _steps(address: str, run: str) -> list[int]:
    query = {"run_id": run, "metric_key": "loss"}
    answer = httpx.get(f"{address}{CORE}metrics/get-history", params=query)
    return [point["step"] for point in answer.json()["metrics"]]


def test_however_a_write_arrives_it_is_kept(address: str, run: str) -> None:
    with closing(_connect(address)) as connection:
        connection.sendall(_request(_body(run, 0)))
        assert _answers(connection, 1) == [(200, {})]
        for piece in (part := _request(_body(run, 1)))[:30], part[30:-10], part[-10:]:
            connection.sendall(piece)
            time.sleep(0.02)
        assert _answers(connection, 1) == [(200, {})]
        chunk = _body(run, 2)
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(chunk), chunk)
        connection.sendall(_request(b"", "Transfer-Encoding: chunked") + chunked)
        assert _answers(connection, 1) == [(200, {})]
        large = _body(run, 3, model_id="", dataset_name="n" * 200_000)
        connection.sendall(_request(large))
        assert _answers(connection, 1) == [(200, {})]
    assert _steps(address, run) == [0, 1, 2, 3]


def test_writes_that_follow_each_other_unasked_are_answered_in_order(
    address: str, run: str
) -> None:
    asked = [_body(run, step) if step % 3 else _body("none", step) for step in range(9)]
    with closing(_connect(address)) as connection:
        connection.sendall(b"".join(map(_request, asked)))
        answers = _answers(connection, len(asked))
    assert [status for status, _ in answers] == [404, 200, 200] * 3
    assert _steps(address, run) == [1, 2, 4, 5, 7, 8]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_connection_that_is_to_end_ends_after_the_answer(
    address: str, run: str, version: str
) -> None:
    body = _body(run, 0)
    headers = [f"Content-Length: {len(body)}"] + ["Connection: close"] * (version == "1.1")
    with closing(_connect(address)) as connection:
        connection.sendall(_request(body, *headers, version=version))
        with connection.makefile("rb") as stream:
            answer = stream.read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\n{}")


def test_the_short_way_answers_as_the_ordinary_one(address: str, run: str) -> None:
    for body in (_body(run, 0), _body("none", 0), _body(run, 2**70), b"[]", b"{", b'{"run_id": 3}'):
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        answers = []
        for request in (
            _request(body, f"Content-Length: {len(body)}", "Connection: close"),
            _request(b"", "Transfer-Encoding: chunked", "Connection: close") + chunked,
        ):
            with closing(_connect(address)) as connection, connection.makefile("rb") as stream:
                connection.sendall(request)
                head, _, content = stream.read().partition(b"\r\n\r\n")
            named = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
            answers.append((head.split(b"\r\n")[0], named, content))
        assert answers[0] == answers[1]


def test_strangers_are_refused_on_the_short_way_too(address: str, run: str) -> None:
    body = _body(run, 0)
    for headers in (
        {"Host": "tidemill.example"},
        {"Origin": "https://tidemill.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        named = {"Content-Type": "application/json"} | headers
        answer = httpx.post(f"{address}{PATH}", content=body, headers=named)
        assert answer.status_code == 403
    assert _steps(address, run) == []


class _Line:
    """A connection that only waits for the status."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.status: asyncio.Future[int] = self.loop.create_future()

    def reply(self, status: int, body: bytes) -> None:
        self.status.set_result(status)

    def pause(self) -> None:
        raise AssertionError("so little is never too much")

    def resume(self) -> None:
        raise AssertionError("it was never paused")


def test_writes_are_counted(tmp_path: Path) -> None:
    async def ask(shortcut: Shortcut, body: bytes) -> int:
        named = {"host": "127.0.0.1", "content-type": "application/json"}
        named["content-length"] = str(len(body))
        headers = [(key.encode(), value.encode()) for key, value in named.items()]
        line = _Line()
        intake = shortcut.take({"method": "POST", "path": PATH, "headers": headers}, line)
        assert intake is not None
        intake.pour(body)
        intake.end()
        return await line.status

    with Home.open(tmp_path / "home") as home:
        experiment = home.tracking.experiment("flights")
        run = home.tracking.start_run(experiment.id, actor="user:ada").id
        traffic = Traffic(None, SystemClock())
        shortcut = Shortcut(mlflow_door(home), LOCAL, traffic, SystemClock())
        statuses = [asyncio.run(ask(shortcut, _body(name, 0))) for name in (run, "none", run)]
    assert statuses == [200, 404, 200]
    assert traffic.counts().counts == {"control plane/requests": 3.0, "control plane/errors": 0.0}


def _place(address: str, run: str) -> str:
    found = httpx.get(f"{address}{CORE}runs/get", params={"run_id": run}).json()
    root = found["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    return f"/api/2.0/mlflow-artifacts/artifacts/{root}/big.bin"


def _put(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"PUT {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def test_a_file_is_kept_whichever_way_it_arrives(address: str, run: str) -> None:
    path = _place(address, run)
    content = bytes(range(256)) * (1 << 17)
    for pieces in ([content], [content[at : at + 300_001] for at in range(0, 1 << 25, 300_001)]):
        chunked = len(pieces) > 1
        answer = httpx.put(f"{address}{path}", content=iter(pieces) if chunked else content)
        assert (answer.status_code, answer.json()) == (200, {})
        assert httpx.get(f"{address}{path}").content == content
        httpx.delete(f"{address}{path}").raise_for_status()
    with closing(_connect(address)) as connection:
        connection.sendall(_put(path, "Content-Length: 3", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert _answers(connection, 1) == [(200, {})]
    assert httpx.get(f"{address}{path}").content == b"abc"


def test_a_file_that_nobody_takes_is_refused_and_the_connection_goes_on(
    address: str, run: str
) -> None:
    path = _place(address, run).replace(run, "0" * 32)
    with closing(_connect(address)) as connection:
        content = bytes(20 << 20)
        connection.sendall(_put(path, f"Content-Length: {len(content)}") + content)
        [(status, said)] = _answers(connection, 1)
        assert (status, said["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        connection.sendall(_request(_body(run, 0)))
        assert _answers(connection, 1) == [(200, {})]


@pytest.mark.parametrize("more", [-1, 0, 1, BLOCK])
def test_what_follows_a_long_file_is_a_request_of_its_own(
    address: str, run: str, more: int
) -> None:
    path = _place(address, run)
    content = bytes(range(256)) * (2 * BLOCK // 256) + bytes(max(more, 0))
    content = content[: 2 * BLOCK + more]
    head = _put(path, f"Content-Length: {len(content)}")
    with closing(_connect(address)) as connection:
        connection.sendall(head)
        time.sleep(0.05)
        connection.sendall(content + _request(_body(run, 0)) + head + content)
        assert _answers(connection, 3) == [(200, {})] * 3
        connection.sendall(_request(_body(run, 1)))
        assert _answers(connection, 1) == [(200, {})]
    assert httpx.get(f"{address}{path}").content == content
    assert _steps(address, run) == [0, 1]


def test_files_that_arrive_at_once_do_not_mix(address: str, run: str) -> None:
    path = _place(address, run)
    contents = {f"{path}.{n}": bytes([n]) * (3 * BLOCK + n) for n in range(4)}
    with ExitStack() as stack:
        lines = {name: stack.enter_context(closing(_connect(address))) for name in contents}
        for name, line in lines.items():
            line.sendall(_put(name, f"Content-Length: {len(contents[name])}"))
        for at in range(0, 4 * BLOCK, 1 << 18):
            for name, line in lines.items():
                line.sendall(contents[name][at : at + (1 << 18)])
        for line in lines.values():
            assert _answers(line, 1) == [(200, {})]
    for name, content in contents.items():
        assert httpx.get(f"{address}{name}").content == content


@pytest.mark.parametrize("sent", [500_000, 3 * BLOCK])
def test_of_a_file_that_is_broken_off_nothing_is_kept(address: str, run: str, sent: int) -> None:
    path = _place(address, run)
    with closing(_connect(address)) as connection:
        connection.sendall(_put(path, f"Content-Length: {2 * sent}") + b"a" * sent)
        time.sleep(0.2)
    assert httpx.get(f"{address}{path}").status_code == 404


@pytest.mark.parametrize("sent", [500_000, 3 * BLOCK])
def test_a_server_that_is_to_end_does_not_wait_for_a_file_that_stopped(
    tmp_path: Path, sent: int
) -> None:
    server = ControlPlane(tmp_path / "home")
    body = {"experiment_id": "0", "start_time": 1_790_000_000_000}
    found = httpx.post(f"{server.address}{CORE}runs/create", json=body).json()
    path = _place(server.address, found["run"]["info"]["run_id"])
    with closing(_connect(server.address)) as connection:
        connection.sendall(_put(path, f"Content-Length: {2 * sent}") + b"a" * sent)
        time.sleep(0.5)
        server.stop()
        assert connection.recv(1000) == b""
