"""The OpenAPI document of what is served now, made from each model's contract.

Its examples are requests that work when they are pasted.
"""

from __future__ import annotations

from typing import Any

import tidemill
from tidemill.models.records import Signature
from tidemill.serving.worker.doors import schemas
from tidemill.serving.worker.doors.oip import EXTENSIONS
from tidemill.serving.worker.doors.schemas import Json, list_of, object_of
from tidemill.serving.worker.table import Table
from tidemill.serving.worker.version import example

_JSON, _CSV, _TEXT = "application/json", "text/csv", "text/plain"
_OCTETS, _PARQUET = "application/octet-stream", "application/vnd.apache.parquet"
_STRING: Json = {"type": "string"}
_BINARY: Json = {"type": "string", "format": "binary"}
_REASONS = {
    "400": "The request is refused; `error` names the field and what was expected.",
    "404": "There is no such model or version.",
    "413": "The body is too large, also where it is only when unpacked.",
    "415": "The body is of a type or encoding that is not taken.",
    "429": "Too much waits already; `Retry-After` says when to come again.",
    "503": "The server stops, or cannot write its log; `Retry-After` says when to come again.",
    "504": "The answer came after the deadline.",
}


def document(table: Table) -> Json:
    """Return the document for a table of endpoints."""
    paths = _shared()
    for name, endpoint in sorted(table.endpoints.items()):
        signature = endpoint.versions[endpoint.champion.version].signature
        paths |= _model(name, f"{endpoint.champion.model} at {name}", signature)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidemill: what is served here", "version": tidemill.__version__},
        "paths": paths,
        "components": {
            "schemas": {
                "Error": object_of({"error": _STRING, "error_code": _STRING, "message": _STRING})
            }
        },
    }


def _model(name: str, title: str, signature: Signature) -> Json:
    """Return the paths of one endpoint."""
    infer = _predict(
        f"Predict with {title} (Open Inference Protocol)",
        {
            _JSON: {
                "schema": schemas.asked(signature),
                "examples": schemas.inference_examples(signature),
            },
        },
        {_JSON: {"schema": schemas.answered(signature)}, _OCTETS: {"schema": _BINARY}},
    )
    scores = schemas.forms(signature)
    predicted = {_JSON: {"schema": schemas.predictions(signature)}}
    rows = {"value": {"instances": [_values(signature)]}}
    instances = object_of({"instances": list_of({}, minItems=1)})
    return {
        f"/v2/models/{name}/infer": {"post": infer},
        f"/v2/models/{name}": {"get": _get(f"What {title} takes and gives", _metadata())},
        f"/v2/models/{name}/ready": {"get": _get(f"Whether {title} answers", _ready())},
        f"/invocations/{name}": {
            "post": _predict(
                f"Predict with {title} (MLflow and SageMaker)",
                {
                    _JSON: {"schema": scores, "examples": schemas.scoring_examples(signature)},
                    _CSV: {
                        "schema": _STRING,
                        "examples": {"row": {"value": schemas.csv_example(signature)}},
                    },
                    _PARQUET: {"schema": _BINARY},
                },
                predicted,
            )
        },
        f"/v1/models/{name}:predict": {
            "post": _predict(
                f"Predict with {title} (KServe's first protocol)",
                {_JSON: {"schema": instances, "examples": {"row": rows}}},
                predicted,
            )
        },
        f"/v1/models/{name}": {"get": _get(f"Whether {title} answers", _ready())},
        f"/labels/{name}": {"post": _labels(name, signature)},
    }


def _shared() -> Json:
    """Return the paths that are there whatever is served."""
    names = object_of({"models": list_of(_STRING)})
    extensions = list_of({"enum": list(EXTENSIONS)})
    server = object_of({"name": _STRING, "version": _STRING, "extensions": extensions})
    entry = object_of(dict.fromkeys(("name", "version", "state", "reason"), _STRING))
    text = {_TEXT: {"schema": _STRING}}
    index = _operation("The repository's index", {_JSON: {"schema": list_of(entry)}}, "400", "413")
    index["requestBody"] = {
        "content": {
            _JSON: {
                "schema": object_of({"ready": {"type": "boolean"}}, 0),
                "examples": {"ready": {"value": {"ready": True}}},
            }
        }
    }
    return {
        "/v2": {"get": _get("Who serves", server)},
        "/v2/health/live": {"get": _get("Whether it lives", object_of({"live": {"const": True}}))},
        "/v2/health/ready": {
            "get": _get("Whether it serves", object_of({"ready": {"type": "boolean"}}), "503")
        },
        "/v2/models": {"get": _get("The models", names)},
        "/v1/models": {"get": _get("The models", names)},
        "/v2/repository/index": {"post": index},
        "/ping": {"get": _operation("Whether a model answers", text)},
        "/version": {"get": _operation("The version of Tidemill", text)},
        "/health": {"get": _get("What is served, and how well", {"type": "object"}, "503")},
        "/metrics": {"get": _operation("What is counted, for Prometheus", text)},
    }


def _metadata() -> Json:
    shape = list_of({"type": "integer", "minimum": -1})
    tensor = object_of({"name": _STRING, "datatype": _STRING, "shape": shape})
    return object_of(
        {
            "name": _STRING,
            "platform": _STRING,
            "versions": list_of(_STRING),
            "inputs": list_of(tensor),
            "outputs": list_of(tensor),
        }
    )


def _ready() -> Json:
    return object_of({"name": _STRING, "ready": {"const": True}})


def _labels(name: str, signature: Signature) -> Json:
    known = signature.classes[0] if signature.classes else 1.0
    count = {"type": "integer"}
    taken = {"accepted": count, "contradictory": count, "examples": list_of(_STRING)}
    told = {_JSON: {"schema": object_of(taken)}}
    found = _operation(f"Tell {name} what came true", told, "400", "404", "413", "415", "503")
    sample = {"labels": [{"key": "row-1", "label": known}]}
    examples = {"by_key": {"value": sample}}
    content = {_JSON: {"schema": schemas.labels(), "examples": examples}}
    found["requestBody"] = {"required": True, "content": content}
    return found


def _predict(summary: str, content: Json, answers: Json) -> Json:
    found = _operation(summary, answers, *_REASONS)
    found["requestBody"] = {"required": True, "content": content}
    found["parameters"] = _HEADERS
    return found


def _get(summary: str, schema: Json, *statuses: str) -> Json:
    return _operation(summary, {_JSON: {"schema": schema}}, *statuses)


def _operation(summary: str, answers: Json, *statuses: str) -> Json:
    refused = {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "summary": summary,
        "responses": {
            "200": {"description": "The answer.", "content": answers},
            **{s: {"description": _REASONS[s], "content": refused} for s in statuses},
        },
    }


def _values(signature: Signature) -> list[Any]:
    return [example(c) for c in signature.features]


def _header(name: str, description: str, schema: Json = _STRING) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema}


_HEADERS = [
    _header("Tidemill-Version", "Which version is to answer, for testers."),
    _header("Tidemill-Key", "What the split goes by: a key keeps its version."),
    _header(
        "Tidemill-Timeout-Ms",
        "When the caller gives up.",
        {"type": "integer", "minimum": 1, "maximum": 3_600_000},
    ),
    _header("X-Request-Id", "The caller's name for the request; it is logged."),
    _header("traceparent", "The W3C trace that the request belongs to."),
]
