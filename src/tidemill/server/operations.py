"""What can be asked of a home from outside: the one list that HTTP, the client and the CLI share.

An operation takes plain values and returns records. Those marked `@changes` need POST; all others
only read.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec

from tidemill import __version__
from tidemill.core.errors import Conflict, NotFound, TidemillError, Usage, nearest
from tidemill.core.events import Fact
from tidemill.core.ids import is_id
from tidemill.core.policy import MonitorPolicy
from tidemill.core.policy.durations import duration
from tidemill.core.references import Ref
from tidemill.datasets.records import ColumnProfile, DatasetDiff, DatasetVersion, Snapshot
from tidemill.home import Home
from tidemill.loop.records import Decision, Intention, Reproduction, Trace
from tidemill.monitoring.records import EstimateHistory, Finding, WindowReport
from tidemill.pipelines.records import PipelineRun
from tidemill.registry.records import AliasChange, Model, ModelVersion
from tidemill.serving.records import Deployment, Rollout, Target, Verdict
from tidemill.tracking.records import Artifact, Experiment, Metric, NewRun, Run, RunStatus
from tidemill.upkeep.errors import BadAge
from tidemill.upkeep.records import Reclaimed

F = TypeVar("F", bound=Callable[..., Any])
CHAMPION = "champion"
_USER = "user:local"
Limit = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Position = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class UnknownOperation(NotFound):
    """There is no operation of that name."""


class BadArgument(Usage):
    """An argument of an operation is missing, unknown, or has the wrong type."""


class AlreadyTraining(Conflict):
    """The model is being trained already."""


class EndpointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint at a glance."""

    deployment: Deployment
    rollout: Rollout | None
    windows: tuple[WindowReport, ...]


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
        error: What went wrong.
        code: The error's code.
    """

    id: str
    done: bool = False
    step: str = ""
    run: PipelineRun | None = None
    reproduction: Reproduction | None = None
    reclaimed: Reclaimed | None = None
    error: str | None = None
    code: str | None = None


def changes(function: F) -> F:
    """Mark an operation that changes something."""
    function.__tidemill_changes__ = True  # type: ignore[attr-defined]
    return function


class Operations:
    """The operations of an opened home.

    Args:
        home: The home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self.serving: str | None = None
        self.workers: Callable[[], int] = lambda: 0

    def status(self) -> Status:
        """Everything at a glance."""
        home = self._home
        models = tuple(home.registry.models())
        return Status(
            version=__version__,
            home=str(home.path),
            project=None if home.project is None else str(home.project),
            now=home.clock.now(),
            serving=self.serving,
            workers=self.workers(),
            models=models,
            endpoints=tuple(map(self._endpoint, home.deployments.endpoints())),
            findings=tuple(home.monitor.findings(limit=30)),
            decisions=tuple(home.controller.decisions(limit=60)),
            intentions=tuple(home.controller.explain(m) for m in home.policy.models),
        )

    def models(self) -> list[Model]:
        """All models."""
        return self._home.registry.models()

    def versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, newest first."""
        return self._home.registry.versions(model)

    def version(self, ref: str) -> ModelVersion:
        """One model version."""
        return self._home.registry.version(Ref.parse(ref, kind="model"))

    def history(self, model: str) -> list[AliasChange]:
        """What was live when, newest first."""
        return self._home.registry.history(model)

    def bundle(self, ref: str) -> str:
        """The folder of a version's bundle, unpacked."""
        return str(self._home.unpack(self.version(ref).packed))

    def runs(self, limit: Limit = 20) -> list[Run]:
        """The newest runs."""
        return self._home.tracking.runs(limit=limit)

    def run(self, id: str) -> Run:
        """One run."""
        return self._home.tracking.get(id)

    def pipeline_run(self, id: str) -> PipelineRun:
        """One run of a pipeline, with its steps."""
        return self._home.pipelines.get(id)

    def run_log(self, id: str, step: str) -> str:
        """What a step printed."""
        return self._home.pipelines.log(id, step)

    def run_metric(self, id: str, key: str) -> list[Metric]:
        """Every point of a metric."""
        return self._home.tracking.history(id, key)

    def run_artifacts(self, id: str) -> list[Artifact]:
        """A run's artifacts."""
        return self._home.tracking.artifacts(id)

    def run_files(self, id: str, prefix: str) -> str:
        """The folder with a run's artifacts below a path, written out."""
        return str(self._home.artifacts_folder(id, prefix))

    def run_sources(self, id: str) -> str | None:
        """The folder with the code that a pipeline's run was made of, if it is one."""
        digest = self._home.tracking.get(id).tags.get("tidemill.code")
        return None if digest is None else str(self._home.unpack_code(digest))

    def datasets(self) -> list[DatasetVersion]:
        """The newest version of every dataset."""
        found = (self._home.datasets.latest(name) for name in self._home.datasets.names())
        return [version for version in found if version is not None]

    def dataset_versions(self, dataset: str, limit: Limit = 20) -> list[DatasetVersion]:
        """A dataset's versions, newest first."""
        return self._home.datasets.versions(dataset, limit=limit)

    def dataset_version(self, ref: str) -> DatasetVersion:
        """One dataset version."""
        return self._home.datasets.version(Ref.parse(ref, kind="dataset"))

    def dataset_profile(self, ref: str) -> tuple[ColumnProfile, ...]:
        """The statistics of a dataset version's columns."""
        return self._home.datasets.profile(self.dataset_version(ref))

    def dataset_diff(self, before: str, after: str) -> DatasetDiff:
        """How two dataset versions differ."""
        return self._home.datasets.diff(self.dataset_version(before), self.dataset_version(after))

    def endpoints(self) -> list[Deployment]:
        """What stands behind every endpoint."""
        return self._home.deployments.endpoints()

    def rollouts(self, endpoint: str | None = None) -> list[Rollout]:
        """Rollouts, newest first."""
        return self._home.deployments.rollouts(endpoint)

    def rollback_preview(self, endpoint: str) -> str:
        """What a rollback would do."""
        return self._home.deployments.preview_rollback(endpoint)

    def windows(self, endpoint: str, limit: Limit = 12) -> list[WindowReport]:
        """Windows' reports, newest first."""
        self._home.deployments.get(endpoint)
        return self._home.monitor.windows(endpoint, limit=limit)

    def window(
        self, endpoint: str, since: str, until: str, version: int | None = None
    ) -> WindowReport:
        """What is known of any stretch of an endpoint's predictions."""
        model = self._home.deployments.get(endpoint).champion.model
        policy = self._home.policy.models.get(model)
        begin, end = _moment("since", since), _moment("until", until)
        if begin >= end:
            raise BadArgument(
                f"The stretch from {since} to {until} is empty.", expected="since before until"
            )
        return self._home.monitor.window(
            endpoint,
            model=model,
            policy=MonitorPolicy() if policy is None else policy.monitor,
            since=begin,
            until=end,
            version=version,
            metrics=() if policy is None else policy.metrics,
        )

    def estimates(self, endpoint: str) -> EstimateHistory:
        """How near the estimates of quality came to what the labels told."""
        self._home.deployments.get(endpoint)
        return self._home.monitor.estimates(endpoint)

    def findings(self, endpoint: str | None = None, limit: Limit = 50) -> list[Finding]:
        """What the monitor found, newest first."""
        return self._home.monitor.findings(endpoint, limit=limit)

    def decisions(self, limit: Limit = 100) -> list[Decision]:
        """What the loop decided, newest first."""
        return self._home.controller.decisions(limit=limit)

    def explain(self, model: str | None = None) -> list[Intention]:
        """What the loop would do now, and why."""
        names = [model] if model else list(self._home.policy.models)
        return [self._home.controller.explain(name) for name in names]

    def trace(self, prediction: str) -> Trace:
        """From a prediction back to the rows."""
        return self._home.tracer.trace(prediction.removeprefix("prediction:"))

    def journal(self, after: Position = 0, limit: Limit = 100) -> list[Fact]:
        """Facts beyond a position."""
        return self._home.journal.read(after=after, limit=limit)

    def job(self, id: str) -> Job:
        """How something long stands."""
        try:
            return self._jobs[id]
        except KeyError:
            raise UnknownOperation(f"There is no job {id!r}.") from None

    @changes
    def experiment(self, name: str) -> Experiment:
        """An experiment; it is made where it is new."""
        return self._home.tracking.experiment(name)

    @changes
    def start_run(self, new: NewRun) -> Run:
        """Start a run whose id was chosen; one that is known is returned as it is."""
        if not is_id(new.id):
            raise BadArgument(f"{new.id!r} is no run's id.", expected="32 hexadecimal digits")
        return self._home.tracking.start_run(
            self._home.tracking.experiment(new.experiment).id,
            run_id=new.id,
            actor=new.actor[:200],
            name=new.name[:500],
            parent=new.parent,
            tags=new.tags,
            started=new.started,
        )

    @changes
    def resume_run(self, id: str, actor: str = _USER) -> Run:
        """Go on with a run."""
        return self._home.tracking.resume_run(id, actor=actor[:200])

    @changes
    def end_run(
        self, id: str, status: RunStatus, actor: str = _USER, ended: datetime | None = None
    ) -> Run:
        """End a run."""
        return self._home.tracking.update_run(id, status=status, actor=actor[:200], ended=ended)

    @changes
    def take_in(self, dataset: str) -> Snapshot:
        """Look at a dataset's source and take in what is new."""
        return self._home.trainer.take_in(dataset, actor=_USER)

    @changes
    def train(self, model: str) -> Job:
        """Train, judge, register and roll out; runs on in the background."""
        self._home.trainer.model_policy(model)
        return self._background(
            lambda job: setattr(
                job,
                "run",
                self._home.controller.train(
                    model, actor=_USER, on_progress=lambda _, s: _show(job, s.name)
                ),
            ),
            f"train {model}",
        )

    @changes
    def check(self, model: str) -> Job:
        """Train and judge the working tree's model, and stop there."""
        self._home.trainer.model_policy(model)
        return self._background(
            lambda job: setattr(
                job,
                "run",
                self._home.trainer.check(
                    model, actor=_USER, on_progress=lambda _, s: _show(job, s.name)
                ),
            ),
            f"check {model}",
        )

    @changes
    def reproduce(self, id: str) -> Job:
        """Make a run again, and compare."""
        run = self._home.pipelines.get(id)
        return self._background(
            lambda job: setattr(
                job,
                "reproduction",
                self._home.reproducer.reproduce(
                    run.id, actor=_USER, on_progress=lambda _, s: _show(job, s.name)
                ),
            ),
            f"reproduce {run.id}",
        )

    @changes
    def delete_run(self, id: str) -> Run:
        """Delete a run; it can be restored until it is erased."""
        return self._home.tracking.delete_run(id, actor=_USER)

    @changes
    def restore_run(self, id: str) -> Run:
        """Restore a deleted run."""
        return self._home.tracking.restore_run(id, actor=_USER)

    @changes
    def gc(self, older_than: str = "30d", dry_run: bool = False) -> Job:
        """Erase what was deleted long ago, and give back the space that nothing needs."""
        seconds = duration(older_than)
        if seconds is None or seconds > _LONGEST:
            raise BadAge(
                f"{older_than!r} is no age.", expected="a number and a unit, such as 30d or 12h"
            )
        age = timedelta(seconds=seconds)
        return self._background(
            lambda job: setattr(
                job,
                "reclaimed",
                self._home.upkeep.collect(older_than=age, actor=_USER, dry=dry_run),
            ),
            "gc",
        )

    @changes
    def tick(self) -> list[Decision]:
        """Have the loop go once around now."""
        return self._home.controller.tick()

    @changes
    def deploy(self, ref: str, endpoint: str | None = None, canary: bool = False) -> Deployment:
        """Give an endpoint's traffic to a version: all at once, or by canary."""
        version = self.version(ref)
        name = endpoint or self._endpoint_of(version.model)
        target = Target(model=version.model, version=version.version, bundle=version.packed)
        policy = self._home.policy.models.get(version.model)
        if canary and policy is not None:
            self._home.deployments.start_rollout(
                name, target, policy.rollout, actor=_USER, reason=f"{version.ref} was sent."
            )
            return self._home.deployments.get(name)
        reason = f"{version.ref} was deployed by hand."
        deployment = self._home.deployments.deploy(name, target, actor=_USER, reason=reason)
        self._home.registry.set_alias(
            version.model, CHAMPION, version.version, actor=_USER, reason=reason
        )
        return deployment

    @changes
    def promote(self, ref: str) -> Deployment:
        """Give a version all of the traffic, from its rollout or from nothing."""
        version = self.version(ref)
        for rollout in self._home.deployments.rollouts(status="running"):
            if rollout.candidate.ref == version.ref:
                reason = f"{version.ref} was promoted by hand."
                verdict = Verdict(action="promote", reason=reason)
                self._home.deployments.promote(rollout.id, verdict, actor=_USER)
                self._home.registry.set_alias(
                    version.model, CHAMPION, version.version, actor=_USER, reason=reason
                )
                return self._home.deployments.get(rollout.endpoint)
        return self.deploy(ref)

    @changes
    def rollback(self, endpoint: str) -> Deployment:
        """Undo an endpoint's last change."""
        reason = "It was rolled back by hand."
        deployment = self._home.deployments.rollback(endpoint, actor=_USER, reason=reason)
        champion = deployment.champion
        self._home.registry.set_alias(
            champion.model, CHAMPION, champion.version, actor=_USER, reason=reason
        )
        return deployment

    @changes
    def alias(self, model: str, alias: str, version: int, reason: str = "") -> Model:
        """Have an alias name a version."""
        said = reason or "It was set by hand."
        self._home.registry.set_alias(model, alias, version, actor=_USER, reason=said)
        return self._home.registry.model(model)

    @changes
    def approve(self, ref: str, reason: str = "") -> ModelVersion:
        """Mark a version as ready for use."""
        version = self.version(ref)
        said = reason or "It was approved by hand."
        return self._home.registry.approve(version.model, version.version, reason=said, actor=_USER)

    def _endpoint(self, deployment: Deployment) -> EndpointStatus:
        running = self._home.deployments.rollouts(deployment.endpoint, status="running")
        return EndpointStatus(
            deployment=deployment,
            rollout=running[0] if running else None,
            windows=tuple(self._home.monitor.windows(deployment.endpoint, limit=60)),
        )

    def _endpoint_of(self, model: str) -> str:
        policy = self._home.policy.models.get(model)
        return (policy.serving.endpoint if policy else None) or model

    def _background(self, work: Callable[[Job], None], name: str) -> Job:
        with self._lock:
            if any(not j.done and j.id.startswith(f"{name} ") for j in self._jobs.values()):
                raise AlreadyTraining(
                    f"“{name}” is under way already.", hint="Wait for it to come to its end."
                )
            job = Job(id=f"{name} {self._home.ids.new()}")
            self._jobs[job.id] = job

        def run() -> None:
            try:
                work(job)
            except TidemillError as error:
                job.error, job.code = str(error), error.code
            except Exception as error:
                job.error, job.code = f"{type(error).__name__}: {error}", "INTERNAL"
            job.done = True

        threading.Thread(target=run, name=name, daemon=True).start()
        return job


_USER = "user:local"
_LONGEST = 100 * 366 * 24 * 3600.0


def call(operations: Operations, name: str, arguments: Mapping[str, Any], *, post: bool) -> Any:
    """Call an operation by its name, its arguments checked and converted.

    Raises:
        UnknownOperation: There is none of that name.
        BadArgument: An argument is missing, unknown, or has the wrong type.
        TidemillError: Whatever the operation raises.
    """
    method = None if name.startswith("_") else getattr(Operations, name, None)
    if method is None or not inspect.isfunction(method):
        raise UnknownOperation(
            f"There is no operation {name!r}.", expected=nearest(name, operation_names())
        )
    if changing(name) and not post:
        raise BadArgument(f"The operation {name!r} changes something.", expected="POST")
    hints = inspect.get_annotations(method, eval_str=True)
    hints.pop("return", None)
    for key in arguments:
        if key not in hints:
            raise BadArgument(
                f"The operation {name!r} takes no argument {key!r}.", expected=nearest(key, hints)
            )
    converted = {}
    for key, value in arguments.items():
        try:
            converted[key] = msgspec.convert(value, hints[key], strict=False)
        except msgspec.ValidationError as error:
            raise BadArgument(f"The argument {key!r} of {name!r} is {value!r}: {error}.") from error
    try:
        inspect.signature(method).bind(operations, **converted)
    except TypeError as error:
        raise BadArgument(f"The operation {name!r}: {error}.") from error
    return method(operations, **converted)


def _moment(name: str, text: str) -> datetime:
    """Read a day or a moment; UTC where it does not say otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadArgument(
            f"{name} is {text!r}.", expected="a day or a moment, such as 2026-03-01T12:00"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def operation_names() -> list[str]:
    """Return the names of all operations."""
    found = inspect.getmembers(Operations, inspect.isfunction)
    return [name for name, _ in found if not name.startswith("_")]


def changing(name: str) -> bool:
    """Tell whether an operation changes something."""
    return bool(getattr(getattr(Operations, name), "__tidemill_changes__", False))


def result_type(name: str) -> Any:
    """Return the type of what an operation returns."""
    return inspect.get_annotations(getattr(Operations, name), eval_str=True)["return"]


def _show(job: Job, step: str) -> None:
    job.step = step
