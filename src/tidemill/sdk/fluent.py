"""Logging to the run that is active here; names and meanings are MLflow's.

Inside a pipeline's step the active run is the step's. Anywhere else a run is started where
`destinations.choice` says: in the home that `home_folder` finds, through its owner if it has one,
or in a spool while no server can be reached. The active run belongs to the thread or task that
started it: another thread logs through the handle that `start_run` gave.
"""

from __future__ import annotations

import atexit
import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from tidemill.core.clock import SystemClock, micros
from tidemill.core.errors import nearest
from tidemill.core.ids import Ids
from tidemill.core.search.parser import split_order
from tidemill.sdk import entries
from tidemill.sdk.destinations.choice import choose
from tidemill.sdk.errors import BadLogged, RunActive
from tidemill.tracking.active import ActiveRun, install
from tidemill.tracking.active import active_run as _active
from tidemill.tracking.records import Experiment, NewRun, Run, RunStatus, Tag
from tidemill.tracking.validation import check_name, check_path

if TYPE_CHECKING:
    from tidemill.sdk.destinations.protocol import Destination

_SESSION: ContextVar[_Session | None] = ContextVar("tidemill_session", default=None)
_EXPERIMENT: ContextVar[str | None] = ContextVar("tidemill_experiment", default=None)


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What MLflow calls a run's info.

    Attributes:
        run_id: The run's id.
        run_name: For people; empty where a step's process does not know it.
        experiment_id: Where it belongs; empty where a step's process does not know it.
    """

    run_id: str
    run_name: str = ""
    experiment_id: str = ""


class RunHandle:
    """An active run: a context manager that ends it, and the logging functions as methods.

    Args:
        run: The run and where its log goes.
        info: What is known of it here.
    """

    def __init__(self, run: ActiveRun, info: RunInfo) -> None:
        self._run = run
        self.info = info

    @property
    def id(self) -> str:
        """The run's id."""
        return self._run.id

    def log_metrics(
        self, metrics: Mapping[str, float], step: int | None = None, timestamp: int | None = None
    ) -> None:
        """Log several metrics at once; see `log_metric`."""
        when = micros(SystemClock().now()) // 1000 if timestamp is None else timestamp
        points = entries.points(metrics, step=step or 0, timestamp=when)
        self._run.sink.log(self.id, metrics=points)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log several params at once; see `log_param`."""
        self._run.sink.log(self.id, params=entries.params(params))

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set several tags at once; see `set_tag`."""
        self._run.sink.log(self.id, tags=entries.tags(tags))

    def log_bytes(self, content: bytes, artifact_file: str) -> None:
        """Log bytes as a file."""
        check_path(artifact_file)
        self._run.sink.log_artifact(self.id, artifact_file, content)

    def log_file(self, file: Path, artifact_file: str) -> None:
        """Log a local file."""
        check_path(artifact_file)
        self._run.sink.log_artifact(self.id, artifact_file, file)

    def __enter__(self) -> RunHandle:
        """Return the handle: the run is active already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run, as failed where the block raised."""
        end_run("FINISHED" if kind is None else "FAILED")


class _Session:
    """A run that was started here, in a home that was opened for the outermost of them."""

    def __init__(
        self,
        home: Destination,
        handle: RunHandle,
        outer: _Session | None,
        previous: ActiveRun | None,
    ) -> None:
        self.home = home
        self.handle = handle
        self.outer = outer
        self.previous = previous

    def finish(self, status: RunStatus) -> None:
        atexit.unregister(self.finish_at_exit)
        try:
            now = SystemClock().now()
            self.home.end(self.handle.id, status, actor=_actor(), ended=now)
        finally:
            if self.outer is None:
                self.home.close()

    def finish_at_exit(self) -> None:
        """End a run that was never ended: the interpreter leaves."""
        self.finish("FINISHED")


def home_folder(start: Path | None = None) -> Path:
    """Return the home that runs are logged to.

    It is `TIDEMILL_HOME`, or `.tidemill` in the nearest folder upwards that has a `tidemill.toml`,
    or `.tidemill` here.
    """
    named = os.environ.get("TIDEMILL_HOME")
    if named:
        return Path(named)
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "tidemill.toml").exists():
            return folder / ".tidemill"
    return here / ".tidemill"


def set_experiment(experiment_name: str) -> Experiment:
    """Have the runs that are started here from now on belong to an experiment; make it if new.

    Raises:
        BadLogged: The name is no text.
        BadExperiment: It cannot be so called.
    """
    if not isinstance(experiment_name, str):
        raise BadLogged(f"{experiment_name!r} is no experiment's name.", expected="a text")
    check_name(experiment_name)
    with _opened() as home:
        found = home.experiment(experiment_name)
    _EXPERIMENT.set(found.name)
    return found


def start_run(
    run_id: str | None = None,
    *,
    run_name: str | None = None,
    nested: bool = False,
    tags: Mapping[str, object] | None = None,
    description: str | None = None,
) -> RunHandle:
    """Start a run and make it the active one; use it in a `with`, or call `end_run`.

    Inside a pipeline's step, the step's own run is joined: what is logged belongs to it, and
    the pipeline ends it.

    Args:
        run_id: A run to go on with, instead of a new one.
        run_name: For people.
        nested: Whether it belongs to the run that is active.
        tags: Its first tags.
        description: Kept as the tag `mlflow.note.content`, as MLflow does.

    Raises:
        RunActive: A run is active, and `nested` was not said.
        RunElsewhere: Another thread of this process has a run active.
    """
    notes = {k: str(v) for k, v in (tags or {}).items()}
    if description is not None:
        notes["mlflow.note.content"] = description
    session, active = _SESSION.get(), _active()
    if session is None and active is not None:
        joined = RunHandle(active, RunInfo(run_id=active.id))
        if notes:
            joined.set_tags(notes)
        return joined
    if session is not None and not nested:
        raise RunActive(
            f"Run {session.handle.id} is active already.",
            hint="End it with end_run(), or start this one with nested=True.",
        )
    return _start(session, run_id, run_name, notes)


def end_run(status: RunStatus = "FINISHED") -> None:
    """End the active run, if this process started it.

    Raises:
        BadLogged: No run can have that status.
    """
    if status not in get_args(RunStatus):
        raise BadLogged(
            f"A run cannot be {status!r}.", expected=nearest(status, get_args(RunStatus))
        )
    session = _SESSION.get()
    if session is None:
        return
    _SESSION.set(session.outer)
    install(session.previous)
    session.finish(status)


def active_run() -> RunHandle | None:
    """Return the active run, or nothing."""
    session, active = _SESSION.get(), _active()
    if session is not None and active is not None and session.handle.id == active.id:
        return session.handle
    return None if active is None else RunHandle(active, RunInfo(run_id=active.id))


def get_run(run_id: str) -> Run:
    """Return what is known of a run.

    Raises:
        RunNotFound: The home has none of that id.
    """
    with _opened() as home:
        return home.get(run_id)


def search_runs(
    filter_string: str = "",
    *,
    order_by: str | Sequence[str] = (),
    experiment_names: str | Sequence[str] | None = None,
    max_results: int = 1000,
) -> list[Run]:
    """Return the runs that a filter lets through, newest first where no order is given.

    Args:
        filter_string: Such as `metrics.auc > 0.7 AND NOT params.depth = '3'`.
        order_by: Such as `["metrics.auc DESC", "start_time"]`.
        experiment_names: Of which experiments; of all where it is left out.
        max_results: How many at the most.

    Raises:
        BadLogged: No result at all was asked for.
        BadSearch: The filter or the order cannot be read.
        ExperimentNotFound: There is no experiment of such a name.
    """
    if max_results < 1:
        raise BadLogged(f"max_results is {max_results}.", expected="at least 1")
    orders = split_order(order_by) if isinstance(order_by, str) else order_by
    only = [experiment_names] if isinstance(experiment_names, str) else experiment_names
    with _opened() as home:
        return home.search(filter_string, order_by=orders, experiments=only, limit=max_results)


def log_metric(
    key: str, value: float, step: int | None = None, timestamp: int | None = None
) -> None:
    """Log one point of a metric to the active run; one is started if there is none.

    Args:
        key: Its name.
        value: May be NaN or infinite.
        step: Where in the training; 0 where it is left out.
        timestamp: Milliseconds since 1970; now where it is left out.

    Raises:
        BadLogged: The value is no number.
    """
    current().log_metrics({key: value}, step, timestamp)


def log_metrics(
    metrics: Mapping[str, float], step: int | None = None, timestamp: int | None = None
) -> None:
    """Log several metrics at once: all of them or none.

    Raises:
        BadLogged: A value is no number.
    """
    current().log_metrics(metrics, step, timestamp)


def log_param(key: str, value: Any) -> Any:
    """Log a param, which is written once; return its value.

    Raises:
        ParamChanged: It is known with another value.
    """
    current().log_params({key: value})
    return value


def log_params(params: Mapping[str, Any]) -> None:
    """Log several params at once: all of them or none.

    Raises:
        ParamChanged: One is known with another value.
    """
    current().log_params(params)


def set_tag(key: str, value: Any) -> None:
    """Set a tag of the active run, in place of its old value."""
    current().set_tags({key: value})


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags at once."""
    current().set_tags(tags)


def current() -> RunHandle:
    """Return the active run; one is started where there is none."""
    return active_run() or start_run()


def _start(
    outer: _Session | None, run_id: str | None, name: str | None, tags: Mapping[str, str]
) -> RunHandle:
    home = outer.home if outer is not None else choose(home_folder())
    try:
        notes = dict(tags)
        if outer is not None:
            notes["mlflow.parentRunId"] = outer.handle.id
        if run_id is None:
            parent = None if outer is None else outer.handle.id
            run = home.start(_new(name, parent, notes))
        else:
            run = home.resume(run_id, actor=_actor())
            home.log(run.id, tags=[Tag(k, v) for k, v in notes.items()])
    except BaseException:
        if outer is None:
            home.close()
        raise
    active = ActiveRun(run.id, home)
    info = RunInfo(run_id=run.id, run_name=run.name, experiment_id=run.experiment_id)
    session = _Session(home, RunHandle(active, info), outer, install(active))
    _SESSION.set(session)
    atexit.register(session.finish_at_exit)
    if outer is None and run_id is None and os.environ.get("TIDEMILL_CAPTURE") != "0":
        _capture(session.handle)
    return session.handle


def _capture(run: RunHandle) -> None:
    """Keep what the program is, so that its run can be made again."""
    from tidemill.sdk import capture

    run.log_bytes(capture.environment_lock().encode(), capture.LOCK)
    tags = {"mlflow.source.name": capture.script(), "mlflow.source.type": "LOCAL"}
    code = capture.captured(Path.cwd(), home=home_folder())
    if code is not None:
        known = {
            "mlflow.source.git.commit": code.commit,
            "mlflow.source.git.branch": code.branch,
            "tidemill.code.root": code.root,
            "tidemill.code.left-out": " ".join(code.left_out),
        }
        tags |= {key: value for key, value in known.items() if value}
        if code.patch:
            run.log_bytes(code.patch, capture.PATCH)
        for name, path in code.untracked.items():
            run.log_file(path, f"{capture.UNTRACKED}/{name}")
    run.set_tags(tags)


def _new(name: str | None, parent: str | None, tags: dict[str, str]) -> NewRun:
    clock = SystemClock()
    run_id = Ids(clock).new()
    return NewRun(
        id=run_id,
        experiment=_experiment(),
        name=name or f"run-{run_id[-6:]}",
        actor=_actor(),
        started=clock.now(),
        parent=parent,
        tags=tags,
    )


@contextmanager
def _opened() -> Iterator[Destination]:
    session = _SESSION.get()
    if session is not None:
        yield session.home
        return
    home = choose(home_folder())
    try:
        yield home
    finally:
        home.close()


def _experiment() -> str:
    return _EXPERIMENT.get() or os.environ.get("TIDEMILL_EXPERIMENT") or "Default"


def _actor() -> str:
    try:
        return f"user:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"user:{os.getuid()}"
