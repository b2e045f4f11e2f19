"""The clients that people have, unmodified: NVIDIA's, over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.serving.conftest import RunningWorker, free_port, table, target

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
    port = free_port()
    folder = tmp_path_factory.mktemp("both")
    write_routes(
        folder / "routes.json",
        table(1, e=target(1, "one"), words=target(5, "words"), mixed=target(6, "mixed")),
    )
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


NUMBERS: dict[str, Any] = {
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    "BF16": ml_dtypes.bfloat16,
}


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_datatype_of_numbers_gives_the_same_answer(
    both: tuple[RunningWorker, int], datatype: str
) -> None:
    worker, port = both
    expected = worker.infer(a=[2.0, 5.0], b=[1.0, 2.0], c=[3, 4]).json()["outputs"][1]["data"]
    values = {"a": [2, 5], "b": [1, 2], "c": [3, 4]}
    columns = {name: np.array(v, NUMBERS[datatype]) for name, v in values.items()}
    types = dict.fromkeys(columns, datatype)
    by_http = http.InferenceServerClient(f"127.0.0.1:{worker.port}")
    by_grpc = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    for client, module in ((by_http, http), (by_grpc, grpc)):
        found = client.infer("e", inputs(module, columns, types)).as_numpy("probabilities")
        assert found.ravel().tolist() == expected
        client.close()
    if datatype not in ("FP16", "BF16"):
        tensors = [
            {"name": n, "shape": [2], "datatype": datatype, "data": v} for n, v in values.items()
        ]
        answer = worker.http.post("/v2/models/e/infer", json={"inputs": tensors})
        assert answer.json()["outputs"][1]["data"] == expected


def test_truths_texts_and_moments_give_the_same_answer_by_either_way(
    both: tuple[RunningWorker, int],
) -> None:
    worker, port = both
    columns: dict[str, Any] = {
        "new": np.array([True, False]),
        "place": np.array(["Zürich".encode(), b""], dtype=object),
        "at": np.array([b"2013-02-01T06:30:00Z", b"2013-02-02T06:30:00Z"], dtype=object),
    }
    types = {"new": "BOOL", "place": "BYTES", "at": "BYTES"}
    told = {
        "new": [True, False],
        "place": ["Zürich", ""],
        "at": [b.decode() for b in columns["at"]],
    }
    expected = worker.infer("mixed", **told).json()["outputs"]
    assert expected[0]["datatype"] == "BYTES"
    by_http = http.InferenceServerClient(f"127.0.0.1:{worker.port}")
    by_grpc = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    for client, module in ((by_http, http), (by_grpc, grpc)):
        answer = client.infer("mixed", inputs(module, columns, types))
        assert [v.decode() for v in answer.as_numpy("label")] == expected[0]["data"]
        assert answer.as_numpy("probabilities").ravel().tolist() == expected[1]["data"]
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
        client.load_model("e")
        for refused, message in (
            (lambda c=client: c.unload_model("e"), "tidemill deploy"),
            (lambda c=client: c.load_model("nobody"), "nobody"),
            (lambda c=client: c.load_model("e", config="{}"), "config"),
        ):
            with pytest.raises(Exception, match=message):
                refused()
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
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        ours = b"inference.GRPCInferenceService"
        for asked in (b"", b"\x0a" + bytes([len(ours)]) + ours):
            assert check(asked) == b"\x08\x01"
        with pytest.raises(plain.RpcError, match="NOT_FOUND"):
            check(b"\x0a\x05other")


def test_grpc_takes_what_headers_tell(both: tuple[RunningWorker, int]) -> None:
    worker, port = both
    client = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    headers = {"x-request-id": "by-metadata", "tidemill-version": "1"}
    assert client.infer("e", inputs(grpc, COLUMNS, TYPES), headers=headers)
    for name, value, status in (
        ("tidemill-version", "9", "NOT_FOUND"),
        ("tidemill-timeout-ms", "soon", "INVALID_ARGUMENT"),
    ):
        with pytest.raises(Exception, match=status):
            client.infer("e", inputs(grpc, COLUMNS, TYPES), headers={name: value})
    worker.http.post("/-/flush")
    frame, _ = read_predictions(worker.predictions, "e")
    assert frame.filter(frame["request_id"] == "by-metadata").height == 2
    client.close()


def test_the_deadlines_of_tritonclient_hold(both: tuple[RunningWorker, int]) -> None:
    worker, port = both
    many = {name: values.repeat(20_000) for name, values in COLUMNS.items()}
    by_http = http.InferenceServerClient(f"127.0.0.1:{worker.port}")
    with pytest.raises(http.InferenceServerException, match="deadline"):
        by_http.infer("e", inputs(http, many, TYPES), timeout=1)
    by_grpc = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    with pytest.raises(grpc.InferenceServerException, match="DEADLINE_EXCEEDED"):
        by_grpc.infer("e", inputs(grpc, many, TYPES), timeout=1)
    with pytest.raises(grpc.InferenceServerException, match="DEADLINE_EXCEEDED"):
        by_grpc.infer("e", inputs(grpc, many, TYPES), client_timeout=0.001)
    assert by_grpc.infer("e", inputs(grpc, COLUMNS, TYPES), timeout=30_000_000)
    by_http.close()
    by_grpc.close()


def change(name: str, values: Any) -> dict[str, Any]:
    return COLUMNS | {name: values}


REFUSED: list[tuple[str, str, dict[str, Any], dict[str, str], str]] = [
    ("unknown model", "nobody", COLUMNS, TYPES, "nobody"),
    ("missing column", "e", {"a": COLUMNS["a"]}, TYPES, "'b'"),
    ("unknown column", "e", {**COLUMNS, "z": COLUMNS["a"]}, {**TYPES, "z": "FP64"}, "'z'"),
    ("out of range", "e", change("b", np.array([51.0, 1.0], "<f4")), TYPES, "'b'"),
    ("infinite", "e", change("a", np.array([np.inf, 1.0], "<f8")), TYPES, "'a'"),
    ("NaN where none may be", "e", change("b", np.array([np.nan, 1], "<f4")), TYPES, "'b'"),
    ("no rows", "e", {n: v[:0] for n, v in COLUMNS.items()}, TYPES, "no rows"),
    ("another length", "e", change("a", np.array([1.0], "<f8")), TYPES, "'b'"),
    ("wide", "e", change("a", np.ones((2, 2), "<f8")), TYPES, "'a'"),
    ("truths for numbers", "e", change("a", np.array([True, False])), TYPES | {"a": "BOOL"}, "'a'"),
    (
        "texts for numbers",
        "e",
        change("a", np.array([b"1", b"2"], dtype=object)),
        TYPES | {"a": "BYTES"},
        "'a'",
    ),
    ("no whole number", "e", change("c", np.array([1.5, 2.0])), TYPES | {"c": "FP64"}, "'c'"),
    (
        "unknown word",
        "words",
        {"carrier": np.array([b"AA", b"XX"], dtype=object), "x": np.array([0.1, 0.2])},
        {"carrier": "BYTES", "x": "FP64"},
        "'carrier'",
    ),
    (
        "no UTF-8",
        "words",
        {"carrier": np.array([b"AA", b"\xff"], dtype=object), "x": np.array([0.1, 0.2])},
        {"carrier": "BYTES", "x": "FP64"},
        "'carrier'",
    ),
]


@pytest.mark.parametrize(
    ("endpoint", "columns", "types", "named"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
@pytest.mark.parametrize("protocol", ["http", "http-json", "grpc"])
def test_mistakes_are_refused_alike_over_http_and_grpc(
    both: tuple[RunningWorker, int],
    protocol: str,
    endpoint: str,
    columns: dict[str, Any],
    types: dict[str, str],
    named: str,
) -> None:
    worker, port = both
    status = "404" if endpoint == "nobody" else "400"
    if protocol == "grpc":
        client, sent = grpc.InferenceServerClient(f"127.0.0.1:{port}"), inputs(grpc, columns, types)
        code = {"404": "NOT_FOUND", "400": "INVALID_ARGUMENT"}[status]
    else:
        client, code = http.InferenceServerClient(f"127.0.0.1:{worker.port}"), status
        if protocol == "http-json" and any(
            b"\xff" in v for v in columns.values() if v.dtype == "O"
        ):
            pytest.skip("the client itself refuses to write it as JSON")
        sent = inputs(http, columns, types, binary_data=protocol == "http")
    with pytest.raises(Exception, match=named) as refused:
        client.infer(endpoint, sent)
    assert code in refused.value.status()
    client.close()


def test_what_triton_has_and_we_have_not_is_refused(both: tuple[RunningWorker, int]) -> None:
    worker, port = both
    for client, module in (
        (http.InferenceServerClient(f"127.0.0.1:{worker.port}"), http),
        (grpc.InferenceServerClient(f"127.0.0.1:{port}"), grpc),
    ):
        ranked = [module.InferRequestedOutput("probabilities", class_count=1)]
        with pytest.raises(Exception, match="classification"):
            client.infer("e", inputs(module, COLUMNS, TYPES), outputs=ranked)
        shared = module.InferInput("a", [2], "FP64")
        shared.set_shared_memory("region", 16)
        with pytest.raises(Exception, match="shared"):
            client.infer("e", [shared, *inputs(module, COLUMNS, TYPES)[1:]])
        named = [module.InferRequestedOutput("y")]
        with pytest.raises(Exception, match="'y'"):
            client.infer("e", inputs(module, COLUMNS, TYPES), outputs=named)
        with pytest.raises(Exception, match="'9'"):
            client.infer("e", inputs(module, COLUMNS, TYPES), model_version="9")
        client.close()


def test_raw_grpc_messages_that_do_not_add_up_are_refused(both: tuple[RunningWorker, int]) -> None:
    import grpc as plain
    from tritonclient.grpc import service_pb2

    def message() -> Any:
        tensor = service_pb2.ModelInferRequest().InferInputTensor
        made = service_pb2.ModelInferRequest(model_name="e")
        for name, values in COLUMNS.items():
            made.inputs.append(tensor(name=name, datatype="FP64", shape=[2]))
            made.raw_input_contents.append(values.astype("<f8").tobytes())
        return made

    short = message()
    short.raw_input_contents.pop()
    cut = message()
    cut.raw_input_contents[0] = cut.raw_input_contents[0][:-1]
    double = message()
    double.inputs[0].contents.fp64_contents.extend([1.0, 2.0])
    large = message()
    del large.raw_input_contents[:]
    for tensor in large.inputs:
        tensor.datatype = "INT8"
        tensor.contents.int_contents.extend([300, 1])
    half = message()
    half.inputs[0].datatype = "FP16"
    del half.raw_input_contents[:]
    odd = message()
    odd.inputs[0].datatype = "FLOAT"
    negative = message()
    negative.inputs[0].shape[0] = -2
    with plain.insecure_channel(f"127.0.0.1:{both[1]}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert call(message().SerializeToString())
        for bad, named in (
            (short, "2 raw contents"),
            (cut, "'a'"),
            (double, "'a'"),
            (large, "'a'"),
            (half, "'a'"),
            (odd, "'FLOAT'"),
            (negative, "'a'"),
        ):
            with pytest.raises(plain.RpcError, match=named) as refused:
                call(bad.SerializeToString())
            assert refused.value.code() is plain.StatusCode.INVALID_ARGUMENT
        with pytest.raises(plain.RpcError) as refused:
            call(b"\xff\xff\xff")
        assert refused.value.code() is plain.StatusCode.INVALID_ARGUMENT
