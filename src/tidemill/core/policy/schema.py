"""The JSON Schema of `tidemill.toml`, by which editors complete and check it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tidemill.core.policy.records import DURATION, SIZE, SIZES, UNITS, Policy

_ENTRY = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def policy_schema() -> dict[str, Any]:
    """Return the schema, with the sentence of every key.

    Example:
        >>> model = policy_schema()["$defs"]["ModelPolicy"]["properties"]
        >>> model["threshold"]["description"]
        'The probability from which a binary model says yes.'
        >>> model["holdout"]["type"]
        ['number', 'string']
    """
    schema = msgspec.json.schema(Policy)
    for definition in schema["$defs"].values():
        text = definition.get("description", "")
        definition["description"] = text.partition("\n")[0]
        for key, said in _ENTRY.findall(text):
            definition["properties"][key]["description"] = " ".join(said.split())
        for value in definition["properties"].values():
            for option in value.get("anyOf", [value]):
                _accept_text(option)
    return {"$schema": _DIALECT, "title": "tidemill.toml", **schema}


def _accept_text(option: dict[str, Any]) -> None:
    """A duration or a size is a number in the records, and may be text in the file."""
    title = option.get("title")
    if title in (DURATION, SIZE):
        units = "|".join(UNITS if title == DURATION else SIZES)
        option["type"] = ["number" if title == DURATION else "integer", "string"]
        option["pattern"] = rf"^\s*\d+(\.\d+)?\s*({units})\s*$"
