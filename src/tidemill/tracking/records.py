"""Experiments, runs and what is logged to them. Names and meanings are MLflow's."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
Lifecycle = Literal["active", "deleted"]
View = Literal["active", "deleted", "all"]


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which runs are gathered.

    Attributes:
        id: UUIDv7, but "0" for the one that runs belong to where none was said.
        name: Unique.
        created: When.
        updated: When it was last changed.
        lifecycle: `active` or `deleted`.
        deleted: When it was deleted, if it is.
        artifact_location: Where its artifacts are said to be; nothing for the usual place.
        tags: By key.
    """

    id: str
    name: str
    created: datetime
    updated: datetime
    lifecycle: Lifecycle = "active"
    deleted: datetime | None = None
    artifact_location: str | None = None
    tags: dict[str, str] = {}


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One point of a metric; a point logged twice is kept once.

    The garbage collector leaves it alone: it holds nothing that could hold it, and there are many.

    Attributes:
        key: Its name.
        value: May be NaN or infinite.
        timestamp: Milliseconds since 1970.
        step: Where in the training.
    """

    key: str
    value: float
    timestamp: int
    step: int = 0


class Param(msgspec.Struct, frozen=True):
    """A setting of a run, written once."""

    key: str
    value: str


class Tag(msgspec.Struct, frozen=True):
    """A note on a run, which may change."""

    key: str
    value: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run.

    Attributes:
        path: Relative, with forward slashes; a key, never a place on disk.
        digest: The blob that holds it.
        size: In bytes.
    """

    path: str
    digest: str
    size: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, and the newest of what was logged to it.

    Attributes:
        id: UUIDv7.
        experiment_id: Where it belongs.
        name: For people.
        status: As MLflow has it.
        started: When.
        ended: When, once it has.
        actor: Who started it.
        parent: The run that started it, if one did.
        lifecycle: `active` or `deleted`.
        deleted: When it was deleted, if it is.
        metrics: The newest point of each.
        params: By key.
        tags: By key.
    """

    id: str
    experiment_id: str
    name: str
    status: RunStatus
    started: datetime
    ended: datetime | None
    actor: str
    parent: str | None = None
    lifecycle: Lifecycle = "active"
    deleted: datetime | None = None
    metrics: dict[str, float] = {}
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is about to start.

    Attributes:
        id: Chosen by whoever starts it, so that starting it twice is as once.
        experiment: The experiment's name; it is made where it is new.
        name: For people.
        actor: Who starts it.
        started: When.
        parent: The run that it belongs to.
        tags: Its first tags.
    """

    id: str
    experiment: str
    name: str
    actor: str
    started: datetime
    parent: str | None = None
    tags: dict[str, str] = {}


ModelStatus = Literal["PENDING", "READY", "FAILED"]


class DatasetInput(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run read, as MLflow describes it.

    Attributes:
        name: Its name.
        digest: Names its content.
        source_type: Of what kind its source is.
        source: Where it came from, as JSON.
        schema: Its columns, as JSON.
        profile: Its statistics, as JSON.
        tags: By key; `mlflow.data.context` says what it was read for.
    """

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: dict[str, str] = {}


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that runs of an experiment read.

    Attributes:
        experiment_id: The experiment.
        name: The dataset's name.
        digest: Names its content.
        context: What it was read for, where that was said.
    """

    experiment_id: str
    name: str
    digest: str
    context: str | None = None


class ModelLink(msgspec.Struct, frozen=True):
    """A logged model that a run read or wrote.

    Attributes:
        model_id: Which.
        step: Where in the training it was written.
    """

    model_id: str
    step: int = 0


class ModelMetric(msgspec.Struct, frozen=True):
    """A point that says something of a logged model.

    Attributes:
        model_id: Of which.
        point: The point.
        run_id: The run that logged it.
        dataset_name: What was measured on, where that was said.
        dataset_digest: Names its content.
    """

    model_id: str
    point: Metric
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class RunLinks(msgspec.Struct, frozen=True, kw_only=True):
    """What a run read and wrote.

    Attributes:
        datasets: Read.
        read: Logged models that were read.
        written: Logged models that were written.
    """

    datasets: tuple[DatasetInput, ...] = ()
    read: tuple[ModelLink, ...] = ()
    written: tuple[ModelLink, ...] = ()


class RunDetail(msgspec.Struct, frozen=True):
    """A run with all that hangs on it, as it stood at one moment.

    Attributes:
        run: The run.
        points: The newest point of each metric.
        links: What it read and wrote.
    """

    run: Run
    points: tuple[Metric, ...]
    links: RunLinks


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was logged with its files, before anybody registers it.

    Attributes:
        id: `m-` and a UUIDv7.
        experiment_id: Where it belongs.
        name: For people.
        run_id: The run that made it; empty where none did.
        status: Whether its files are all there.
        model_type: For people and programs.
        created: When.
        updated: When it was last changed.
        lifecycle: `active` or `deleted`.
        deleted: When it was deleted, if it is.
        params: By key.
        tags: By key.
        metrics: The newest point for each key, run and dataset.
    """

    id: str
    experiment_id: str
    name: str
    run_id: str
    status: ModelStatus
    model_type: str
    created: datetime
    updated: datetime
    lifecycle: Lifecycle = "active"
    deleted: datetime | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[ModelMetric, ...] = ()
