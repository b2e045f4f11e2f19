"""What of models and their versions can be searched."""

from __future__ import annotations

from tidemill.registry import store
from tidemill.storage.db.search import Attribute, Entity, millis

# A model that is no prompt has no such tag, and clients ask for models by its being false.
_NO_PROMPT = {("tag", "mlflow.prompt.is_prompt"): "false"}


def _models() -> Entity:
    columns = store.models.c
    created = Attribute(millis(columns.created), numeric=True)
    updated = Attribute(millis(columns.updated), numeric=True)
    attributes = {
        "name": Attribute(columns.name),
        "description": Attribute(columns.description),
        "creation_timestamp": created,
        "last_updated_timestamp": updated,
        "timestamp": updated,
    }
    return Entity(
        {"model": columns.name}, attributes, {"tag": store.model_tags}, defaults=_NO_PROMPT
    )


def _versions() -> Entity:
    columns = store.versions.c
    attributes = {
        "name": Attribute(columns.model),
        "version": Attribute(columns.version, numeric=True),
        "version_number": Attribute(columns.version, numeric=True),
        "run_id": Attribute(columns.run_id),
        "model_id": Attribute(columns.model_id),
        "source_path": Attribute(columns.source),
        "stage": Attribute(columns.stage),
        "status": Attribute(columns.status),
        "description": Attribute(columns.description),
        "creation_timestamp": Attribute(millis(columns.created), numeric=True),
        "last_updated_timestamp": Attribute(millis(columns.updated), numeric=True),
    }
    return Entity(
        {"model": columns.model, "version": columns.version},
        attributes,
        {"tag": store.version_tags},
        defaults=_NO_PROMPT,
    )


MODELS = _models()
VERSIONS = _versions()
