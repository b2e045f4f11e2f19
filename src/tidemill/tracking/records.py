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
        artifact_location: Where its artifacts are said to be; nothing for the usual place.
        tags: By key.
    """

    id: str
    name: str
    created: datetime
    updated: datetime
    lifecycle: Lifecycle = "active"
    artifact_location: str | None = None
    tags: dict[str, str] = {}


class Metric(msgspec.Struct, frozen=True):
    """One point of a metric; a point logged twice is kept once.

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
    metrics: dict[str, float] = {}
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
