"""What the workers say of themselves in OpenAPI is so: its examples work, and answers conform."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.serving.conftest import RunningWorker

PATHS = ("infer", "invocations", "labels", "predict")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def examples(document: Any) -> list[tuple[str, str, str, Any]]:
    """Return path, media type, name and value of every example."""
    return [
        (path, kind, name, example["value"])
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        for name, example in content.get("examples", {}).items()
    ]


def test_every_example_works_when_pasted(worker: RunningWorker) -> None:
    found = examples(worker.http.get("/openapi.json").json())
    for path, kind, name, value in found:
        body = value if isinstance(value, str) else json.dumps(value)
        answer = worker.http.post(path, content=body, headers={"Content-Type": kind})
        assert answer.status_code == 200, (path, kind, name, answer.text)
    for endpoint in ("e", "three", "line", "words"):
        tried = {(p, k) for p, k, _, _ in found if f"/{endpoint}" in p}
        assert {p.removeprefix("/v2/models/") for p, _ in tried} == {
            f"{endpoint}/infer",
            f"/invocations/{endpoint}",
            f"/v1/models/{endpoint}:predict",
            f"/labels/{endpoint}",
        }
        assert (f"/invocations/{endpoint}", "text/csv") in tried


def test_the_contract_is_in_the_schema(worker: RunningWorker) -> None:
    document = worker.http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    body = document["paths"]["/invocations/e"]["post"]["requestBody"]["content"]
    forms = body["application/json"]["schema"]["oneOf"]
    columns = forms[1]["properties"]["dataframe_records"]["items"]["properties"]
    assert columns["b"] == {"type": "number", "minimum": -50.0, "maximum": 50.0}
    assert columns["c"] == {"type": ["integer", "null"]}
    words = document["paths"]["/invocations/words"]["post"]["requestBody"]["content"]
    named = words["application/json"]["schema"]["oneOf"][1]["properties"]["dataframe_records"]
    assert named["items"]["properties"]["carrier"]["enum"] == ["AA", "UA", "DL"]


def test_get_paths_answer_as_they_are_described(worker: RunningWorker) -> None:
    schema = schemathesis.openapi.from_url(f"{worker.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.method == "get":
            operation.Case().call_and_validate(checks=CHECKS)
            tried += 1
    assert tried > 15


@schemathesis.serializer("text/csv")
def as_csv(context: Any, value: Any) -> bytes:
    """Send a text as it is."""
    return str(value).encode("utf-8", "surrogatepass")


@pytest.mark.timeout(300)
def test_whatever_is_sent_the_answer_is_one_that_is_described(worker: RunningWorker) -> None:
    """Requests that the description allows, and requests that it does not."""
    schema = schemathesis.openapi.from_url(f"{worker.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        # One endpoint with numbers and one with texts: the others differ in nothing here.
        if operation.method != "post" or not operation.path.endswith(
            ("/e/infer", "/words/infer", "/e", "/words", "/e:predict", "/index")
        ):
            continue
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @settings(
                max_examples=5,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def attempt(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=CHECKS)

            attempt()
            tried += 1
    assert tried == 16
