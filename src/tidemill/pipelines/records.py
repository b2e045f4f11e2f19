"""Pipeline runs, their steps, and the reports of the supplied model pipeline."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

RunStatus = Literal["running", "finished", "failed", "held", "interrupted"]
StepStatus = Literal["pending", "running", "finished", "cached", "failed", "held"]


class Stored(msgspec.Struct, frozen=True):
    """A step's value in the blob store.

    Attributes:
        kind: `frame`, `json`, `folder`, `object`, or `tuple` of others.
        digest: The blob; for a tuple, empty.
        items: The members of a tuple.
    """

    kind: Literal["frame", "json", "folder", "object", "tuple"]
    digest: str = ""
    items: tuple[Stored, ...] = ()


class StepRun(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one run.

    Attributes:
        place: Its place in the pipeline, from 0.
        name: Its name.
        status: How it stands.
        started: When it was started.
        ended: When it came to its end.
        key: The digest of everything that its value depends on.
        value: What it returned.
        error: What went wrong, in one sentence.
    """

    place: int
    name: str
    status: StepStatus
    started: datetime | None = None
    ended: datetime | None = None
    key: str | None = None
    value: Stored | None = None
    error: str | None = None


class PipelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a pipeline.

    Attributes:
        id: Also the id of the tracking run.
        pipeline: The pipeline's name.
        status: `held` is a candidate that did not pass its gate.
        started: When.
        ended: When it came to its end.
        actor: Who started it.
        error: What went wrong, in one sentence.
        arguments: What it was started with, as JSON.
        steps: In order.
    """

    id: str
    pipeline: str
    status: RunStatus
    started: datetime
    ended: datetime | None
    actor: str
    error: str | None
    arguments: msgspec.Raw
    steps: tuple[StepRun, ...] = ()


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Quality on the rows that share a value."""

    column: str
    value: str
    rows: int
    metrics: dict[str, float]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is on held-out rows.

    Attributes:
        rows: How many there were.
        metrics: By name.
        slices: By the policy's segments.
        latency_p50_ms: Of a one-row prediction through the twin.
        latency_p99_ms: Likewise.
    """

    rows: int
    metrics: dict[str, float]
    slices: tuple[Slice, ...] = ()
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0


class RuleReport(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of a gate and what became of it.

    Attributes:
        metric: Which metric.
        rule: `min`, `max`, `max_ratio` or `beats_champion`.
        passed: Whether it holds.
        candidate: The candidate's value.
        champion: The live model's value on the same rows, where it was compared.
        limit: The value demanded.
        low: Of the improvement: the lower end of its confidence interval.
        high: The upper end.
        sentence: All that for people.
    """

    metric: str
    rule: Literal["min", "max", "max_ratio", "beats_champion"]
    passed: bool
    candidate: float
    sentence: str
    champion: float | None = None
    limit: float | None = None
    low: float | None = None
    high: float | None = None


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the checks that need more than held-out rows.

    Attributes:
        rules: Each with its figures.
    """

    rules: tuple[RuleReport, ...] = ()


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a candidate.

    Attributes:
        passed: Whether every rule holds.
        rules: Each with its figures.
        champion: The live version it was compared with, as a reference.
        rows: How many held-out rows it rests on.
    """

    passed: bool
    rules: tuple[RuleReport, ...]
    champion: str | None
    rows: int

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        if not self.rules:
            return "The policy has no gate for this model."
        return " ".join(r.sentence for r in self.rules)
