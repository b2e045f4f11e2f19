"""What goes over the wire, to a real worker: every protocol, and every kind of mistake."""

from __future__ import annotations

import gzip
import io
import json
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.serving.conftest import RunningWorker, table, target, tensors

from tidemill.predictions.finding import find_prediction
from tidemill.predictions.reader import read_labels, read_predictions

ROW: dict[str, list[Any]] = {"a": [0.5], "b": [1.0], "c": [3]}
INFER = "/v2/models/e/infer"


def test_the_server_and_its_models_describe_themselves(worker: RunningWorker) -> None:
    http = worker.http
    assert http.get("/v2").json()["extensions"] == ["binary_tensor_data", "model_repository"]
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").status_code == 200
    found = http.get("/v2/models/e").json()
    assert found["versions"] == ["1"]
    assert found["inputs"][2] == {"name": "c", "datatype": "INT64", "shape": [-1]}
    assert found["outputs"][1] == {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]}
    assert http.get("/v2/models/e/versions/1/ready").json() == {"name": "e", "ready": True}
    states = http.post("/v2/repository/index", json={}).json()
    assert {s["name"] for s in states} == {"e", "three", "line", "words"}
    assert http.get("/ping").status_code == 200


def test_a_binary_model_answers_with_label_and_probabilities(worker: RunningWorker) -> None:
    answer = worker.http.post(INFER, json={"id": "mine", "inputs": tensors(**ROW)}).json()
    assert answer["id"] == "mine"
    label, probabilities = answer["outputs"]
    assert label["datatype"] == "BOOL"
    assert probabilities["shape"] == [1, 2]
    assert sum(probabilities["data"]) == pytest.approx(1.0)
    assert label["data"] == [probabilities["data"][1] >= 0.5]
    assert len(answer["parameters"]["prediction_ids"]) == 32


def test_every_task_is_served(worker: RunningWorker) -> None:
    two = {name: values * 2 for name, values in ROW.items()}
    many = worker.infer("three", **two).json()["outputs"]
    assert many[0]["datatype"] == "INT64"
    assert many[1]["shape"] == [2, 3]
    assert len(many[1]["data"]) == 6
    line = worker.infer("line", **two).json()["outputs"]
    assert [o["name"] for o in line] == ["prediction"]
    words = worker.infer("words", carrier=["AA", "DL"], x=[0.1, 0.2]).json()["outputs"]
    assert words[0]["data"] == [True, False]


def test_null_is_a_missing_value_where_one_may_be(worker: RunningWorker) -> None:
    assert worker.infer(a=[None], b=[1.0], c=[None]).status_code == 200
    assert worker.infer("words", carrier=["AA"], x=[None]).status_code == 400


def test_columns_matrix_binary_and_json_forms_agree(worker: RunningWorker) -> None:
    expected = worker.infer(**ROW).json()["outputs"][1]["data"]
    matrix = {"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [[0.5, 1.0, 3]]}
    found = worker.http.post(INFER, json={"inputs": [matrix]}).json()
    assert found["outputs"][1]["data"] == expected
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1, 3],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": 12},
                }
            ],
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
        }
    ).encode()
    response = worker.http.post(
        INFER,
        content=head + np.array([[0.5, 1.0, 3]], "<f4").tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    length = int(response.headers["inference-header-content-length"])
    described = json.loads(response.content[:length])
    assert described["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(response.content[length:], "<f8").tolist() == pytest.approx(expected)


def test_strings_travel_in_binary(worker: RunningWorker) -> None:
    words = b"".join(struct.pack("<I", 2) + w for w in (b"AA", b"DL"))
    inputs = [
        {"name": "carrier", "shape": [2], "datatype": "BYTES"},
        {"name": "x", "shape": [2], "datatype": "FP64", "data": [0.1, 0.2]},
    ]
    inputs[0]["parameters"] = {"binary_data_size": len(words)}
    head = json.dumps({"inputs": inputs}).encode()
    response = worker.http.post(
        "/v2/models/words/infer",
        content=head + words,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert response.json()["outputs"][0]["data"] == [True, False]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (
            "application/json",
            {"dataframe_split": {"columns": ["c", "a", "b"], "data": [[3, 0.5, 1.0]]}},
        ),
        ("application/json", {"dataframe_records": [{"a": 0.5, "b": 1.0, "c": 3}]}),
        ("application/json; charset=utf-8", {"instances": [[0.5, 1.0, 3]]}),
        ("application/json", {"instances": [{"a": 0.5, "b": 1, "c": 3.0}]}),
        ("application/json", {"inputs": {"a": [0.5], "b": [1.0], "c": [3]}}),
        ("application/json", {"inputs": [[0.5, 1.0, 3]]}),
        ("text/csv", b"a,b,c\n0.5,1.0,3\n"),
    ],
)
def test_every_scoring_form_gives_the_same_answer(
    worker: RunningWorker, content_type: str, body: Any
) -> None:
    expected = worker.infer(**ROW).json()["outputs"][0]["data"]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": content_type}
    response = worker.http.post("/invocations/e", content=content, headers=headers)
    assert response.json() == {"predictions": expected}
    assert len(response.headers["tidemill-prediction-id"]) == 32


@pytest.mark.parametrize(
    ("kind", "body", "status", "named"),
    [
        ("application/json; charset=latin-1", b"{}", 415, "latin-1"),
        ("application/json", b'{"instances": [[1, 2, 3]], "params": {"t": 1}}', 400, "params"),
        ("application/json", b'{"instances": [[1, 2, 3]], "params": 3}', 400, "params"),
        ("application/json", b'{"dataframe_records": [{"a": NaN, "b": 1, "c": 3}]}', 200, ""),
        ("application/json", b'{"dataframe_records": [{"a": 1, "b": NaN, "c": 3}]}', 400, "'b'"),
        ("application/json", b'{"dataframe_records": [{"a": Infinity}]}', 400, "[0].a"),
        ("application/json", b'{"dataframe_records": [{"a": NaN}', 400, "JSON"),
        ("application/json", b"NaN", 400, "NaN"),
        ("application/json", b'{"instances": []}', 400, "no rows"),
        ("application/json", b'{"dataframe_records": []}', 400, "no rows"),
        ("application/json", b'{"dataframe_split": {"columns": [], "data": []}}', 400, "no rows"),
        ("application/json", b'{"instances": [[1, 2, 1e400]]}', 400, "$.instances[0][2] is 1e400"),
        ("application/json", b'{"instances": [[1, 2, -100000000000000000000]]}', 400, "'c'"),
        ("application/json", b'{"instances": [[1, 2, 1e20]]}', 400, "'c'"),
        ("application/json", b'{"instances": [[1, 2, 1e20], [1, 2, 3]]}', 400, "'c'"),
        ("application/json", b'{"instances": [[1, 2, 9223372036854775807]]}', 200, ""),
        ("application/json", b'{"dataframe_records": [{"a": 1, "b": "x", "c": 1}]}', 400, "'b'"),
        ("application/json", b'{"inputs": {"a": [1], "b": [1, 2], "c": [1]}}', 400, "'b'"),
        ("application/json", b'{"inputs": {"a": {}, "b": [1], "c": [1]}}', 400, "'a'"),
        ("text/csv", b"a,b,c\n0.5,one,3\n", 400, "'b'"),
        ("text/csv", b"a,b,c\n0.5,1_0,3\n", 400, "'b'"),
        ("text/csv", b"a,b,c\n0.5,,3\n", 400, "'b'"),
        ("text/csv", b"a,b,c\n0.5,1,3.5\n", 400, "'c'"),
        ("text/csv", b"a,b,c\n", 400, "no rows"),
        ("text/csv", b'a,b,c\n"0.5,1,3\n', 400, "CSV"),
        ("text/csv", b"a,b,c\ninf,1,3\n", 400, "'a'"),
        ("text/csv; charset=utf-8", b"\xef\xbb\xbfa,b,c\nNaN,1.0,\n", 200, ""),
    ],
)
def test_scoring_bodies_are_taken_at_their_word(
    worker: RunningWorker, kind: str, body: bytes, status: int, named: str
) -> None:
    answer = worker.http.post("/invocations/e", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert named in answer.json().get("error", "")


def parquet(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(content, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (pa.table({"a": [0.5], "b": [1.0], "c": [3]}), 200),
        (pa.table({"a": pa.array([None], pa.float64()), "b": [1.0], "c": [3]}), 200),
        (pa.table({"a": [0.5], "b": [1.0], "c": [3], "row": ["k"]}), 200),
        (pa.table({"a": pa.array([1], pa.int8()), "b": [1.0], "c": [3]}), 200),
        (pa.table({"a": [0.5], "b": [float("nan")], "c": [3]}), 400),
        (pa.table({"a": ["x"], "b": [1.0], "c": [3]}), 400),
        (pa.table({"a": [[0.5]], "b": [1.0], "c": [3]}), 400),
        (pa.table({"a": [{"deep": 0.5}], "b": [1.0], "c": [3]}), 400),
        (pa.table({"a": [0.5], "b": [1.0], "z": [3]}), 400),
        (pa.table({"a": pa.array([], pa.float64()), "b": [], "c": []}), 400),
        (pa.table({"a": [b"\xff"], "b": [1.0], "c": [3]}), 400),
        # Kilobytes that stand for gigabytes: one number, and one long text, very often.
        (pa.table({"a": pa.array(np.zeros(21_000_000, "i1"))}), 413),
        (pa.table({"a": pa.DictionaryArray.from_arrays([0] * 100_000, ["x" * 10_000])}), 413),
    ],
)
def test_parquet_is_read_within_its_limits(
    worker: RunningWorker, content: Any, status: int
) -> None:
    headers = {"Content-Type": "application/vnd.apache.parquet"}
    body = parquet(content, store_schema=False)
    answer = worker.http.post("/invocations/e", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert worker.http.post("/invocations/e", content=body[:-9], headers=headers).status_code == 400


def test_ping_says_whether_a_model_is_there(start: Any) -> None:
    assert start(table(1, e=target(1, "one"))).http.get("/ping").status_code == 200
    empty = start(table(1))
    assert empty.http.get("/ping").status_code == 404
    assert empty.http.post("/invocations", json={"instances": [[1]]}).status_code == 404


def test_parquet_and_kserve_v1_are_understood(worker: RunningWorker) -> None:
    buffer = io.BytesIO()
    pl.DataFrame(ROW).write_parquet(buffer)
    headers = {"Content-Type": "application/vnd.apache.parquet"}
    response = worker.http.post("/invocations/e", content=buffer.getvalue(), headers=headers)
    assert len(response.json()["predictions"]) == 1
    old = worker.http.post("/v1/models/e:predict", json={"instances": [[0.5, 1, 3], [1, 2, 3]]})
    assert len(old.json()["predictions"]) == 2
    assert worker.http.get("/v1/models/e").json()["ready"] is True


def test_nested_data_are_read_row_by_row(worker: RunningWorker) -> None:
    expected = worker.infer(a=[0.5, 1.5], b=[1.0, 1.0], c=[3, 4]).json()["outputs"][1]["data"]
    deep = [
        {"name": "a", "shape": [2, 1, 1], "datatype": "FP64", "data": [[[0.5]], [[1.5]]]},
        {"name": "b", "shape": [2, 1], "datatype": "FP64", "data": [[1.0], [1.0]]},
        {"name": "c", "shape": [2], "datatype": "INT64", "data": [3, 4]},
    ]
    found = worker.http.post(INFER, json={"inputs": deep}).json()
    assert found["outputs"][1]["data"] == expected


def test_binary_parts_that_do_not_add_up_are_refused(worker: RunningWorker) -> None:
    def send(sizes: list[Any], tail: bytes, length: str | None = None) -> Any:
        inputs = [
            {"name": n, "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": size}}
            for n, size in zip("abc", sizes, strict=True)
        ]
        head = json.dumps({"inputs": inputs}).encode()
        headers = {"Inference-Header-Content-Length": length or str(len(head))}
        return worker.http.post(INFER, content=head + tail, headers=headers)

    whole = np.array([0.5, 1.0, 3.0]).tobytes()
    assert send([8, 8, 8], whole).status_code == 200
    for answer, named in (
        (send([8, 8, 8], whole[:-1]), "'c'"),
        (send([8, 8, 8], whole + b"x"), "1 bytes"),
        (send([8, 8, 7], whole[:-1]), "'c'"),
        (send([8, 8, 10**20], whole), ""),
        (send([8, 8, -8], whole), "'c'"),
        (send([8, 8, "8"], whole), "'c'"),
        (send([8, 8, True], whole), "'c'"),
        (send([8, 8, 8], whole, "-1"), "Inference-Header-Content-Length"),
        (send([8, 8, 8], whole, "9" * 30), "Inference-Header-Content-Length"),
        (send([8, 8, 8], whole, "12"), "JSON"),
    ):
        assert answer.status_code == 400, answer.text
        assert named in answer.json()["error"]


def test_the_repository_lists_and_loads_what_is_deployed(worker: RunningWorker) -> None:
    http = worker.http
    assert http.get("/v2/models").json() == {"models": ["e", "line", "three", "words"]}
    assert http.get("/v1/models").json() == http.get("/v2/models").json()
    for body in (b"", b"{}", b'{"ready": true}'):
        assert len(http.post("/v2/repository/index", content=body).json()) == 4
    assert http.post("/v2/repository/index", content=b"[]").status_code == 400
    assert http.post("/v2/repository/models/e/load").status_code == 200
    replaced = {"parameters": {"config": "{}"}}
    refused = http.post("/v2/repository/models/e/load", json=replaced)
    assert (refused.status_code, "config" in refused.json()["error"]) == (400, True)
    assert http.post("/v2/repository/models/e/unload").status_code == 400
    for act in ("load", "unload"):
        assert http.post(f"/v2/repository/models/nobody/{act}").status_code == 404
    assert http.get("/").json() == {"status": "alive"}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
@pytest.mark.parametrize("path", [INFER, "/v1/models/e:predict", "/labels/e", "/invocations/e"])
def test_what_any_web_page_can_send_is_refused(worker: RunningWorker, kind: str, path: str) -> None:
    body = json.dumps({"inputs": tensors(**ROW)}).encode()
    answer = worker.http.post(path, content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]


def test_packed_bodies_are_unpacked_within_their_limit(worker: RunningWorker) -> None:
    body = gzip.compress(json.dumps({"inputs": tensors(**ROW)}).encode())
    headers = {"Content-Encoding": "gzip"}
    assert worker.http.post(INFER, content=body, headers=headers).status_code == 200
    bomb = gzip.compress(b" " * (64 << 20))
    assert worker.http.post(INFER, content=bomb, headers=headers).status_code == 413
    assert worker.http.post(INFER, content=body[:-9], headers=headers).status_code == 400
    assert worker.http.post(INFER, content=body + b"x", headers=headers).status_code == 400
    odd = {"Content-Encoding": "br"}
    assert worker.http.post(INFER, content=body, headers=odd).status_code == 415


def one(name: str, **change: Any) -> dict[str, Any]:
    tensor = {"name": name, "shape": [1], "datatype": "FP64", "data": [1.0]}
    rest = [t for t in tensors(**ROW) if t["name"] != name]
    return {"inputs": [tensor | change, *rest]}


BAD: list[tuple[str, Any, str]] = [
    ("no JSON", b"{", "JSON"),
    ("empty body", b"", "JSON"),
    ("null", None, "object"),
    ("array", [], "object"),
    ("number", 7, "object"),
    ("no inputs", {}, "inputs"),
    ("empty inputs", {"inputs": []}, "inputs"),
    ("inputs of another type", {"inputs": {}}, "inputs"),
    ("nothing but a name", {"inputs": [{"name": "a"}]}, "shape"),
    ("not UTF-8", b'{"inputs": [{"name": "\xff"}]}', ""),
    ("byte order mark", b"\xef\xbb\xbf{}", "JSON"),
    ("deep", b'{"inputs":' + b"[" * 100_000, ""),
    ("deep data", {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": 0}]}, "'a'"),
    ("unknown column", one("z"), "'z'"),
    ("missing column", {"inputs": tensors(a=[1.0], b=[1.0])}, "'c'"),
    ("a column twice", {"inputs": tensors(**ROW) + tensors(a=[1.0])}, "'a'"),
    ("text for a number", one("a", data=["x"]), "'a'"),
    ("a number in quotes", one("a", data=["1"]), "'a'"),
    ("true for a number", one("a", data=[True]), "'a'"),
    ("an object for a number", one("a", data=[{}]), "'a'"),
    ("null where none may be", one("b", data=[None]), "'b'"),
    ("NaN", b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[NaN]}]}', "'a'"),
    ("NaN in a matrix", b'{"inputs":[{"name":"x","data":[[1, 2],[-Infinity]]}]}', "data[1][0]"),
    ("NaN and no JSON at all", b'{"inputs":[NaN', "JSON"),
    ("a shape of truths", one("a", shape=[True]), "shape"),
    ("data and a binary size", one("a", parameters={"binary_data_size": 0}), "'a'"),
    ("shared memory", one("a", parameters={"shared_memory_region": "r"}), "'a'"),
    ("a parameter that is a list", one("a", parameters={"p": []}), "parameters"),
    ("a flag that is none", one("a") | {"parameters": {"binary_data_output": "yes"}}, "binary"),
    ("a time that is none", one("a") | {"parameters": {"timeout": -1}}, "timeout"),
    ("a name that is a number", one("a") | {"id": 7}, "id"),
    (
        "a flag of an output that is none",
        one("a") | {"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]},
        "binary_data",
    ),
    (
        "a class ranking",
        one("a") | {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
        "classification",
    ),
    (
        "rows of unequal length",
        {
            "inputs": [
                {"name": "x", "shape": [2, 3], "datatype": "FP64", "data": [[1, 2], [3, 4, 5, 6]]}
            ]
        },
        "'x'",
    ),
    (
        "nested deeper than the shape",
        one("a", shape=[1, 1], data=[[[1.0]]]),
        "'a'",
    ),
    (
        "too large for a float",
        one("a") and b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1e999]}]}',
        "",
    ),
    (
        "5,000 digits",
        b'{"inputs":[{"name":"c","shape":[1],"datatype":"INT64","data":[' + b"9" * 5000 + b"]}]}",
        "'c'",
    ),
    ("out of range", one("b", data=[51.0]), "'b'"),
    ("not whole", one("c", data=[1.5]), "'c'"),
    ("beyond its datatype", one("c", datatype="INT8", data=[300]), "'c'"),
    ("negative and unsigned", one("c", datatype="UINT8", data=[-1]), "'c'"),
    ("unknown datatype", one("a", datatype="FLOAT"), "'FLOAT'"),
    ("half floats in JSON", one("a", datatype="FP16"), "FP16"),
    ("text for a column of numbers", one("a", datatype="BYTES", data=["x"]), "'a'"),
    ("negative shape", one("a", shape=[-1]), "'a'"),
    ("enormous shape", one("a", shape=[10**12]), "'a'"),
    ("beyond enormous", one("a", shape=[2**40, 2**40]), "'a'"),
    ("no shape", one("a", shape=[]), "'a'"),
    ("text as shape", one("a", shape=["1"]), "shape"),
    ("fewer values than the shape says", one("a", shape=[2]), "'a'"),
    ("more values than the shape says", one("a", data=[1.0, 2.0]), "'a'"),
    ("another length", one("a", shape=[2], data=[1.0, 2.0]), "'b'"),
    ("a table for a column", one("a", shape=[1, 2], data=[1.0, 2.0]), "'a'"),
    ("no rows", {"inputs": tensors(a=[], b=[], c=[])}, "no rows"),
    ("ragged", one("a", data=[[1.0], 2.0], shape=[2]), "'a'"),
    ("unknown output", {"inputs": tensors(**ROW), "outputs": [{"name": "y"}]}, "'y'"),
    ("binary size without bytes", one("a", parameters={"binary_data_size": 8}), "'a'"),
    (
        "a narrow matrix",
        {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]},
        "'x'",
    ),
    (
        "a matrix without rows",
        {"inputs": [{"name": "x", "shape": [0, 3], "datatype": "FP64", "data": []}]},
        "no rows",
    ),
]


@pytest.mark.parametrize(("body", "named"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_malformed_requests_get_one_clear_answer(
    worker: RunningWorker, body: Any, named: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = worker.http.post(INFER, content=content)
    assert response.status_code == 400, response.text
    assert named in response.json()["error"]
    assert "Traceback" not in response.text
    assert worker.infer(**ROW).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/invocations/e", b"[1]"),
        ("/invocations/e", b"{}"),
        ("/invocations/e", b'{"instances": [[1, 2, 3]], "inputs": []}'),
        ("/invocations/e", b'{"instances": 3}'),
        ("/invocations/e", b'{"instances": [[1, 2]]}'),
        ("/invocations/e", b'{"instances": [[1, 2, "3"]]}'),
        ("/invocations/e", b'{"instances": [[1, 2, true]]}'),
        ("/invocations/e", b'{"instances": []}'),
        ("/invocations/e", b'{"instances": [[1, 2, 3], 4]}'),
        ("/invocations/e", b'{"instances": [{"a": 1}, 4]}'),
        ("/invocations/e", b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}'),
        ("/invocations/e", b'{"dataframe_split": {"data": [[1, 2]]}}'),
        ("/invocations/e", b'{"dataframe_records": {"a": 1}}'),
        ("/invocations", b'{"instances": [[1, 2, 3]]}'),
        ("/v1/models/e:predict", b'{"inputs": []}'),
        ("/labels/e", b'{"labels": [{"label": 1}]}'),
        ("/labels/e", b'{"labels": [{"label": 1, "key": "a", "prediction_id": "b"}]}'),
        ("/labels/e", b'{"labels": [{"label": null, "key": "a"}]}'),
        ("/labels/e", b'{"labels": [{"label": 1, "key": "a", "when": 3}]}'),
        ("/labels/e", b'{"labels": [{"label": 1, "key": "a", "time": "yesterday"}]}'),
    ],
)
def test_other_doors_refuse_as_clearly(worker: RunningWorker, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = worker.http.post(path, content=body, headers=headers)
    assert response.status_code == 400, response.text
    assert response.json()["error"]


@pytest.mark.parametrize("body", [b"", b"a,b\n1\n", b"a,b,c\n1,2,x\n", b"a,a,b\n1,2,3\n", b"\xff"])
def test_bad_csv_is_refused(worker: RunningWorker, body: bytes) -> None:
    headers = {"Content-Type": "text/csv"}
    assert worker.http.post("/invocations/e", content=body, headers=headers).status_code == 400


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_number_that_a_browser_writes_without_exponent_is_logged(
    worker: RunningWorker, rows: int
) -> None:
    assert worker.http.post("/-/flush").status_code == 200
    _, before = read_predictions(worker.predictions, "e")
    large = b"[100000000000000000000, 2, 3]"
    body = b'{"instances": [' + b",".join([large] * rows) + b"]}"
    headers = {"Content-Type": "application/json"}
    assert worker.http.post("/invocations/e", content=body, headers=headers).status_code == 200
    assert worker.http.post("/-/flush").status_code == 200
    logged, _ = read_predictions(worker.predictions, "e", before)
    assert logged["feature.a"].to_list() == [1e20] * rows


@pytest.mark.parametrize(
    ("endpoint", "label", "kept"),
    [
        ("e", "1", True),
        ("e", "0.0", False),
        ("e", '"maybe"', None),
        ("e", "2", None),
        ("line", "7", 7.0),
        ("line", "true", None),
        ("line", '"7"', None),
    ],
)
def test_labels_are_of_the_type_of_the_answers(
    worker: RunningWorker, endpoint: str, label: str, kept: object
) -> None:
    _, before = read_labels(worker.predictions, endpoint)
    body = b'{"labels": [{"key": "k", "label": %s}]}' % label.encode()
    headers = {"Content-Type": "application/json"}
    sent = worker.http.post(f"/labels/{endpoint}", content=body, headers=headers)
    told, _ = read_labels(worker.predictions, endpoint, before)
    if kept is None:
        assert sent.status_code == 400
        assert "Label 0 has label" in sent.json()["error"]
        assert told.height == 0
    else:
        assert [(v, type(v)) for v in told["label"].to_list()] == [(kept, type(kept))]


def test_labels_come_as_csv_and_as_parquet(worker: RunningWorker) -> None:
    _, before = read_labels(worker.predictions, "e")
    body = b"key,label,time\np,true,2013-02-01T08:00:00Z\nq,0,\np,false,\n"
    sent = worker.http.post("/labels/e", content=body, headers={"Content-Type": "text/csv"})
    assert sent.json() == {"accepted": 3, "contradictory": 1, "examples": ["p"]}
    buffer = io.BytesIO()
    moment = datetime(2013, 2, 1, tzinfo=UTC)
    pl.DataFrame({"prediction_id": ["i"], "label": [True], "time": [moment]}).write_parquet(buffer)
    headers = {"Content-Type": "application/vnd.apache.parquet"}
    sent = worker.http.post("/labels/e", content=buffer.getvalue(), headers=headers)
    assert sent.json()["accepted"] == 1
    labels, _ = read_labels(worker.predictions, "e", before)
    assert sorted(labels.select("key", "prediction_id", "label", "time").rows(), key=str) == [
        ("p", None, False, None),
        ("p", None, True, 1359705600_000000),
        ("q", None, False, None),
        (None, "i", True, 1359676800_000000),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"key,label\np,maybe\n", "Label 0 has label 'maybe'"),
        (b"key,label\np,\n", "Label 0 has label None"),
        (b"key,lable\np,1\n", "'lable'"),
        (b"key,label,time\np,1,noon\n", "Label 0 has time 'noon'"),
    ],
)
def test_bad_labels_are_named(worker: RunningWorker, body: bytes, said: str) -> None:
    refused = worker.http.post("/labels/e", content=body, headers={"Content-Type": "text/csv"})
    assert refused.status_code == 400
    assert said in refused.json()["error"]


def test_a_broken_parquet_is_refused(worker: RunningWorker) -> None:
    headers = {"Content-Type": "application/vnd.apache.parquet"}
    response = worker.http.post("/invocations/e", content=b"PAR1", headers=headers)
    assert response.status_code == 400


def test_what_is_not_there_is_404_and_what_is_not_allowed_405(worker: RunningWorker) -> None:
    http = worker.http
    assert worker.infer("nobody", **ROW).status_code == 404
    wrong = http.post("/v2/models/e/versions/9/infer", json={"inputs": tensors(**ROW)})
    assert wrong.status_code == 404
    assert "'9'" in wrong.json()["error"]
    assert http.get("/nowhere").status_code == 404
    assert http.get(INFER).headers["allow"] == "POST"
    assert http.request("TRACE", "/health").status_code == 405
    assert http.head("/health").content == b""
    assert http.post("/invocations/e", content=b"x", headers={"Content-Type": "a/b"}).is_error


def test_foreign_hosts_and_origins_are_refused(worker: RunningWorker) -> None:
    http = worker.http
    assert http.get("/health", headers={"Host": "evil.example"}).status_code == 421
    assert http.get("/metrics", headers={"Host": "evil.example:80"}).status_code == 421
    body = {"inputs": tensors(**ROW)}
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert http.post(INFER, json=body, headers=headers).status_code == 403
    own = {"Origin": f"http://127.0.0.1:{worker.port}"}
    assert http.post(INFER, json=body, headers=own).status_code == 200


def test_a_deadline_that_has_passed_is_said_so(worker: RunningWorker) -> None:
    body = {"inputs": tensors(**{n: v * 30_000 for n, v in ROW.items()})}
    late = worker.http.post(INFER, json=body, headers={"Tidemill-Timeout-Ms": "1"})
    assert late.status_code == 504
    odd = worker.http.post(INFER, json=body, headers={"Tidemill-Timeout-Ms": "soon"})
    assert odd.status_code == 400


def test_predictions_and_labels_reach_the_letterbox(worker: RunningWorker) -> None:
    _, before = read_predictions(worker.predictions, "e")
    _, labels_before = read_labels(worker.predictions, "e")
    headers = {"Tidemill-Time": "2013-02-01T06:00:00Z", "X-Request-Id": "r-1"}
    body = {"inputs": [*tensors(**ROW), *tensors(row=["flight-1"])]}
    answer = worker.http.post(INFER, json=body, headers=headers).json()
    label = {"label": True, "key": "flight-1", "time": "2013-02-01T08:00:00+00:00"}
    sent = worker.http.post("/labels/e", json={"labels": [label]}, headers=headers)
    assert sent.json()["accepted"] == 1
    assert worker.http.post("/-/flush").json() == {"flushed": True}
    frame, _ = read_predictions(worker.predictions, "e", before)
    row = frame.filter(frame["request_id"] == "r-1").to_dicts()[0]
    assert row["id"] == answer["parameters"]["prediction_ids"]
    assert row["time"] == 1359698400_000000
    assert row["key"] == "flight-1"
    assert find_prediction(worker.predictions, row["id"]).record.arrived > row["time"]
    assert (row["version"], row["role"], row["status"]) == (1, "champion", "ok")
    assert row["score"] == answer["outputs"][1]["data"][1]
    assert row["feature.a"] == 0.5
    labels, _ = read_labels(worker.predictions, "e", labels_before)
    assert labels.to_dicts()[-1]["label"] is True
    assert labels.to_dicts()[-1]["time"] == 1359705600_000000


def test_metrics_speak_prometheus(worker: RunningWorker) -> None:
    worker.infer(**ROW)
    text = worker.http.get("/metrics").text
    assert 'tidemill_requests_total{endpoint="e",version="1",role="champion",status="ok"}' in text
    assert 'request_predict_seconds_bucket{model_name="e",le="+Inf"}' in text
    assert "process_resident_memory_bytes" in text
