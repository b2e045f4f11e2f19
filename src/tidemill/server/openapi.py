"""The server's description in OpenAPI 3.1, made from the lists that the doors answer by.

Nothing is written twice: operations are described by their signatures, MLflow's routes by the
records that they read. What an answer of MLflow's looks like is MLflow's to say.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from tidemill import __version__
from tidemill.server.encoding import ErrorShape
from tidemill.server.mlflow.errors import MlflowError
from tidemill.server.operations import Operations, changing, operation_names, result_type

Json = dict[str, Any]
_REFS = "#/components/schemas/{name}"


def describe(routes: Mapping[tuple[str, str], type[Any]]) -> Json:
    """Return the description of the whole server.

    Args:
        routes: The records that MLflow's routes read, by method and path.
    """
    known = _Schemas()
    paths: dict[str, Json] = {}
    for name in operation_names():
        method = "post" if changing(name) else "get"
        paths[f"/api/{name}"] = {method: _operation(known, name)}
    for (method, path), kind in sorted(routes.items(), key=lambda row: row[0][::-1]):
        paths.setdefault(path, {})[method.lower()] = _route(known, method, path, kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidemill", "version": __version__},
        "paths": paths,
        "components": {"schemas": known.components()},
    }


class _Schemas:
    """Gathers the types that are spoken of, each once."""

    def __init__(self) -> None:
        self._types: list[Any] = []

    def of(self, kind: Any) -> Json:
        """Return the schema of a type, which refers to the components where it has a name."""
        self._types.append(kind)
        (schema,), _ = msgspec.json.schema_components(
            [kind], schema_hook=_schema_hook, ref_template=_REFS
        )
        return schema

    def components(self) -> Json:
        _, found = msgspec.json.schema_components(
            self._types, schema_hook=_schema_hook, ref_template=_REFS
        )
        return found


def _schema_hook(_kind: type[Any]) -> Json:
    """Say that a type of ours travels as a text, as references do."""
    return {"type": "string"}


def _operation(known: _Schemas, name: str) -> Json:
    function = getattr(Operations, name)
    hints = inspect.get_annotations(function, eval_str=True)
    needed = {
        key: parameter.default is parameter.empty
        for key, parameter in inspect.signature(function).parameters.items()
        if key != "self"
    }
    described: Json = {
        "operationId": name,
        "summary": inspect.getdoc(function) or name,
        "tags": ["tidemill"],
        "responses": _responses(known, known.of(result_type(name)), known.of(ErrorShape)),
    }
    if changing(name):
        properties = {key: known.of(hints[key]) for key in needed}
        required = [key for key, must in needed.items() if must]
        body = {"type": "object", "properties": properties, "additionalProperties": False}
        described["requestBody"] = _body(body | ({"required": required} if required else {}))
    elif needed:
        described["parameters"] = [
            {"name": key, "in": "query", "required": must, "schema": known.of(hints[key])}
            for key, must in needed.items()
        ]
    return described


def _route(known: _Schemas, method: str, path: str, kind: type[Any]) -> Json:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    inside = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    described: Json = {
        "operationId": f"{method.lower()}{path}".replace("/", "_")
        .replace("{", "")
        .replace("}", ""),
        "summary": inspect.getdoc(kind) or path,
        "tags": ["mlflow"],
        "responses": _responses(known, {"type": "object"}, known.of(MlflowError)),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in inside
    ]
    if method == "GET":
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": known.of(field.type)}
            for name, field in fields.items()
            if name not in inside
        ]
    else:
        described["requestBody"] = _body(known.of(kind))
    return described | ({"parameters": parameters} if parameters else {})


def _responses(known: _Schemas, fine: Json, wrong: Json) -> Json:
    return {
        "200": {"description": "Done.", "content": {"application/json": {"schema": fine}}},
        "4XX": {
            "description": "It was refused, and why.",
            "content": {"application/json": {"schema": wrong}},
        },
        "507": {"description": "The disk is full."},
    }


def _body(schema: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
