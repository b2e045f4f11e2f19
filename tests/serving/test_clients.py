"""The clients that people have, unmodified: NVIDIA's, over HTTP and gRPC."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.conftest import RunningWorker, table, target

from tidemill.predictions.reader import read_predictions
from tidemill.serving.routes import write_routes

grpc = pytest.importorskip("tritonclient.grpc")
http = pytest.importorskip("tritonclient.http")
COLUMNS: dict[str, Any] = {
    "a": np.array([0.5, -1.0], "<f8"),
    "b": np.array([1.0, 2.0], "<f4"),
    "c": np.array([3, 4], "<i8"),
}
TYPES = {"a": "FP64", "b": "FP32", "c": "INT64"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Iterator[tuple[Any, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("both")
    write_routes(folder / "routes.json", table(1, e=target(1, "one"), words=target(5, "words")))
    running = RunningWorker(folder, bundles, "--grpc-port", str(port))
    yield running, port
    running.close()


def inputs(module: Any, columns: dict[str, Any], types: dict[str, str], **options: Any) -> Any:
    found = []
    for name, values in columns.items():
        tensor = module.InferInput(name, list(values.shape), types[name])
        tensor.set_data_from_numpy(values, **options)
        found.append(tensor)
    return found


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_tritonclient_over_http(
    both: tuple[RunningWorker, int], binary_in: bool, binary_out: bool | None
) -> None:
    worker, _ = both
    client = http.InferenceServerClient(f"127.0.0.1:{worker.port}")
    outputs = None
    if binary_out is not None:
        outputs = [http.InferRequestedOutput("probabilities", binary_data=binary_out)]
    answer = client.infer(
        "e", inputs(http, COLUMNS, TYPES, binary_data=binary_in), outputs=outputs, request_id="r"
    )
    probabilities = answer.as_numpy("probabilities")
    assert probabilities.shape == (2, 2)
    assert probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert answer.get_response()["id"] == "r"
    assert (answer.as_numpy("label") is None) == (binary_out is not None)
    client.close()


def test_tritonclient_asks_after_server_and_models(both: tuple[RunningWorker, int]) -> None:
    worker, port = both
    for client in (
        http.InferenceServerClient(f"127.0.0.1:{worker.port}"),
        grpc.InferenceServerClient(f"127.0.0.1:{port}"),
    ):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("e")
        assert client.is_model_ready("e", "1")
        assert not client.is_model_ready("nobody")
        assert client.get_server_metadata()
        assert client.get_model_metadata("e")
        assert client.get_model_repository_index()
        client.close()


def test_tritonclient_compresses(both: tuple[RunningWorker, int]) -> None:
    worker, _ = both
    client = http.InferenceServerClient(f"127.0.0.1:{worker.port}")
    answer = client.infer(
        "e",
        inputs(http, {name: values.repeat(500) for name, values in COLUMNS.items()}, TYPES),
        request_compression_algorithm="gzip",
        response_compression_algorithm="gzip",
    )
    assert answer.as_numpy("probabilities").shape == (1000, 2)
    client.close()


def test_tritonclient_over_grpc_gives_the_same_answer(both: tuple[RunningWorker, int]) -> None:
    worker, port = both
    by_http = http.InferenceServerClient(f"127.0.0.1:{worker.port}")
    by_grpc = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    one = by_http.infer("e", inputs(http, COLUMNS, TYPES))
    two = by_grpc.infer("e", inputs(grpc, COLUMNS, TYPES), request_id="from-grpc")
    for name in ("label", "probabilities"):
        assert (one.as_numpy(name) == two.as_numpy(name)).all()
    words = {"carrier": np.array([b"AA", b"DL"], dtype=object), "x": np.array([0.1, 0.2])}
    kinds = {"carrier": "BYTES", "x": "FP64"}
    assert by_grpc.infer("words", inputs(grpc, words, kinds)).as_numpy("label").tolist() == [
        True,
        False,
    ]
    worker.http.post("/-/flush")
    frame, _ = read_predictions(worker.predictions, "e")
    assert frame.filter(frame["request_id"] == "from-grpc").height == 2
    by_http.close()
    by_grpc.close()


def test_the_standard_health_check_is_answered(both: tuple[RunningWorker, int]) -> None:
    import grpc as plain

    with plain.insecure_channel(f"127.0.0.1:{both[1]}") as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"


@pytest.mark.parametrize(
    ("endpoint", "columns", "code"),
    [
        ("nobody", COLUMNS, "NOT_FOUND"),
        ("e", {"a": COLUMNS["a"]}, "INVALID_ARGUMENT"),
        ("e", COLUMNS | {"b": np.array([51.0, 1.0], "<f4")}, "INVALID_ARGUMENT"),
        ("e", {n: v[:0] for n, v in COLUMNS.items()}, "INVALID_ARGUMENT"),
    ],
)
def test_grpc_refuses_with_the_right_status(
    both: tuple[RunningWorker, int], endpoint: str, columns: dict[str, Any], code: str
) -> None:
    client = grpc.InferenceServerClient(f"127.0.0.1:{both[1]}")
    with pytest.raises(Exception, match=code):
        client.infer(endpoint, inputs(grpc, columns, TYPES))
    client.close()
