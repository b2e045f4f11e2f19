"""Whatever arrives, a real worker answers with a 4xx that says why, and serves the next request."""

from __future__ import annotations

import copy
import json
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.conftest import RunningWorker, tensors

ROW: dict[str, list[Any]] = {"a": [0.5, 1.5], "b": [1.0, 2.0], "c": [3, 4]}
RECORDS = [dict(zip(ROW, values, strict=True)) for values in zip(*ROW.values(), strict=True)]
ROWS = [list(record.values()) for record in RECORDS]
BODIES: list[tuple[str, Any]] = [
    ("/v2/models/e/infer", {"id": "i", "inputs": tensors(**ROW), "outputs": [{"name": "label"}]}),
    (
        "/v2/models/e/infer",
        {
            "inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP64", "data": ROWS}],
            "parameters": {"binary_data_output": True},
        },
    ),
    ("/invocations/e", {"dataframe_split": {"columns": list(ROW), "data": ROWS}}),
    ("/invocations/e", {"dataframe_records": RECORDS}),
    ("/invocations/e", {"inputs": ROW, "params": {}}),
    ("/v1/models/e:predict", {"instances": ROWS}),
    ("/labels/e", {"labels": [{"label": True, "key": "k", "time": "2013-02-01T06:00:00Z"}]}),
    ("/v2/repository/index", {"ready": True}),
    ("/v2/repository/models/e/load", {"parameters": {}}),
]
MANY = settings(
    max_examples=120,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
REFUSALS = {400, 404, 405, 408, 411, 413, 415, 421, 422, 429, 431}
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["a", "x", "FP16", "BF16", "BOOL", "BYTES", "2013-02-30", "NaN", "\ud800"]),
    st.sampled_from([[], {}, [[]], [None], {"": None}, 10**40, -1, 2**63, 1e308]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to everything in a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        below: list[tuple[Any, Any]] = list(value.items())
    else:
        below = list(enumerate(value)) if isinstance(value, list) else []
    for key, part in below:
        found += places(part, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A request that was right before something in it was replaced, removed or repeated."""
    path, body = draw(st.sampled_from(BODIES))
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        found = places(body)
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        parent = body
        for key in way:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "remove", "repeat", "wrap"])):
            case "replace":
                parent[last] = draw(ODD)
            case "remove":
                del parent[last]
            case "repeat" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[last]))
            case _:
                parent[last] = [parent[last]]
    return path, json.dumps(body).encode()


def resident(worker: RunningWorker) -> int:
    pages = int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def check(answer: Any) -> None:
    assert answer.status_code == 200 or answer.status_code in REFUSALS, answer.text
    if answer.status_code != 200:
        said = answer.json()
        assert said["error"]
        assert said["error_code"]
        assert "Traceback" not in answer.text


def test_requests_with_a_mistake_in_them(worker: RunningWorker) -> None:
    before = resident(worker)

    @MANY
    @given(mutated())
    def attempt(sent: tuple[str, bytes]) -> None:
        path, body = sent
        headers = {"Content-Type": "application/json"}
        check(worker.http.post(path, content=body, headers=headers))

    attempt()
    assert worker.infer(**ROW).status_code == 200
    assert resident(worker) - before < 64 << 20


def test_binary_bodies_with_a_mistake_in_them(worker: RunningWorker) -> None:
    words = b"".join(len(w).to_bytes(4, "little") + w for w in (b"AA", b"DL"))

    @MANY
    @given(
        datatype=st.sampled_from(["BYTES", "FP64", "FP16", "BF16", "BOOL", "INT8", "odd"]),
        shape=st.lists(st.integers(-2, 2**40), max_size=3),
        size=st.one_of(st.integers(-3, 40), st.just(2**64)),
        shift=st.integers(-3, 3),
        tail=st.one_of(st.just(words), st.binary(max_size=40)),
    )
    def attempt(datatype: str, shape: list[int], size: int, shift: int, tail: bytes) -> None:
        tensor = {"name": "carrier", "shape": shape, "datatype": datatype}
        tensor["parameters"] = {"binary_data_size": size}
        other = {"name": "x", "shape": [2], "datatype": "FP64", "data": [0.1, 0.2]}
        head = json.dumps({"inputs": [tensor, other]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head) + shift)}
        check(worker.http.post("/v2/models/words/infer", content=head + tail, headers=headers))

    attempt()


def test_bytes_that_are_hardly_http(worker: RunningWorker) -> None:
    body = json.dumps({"inputs": tensors(**ROW)}).encode()
    head = b"POST /v2/models/e/infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    whole = head + b"content-length: %d\r\n\r\n" % len(body) + body

    @MANY
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        sent = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(sent) - 1))
            if data.draw(st.booleans()):
                sent[at] = data.draw(st.integers(0, 255))
            else:
                sent[at:at] = data.draw(st.binary(min_size=1, max_size=6))
        with closing(socket.create_connection(("127.0.0.1", worker.port), timeout=20)) as talk:
            talk.sendall(sent)
            talk.shutdown(socket.SHUT_WR)
            received = b""
            while part := talk.recv(65536):
                received += part
        if received:
            status = int(received.split(b" ", 2)[1])
            assert status in {100, 200, 403, *REFUSALS}, received
            assert b"Traceback" not in received

    attempt()
    assert worker.infer(**ROW).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/../../etc/passwd/infer", 404),
        ("/v2/models/%2e%2e%2f%2e%2e%2fetc/infer", 404),
        ("/v2/models/%252e%252e/infer", 404),
        ("/v2/models/e%00/infer", 404),
        ("/v2/models/E/infer", 404),
        ("/v2/models//infer", 404),
        ("/v2/models/e/versions/%31%30/infer", 404),
        ("/v2/models/e/versions/-1/infer", 404),
        ("/v2/models/" + "e" * 4000 + "/infer", 404),
        ("/invocations/%ff%fe", 404),
        ("/v2/models/e/infer?version=9", 200),
    ],
)
def test_names_are_keys_and_never_paths(worker: RunningWorker, path: str, status: int) -> None:
    body = json.dumps({"inputs": tensors(**ROW)}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n".encode("latin-1")
    with closing(socket.create_connection(("127.0.0.1", worker.port), timeout=20)) as talk:
        talk.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        received = b""
        while part := talk.recv(65536):
            received += part
    if "/invocations" not in path:
        assert received.startswith(b"HTTP/1.1 %d " % status), received
    else:
        assert received.split(b" ", 2)[1] in {b"400", b"404"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=999999999-"},
        {"Accept": "image/png"},
        {"Accept-Encoding": "br;q=1, *;q=0"},
        {"traceparent": "00-" + "z" * 32 + "-x-01"},
        {"Tidemill-Key": "ü" * 500},
        {"X-Request-Id": "x" * 5000},
    ],
)
def test_headers_that_mean_nothing_here_change_nothing(
    worker: RunningWorker, headers: dict[str, str]
) -> None:
    body = {"inputs": tensors(**ROW)}
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = worker.http.post("/v2/models/e/infer", json=body, headers=encoded)
    assert answer.status_code == 200
    assert len(answer.json()["outputs"]) == 2
