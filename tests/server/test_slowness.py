"""A client that is slow, or stops, is let go of, and holds nobody up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn

from tidemill.server.guard import Receive, Scope, Send
from tidemill.server.protocol import MAX_HEADER_BYTES, protocol

REQUEST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body, once it is whole."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    made: Any = protocol(header_seconds=0.5, body_seconds=0.5)
    config = uvicorn.Config(echo, http=made, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def _rest(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize("begun", [b"", b"POST / HT", REQUEST, REQUEST + b"X-A: b"])
def test_headers_that_do_not_end_are_cut_off(port: int, begun: bytes) -> None:
    with closing(_connect(port)) as connection:
        connection.sendall(begun)
        answer = _rest(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "TOO_SLOW"


def test_headers_that_drip_are_cut_off(port: int) -> None:
    with closing(_connect(port)) as connection:
        connection.sendall(REQUEST)
        connection.settimeout(0.05)
        for _ in range(1000):
            try:
                connection.sendall(b"X-A: b\r\n")
                answer = connection.recv(100)
            except TimeoutError:
                continue
            except OSError:
                return
            assert answer.startswith(b"HTTP/1.1 408 ")
            return
    raise AssertionError("it would listen for ever")


def test_a_body_that_stops_is_cut_off_and_the_next_client_served(port: int) -> None:
    with closing(_connect(port)) as connection:
        connection.sendall(REQUEST + b"Content-Length: 10\r\n\r\nabc")
        assert _rest(connection) == b""
    with closing(_connect(port)) as connection:
        connection.sendall(REQUEST + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc")
        assert _rest(connection).endswith(b"\r\n\r\n3")


def test_headers_over_the_limit_are_refused(port: int) -> None:
    with closing(_connect(port)) as connection:
        connection.sendall(REQUEST + b"X-A: " + b"a" * (2 * MAX_HEADER_BYTES))
        assert _rest(connection).startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http_is_told_so_as_json(port: int) -> None:
    with closing(_connect(port)) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00hello\r\n\r\n")
        answer = _rest(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "BAD_REQUEST"


def test_a_connection_serves_many_requests(port: int) -> None:
    with closing(_connect(port)) as connection:
        for size in (0, 5, 200_000):
            connection.sendall(REQUEST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
            answer = b""
            while not answer.endswith(b"\r\n\r\n%d" % size):
                answer += connection.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 ")
