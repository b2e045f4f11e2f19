"""What operations return that no room returns by itself."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tidemill.core.events import Fact
from tidemill.loop.records import Decision, Intention, Reproduction
from tidemill.monitoring.alerts.records import Alert
from tidemill.monitoring.records import Finding, WindowReport
from tidemill.pipelines.records import PipelineRun
from tidemill.registry.records import Model, ModelVersion
from tidemill.serving.differences import Backtest
from tidemill.serving.evidence import Look, ShadowReport
from tidemill.serving.records import Deployment, Part, Rollout
from tidemill.upkeep.records import Reclaimed


class EndpointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint at a glance."""

    deployment: Deployment
    rollout: Rollout | None
    windows: tuple[WindowReport, ...]


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of an endpoint.

    Attributes:
        deployment: What stands behind it.
        parts: What each version has to do.
        rollout: The newest rollout, running or ended.
        looks: How its evidence grew.
        shadows: How versions that are or were mirrored compare.
        facts: What was changed and judged, newest first.
    """

    deployment: Deployment
    parts: tuple[Part, ...]
    rollout: Rollout | None
    looks: tuple[Look, ...]
    shadows: tuple[ShadowReport, ...]
    facts: tuple[Fact, ...]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A home at a glance."""

    version: str
    home: str
    project: str | None
    now: datetime
    serving: str | None
    workers: int
    models: tuple[Model, ...]
    endpoints: tuple[EndpointStatus, ...]
    findings: tuple[Finding, ...]
    alerts: tuple[Alert, ...]
    deliveries: dict[str, int]
    decisions: tuple[Decision, ...]
    intentions: tuple[Intention, ...]


class Job(msgspec.Struct, kw_only=True):
    """Something long that runs in the owner.

    Attributes:
        id: Names it.
        done: Whether it has come to its end.
        step: What it is doing.
        run: The pipeline run, once it has ended.
        reproduction: What came of making a run again.
        reclaimed: What was erased and given back.
        backtest: What a candidate would have said instead.
        version: The model version that was packed.
        error: What went wrong.
        code: The error's code.
        status: The HTTP status that it would have had, had anybody waited.
    """

    id: str
    done: bool = False
    step: str = ""
    run: PipelineRun | None = None
    reproduction: Reproduction | None = None
    reclaimed: Reclaimed | None = None
    backtest: Backtest | None = None
    version: ModelVersion | None = None
    error: str | None = None
    code: str | None = None
    status: int | None = None

    def show(self, step: str) -> None:
        """Say what it is doing."""
        self.step = step
