"""What of experiments, runs and logged models can be searched."""

from __future__ import annotations

from sqlalchemy import func, literal

from tidemill.storage.db.search import Attribute, Entity, millis
from tidemill.tracking import model_store, store


def _runs() -> Entity:
    runs = store.runs.c
    names = Attribute(runs.name)
    started = Attribute(millis(runs.started), numeric=True)
    uri = literal("mlflow-artifacts:/") + runs.experiment_id + "/" + runs.id + "/artifacts"
    attributes = {
        "run_id": Attribute(runs.id),
        "id": Attribute(runs.id),
        "run_name": names,
        "run name": names,
        "Run name": names,
        "Run Name": names,
        "name": names,
        "status": Attribute(runs.status),
        "user_id": Attribute(func.replace(runs.actor, "user:", "")),
        "artifact_uri": Attribute(uri),
        "start_time": started,
        "created": started,
        "Created": started,
        "end_time": Attribute(millis(runs.ended), numeric=True),
        "experiment_id": Attribute(runs.experiment_id),
    }
    texts = {"parameter": store.params, "tag": store.tags}
    return Entity({"run_id": runs.id}, attributes, texts, store.newest, store.inputs)


def _experiments() -> Entity:
    columns = store.experiments.c
    attributes = {
        "name": Attribute(columns.name),
        "experiment_id": Attribute(columns.id),
        "creation_time": Attribute(millis(columns.created), numeric=True),
        "last_update_time": Attribute(millis(columns.updated), numeric=True),
    }
    return Entity({"experiment_id": columns.id}, attributes, {"tag": store.experiment_tags})


def _models() -> Entity:
    columns = model_store.models.c
    attributes = {
        "name": Attribute(columns.name),
        "model_id": Attribute(columns.id),
        "model_type": Attribute(columns.model_type),
        "status": Attribute(columns.status),
        "source_run_id": Attribute(columns.run_id),
        "experiment_id": Attribute(columns.experiment_id),
        "creation_timestamp": Attribute(millis(columns.created), numeric=True),
        "creation_time": Attribute(millis(columns.created), numeric=True),
        "last_updated_timestamp": Attribute(millis(columns.updated), numeric=True),
    }
    texts = {"parameter": model_store.params, "tag": model_store.tags}
    return Entity({"model_id": columns.id}, attributes, texts, model_store.metrics)


RUNS = _runs()
EXPERIMENTS = _experiments()
MODELS = _models()
