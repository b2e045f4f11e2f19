"""MLflow's routes for logged models."""

from __future__ import annotations

import msgspec

from tidemill.server.mlflow.errors import BadRequest
from tidemill.server.mlflow.experiments import ACTOR, Experiments
from tidemill.server.mlflow.records import (
    SCHEME,
    Answer,
    Entry,
    entries,
    millis,
    point_answer,
)
from tidemill.server.mlflow.requests import required, wrong
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.records import LoggedModel, ModelMetric, ModelStatus

_STATUS: dict[str, ModelStatus] = {
    "LOGGED_MODEL_PENDING": "PENDING",
    "LOGGED_MODEL_READY": "READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "FAILED",
}
_NOT_IN_NAMES = ("/", ":", ".", "%", '"', "'")
_WRITTEN = {status: name for name, status in _STATUS.items()}


class CreateModel(msgspec.Struct, frozen=True):
    """A new model."""

    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Entry] = []
    tags: list[Entry] = []


class OfModel(msgspec.Struct, frozen=True):
    """Names a model, and what is to become of it."""

    model_id: str = ""
    status: str = ""
    tag_key: str = ""
    params: list[Entry] = []
    tags: list[Entry] = []


class ModelOrder(msgspec.Struct, frozen=True):
    """By what models are ordered."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchModels(msgspec.Struct, frozen=True):
    """A search for models."""

    experiment_ids: list[str] = []
    filter: str = ""
    max_results: int = 100
    order_by: list[ModelOrder] = []
    page_token: str = ""


class Models:
    """Translates requests about logged models.

    Args:
        models: The models.
        experiments: Finds experiments.
    """

    def __init__(self, models: LoggedModels, experiments: Experiments) -> None:
        self._models = models
        self._experiments = experiments

    def create(self, request: CreateModel) -> Answer:
        if set(request.name) & set(_NOT_IN_NAMES):
            raise BadRequest(
                f"Invalid model name ({request.name!r}) provided. Model name must be a non-empty "
                f"string and cannot contain the following characters: {_NOT_IN_NAMES}"
            )
        made = self._models.create(
            self._experiments.known(required(request.experiment_id, "experiment_id")).id,
            request.name,
            run_id=request.source_run_id[:32],
            model_type=request.model_type[:500],
            params={p.key: p.value for p in request.params},
            tags={t.key: t.value for t in request.tags},
        )
        return {"model": model_answer(made)}

    def get(self, request: OfModel) -> Answer:
        return {"model": model_answer(self._models.get(request.model_id))}

    def finish(self, request: OfModel) -> Answer:
        if required(request.status, "status") not in _STATUS:
            raise wrong(request.status, "status")
        status = _STATUS[request.status]
        return {"model": model_answer(self._models.finish(request.model_id, status, actor=ACTOR))}

    def delete(self, request: OfModel) -> Answer:
        self._models.delete(request.model_id)
        return {}

    def search(self, request: SearchModels) -> Answer:
        if not 0 < request.max_results <= 1000:
            raise wrong(request.max_results, "max_results")
        page = self._models.search(
            required(request.experiment_ids or None, "experiment_ids"),
            request.filter,
            order_by=[
                f"{order.field_name} {'ASC' if order.ascending else 'DESC'}"
                for order in request.order_by
            ],
            limit=request.max_results,
            token=request.page_token,
        )
        answer: Answer = {"models": [model_answer(model) for model in page.items]}
        return answer | ({} if page.token is None else {"next_page_token": page.token})

    def set_tags(self, request: OfModel) -> Answer:
        self._models.set_tags(request.model_id, {t.key: t.value for t in request.tags})
        return {}

    def delete_tag(self, request: OfModel) -> Answer:
        self._models.delete_tag(request.model_id, request.tag_key)
        return {}

    def log_params(self, request: OfModel) -> Answer:
        self._models.log_params(request.model_id, {p.key: p.value for p in request.params})
        return {}


def model_answer(model: LoggedModel) -> Answer:
    """Return a logged model as MLflow has it."""
    info: Answer = {
        "model_id": model.id,
        "experiment_id": model.experiment_id,
        "name": model.name,
        "creation_timestamp_ms": millis(model.created),
        "last_updated_timestamp_ms": millis(model.updated),
        "artifact_uri": f"{SCHEME}/{model.experiment_id}/models/{model.id}/artifacts",
        "status": _WRITTEN[model.status],
        "model_type": model.model_type,
        "source_run_id": model.run_id,
        "tags": entries(model.tags),
    }
    data: Answer = {}
    if model.params:
        data["params"] = entries(model.params)
    if model.metrics:
        data["metrics"] = [_metric_answer(metric) for metric in model.metrics]
    return {"info": info, "data": data}


def _metric_answer(metric: ModelMetric) -> Answer:
    answer = point_answer(metric.point) | {"model_id": metric.model_id, "run_id": metric.run_id}
    if metric.dataset_name:
        answer |= {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return answer
