"""MLflow's JSON: what requests say, and what answers look like."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from tidemill.core.clock import micros
from tidemill.tracking.records import DatasetInput, Experiment, Metric, Run, RunLinks

Answer = dict[str, Any]
SCHEME = "mlflow-artifacts:"


class Entry(msgspec.Struct, frozen=True):
    """A param or a tag."""

    key: str = ""
    value: str = ""


class Point(msgspec.Struct, frozen=True):
    """A point of a metric."""

    key: str = ""
    value: float | str | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class OfRun(msgspec.Struct, frozen=True):
    """A request about a run, which may be named in two ways."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def run(self) -> str:
        """The run's id, however it was named."""
        return self.run_id or self.run_uuid


def millis(moment: Any) -> int:
    """Return a moment as milliseconds since 1970."""
    return micros(moment) // 1000


def entries(notes: dict[str, str]) -> list[Answer]:
    """Return params or tags as a list."""
    return [{"key": key, "value": value} for key, value in notes.items()]


def experiment_answer(experiment: Experiment) -> Answer:
    """Return an experiment as MLflow has it."""
    answer = {
        "experiment_id": experiment.id,
        "name": experiment.name,
        "artifact_location": location_of(experiment),
        "lifecycle_stage": experiment.lifecycle,
        "last_update_time": millis(experiment.updated),
        "creation_time": millis(experiment.created),
        "workspace": "default",
    }
    return answer | ({"tags": entries(experiment.tags)} if experiment.tags else {})


def location_of(experiment: Experiment) -> str:
    """Return where an experiment's artifacts are said to be."""
    return experiment.artifact_location or f"{SCHEME}/{experiment.id}"


def run_answer(run: Run, points: Sequence[Metric], uri: str, links: RunLinks) -> Answer:
    """Return a run as MLflow has it."""
    data: dict[str, list[Any]] = {
        # A record is written as the dictionary would be, and a page has thousands.
        "metrics": [p if math.isfinite(p.value) else point_answer(p) for p in points],
        "params": entries(run.params),
        "tags": entries(run.tags),
    }
    return {
        "info": info_answer(run, uri),
        "data": _filled(**data),
        "inputs": _filled(
            dataset_inputs=[_dataset_answer(entry) for entry in links.datasets],
            model_inputs=[{"model_id": link.model_id} for link in links.read],
        ),
        "outputs": _filled(
            model_outputs=[{"model_id": m.model_id, "step": m.step} for m in links.written]
        ),
    }


def info_answer(run: Run, uri: str) -> Answer:
    """Return a run's info as MLflow has it."""
    answer = {
        "run_uuid": run.id,
        "experiment_id": run.experiment_id,
        "run_name": run.name,
        "user_id": run.actor.removeprefix("user:"),
        "status": run.status,
        "start_time": millis(run.started),
        "artifact_uri": uri,
        "lifecycle_stage": run.lifecycle,
        "run_id": run.id,
    }
    return answer | ({} if run.ended is None else {"end_time": millis(run.ended)})


def point_answer(point: Metric) -> Answer:
    """Return a point: not-a-number as a text, infinity as the largest number, as MLflow does.

    Example:
        >>> point_answer(Metric("m", math.nan, 5, 1))["value"]
        'NaN'
    """
    value: float | str = point.value
    if math.isnan(point.value):
        value = "NaN"
    elif math.isinf(point.value):
        value = math.copysign(sys.float_info.max, point.value)
    return {"key": point.key, "value": value, "timestamp": point.timestamp, "step": point.step}


def _dataset_answer(entry: DatasetInput) -> Answer:
    dataset = {
        "name": entry.name,
        "digest": entry.digest,
        "source_type": entry.source_type,
        "source": entry.source,
        "schema": entry.schema,
        "profile": entry.profile,
    }
    return {"tags": entries(entry.tags), "dataset": {k: v for k, v in dataset.items() if v}}


def _filled(**parts: list[Any]) -> Answer:
    return {name: part for name, part in parts.items() if part}
