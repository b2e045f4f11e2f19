"""Runs the demonstration from an empty folder to the report."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from importlib.resources import as_file, files
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from rich.console import Console

from tidemill.core.clock import SimulatedClock
from tidemill.core.errors import Conflict
from tidemill.core.references import Ref
from tidemill.core.settings import SQLITE
from tidemill.demo.baselines import Scored, by_calendar
from tidemill.demo.comparison import Strategy, strategy
from tidemill.demo.flights import Year, read_year, turn_of
from tidemill.demo.live import LiveView
from tidemill.demo.progress import Moment
from tidemill.demo.replay import ENDPOINT, Traffic, play_day, spoil, write_day
from tidemill.demo.report import Observed, Story, render
from tidemill.home import Home
from tidemill.loop.records import Decision
from tidemill.monitoring.events import FindingRaised
from tidemill.predictions.finding import latest_predictions
from tidemill.predictions.reader import read_predictions

MODEL = ENDPOINT
FIRST, LAST = date(2013, 2, 1), date(2013, 12, 31)
BAD_DAY = date(2013, 8, 20)
"""The day whose file a careless supplier spoils; the mended file comes the day after."""
SEED = 2013


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the demonstration brought.

    Attributes:
        home: The home that it made.
        project: The project that it made.
        report: Where the report lies.
        strategies: The loop first, then what it is compared with.
        decisions: What the loop decided, oldest first.
        findings: How many there were.
        predictions: How many were answered.
        failed: How many requests failed.
        prediction: The id of the newest prediction, to trace.
        run: The id of the live version's run, to reproduce.
        seconds: How long it took.
    """

    home: str
    project: str
    report: str
    strategies: tuple[Strategy, ...]
    decisions: tuple[Decision, ...]
    findings: int
    predictions: int
    failed: int
    prediction: str
    run: str
    seconds: float


class DemoFolderInUse(Conflict):
    """The folder holds something that the demonstration did not make."""


class FirstTrainingFailed(Conflict):
    """The demonstration's first model could not be made."""


def run_demo(
    folder: Path,
    console: Console,
    *,
    days: int | None = None,
    workers: int = 1,
    baselines: bool = True,
) -> Outcome:
    """Run the demonstration.

    Args:
        folder: Where the project is made; an earlier demonstration's is replaced.
        console: Where progress is shown.
        days: How many days to play; the whole year where it is left out.
        workers: How many serving workers.
        baselines: Whether the comparison is made as well.

    Raises:
        DemoFolderInUse: The folder holds something else.
        MissingExtra: The flights are not installed.
    """
    began = time.perf_counter()
    project = make_project(folder)
    year = read_year()
    last = LAST if days is None else min(LAST, FIRST + timedelta(days=days - 1))
    start = turn_of(FIRST - timedelta(days=1))
    with LiveView(console, (last - FIRST).days + 1) as view:
        view.say("January's flights arrive")
        for day in _days(date(2013, 1, 1), FIRST - timedelta(days=1)):
            write_day(_known_on(year, day), day, project / "data" / "flights")
        compared = _start_baselines(project, last) if baselines else None
        clock = SimulatedClock(start)
        with Home.open(
            project / ".tidemill",
            clock=clock,
            rng=random.Random(SEED),  # noqa: S311 - ids of a simulation, not secrets
            project=project,
            database=SQLITE,  # a throw-away home, whatever the environment names
        ) as home:
            replay = _Replay(home, year, clock, project, view, workers)
            replay.train_first()
            replay.play(FIRST, last)
            view.say("comparing")
            loop = replay.strategy()
            others = [] if compared is None else [_measured(year, last, s) for s in compared()]
            seconds = time.perf_counter() - began
            story = replay.story(last, (loop, *others), seconds)
            report = project / "report.html"
            report.write_text(render(story), "utf-8")
            return replay.outcome(story, report)


def make_project(folder: Path) -> Path:
    """Write the demonstration's project into a folder.

    Raises:
        DemoFolderInUse: The folder holds something else.
    """
    marker = folder / ".demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise DemoFolderInUse(
            f"The folder {folder} is not empty, and no demonstration made it.",
            expected="an empty or a new folder",
            hint="Name another one with: tidemill demo --folder FOLDER",
        )
    shutil.rmtree(folder, ignore_errors=True)
    with as_file(files("tidemill.demo") / "project") as template:
        shutil.copytree(template, folder, ignore=shutil.ignore_patterns("__pycache__"))
    marker.touch()
    return folder.absolute()


class _Replay:
    def __init__(
        self,
        home: Home,
        year: Year,
        clock: SimulatedClock,
        project: Path,
        view: LiveView,
        workers: int,
    ) -> None:
        self._home = home
        self._year = year
        self._clock = clock
        self._project = project
        self._view = view
        self._workers = workers
        self._traffic: Traffic | None = None
        self._seen = 0
        self._windows = 0

    def train_first(self) -> None:
        """Train on January; nothing is live, so that the first version gets everything."""
        self._view.say("training on January")
        run = self._home.controller.train(MODEL, actor="user:demo")
        if run.status != "finished":
            raise FirstTrainingFailed(
                f"The first training ended as {run.status}: {run.error}",
                hint=f"See its log with: tidemill runs show {run.id}",
            )
        self._seen = self._home.journal.head()

    def play(self, first: date, last: date) -> None:
        """Play days through real workers."""
        self._home.deployments.write_routes()
        supervisor = self._home.supervisor(workers=self._workers, header_clock=True)
        supervisor.start()
        try:
            supervisor.wait(0)
            self._traffic = Traffic(supervisor.url, self._clock)
            for number, day in enumerate(_days(first, last), 1):
                self._play_day(number, day)
                generation = self._home.deployments.write_routes()
                supervisor.wait(generation)
            self._view.say("the last labels arrive")
            self._settle(last)
        finally:
            if self._traffic is not None:
                self._traffic.close()
            supervisor.stop()

    def strategy(self) -> Strategy:
        """Measure what was really answered, whichever version did."""
        answers, _ = read_predictions(self._home.predictions_folder, ENDPOINT)
        answered = answers.filter(pl.col("role") != "shadow").select("key", "score")
        flights = self._year.flights.select("flight_id", "scheduled_departure", "late")
        labelled = answered.join(flights, left_on="key", right_on="flight_id").filter(
            pl.col("late").is_not_null()
        )
        labelled = labelled.sort("scheduled_departure", "key")
        retrains = sum(d.kind == "train" for d in self.decisions())
        return strategy(
            "the loop", retrains, labelled, labelled["score"].cast(pl.Float64).to_numpy()
        )

    def decisions(self) -> tuple[Decision, ...]:
        """Return what the loop decided, oldest first."""
        return tuple(reversed(self._home.controller.decisions(limit=5000)))

    def story(self, last: date, strategies: tuple[Strategy, ...], seconds: float) -> Story:
        """Return what the report tells."""
        tally = self._tally()
        facts = self._home.journal.read(types=(FindingRaised.type,), limit=10_000)
        findings = [(f.time, f.read(FindingRaised).finding) for f in facts]
        newest = latest_predictions(self._home.predictions_folder, ENDPOINT, 1)
        live = self._home.registry.version(Ref("model", MODEL, "champion"))
        return Story(
            since=turn_of(FIRST - timedelta(days=1)),
            until=turn_of(last),
            predictions=tally[0],
            failed=tally[1],
            strategies=strategies,
            decisions=self.decisions(),
            findings=tuple(
                Observed(time=when, kind=f.kind, message=f.message) for when, f in findings
            ),
            commands=commands(self._project, newest[0], live.run_id or ""),
            seconds=seconds,
        )

    def outcome(self, story: Story, report: Path) -> Outcome:
        """Return what the command prints."""
        live = self._home.registry.version(Ref("model", MODEL, "champion"))
        newest = latest_predictions(self._home.predictions_folder, ENDPOINT, 1)
        return Outcome(
            home=str(self._home.path),
            project=str(self._project),
            report=str(report),
            strategies=story.strategies,
            decisions=story.decisions,
            findings=len(story.findings),
            predictions=story.predictions,
            failed=story.failed,
            prediction=newest[0],
            run=live.run_id or "",
            seconds=story.seconds,
        )

    def _play_day(self, number: int, day: date) -> None:
        assert self._traffic is not None
        folder = self._project / "data" / "flights"
        play_day(day, self._year, self._traffic, self._clock, folder)
        if day == BAD_DAY:
            write_day(spoil(_known_on(self._year, day)), day, folder)
        if day == BAD_DAY + timedelta(days=1):
            write_day(_known_on(self._year, BAD_DAY), BAD_DAY, folder)
        self._home.controller.tick(on_decision=self._view.decision)
        self._home.dispatcher.flush()
        self._show(number, day)

    def _settle(self, last: date) -> None:
        """Wait for the labels of the last days, and judge the windows that they belong to."""
        assert self._traffic is not None
        closing = turn_of(last)
        policy = self._home.policy.models[MODEL].monitor
        rest = timedelta(seconds=policy.window + policy.label_delay)
        for day in _days(last + timedelta(days=1), last + rest):
            since, until = turn_of(day - timedelta(days=1)), turn_of(day)
            self._clock.set(until)
            known = self._year.known(since, until)
            self._traffic.tell(known.filter(pl.col("scheduled_departure") < closing))
            self._traffic.flush()
            self._home.controller.watch()
            self._home.dispatcher.flush()

    def _show(self, number: int, day: date) -> None:
        facts = self._home.journal.read(after=self._seen, types=(FindingRaised.type,))
        for fact in facts:
            finding = fact.read(FindingRaised).finding
            self._view.finding(day, finding.kind, finding.message)
        self._seen = self._home.journal.head()
        live = self._home.deployments.get(ENDPOINT)
        windows = self._home.monitor.windows(ENDPOINT)
        canary = live.canary
        traffic = (
            f"100% @{live.champion.version}"
            if canary is None
            else f"{100 - live.canary_percent:g}% @{live.champion.version}, "
            f"{live.canary_percent:g}% @{canary.version}"
        )
        self._view.day(
            Moment(
                number=number,
                day=day,
                live=str(live.champion.ref),
                traffic=traffic,
                predictions=self._tally()[0],
                quality=windows[0].realised.get("roc_auc") if windows else None,
                new_window=len(windows) > self._windows,
            )
        )
        self._windows = len(windows)

    def _tally(self) -> tuple[int, int]:
        return (
            (0, 0)
            if self._traffic is None
            else (
                self._traffic.tally.predictions,
                self._traffic.tally.failed,
            )
        )


def commands(project: Path, prediction: str, run: str) -> tuple[tuple[str, str], ...]:
    """Return what to try next."""
    program = "tidemill"
    if shutil.which(program) is None:
        program = str(Path(sys.executable).with_name(program))
    return (
        (f"cd {project}", "the project that the demonstration made"),
        (f"{program} trace {prediction}", "from one prediction back to the rows"),
        (f"{program} reproduce {run}", "make the live version again, and compare"),
        (f"{program} monitor incidents", "what went wrong, and how it ended"),
        (f"{program} loop explain", "what the loop would do now, and why"),
        (f"{program} rollback {MODEL}", "back to the version before"),
        (f"{program} up", "serve this home; its page is at http://127.0.0.1:8750"),
    )


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _known_on(year: Year, day: date) -> pl.DataFrame:
    return year.known(turn_of(day - timedelta(days=1)), turn_of(day))


def _start_baselines(project: Path, last: date) -> Callable[[], list[Scored]]:
    """Compute the comparison beside the replay, in a process of its own."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    future: Future[list[Scored]] = pool.submit(score_baselines, str(project / "pipeline.py"), last)

    def finish() -> list[Scored]:
        try:
            return future.result()
        finally:
            pool.shutdown()

    return finish


def score_baselines(code: str, last: date) -> list[Scored]:
    """Score the replayed days by the two habits; runs in a process of its own.

    One thread, and after everything else: the replay beside it is what people wait for.
    """
    from threadpoolctl import threadpool_limits

    os.nice(10)
    fit = _training_function(code)
    year = read_year()
    start = turn_of(FIRST - timedelta(days=1))
    firsts = [datetime(2013, m, 1, tzinfo=UTC) for m in range(3, 13)]
    monthly = [start, *(turn_of(f.date() - timedelta(days=1)) for f in firsts)]
    chosen = [m for m in monthly if m < turn_of(last)]
    played = Year(year.flights.filter(pl.col("scheduled_departure") < turn_of(last)))
    with threadpool_limits(1):
        return [
            by_calendar("January's model for ever", played, fit, [start], seed=0),
            by_calendar("retraining every month", played, fit, chosen, seed=0),
        ]


def _measured(year: Year, last: date, scored: Scored) -> Strategy:
    start = turn_of(FIRST - timedelta(days=1))
    departures = pl.col("scheduled_departure")
    played = year.flights.filter((departures >= start) & (departures < turn_of(last)))
    known = played["late"].is_not_null()
    return strategy(
        scored.name, scored.retrains, played.filter(known), scored.scores[known.to_numpy()]
    )


def _training_function(code: str) -> Any:
    spec = importlib.util.spec_from_file_location("pipeline", code)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fit
