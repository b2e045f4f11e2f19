"""MLflow's routes for runs, and for what is logged to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from operator import attrgetter
from typing import Any, get_args

import msgspec

from tidemill.core.clock import from_micros
from tidemill.server.mlflow.errors import BadRequest
from tidemill.server.mlflow.experiments import ACTOR, Experiments, at_most, view_of
from tidemill.server.mlflow.records import (
    Answer,
    Entry,
    OfRun,
    Point,
    info_answer,
    location_of,
    point_answer,
    run_answer,
)
from tidemill.server.mlflow.requests import number, required, wrong
from tidemill.storage.db.search import offset_of, token_of
from tidemill.tracking.entries import NAME_TAG
from tidemill.tracking.records import (
    DatasetInput,
    Experiment,
    Metric,
    ModelLink,
    ModelMetric,
    Param,
    Run,
    RunDetail,
    RunLinks,
    RunStatus,
    Tag,
)
from tidemill.tracking.service import Tracking

PARENT_TAG = "mlflow.parentRunId"
HISTORY_TAG = "mlflow.log-model.history"
BATCH = {"metrics": 1000, "params": 100, "tags": 100}
WHOLE_BATCH = 1000
PAGE = 25_000
_LARGEST = 253_402_300_799_000
"""The last millisecond that a moment can be, less one second."""


class CreateRun(OfRun, frozen=True):
    """A new run."""

    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: list[Entry] = []


class UpdateRun(OfRun, frozen=True):
    """How a run stands now."""

    status: str = ""
    end_time: int | None = None
    run_name: str = ""


class LogMetric(Point, frozen=True):
    """One point, and the run that it belongs to."""

    run_id: str = ""
    run_uuid: str = ""


class LogEntry(OfRun, frozen=True):
    """One param or tag, and the run that it belongs to."""

    key: str = ""
    value: str = ""


class LogBatch(OfRun, frozen=True):
    """Much at once."""

    metrics: list[Point] = []
    params: list[Entry] = []
    tags: list[Entry] = []


class NoteModel(OfRun, frozen=True):
    """What an old client says of a model that it logged as files of the run."""

    model_json: str = ""


class SearchRuns(OfRun, frozen=True):
    """A search for runs."""

    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str = ""


class DatasetBody(msgspec.Struct, frozen=True):
    """A dataset."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class DatasetRead(msgspec.Struct, frozen=True):
    """A dataset that was read, and what for."""

    dataset: DatasetBody = DatasetBody()
    tags: list[Entry] = []


class ModelBody(msgspec.Struct, frozen=True):
    """A logged model that was read or written."""

    model_id: str = ""
    step: int = 0


class LogInputs(OfRun, frozen=True):
    """What a run read."""

    datasets: list[DatasetRead] = []
    models: list[ModelBody] = []


class LogOutputs(OfRun, frozen=True):
    """What a run wrote."""

    models: list[ModelBody] = []


class GetHistory(OfRun, frozen=True):
    """Which metric of which run, and which part of it."""

    metric_key: str = ""
    max_results: int = PAGE
    page_token: str = ""


class Runs:
    """Translates requests about runs.

    Args:
        tracking: The room.
        experiments: Finds experiments.
        is_under_way: Tells whether a pipeline is running a run, whose end is the pipeline's to say.
    """

    def __init__(
        self,
        tracking: Tracking,
        experiments: Experiments,
        is_under_way: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._tracking = tracking
        self._experiments = experiments
        self._is_under_way = is_under_way

    def create(self, request: CreateRun) -> Answer:
        experiment = self._experiments.known(request.experiment_id or "0")
        tags = {tag.key: tag.value for tag in request.tags}
        run_id = self._tracking.new_id()
        said = tags.get(NAME_TAG) or request.run_name
        if request.run_name and said != request.run_name:
            raise BadRequest(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
                f"different values (run_name='{request.run_name}', mlflow.runName='{said}')."
            )
        name = (said or f"run-{run_id[-6:]}")[:500]
        run = self._tracking.start_run(
            experiment.id,
            run_id=run_id,
            actor=f"user:{request.user_id or tags.get('mlflow.user') or 'mlflow'}"[:200],
            name=name,
            parent=tags.get(PARENT_TAG),
            tags=tags | {NAME_TAG: name},
            started=None if request.start_time is None else _moment(request.start_time),
        )
        return {"run": run_answer(run, (), _uri(run, experiment), RunLinks())}

    def update(self, request: UpdateRun) -> Answer:
        run_id = self.exact(request.run)
        if request.status and request.status not in get_args(RunStatus):
            raise wrong(request.status, "status")
        free = not self._is_under_way(run_id)
        ended = request.end_time
        run = self._tracking.update_run(
            run_id,
            status=(request.status or None) if free else None,  # type: ignore[arg-type]
            ended=None if ended is None or not free else _moment(ended),
            name=request.run_name[:500] or None,
            actor=ACTOR,
        )
        if request.run_name:
            self._tracking.log(run_id, tags=[Tag(NAME_TAG, run.name)])
        experiment = self._tracking.get_experiment(run.experiment_id)
        return {"run_info": info_answer(run, _uri(run, experiment))}

    def get(self, request: OfRun) -> Answer:
        return {"run": self._answers([self._tracking.detail(self.exact(request.run))])[0]}

    def delete(self, request: OfRun) -> Answer:
        self._tracking.delete_run(self.exact(request.run), actor=ACTOR)
        return {}

    def restore(self, request: OfRun) -> Answer:
        self._tracking.restore_run(self.exact(request.run), actor=ACTOR)
        return {}

    def log_metric(self, request: LogMetric) -> Future[None]:
        run_id = self.exact(request.run_id or request.run_uuid)
        return self._tracking.log_soon(
            run_id, metrics=[_point(request)], of_models=_of_models([request])
        )

    def log_param(self, request: LogEntry) -> Future[None]:
        run_id = self.exact(request.run)
        param = Param(required(request.key, "key"), request.value)
        return self._tracking.log_soon(run_id, params=[param])

    def set_tag(self, request: LogEntry) -> Answer:
        run_id = self.exact(request.run)
        self._tracking.log(run_id, tags=[Tag(required(request.key, "key"), request.value)])
        return {}

    def delete_tag(self, request: LogEntry) -> Answer:
        self._tracking.delete_tag(self.exact(request.run), required(request.key, "key"))
        return {}

    def log_batch(self, request: LogBatch) -> Future[None]:
        run_id = self.exact(request.run)
        _check_batch(request)
        return self._tracking.log_soon(
            run_id,
            metrics=_points(request.metrics),
            params=[
                Param(required(p.key, f"params[{at}].key"), p.value)
                for at, p in enumerate(request.params)
            ],
            tags=[
                Tag(required(t.key, f"tags[{at}].key"), t.value)
                for at, t in enumerate(request.tags)
            ],
            of_models=_of_models(request.metrics),
        )

    def note_model(self, request: NoteModel) -> Answer:
        """Add a model to the run's list of those that it logged, which is a tag."""
        run = self._tracking.get(self.exact(request.run))
        said = required(request.model_json, "model_json")
        try:
            model = msgspec.json.decode(said, type=dict[str, Any])
            known = msgspec.json.decode(run.tags.get(HISTORY_TAG, "[]"), type=list[Any])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadRequest(
                f"Malformed model info. \n {said[:500]} \n is not valid JSON."
            ) from error
        missing = {"artifact_path", "flavors", "utc_time_created", "run_id"} - model.keys()
        if missing:
            raise BadRequest(f"Model json is missing mandatory fields: {sorted(missing)}")
        history = msgspec.json.encode([*known, model]).decode()
        self._tracking.log(run.id, tags=[Tag(HISTORY_TAG, history)])
        return {}

    def log_inputs(self, request: LogInputs) -> Answer:
        self._tracking.link(
            self.exact(request.run),
            datasets=[_dataset(entry) for entry in request.datasets],
            read=[ModelLink(required(m.model_id, "model_id")) for m in request.models],
        )
        return {}

    def log_outputs(self, request: LogOutputs) -> Answer:
        models = required(request.models or None, "models")
        written = [ModelLink(required(m.model_id, "model_id"), m.step) for m in models]
        self._tracking.link(self.exact(request.run), written=written)
        return {}

    def search(self, request: SearchRuns) -> Answer:
        page = self._tracking.search_details(
            request.experiment_ids,
            request.filter,
            order_by=request.order_by,
            view=view_of(request.run_view_type),
            limit=at_most(request.max_results, 50_000),
            token=request.page_token,
        )
        answer: Answer = {"runs": self._answers(page.items)}
        return answer | ({} if page.token is None else {"next_page_token": page.token})

    def history(self, request: GetHistory) -> Answer:
        run_id = self.exact(request.run)
        key = required(request.metric_key, "metric_key")
        if request.max_results < 1:
            raise BadRequest(
                f"Invalid value {request.max_results} for parameter 'max_results' supplied. It "
                "must be a positive integer."
            )
        limit, offset = min(request.max_results, PAGE), offset_of(request.page_token)
        points = self._tracking.history(run_id, key, limit=limit + 1, offset=offset)
        answer: Answer = {"metrics": _plain(points[:limit])}
        more = len(points) > limit
        return answer | ({"next_page_token": token_of(offset + limit)} if more else {})

    def exact(self, run_id: str) -> str:
        """Return a run's id, which no beginning of it will do for here."""
        return str(required(run_id, "run_id"))

    def uri(self, run: Run) -> str:
        """Return where a run's artifacts are said to be."""
        return _uri(run, self._tracking.get_experiment(run.experiment_id))

    def _answers(self, details: Sequence[RunDetail]) -> list[Answer]:
        ids = {detail.run.experiment_id for detail in details}
        homes = {each: self._tracking.get_experiment(each) for each in ids}
        return [
            run_answer(
                detail.run,
                detail.points,
                _uri(detail.run, homes[detail.run.experiment_id]),
                detail.links,
            )
            for detail in details
        ]


def _plain(points: list[Metric]) -> list[Metric] | list[Metric | Answer]:
    """Return points to be written as JSON, which has no number that is not finite.

    A record is written as the dictionary would be, and a page has thousands.
    """
    if math.isfinite(sum(map(attrgetter("value"), points))):
        return points
    return [p if math.isfinite(p.value) else point_answer(p) for p in points]


def _uri(run: Run, experiment: Experiment) -> str:
    return f"{location_of(experiment)}/{run.id}/artifacts"


def _points(points: Sequence[Point]) -> list[Metric]:
    return [
        # As nearly all of thousands are.
        Metric(point.key, point.value, point.timestamp, point.step)
        if point.key
        and type(point.value) is float
        and point.timestamp is not None
        and point.timestamp >= 0
        else _point(point, f"metrics[{at}].")
        for at, point in enumerate(points)
    ]


def _point(point: Point, within: str = "") -> Metric:
    key = required(point.key, f"{within}key")
    value = number(point.value, f"{within}value")
    timestamp = required(point.timestamp, f"{within}timestamp")
    if timestamp < 0:
        raise BadRequest(
            f"Invalid value {timestamp} for parameter '{within}timestamp' supplied: metric '{key}' "
            f"(value={value}). Timestamp must be a nonnegative long (64-bit integer) "
        )
    return Metric(key, value, timestamp, point.step)


def _of_models(points: Sequence[Point]) -> list[ModelMetric]:
    return [
        ModelMetric(
            point.model_id[:34],
            _point(point),
            dataset_name=point.dataset_name[:500],
            dataset_digest=point.dataset_digest[:36],
        )
        for point in points
        if point.model_id
    ]


def _dataset(entry: DatasetRead) -> DatasetInput:
    dataset = entry.dataset
    sizes = {"name": 500, "digest": 36, "source": 65_535, "schema": 1_048_575}
    for name, most in sizes.items():
        if len(getattr(dataset, name)) > most:
            raise BadRequest(f"'{name}' exceeds the maximum length of {most} characters")
    return DatasetInput(
        name=required(dataset.name, "name"),
        digest=required(dataset.digest, "digest"),
        source_type=dataset.source_type,
        source=dataset.source,
        schema=dataset.schema,
        profile=dataset.profile,
        tags={tag.key: tag.value for tag in entry.tags},
    )


def _check_batch(request: LogBatch) -> None:
    sizes = {"metrics": len(request.metrics), "params": len(request.params)}
    sizes["tags"] = len(request.tags)
    for what, size in sizes.items():
        if size > BATCH[what]:
            raise BadRequest(
                f"A batch logging request can contain at most {BATCH[what]} {what}. Got {size} "
                f"{what}. Please split up {what} across multiple requests and try again."
            )
    if sum(sizes.values()) > WHOLE_BATCH:
        raise BadRequest(
            f"A batch logging request can contain at most {WHOLE_BATCH} metrics, params, and "
            f"tags. Got {sum(sizes.values())}. Please split up across multiple requests and try "
            "again."
        )
    keys = [param.key for param in request.params]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise BadRequest(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure the request "
            "contains only one param value per param key."
        )


def _moment(value: int) -> datetime:
    if not 0 <= value <= _LARGEST:
        raise wrong(value, "time")
    return from_micros(value * 1000)
