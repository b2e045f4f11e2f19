"""Traces and the access log: a request is followed from its caller into the prediction log."""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.serving.conftest import RunningWorker, Start, free_port, table, target, tensors
from tests.serving.test_metrics import eventually, scrape, value

from tidemill.core.clock import SystemClock
from tidemill.serving.routes import write_routes
from tidemill.serving.worker.access import KEPT, AccessLog
from tidemill.serving.worker.http import Head, Request, Response
from tidemill.serving.worker.trace import parent_of
from tidemill.serving.worker.tracing import QUEUE, Sampler, Traces, are_wanted

ROW: dict[str, Any] = {"a": [0.5], "b": [1.0], "c": [3]}
INFER = "/v2/models/e/infer"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Receiver:
    """An OTLP receiver on loopback: takes what is sent, or refuses it while it is `broken`."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.services: set[str] = set()
        self.broken = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                self.send_response(400 if receiver.broken else 200)
                self.send_header("content-length", "0")
                self.end_headers()
                if not receiver.broken:
                    receiver.take(ExportTraceServiceRequest.FromString(body))

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def take(self, request: Any) -> None:
        for resource in request.resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                self.spans += [
                    {
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "kind": span.kind,
                        "status": span.status.code,
                        "attributes": {
                            a.key: a.value.string_value or a.value.int_value
                            for a in span.attributes
                        },
                    }
                    for span in scope.spans
                ]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def traced(
    tmp_path: Path, bundles: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., RunningWorker]]:
    """Start workers that send their spans to the receiver."""
    running: list[RunningWorker] = []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)

    def begin(*options: str) -> RunningWorker:
        folder = tmp_path / "traced"
        write_routes(folder / "routes.json", table(1, e=target(1, "one")))
        running.append(RunningWorker(folder, bundles, *options))
        return running[-1]

    yield begin
    for each in running:
        each.close()


def test_a_request_is_a_span_with_its_stages_below_it(
    traced: Callable[..., RunningWorker], receiver: Receiver
) -> None:
    worker = traced()
    body = {"inputs": tensors(**ROW)}
    answer = worker.http.post(INFER, json=body, headers=SENT)
    told = parent_of({b"traceparent": answer.headers["traceparent"].encode()})
    assert told is not None
    assert told.trace == TRACE
    eventually(lambda: len(receiver.spans) >= 6)
    (root,) = receiver.named("POST /v2/models/{model}/infer")
    assert (root["trace"], root["parent"], root["id"]) == (TRACE, CALLER, told.span)
    assert root["kind"] == 2
    assert root["attributes"]["http.response.status_code"] == 200
    assert root["attributes"]["tidemill.endpoint"] == "e"
    assert root["attributes"]["tidemill.version"] == 1
    assert root["attributes"]["tidemill.rows"] == 1
    assert receiver.services == {"tidemill"}
    below = sorted((s for s in receiver.spans if s is not root), key=lambda s: s["start"])
    assert [s["name"] for s in below] == ["decode", "queue", "inference", "log", "encode"]
    for span in below:
        assert (span["trace"], span["parent"]) == (TRACE, root["id"])
        assert root["start"] <= span["start"] <= span["end"] <= root["end"]
    assert len({span["id"] for span in receiver.spans}) == 6


def test_refusals_are_spans_too_and_questions_of_operators_are_none(
    traced: Callable[..., RunningWorker], receiver: Receiver
) -> None:
    worker = traced()
    assert worker.http.get("/health").status_code == 200
    assert worker.http.post(INFER, content=b"{").status_code == 400
    unsampled = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
    assert "traceparent" in worker.infer(**ROW).headers
    silent = worker.http.post(INFER, json={"inputs": tensors(**ROW)}, headers=unsampled)
    assert "traceparent" not in silent.headers
    eventually(lambda: len(receiver.spans) >= 7)
    refused = next(s for s in receiver.spans if s["attributes"].get("url.path") and not s["parent"])
    assert refused["attributes"]["http.response.status_code"] == 400
    assert TRACE not in {span["trace"] for span in receiver.spans}
    assert "GET" not in {span["name"][:3] for span in receiver.spans}


def test_grpc_calls_are_traced(traced: Callable[..., RunningWorker], receiver: Receiver) -> None:
    grpc = pytest.importorskip("tritonclient.grpc")
    port = free_port()
    traced("--grpc-port", str(port))
    import numpy as np

    sent = []
    for name, values in (("a", [0.5]), ("b", [1.0]), ("c", [3.0])):
        tensor = grpc.InferInput(name, [1], "FP64")
        tensor.set_data_from_numpy(np.array(values))
        sent.append(tensor)
    client = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    client.infer("e", sent, headers=SENT)
    with pytest.raises(grpc.InferenceServerException):
        client.infer("nobody", sent, headers=SENT)
    client.close()
    eventually(lambda: len(receiver.spans) >= 7)
    roots = receiver.named("POST /inference.GRPCInferenceService/ModelInfer")
    assert [r["attributes"]["http.response.status_code"] for r in roots] == [200, 404]
    assert {(r["trace"], r["parent"]) for r in roots} == {(TRACE, CALLER)}


def test_spans_that_are_not_taken_are_counted_and_disturb_nobody(
    traced: Callable[..., RunningWorker], receiver: Receiver
) -> None:
    worker = traced()
    receiver.broken = True
    assert worker.infer(**ROW).status_code == 200
    eventually(lambda: value(scrape(worker.url), "tidemill_spans_dropped_total") == 6)
    receiver.broken = False
    assert worker.infer(**ROW).status_code == 200
    eventually(lambda: value(scrape(worker.url), "tidemill_spans_exported_total") == 6)
    assert value(scrape(worker.url), "tidemill_spans_dropped_total") == 6


def test_nothing_is_sent_where_nobody_is_named(start: Start) -> None:
    assert not are_wanted({})
    assert not are_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert are_wanted(named)
    assert not are_wanted(named | {"OTEL_SDK_DISABLED": "true"})
    assert not are_wanted(named | {"OTEL_TRACES_EXPORTER": "none"})
    worker = start(table(1, e=target(1, "one")))
    worker.infer(**ROW)
    assert value(scrape(worker.url), "tidemill_spans_exported_total") == 0
    assert "traceparent" not in worker.infer(**ROW).headers


def test_a_worker_serves_though_its_receiver_is_not_there(
    traced: Callable[..., RunningWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    worker = traced()
    assert worker.infer(**ROW).status_code == 200
    eventually(lambda: value(scrape(worker.url), "tidemill_spans_dropped_total") == 6)


def test_the_queue_of_traces_is_bounded() -> None:
    traces = Traces(Sampler(), random.Random(1))
    for _ in range(QUEUE + 3):
        request = Request(Head("POST", INFER))
        traces.begin(request)
        traces.end(request, 200, 1.0)
    assert traces.dropped == 3
    assert len(traces.take(10 * QUEUE)) == QUEUE


@pytest.mark.parametrize(
    ("sent", "span"),
    [
        (f"00-{TRACE}-{CALLER}-00", CALLER),
        (f"01-{TRACE}-{CALLER}-01-later", CALLER),
        (f"00-{TRACE}-{CALLER}-01-later", None),
        (f"ff-{TRACE}-{CALLER}-01", None),
        (f"00-{'0' * 32}-{CALLER}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{CALLER}-01", None),
        ("odd", None),
    ],
)
def test_a_callers_word_is_read_as_w3c_wrote_it(sent: str, span: str | None) -> None:
    found = parent_of({b"traceparent": sent.encode()})
    assert (None if found is None else found.span) == span


def test_of_one_trace_every_sampler_says_the_same() -> None:
    rng = random.Random(3)
    traces = [f"{rng.getrandbits(128):032x}" for _ in range(4000)]
    some, more = Sampler(ratio=0.1), Sampler(ratio=0.3)
    taken = {t for t in traces if some.takes(t, None)}
    assert 300 < len(taken) < 500
    assert all(more.takes(t, None) for t in taken)
    caller = parent_of({b"traceparent": f"00-{TRACE}-{CALLER}-00".encode()})
    assert not Sampler(ratio=1.0).takes(TRACE, caller)
    assert Sampler(ratio=1.0, by_parent=False).takes(TRACE, caller)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(folder.glob("access.log*"))
        for line in path.read_text().splitlines()
    ]


def test_a_large_access_log_is_put_aside_and_no_line_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    # Two workers write one file, and each comes by to tend it.
    logs = [AccessLog(path, SystemClock(), largest=2000) for _ in range(2)]
    for number in range(40):
        request = Request(Head("POST", INFER, headers={b"x-request-id": b"%d" % number}))
        logs[number % 2].note(request, Response(200, b"{}"))
        logs[(number // 3) % 2].tend()
    assert {line["request"] for line in lines_of(tmp_path)} == {str(n) for n in range(40)}
    assert 2 <= len(list(tmp_path.glob("access.log.*"))) <= KEPT
    for _ in range(200):
        logs[0].note(Request(Head("GET", "/ping")), Response(200, b""))
        logs[0].tend()
    assert len(list(tmp_path.glob("access.log.*"))) == KEPT
    for log in logs:
        log.close()


def test_an_access_log_that_another_program_moved_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path, SystemClock())
    log.note(Request(Head("GET", "/ping")), Response(200, b""))
    path.rename(tmp_path / "moved")
    log.tend()
    log.note(Request(Head("GET", "/ping")), Response(404, b""))
    assert json.loads(path.read_text())["status"] == 404
    log.close()


def test_a_full_disk_costs_lines_and_no_answer(start: Start) -> None:
    worker = start(table(1, e=target(1, "one")), "--access-log", "/dev/full")
    assert worker.infer(**ROW).status_code == 200
    assert value(scrape(worker.url), "tidemill_access_log_dropped_total") >= 1
