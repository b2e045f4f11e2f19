"""Runs pipelines: step by step, each in its own process, from where it was interrupted."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from tidemill.core import digest
from tidemill.core.clock import Clock
from tidemill.core.errors import Findings, TidemillError
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.pipelines import store
from tidemill.pipelines.code import environment
from tidemill.pipelines.errors import BadPipeline, PipelineRunNotFound, StepFailed
from tidemill.pipelines.events import StepEnded
from tidemill.pipelines.executors.jobs import LOG, Job, Logged
from tidemill.pipelines.executors.process import ProcessExecutor
from tidemill.pipelines.records import PipelineRun, RunStatus, StepRun, StepStatus, Stored
from tidemill.pipelines.steps import Handle, Node
from tidemill.pipelines.values import load_value, store_value
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.db.engine import Database
from tidemill.tracking.active import ActiveRun, activate
from tidemill.tracking.service import Tracking

Progress = Callable[[PipelineRun, StepRun], None]
MAX_LOG = 4 << 20


class Pipelines:
    """Pipeline runs and the values of their steps.

    Args:
        db: The database.
        blobs: Where values lie.
        blobs_folder: The same store as a folder, for child processes.
        tracking: What steps log goes there; the run of a pipeline is a tracking run.
        journal: Where steps are written down.
        clock: Dates everything.
        folder: Where logs and scratch files of runs lie.
        executor: Where isolated steps run; one of its own where it is left out.
        surroundings: Returns variables for the processes of a run's steps, by the run's id.
    """

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        blobs_folder: Path,
        tracking: Tracking,
        journal: Journal,
        clock: Clock,
        folder: Path,
        *,
        executor: ProcessExecutor | None = None,
        surroundings: Callable[[str], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._blobs_folder = blobs_folder
        self._tracking = tracking
        self._journal = journal
        self._clock = clock
        self._folder = folder
        self._executor = executor or ProcessExecutor()
        self._surroundings = surroundings
        self._under_way: set[str] = set()

    @cached_property
    def _environment(self) -> str:
        return environment().digest

    def close(self) -> None:
        """End the child processes."""
        self._executor.close()

    def run(
        self,
        name: str,
        nodes: list[Node],
        *,
        run_id: str,
        actor: str,
        experiment: str | None = None,
        arguments: Any = None,
        code: Path | None = None,
        code_digest: str = "",
        tags: Mapping[str, str] | None = None,
        cause: str | None = None,
        on_progress: Progress | None = None,
        fresh: bool = False,
    ) -> PipelineRun:
        """Run a graph to its end. With the id of an interrupted run, go on where it stopped.

        Args:
            name: The pipeline's name.
            nodes: Its graph.
            run_id: The run's id; also that of its tracking run.
            actor: Who started it.
            experiment: The tracking experiment; the pipeline's name where it is left out.
            arguments: What it was started with, for the record.
            code: A folder with the user's modules.
            code_digest: The digest of that code; part of what values depend on.
            tags: Of the tracking run.
            cause: The id of the fact that led to it.
            on_progress: Is told when a step starts and ends.
            fresh: Whether every step runs, whatever the cache holds.

        Returns:
            The run, whatever became of it; `status` and `error` say.
        """
        self._under_way.add(run_id)
        try:
            return self._run(
                name, nodes, run_id, actor, experiment, arguments, code, code_digest, tags, cause,
                on_progress, fresh,
            )  # fmt: skip
        finally:
            self._under_way.discard(run_id)

    def is_under_way(self, run_id: str) -> bool:
        """Tell whether a run is being run here at this moment."""
        return run_id in self._under_way

    def _run(
        self,
        name: str,
        nodes: list[Node],
        run_id: str,
        actor: str,
        experiment: str | None,
        arguments: Any,
        code: Path | None,
        code_digest: str,
        tags: Mapping[str, str] | None,
        cause: str | None,
        on_progress: Progress | None,
        fresh: bool,
    ) -> PipelineRun:
        experiment_id = self._tracking.experiment(experiment or name).id
        tracked = self._tracking.start_run(
            experiment_id, actor=actor, run_id=run_id, tags=tags, cause=cause, name=""
        )
        if tracked.status != "RUNNING":
            self._tracking.resume_run(run_id, actor=actor, cause=cause)
        run = self._begin(name, nodes, run_id, actor, arguments)
        status: RunStatus = "finished"
        failure: str | None = None
        values: list[Stored] = []
        for place, node in enumerate(nodes):
            execution = _Execution(self, run, place, node, code, code_digest, on_progress, cause)
            execution.fresh = fresh
            try:
                values.append(execution.value(values))
            except TidemillError as error:
                status = "held" if isinstance(error, Findings) else "failed"
                failure = str(error)
                break
        run = self._end(run_id, status, failure)
        self.clean(run_id)
        ended = {"finished": "FINISHED", "held": "FINISHED"}.get(status, "FAILED")
        self._tracking.end_run(run_id, ended, actor=actor, cause=cause)  # type: ignore[arg-type]
        return run

    def get(self, run_id: str) -> PipelineRun:
        """Return a run; the beginning of an id will do where only one begins so.

        Raises:
            PipelineRunNotFound: No pipeline run has that id.
        """
        with self._db.read() as connection:
            begins = store.runs.c.id.startswith(run_id, autoescape=True)
            found = store.read_runs(connection, begins, limit=2)
        if len(found) != 1:
            raise PipelineRunNotFound(
                f"There is no pipeline run {run_id!r}.",
                hint="List them with: tidemill runs list",
            )
        return found[0]

    def runs(
        self, *, status: RunStatus | None = None, limit: int | None = 100
    ) -> list[PipelineRun]:
        """Return the newest runs."""
        where = [] if status is None else [store.runs.c.status == status]
        with self._db.read() as connection:
            return store.read_runs(connection, *where, limit=limit)

    def interrupt(self, run_id: str) -> PipelineRun:
        """Mark a run whose process ended in the middle of it; with its id it can go on."""
        run = self._end(run_id, "interrupted", "The process that ran it ended.")
        self._tracking.end_run(run_id, "KILLED", actor=run.actor)
        self.clean(run_id)
        return run

    def recover(self) -> list[PipelineRun]:
        """Mark the runs that the last owner of the home left in the middle.

        To be called by a new owner before it runs anything: whatever is marked as running then has
        nobody who runs it.
        """
        return [self.interrupt(run.id) for run in self.runs(status="running", limit=None)]

    def log(self, run_id: str, step: str) -> str:
        """Return what a step printed, the end of it where it is long."""
        run = self.get(run_id)
        for each in run.steps:
            if each.name == step:
                return _tail(self._job_folder(run.id, each) / LOG)
        raise PipelineRunNotFound(f"Run {run_id} has no step {step!r}.")

    def value(self, run: PipelineRun, step: str) -> Any:
        """Return what a step of a run returned, or nothing where it did not come so far."""
        for each in reversed(run.steps):
            if each.name == step and each.value is not None:
                return load_value(self._blobs, each.value, self._folder / run.id)
        return None

    def clean(self, run_id: str) -> None:
        """Remove the scratch folders of a run's steps; logs stay."""
        for folder in (self._folder / run_id).glob("*/*-*"):
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _begin(
        self, name: str, nodes: list[Node], run_id: str, actor: str, arguments: Any
    ) -> PipelineRun:
        def work(connection: Connection) -> PipelineRun:
            known = store.read_runs(connection, store.runs.c.id == run_id)
            steps = tuple(
                StepRun(place=i, name=n.step.name, status="pending") for i, n in enumerate(nodes)
            )
            run = PipelineRun(
                id=run_id,
                pipeline=name,
                status="running",
                started=known[0].started if known else self._clock.now(),
                ended=None,
                actor=actor,
                error=None,
                arguments=msgspec.Raw(msgspec.json.encode(arguments)),
                steps=known[0].steps if known else steps,
            )
            store.set_run(connection, run)
            if not known:
                for step in steps:
                    store.set_step(connection, run_id, step)
            return run

        return self._db.write(work)

    def _end(self, run_id: str, status: RunStatus, error: str | None) -> PipelineRun:
        def work(connection: Connection) -> PipelineRun:
            run = store.read_runs(connection, store.runs.c.id == run_id)[0]
            ended = msgspec.structs.replace(
                run, status=status, error=error, ended=self._clock.now()
            )
            store.set_run(connection, ended)
            return ended

        return self._db.write(work)

    def _job_folder(self, run_id: str, step: StepRun) -> Path:
        return self._folder / run_id / f"{step.place:02d}-{step.name}"


class _Execution:
    """One step of one run."""

    def __init__(
        self,
        owner: Pipelines,
        run: PipelineRun,
        place: int,
        node: Node,
        code: Path | None,
        code_digest: str,
        on_progress: Progress | None,
        cause: str | None,
    ) -> None:
        self._owner = owner
        self._run = run
        self._node = node
        self._code = code
        self._code_digest = code_digest
        self._on_progress = on_progress
        self._cause = cause
        self._step = run.steps[place]
        self.fresh = False

    def value(self, values: list[Stored]) -> Stored:
        """Return the step's value: from this run before its interruption, from the cache, or new.

        Raises:
            StepFailed: It raised, was killed, or took too long.
            Findings: It said no.
        """
        arguments = {k: self._argument(v, values) for k, v in self._node.arguments.items()}
        key = _key(self._node, arguments, self._code_digest, self._owner._environment)
        done = self._step
        if done.status in {"finished", "cached"} and done.key == key and done.value is not None:
            return done.value
        started = self._owner._clock.now()
        self._set("running", started=started, key=key)
        known = self._cached(key)
        if known is not None:
            self._set("cached", ended=self._owner._clock.now(), value=known)
            return known
        try:
            value = self._tried(arguments)
        except Findings as error:
            self._set("held", ended=self._owner._clock.now(), error=str(error))
            raise
        except TidemillError as error:
            self._set("failed", ended=self._owner._clock.now(), error=str(error))
            raise
        self._set("finished", ended=self._owner._clock.now(), value=value)
        return value

    def _argument(self, argument: Any, values: list[Stored]) -> Stored:
        if isinstance(argument, Handle):
            stored = values[argument.node]
            return stored if argument.member is None else stored.items[argument.member]
        return store_value(self._owner._blobs, argument)

    def _cached(self, key: str) -> Stored | None:
        if self.fresh or not self._node.step.cache:
            return None
        with self._owner._db.read() as connection:
            return store.known_value(connection, key)

    def _tried(self, arguments: dict[str, Stored]) -> Stored:
        attempt = 0
        while True:
            try:
                return self._executed(arguments)
            except StepFailed:
                attempt += 1
                if attempt > self._node.step.retries:
                    raise

    def _executed(self, arguments: dict[str, Stored]) -> Stored:
        folder = self._owner._job_folder(self._run.id, self._step)
        if not self._node.step.isolated:
            return self._here(arguments, folder)
        job = Job(
            function=_importable(self._node),
            arguments=arguments,
            blobs=str(self._owner._blobs_folder),
            path=() if self._code is None else (str(self._code),),
            run_id=self._run.id,
            environment=dict(self._owner._surroundings(self._run.id)),
        )
        result = self._owner._executor.run(
            job, folder, timeout=self._node.step.timeout, on_logged=self._logged
        )
        if result.status == "held":
            raise Findings(result.error)
        if result.status == "failed" or result.value is None:
            raise self._failed(result.error)
        return result.value

    def _here(self, arguments: dict[str, Stored], folder: Path) -> Stored:
        """Run the step in this process, for the rooms that it closes over."""
        loaded = {k: load_value(self._owner._blobs, v, folder) for k, v in arguments.items()}
        try:
            with activate(ActiveRun(self._run.id, self._owner._tracking)):
                value = self._node.step.function(**loaded)
        except TidemillError:
            raise
        except Exception as error:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / LOG).open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            raise self._failed(f"{type(error).__name__}: {error}") from error
        return store_value(self._owner._blobs, value)

    def _failed(self, why: str) -> StepFailed:
        return StepFailed(
            f"Step {self._step.name!r} failed: {why}",
            hint=f"See its log with: tidemill runs logs {self._run.id} {self._step.name}",
        )

    def _logged(self, logged: Logged) -> None:
        run_id = self._run.id
        if logged.artifact:
            with self._owner._blobs.open(logged.digest) as source:
                self._owner._tracking.log_artifact(run_id, logged.artifact, source)
            return
        self._owner._tracking.log(
            run_id, metrics=logged.metrics, params=logged.params, tags=logged.tags
        )

    def _set(self, status: StepStatus, **changes: Any) -> None:
        self._step = msgspec.structs.replace(self._step, status=status, **changes)
        step = self._step

        def work(connection: Connection) -> None:
            store.set_step(connection, self._run.id, step)
            if status == "running":
                return
            if status == "finished" and self._node.step.cache and step.key and step.value:
                store.keep_value(connection, step.key, step.value, self._owner._clock.now())
            seconds = (
                (step.ended - step.started).total_seconds() if step.ended and step.started else 0.0
            )
            event = StepEnded(
                run_id=self._run.id,
                step=step.name,
                status=status,
                seconds=seconds,
                error=step.error,
            )
            subject = Ref("run", self._run.id)
            self._owner._journal.append(
                connection, event, subject=subject, actor=self._run.actor, cause=self._cause
            )

        self._owner._db.write(work)
        if self._on_progress is not None:
            self._on_progress(self._run, step)


def _key(
    node: Node, arguments: dict[str, Stored], code_digest: str, environment_digest: str
) -> str:
    """Return the digest of all that a step's value depends on."""
    try:
        source = inspect.getsource(node.step.function)
    except (OSError, TypeError):
        source = node.step.name
    return digest.of_record(
        {
            "step": f"{node.step.function.__module__}:{node.step.name}",
            "source": hashlib.sha256(source.encode()).hexdigest(),
            "arguments": arguments,
            "code": code_digest,
            "environment": environment_digest,
        }
    )


def _importable(node: Node) -> str:
    function = node.step.function
    name = f"{function.__module__}:{function.__qualname__}"
    if "<locals>" in name or function.__module__ == "__main__":
        raise BadPipeline(
            f"The step {node.step.name!r} cannot be imported by a child process.",
            expected="a function at the top level of a module",
            hint="Move it to pipeline.py, or mark it @step(isolated=False).",
        )
    return name


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_LOG))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
