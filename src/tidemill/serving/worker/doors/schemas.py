"""JSON Schemas of what a model takes and gives, and examples of it, from its contract."""

from __future__ import annotations

import csv
import io
from typing import Any

from tidemill.core.contract import Column
from tidemill.models.records import Signature
from tidemill.serving.worker.doors.tensors import DATATYPES, declared
from tidemill.serving.worker.outputs import outputs_of
from tidemill.serving.worker.version import example

Json = dict[str, Any]
_SCALARS: dict[str, Json] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "string": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
}
_PARAMETERS = {
    "type": "object",
    "additionalProperties": {"type": ["boolean", "number", "string"]},
}
PREDICTION_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def object_of(properties: Json, required: int | None = None) -> Json:
    """Return the schema of an object; its first properties are required, all where not said.

    Example:
        >>> object_of({"a": {}, "b": {}}, 1)["required"]
        ['a']
    """
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names[:required]}


def list_of(items: Json, **options: Any) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **options}


def tensors(signature: Signature) -> Json:
    """Return the schema of a request's inputs: a tensor a column, or all columns in one."""
    names = [c.name for c in signature.features]
    about = f"One for each of {', '.join(names)}."
    if not signature.texts:
        about += f" Or one called x, of shape [rows, {len(names)}]."
    tensor = object_of(
        {
            "name": {"type": "string"},
            "shape": list_of({"type": "integer", "minimum": 0}, minItems=1),
            "datatype": {"type": "string", "enum": list(DATATYPES)},
            "data": {"type": "array"},
            "parameters": _PARAMETERS,
        },
        4,
    )
    return list_of(tensor, minItems=1, description=about)


def asked(signature: Signature) -> Json:
    """Return the schema of an inference request."""
    names = [o.name for o in outputs_of(signature)]
    output = object_of({"name": {"enum": names}, "parameters": _PARAMETERS}, 1)
    return object_of(
        {
            "inputs": tensors(signature),
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "outputs": list_of(output),
        },
        1,
    )


def answered(signature: Signature) -> Json:
    """Return the schema of an inference response."""
    found = outputs_of(signature)
    output = object_of(
        {
            "name": {"enum": [o.name for o in found]},
            "datatype": {"enum": sorted({o.datatype for o in found})},
            "shape": list_of({"type": "integer", "minimum": 1}, minItems=1, maxItems=2),
            "data": {"type": "array"},
            "parameters": object_of({"binary_data_size": {"type": "integer"}}),
        },
        3,
    )
    return object_of(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": list_of(output, minItems=1),
            "parameters": object_of({"prediction_ids": {"type": "string"}}),
            "id": {"type": "string"},
        },
        4,
    )


def inference_examples(signature: Signature) -> Json:
    """Return requests that a model answers."""
    columns = [
        {"name": c.name, "shape": [1], "datatype": declared(c.type), "data": [example(c)]}
        for c in signature.features
    ]
    some = outputs_of(signature)[-1].name
    examples = {
        "columns": {"inputs": columns},
        "one_output": {"id": "mine", "inputs": columns, "outputs": [{"name": some}]},
    }
    if not signature.texts and all(c.type in ("int", "float") for c in signature.features):
        row = [float(example(c)) for c in signature.features]
        matrix = {"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": [row]}
        examples["matrix"] = {"inputs": [matrix]}
    return {name: {"value": value} for name, value in examples.items()}


def row_of(signature: Signature) -> Json:
    """Return the schema of a row with a name for each value."""
    return object_of({c.name: column(c) for c in signature.features})


def forms(signature: Signature) -> Json:
    """Return the schema of a scoring request: a table in one of four forms."""
    values = list_of(list_of({}), minItems=1)
    table = object_of({"columns": list_of({"type": "string"}), "data": values})
    rows = list_of(row_of(signature), minItems=1)
    lists = {c.name: list_of(column(c), minItems=1) for c in signature.features}
    return {
        "oneOf": [
            object_of({"dataframe_split": table}),
            object_of({"dataframe_records": rows}),
            object_of({"instances": {"anyOf": [rows, values]}}),
            object_of({"inputs": {"anyOf": [object_of(lists), values]}}),
        ]
    }


def scoring_examples(signature: Signature) -> Json:
    """Return a table in each of the forms that a model answers."""
    row = {c.name: example(c) for c in signature.features}
    examples = {
        "dataframe_split": {"columns": list(row), "data": [list(row.values())]},
        "dataframe_records": [row],
        "instances": [list(row.values())],
        "inputs": {name: [value] for name, value in row.items()},
    }
    return {name: {"value": {name: value}} for name, value in examples.items()}


def csv_example(signature: Signature) -> str:
    """Return a CSV that a model answers."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([c.name for c in signature.features])
    writer.writerow([_written(example(c)) for c in signature.features])
    return lines.getvalue()


def predictions(signature: Signature) -> Json:
    """Return the schema of a scoring response."""
    value = {"enum": list(signature.classes)} if signature.classes else {"type": "number"}
    return object_of({"predictions": list_of(value, minItems=1)})


def column(found: Column) -> Json:
    """Return the schema of a column's values, as its contract has it.

    Example:
        >>> column(Column(name="b", type="float", min=0.0, nullable=False))
        {'type': 'number', 'minimum': 0.0}
    """
    schema = dict(_SCALARS[found.type])
    if found.nullable:
        schema["type"] = [schema["type"], "null"]
    if found.min is not None:
        schema["minimum"] = found.min
    if found.max is not None:
        schema["maximum"] = found.max
    if found.values is not None:
        schema["enum"] = [*found.values, *([None] if found.nullable else [])]
    return schema


def labels() -> Json:
    """Return the schema of a delivery of labels."""
    label = object_of(
        {
            "label": {"type": ["boolean", "number", "string"]},
            "key": {"type": ["string", "integer"]},
            "prediction_id": PREDICTION_ID,
            "time": _SCALARS["datetime"],
        },
        1,
    )
    return object_of({"labels": list_of(label)})


def _written(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
