"""What a server of MLflow's answers, as far as it matters here."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from tidemill.exchange.errors import BadSource
from tidemill.tracking.records import Metric


class Entry(msgspec.Struct, frozen=True):
    """A param or a tag."""

    key: str
    value: str = ""


class Point(msgspec.Struct, frozen=True):
    """A point of a metric; what is not a finite number is a text."""

    key: str
    value: float | str = 0.0
    timestamp: int | str = 0
    step: int | str = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""

    @property
    def metric(self) -> Metric:
        """The point as this house has it.

        Raises:
            BadSource: One of its numbers is none.
        """
        try:
            value = float(self.value)
            numbers = int(self.timestamp), int(self.step)
        except ValueError as error:
            raise BadSource(f"A point of the metric {self.key!r} has no numbers.") from error
        return Metric(self.key, math.nan if math.isnan(value) else value, *numbers)


class ExperimentAnswer(msgspec.Struct, frozen=True):
    experiment_id: str
    name: str
    lifecycle_stage: str = "active"
    creation_time: int | str | None = None
    last_update_time: int | str | None = None
    tags: list[Entry] = []


class RunInfo(msgspec.Struct, frozen=True):
    experiment_id: str
    run_id: str = ""
    run_uuid: str = ""
    run_name: str = ""
    user_id: str = ""
    status: str | int = "RUNNING"
    start_time: int | str | None = None
    end_time: int | str | None = None
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class RunData(msgspec.Struct, frozen=True):
    metrics: list[Point] = []
    params: list[Entry] = []
    tags: list[Entry] = []


class DatasetAnswer(msgspec.Struct, frozen=True):
    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class DatasetInputAnswer(msgspec.Struct, frozen=True):
    dataset: DatasetAnswer
    tags: list[Entry] = []


class ModelAnswer(msgspec.Struct, frozen=True):
    model_id: str
    step: int | str = 0


class Inputs(msgspec.Struct, frozen=True):
    dataset_inputs: list[DatasetInputAnswer] = []
    model_inputs: list[ModelAnswer] = []


class Outputs(msgspec.Struct, frozen=True):
    model_outputs: list[ModelAnswer] = []


class RunAnswer(msgspec.Struct, frozen=True):
    info: RunInfo
    data: RunData = RunData()
    inputs: Inputs = Inputs()
    outputs: Outputs = Outputs()


class LoggedInfo(msgspec.Struct, frozen=True):
    model_id: str
    experiment_id: str
    name: str = ""
    creation_timestamp_ms: int | str | None = None
    last_updated_timestamp_ms: int | str | None = None
    artifact_uri: str = ""
    status: str | int = "LOGGED_MODEL_READY"
    model_type: str = ""
    source_run_id: str = ""
    tags: list[Entry] = []


class LoggedData(msgspec.Struct, frozen=True):
    params: list[Entry] = []
    metrics: list[Point] = []


class LoggedAnswer(msgspec.Struct, frozen=True):
    info: LoggedInfo
    data: LoggedData = LoggedData()


class Alias(msgspec.Struct, frozen=True):
    alias: str
    version: int | str


class RegisteredAnswer(msgspec.Struct, frozen=True):
    name: str
    creation_timestamp: int | str | None = None
    last_updated_timestamp: int | str | None = None
    description: str = ""
    tags: list[Entry] = []
    aliases: list[Alias] = []


class VersionAnswer(msgspec.Struct, frozen=True):
    name: str
    version: int | str
    creation_timestamp: int | str | None = None
    last_updated_timestamp: int | str | None = None
    user_id: str = ""
    current_stage: str = "None"
    description: str = ""
    source: str = ""
    run_id: str = ""
    model_id: str = ""
    status: str | int = "READY"
    run_link: str = ""
    tags: list[Entry] = []


class FileAnswer(msgspec.Struct, frozen=True):
    path: str
    is_dir: bool = False


class Answer(msgspec.Struct, frozen=True):
    """A page of any of them."""

    experiments: list[ExperimentAnswer] = []
    runs: list[RunAnswer] = []
    metrics: list[Point] = []
    models: list[LoggedAnswer] = []
    registered_models: list[RegisteredAnswer] = []
    registered_model: RegisteredAnswer | None = None
    model_versions: list[VersionAnswer] = []
    files: list[FileAnswer] = []
    next_page_token: str = ""


def texts(entries: Iterable[Entry]) -> dict[str, str]:
    """Return params or tags by key."""
    return {entry.key: entry.value for entry in entries}
