"""Writes take the short way or the ordinary one, and are answered alike."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidemill.core.clock import SystemClock
from tidemill.home import Home
from tidemill.server.app import LOCAL
from tidemill.server.doors import mlflow_door
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


def test_writes_are_counted(tmp_path: Path) -> None:
    async def ask(shortcut: Shortcut, body: bytes) -> int:
        scope = {
            "method": "POST",
            "path": PATH,
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"content-length", b"%d" % len(body)),
                (b"content-type", b"application/json"),
            ],
        }
        begin = shortcut.find(scope)
        assert begin is not None
        loop = asyncio.get_running_loop()
        status: asyncio.Future[int] = loop.create_future()
        shortcut.take(begin, body, loop, lambda said, _: status.set_result(said))
        return await status

    with Home.open(tmp_path / "home") as home:
        experiment = home.tracking.experiment("flights")
        run = home.tracking.start_run(experiment.id, actor="user:ada").id
        traffic = Traffic(None, SystemClock())
        shortcut = Shortcut(mlflow_door(home), LOCAL, traffic, SystemClock())
        statuses = [asyncio.run(ask(shortcut, _body(name, 0))) for name in (run, "none", run)]
    assert statuses == [200, 404, 200]
    assert traffic.counts().counts == {"control plane/requests": 3.0, "control plane/errors": 0.0}
