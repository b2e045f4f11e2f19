"""What is told of a fact: the events that MLflow has, in the form that it gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tidemill.core.events import Fact
from tidemill.registry.events import AliasSet, ModelRegistered, TagChanged, VersionRegistered

Told = tuple[str, dict[str, Any]]
EXAMPLES: dict[str, dict[str, Any]] = {
    "registered_model.created": {
        "name": "example_model",
        "tags": {"example_key": "example_value"},
        "description": "An example registered model",
    },
    "model_version.created": {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"example_key": "example_value"},
        "description": "An example model version",
    },
    "model_version_tag.set": {
        "name": "example_model",
        "version": "1",
        "key": "example_key",
        "value": "example_value",
    },
    "model_version_tag.deleted": {"name": "example_model", "version": "1", "key": "example_key"},
    "model_version_alias.created": {
        "name": "example_model",
        "alias": "example_alias",
        "version": "1",
    },
    "model_version_alias.deleted": {"name": "example_model", "alias": "example_alias"},
}
"""Every event that can be told, with what a test message says."""


def told(fact: Fact) -> Told | None:
    """Return the event and the data that webhooks are told of a fact, or nothing."""
    reader = _READERS.get(fact.type)
    return None if reader is None else reader(fact)


def message(event: str, data: dict[str, Any], when: str) -> str:
    """Return the text of a message."""
    entity, _, action = event.partition(".")
    body = {"entity": entity, "action": action, "timestamp": when, "data": data}
    return msgspec.json.encode(body).decode()


def _model(fact: Fact) -> Told:
    event = fact.read(ModelRegistered)
    data = {"name": event.model, "tags": event.tags, "description": event.description or None}
    return "registered_model.created", data


def _version(fact: Fact) -> Told:
    event = fact.read(VersionRegistered)
    return "model_version.created", {
        "name": event.model,
        "version": str(event.version),
        "source": event.source or f"models:/{event.model}/{event.version}",
        "run_id": event.run_id or None,
        "tags": event.tags,
        "description": event.description or None,
    }


def _tag(fact: Fact) -> Told | None:
    event = fact.read(TagChanged)
    if event.version is None:
        return None
    data = {"name": event.model, "version": str(event.version), "key": event.key}
    if event.value is None:
        return "model_version_tag.deleted", data
    return "model_version_tag.set", data | {"value": event.value}


def _alias(fact: Fact) -> Told:
    event = fact.read(AliasSet)
    data = {"name": event.model, "alias": event.alias}
    if event.version is None:
        return "model_version_alias.deleted", data
    return "model_version_alias.created", data | {"version": str(event.version)}


_READERS: dict[str, Callable[[Fact], Told | None]] = {
    ModelRegistered.type: _model,
    VersionRegistered.type: _version,
    TagChanged.type: _tag,
    AliasSet.type: _alias,
}
TYPES: tuple[str, ...] = tuple(_READERS)
"""The types of facts that something is told of."""
