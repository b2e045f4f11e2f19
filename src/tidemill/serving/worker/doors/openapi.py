"""The OpenAPI document of what is served now, made from each model's contract.

Its examples are requests that work when they are pasted.
"""

from __future__ import annotations

from typing import Any

import tidemill
from tidemill.core.contract import Column
from tidemill.models.records import Signature
from tidemill.serving.worker.doors.oip import outputs_of
from tidemill.serving.worker.doors.tensors import declared
from tidemill.serving.worker.table import Endpoint, Table
from tidemill.serving.worker.version import example

_JSON = "application/json"
_SCALARS: dict[str, dict[str, Any]] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "string": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
}
_ERROR = {
    "description": "The request is refused; `error` names the field and what was expected.",
    "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
}
Json = dict[str, Any]


def document(table: Table) -> Json:
    """Return the document for a table of endpoints."""
    paths: Json = {}
    for name, endpoint in sorted(table.endpoints.items()):
        signature = endpoint.versions[endpoint.champion.version].signature
        paths[f"/v2/models/{name}/infer"] = {"post": _infer(endpoint, signature)}
        paths[f"/invocations/{name}"] = {"post": _invoke(endpoint, signature)}
        paths[f"/labels/{name}"] = {"post": _labels(endpoint, signature)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidemill: what is served here", "version": tidemill.__version__},
        "paths": paths,
        "components": {
            "schemas": {
                "Error": _object({"error": {"type": "string"}}),
                "Tensor": _object(
                    {
                        "name": {"type": "string"},
                        "shape": {"type": "array", "items": {"type": "integer"}},
                        "datatype": {"type": "string"},
                        "data": {"type": "array"},
                    },
                ),
            }
        },
    }


def _infer(endpoint: Endpoint, signature: Signature) -> Json:
    tensors = {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}
    sample = {
        "inputs": [
            {"name": c.name, "shape": [1], "datatype": declared(c.type), "data": [example(c)]}
            for c in signature.features
        ]
    }
    answers = _object(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {
                **tensors,
                "description": ", ".join(o.name for o in outputs_of(signature)),
            },
        }
    )
    summary = f"Predict with {endpoint.champion.model} (Open Inference Protocol)"
    return _operation(summary, _object({"inputs": tensors}), sample, answers)


def _invoke(endpoint: Endpoint, signature: Signature) -> Json:
    columns = {c.name: _column(c) for c in signature.features}
    rows = {"type": "array", "minItems": 1, "items": _object(columns)}
    sample = {"dataframe_records": [{c.name: example(c) for c in signature.features}]}
    answers = _object({"predictions": {"type": "array"}})
    summary = f"Predict with {endpoint.champion.model} (MLflow and SageMaker)"
    return _operation(summary, _object({"dataframe_records": rows}), sample, answers)


def _labels(endpoint: Endpoint, signature: Signature) -> Json:
    label = _object({"label": {}, "key": {"type": "string"}, "time": _SCALARS["datetime"]}, 1)
    known = signature.classes[0] if signature.classes else 1.0
    sample = {"labels": [{"key": "row-1", "label": known}]}
    asked = _object({"labels": {"type": "array", "items": label}})
    count, names = {"type": "integer"}, {"type": "array", "items": {"type": "string"}}
    answers = _object({"accepted": count, "contradictory": count, "examples": names})
    return _operation(f"Tell {endpoint.name} what came true", asked, sample, answers)


def _operation(summary: str, asked: Json, sample: Json, answers: Json) -> Json:
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": asked, "example": sample}},
        },
        "responses": {
            "200": {"description": "The answer.", "content": {_JSON: {"schema": answers}}},
            "400": _ERROR,
            "404": _ERROR,
            "413": _ERROR,
            "429": _ERROR,
            "503": _ERROR,
        },
    }


def _column(column: Column) -> Json:
    schema = dict(_SCALARS[column.type])
    if column.nullable:
        schema["type"] = [schema["type"], "null"]
    if column.min is not None:
        schema["minimum"] = column.min
    if column.max is not None:
        schema["maximum"] = column.max
    if column.values is not None:
        schema["enum"] = [*column.values, *([None] if column.nullable else [])]
    return schema


def _object(properties: Json, required: int | None = None) -> Json:
    """Return the schema of an object; its first properties are required, all where not said."""
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names[:required]}
