"""Windows are looked at in another process; whoever is killed, each finding is said once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tidemill.core.clock import SimulatedClock, SystemClock, micros
from tidemill.core.contract import Column, Contract
from tidemill.core.ids import Ids
from tidemill.core.policy import MonitorPolicy
from tidemill.journal.service import Journal
from tidemill.models.packing import pack
from tidemill.monitoring import dispatch, looking, store
from tidemill.monitoring.apart import Apart
from tidemill.monitoring.errors import LookerFailed, WindowNotFound
from tidemill.monitoring.events import FindingRaised, WindowJudged
from tidemill.monitoring.kept import PLAIN
from tidemill.monitoring.records import Finding
from tidemill.monitoring.reference import Reference, read_reference
from tidemill.monitoring.service import Monitor
from tidemill.monitoring.tasks import Source
from tidemill.storage.db.engine import Database

from .street import FEATURES, START, Letterbox, reference_of, rides

DAY = timedelta(days=1)
LIVE = START + 30 * DAY
POLICY = MonitorPolicy(segments=("area",), silence=1e-300)
METRICS = ("roc_auc", "log_loss")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A real bundle of a model of the street, with its reference."""
    rng = np.random.default_rng(0)
    known = reference_of(rides(rng, 30))
    names = [c.name for c in FEATURES]
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["area"]), remainder="passthrough"),
        LogisticRegression(),
    )
    training = rides(rng, 20)
    model.fit(training.select(names).to_pandas(), training["truth"].to_numpy())
    columns = (
        *FEATURES,
        Column(name="truth", type="bool", role="label"),
        Column(name="ride_moment", type="datetime", role="time"),
    )
    folder = tmp_path_factory.mktemp("bundle") / "taxi"
    pack(
        model,
        name="taxi",
        task="binary",
        contract=Contract(columns=columns),
        sample=training.select(names),
        folder=folder,
        created=START,
        positive=True,
        reference=known.rows,
    )
    return Source(str(folder), known.metrics)


class Home:
    """A monitor with a database and a letterbox of its own."""

    def __init__(self, folder: Path, source: Source) -> None:
        folder.mkdir()
        self.clock = SimulatedClock(START)
        self.db = Database.open(f"sqlite:///{folder}/tidemill.db")
        self.journal = Journal(self.db, self.clock, Ids(self.clock))
        self.box = Letterbox(folder / "letters", Ids(self.clock))

        def reference(_model: str, _version: int) -> Reference | None:
            return read_reference(Path(source.bundle), source.metrics)

        self.monitor = Monitor(self.db, self.journal, self.clock, folder / "letters", reference)

    def fill(self, seed: int, **options: Any) -> None:
        week = rides(np.random.default_rng(seed), 7, start=LIVE, **options)
        narrow = week.filter((pl.col("rain") - 0.4).abs() < 0.9)
        ids = self.box.answer(narrow)
        self.box.label(ids, narrow["truth"].to_list(), LIVE + 7 * DAY)

    def look(self, day: int = 8) -> list[Finding]:
        self.clock.set(LIVE + day * DAY)
        self.monitor.observe("taxis")
        return self.monitor.judge("taxis", model="taxi", version=1, policy=POLICY, metrics=METRICS)

    def learn_late(self) -> None:
        """Answer for long, then be told what the first days were, whose rows are gone by then."""
        rng = np.random.default_rng(5)
        first = rides(rng, 4, rows=40, start=LIVE)
        ids = self.box.answer(first)
        self.box.answer(rides(rng, 40, rows=10, start=LIVE + 4 * DAY))
        self.look(46)
        self.box.label(ids, first["truth"].to_list(), LIVE + 46 * DAY)

    def kept(self) -> list[list[Any]]:
        """All predictions that were taken in, without ids and keys, which differ between homes."""
        with self.db.read() as connection:
            raw = store.read_raw(connection, "taxis", 0, micros(LIVE + 30 * DAY))
        keyed = PLAIN.index("key")
        return [[*row[1:keyed], *row[keyed + 1 :]] for row in raw]

    def close(self) -> None:
        self.box.close()
        self.db.close()


@pytest.mark.timeout(300)
def test_what_another_process_says_is_what_this_one_would(tmp_path: Path, source: Source) -> None:
    here, there = Home(tmp_path / "here", source), Home(tmp_path / "there", source)
    apart = Apart()
    try:
        there.monitor.look_apart(apart, lambda _model, _version: source)
        for home in (here, there):
            home.fill(3, rows=300)
        found = here.look()
        assert {f.kind for f in found} >= {"drift", "performance"}
        assert there.look() == found
        assert there.monitor.windows("taxis") == here.monitor.windows("taxis")
        (report,) = here.monitor.windows("taxis")
        usual = {a.column: a.usual for a in report.attributions}
        assert sum(usual.values()) == pytest.approx(1.0)
        assert max(usual, key=lambda c: usual[c]) == "rain"
        assert apart.started == 1
    finally:
        apart.close()
        here.close()
        there.close()
    assert apart.pid is None


@pytest.mark.timeout(300)
def test_labels_of_long_ago_are_searched_for_in_another_process(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Home(tmp_path / "here", source), Home(tmp_path / "there", source)
    apart = Apart()
    try:
        there.monitor.look_apart(apart, lambda _model, _version: source)
        for home in (here, there):
            home.learn_late()
        found = here.look(46)
        for name in ("times_of", "read_stretch", "read_labels"):
            monkeypatch.setattr(looking, name, _unwanted)
        monkeypatch.setattr(dispatch, "WORTH_SENDING", 0)
        assert there.look(46) == found
        windows = there.monitor.windows("taxis")
        assert windows == here.monitor.windows("taxis")
        assert (windows[-1].predictions, windows[-1].labelled) == (190, 160)
    finally:
        apart.close()
        here.close()
        there.close()


def _unwanted(*_: object) -> None:
    raise AssertionError("the log was read in this process")


@pytest.mark.timeout(300)
def test_a_killed_child_is_replaced_and_its_window_is_judged_once(
    tmp_path: Path, source: Source
) -> None:
    home = Home(tmp_path / "home", source)
    apart = Apart()
    killed: list[int] = []

    def kill() -> None:
        clock = SystemClock()
        for _ in range(6000):
            if apart.pid is not None:
                killed.append(apart.pid)
                os.kill(apart.pid, signal.SIGKILL)
                return
            clock.sleep(0.01)

    try:
        home.monitor.look_apart(apart, lambda _model, _version: source)
        home.fill(4)
        killer = threading.Thread(target=kill)
        killer.start()
        home.look()
        killer.join()
        assert len(killed) == 1
        assert apart.started == 2
        assert len(home.journal.read(types=(WindowJudged.type,))) == 1
    finally:
        apart.close()
        home.close()


@pytest.mark.timeout(300)
def test_a_child_that_takes_too_long_leaves_the_window_for_the_next_round(
    tmp_path: Path, source: Source
) -> None:
    home = Home(tmp_path / "home", source)
    hasty, patient = Apart(seconds=0.0), Apart()
    try:
        home.fill(5)
        home.monitor.look_apart(hasty, lambda _model, _version: source)
        with pytest.raises(LookerFailed, match="ended 2 times"):
            home.look()
        assert home.journal.read(types=(WindowJudged.type,)) == []
        home.monitor.look_apart(patient, lambda _model, _version: source)
        home.look()
        assert len(home.journal.read(types=(WindowJudged.type,))) == 1
    finally:
        hasty.close()
        patient.close()
        home.close()


@pytest.mark.timeout(300)
def test_what_came_is_read_apart_where_it_is_much_and_the_past_is_told_there(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "WORTH_SENDING", 1)
    here, there = Home(tmp_path / "here", source), Home(tmp_path / "there", source)
    apart = Apart()
    try:
        there.monitor.look_apart(apart, lambda _model, _version: source)
        assert there.monitor.observe("taxis") == 0
        assert apart.started == 0
        for home in (here, there):
            home.fill(3, rows=300)
        assert there.monitor.observe("taxis") == here.monitor.observe("taxis") > 0
        assert apart.started == 1
        assert there.kept() == here.kept()
        assert there.monitor.observe("taxis") == 0

        stretch = {"since": LIVE + 2 * DAY, "until": LIVE + 5 * DAY}
        asked: dict[str, Any] = {"model": "taxi", "policy": POLICY, **stretch}
        told = there.monitor.window("taxis", **asked, metrics=METRICS)
        assert told.realised
        assert told == here.monitor.window("taxis", **asked, metrics=METRICS)
        spread = there.monitor.spreads("taxis", **asked)
        assert {s.column for s in spread} == {c.name for c in FEATURES}
        assert spread == here.monitor.spreads("taxis", **asked)
        with pytest.raises(WindowNotFound, match="no predictions of version 9"):
            there.monitor.window("taxis", **asked, version=9)
        assert apart.started == 1
    finally:
        apart.close()
        here.close()
        there.close()


@pytest.mark.timeout(300)
def test_letters_that_could_not_be_read_are_read_with_the_next_round(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "WORTH_SENDING", 1)
    home = Home(tmp_path / "home", source)
    hasty, patient = Apart(seconds=0.0), Apart()
    try:
        home.fill(5)
        home.monitor.look_apart(hasty, lambda _model, _version: source)
        with pytest.raises(LookerFailed, match="What came to taxis could not be read"):
            home.monitor.observe("taxis")
        assert home.kept() == []
        home.monitor.look_apart(patient, lambda _model, _version: source)
        assert home.monitor.observe("taxis") == len(home.kept()) > 0
    finally:
        hasty.close()
        patient.close()
        home.close()


_CHILD = """
import sys
from datetime import timedelta
from pathlib import Path
import numpy as np
from tests.monitoring.street import START, reference_of, rides
from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.core.policy import MonitorPolicy
from tidemill.journal.service import Journal
from tidemill.monitoring.service import Monitor
from tidemill.storage.db.engine import Database

folder = Path(sys.argv[1])
clock = SimulatedClock(START + timedelta(days=60))
db = Database.open(f"sqlite:///{folder}/tidemill.db")
known = reference_of(rides(np.random.default_rng(0), 30))
journal = Journal(db, clock, Ids(clock))
monitor = Monitor(db, journal, clock, folder / "letters", lambda m, v: known)
monitor.observe("taxis")
print("ready", flush=True)
policy = MonitorPolicy(window=2 * 86400.0)
monitor.judge("taxis", model="taxi", version=1, policy=policy, metrics=("log_loss",))
print("done", flush=True)
db.close()
"""


@pytest.mark.timeout(300)
def test_a_monitor_that_is_killed_while_it_judges_repeats_and_loses_no_finding(
    tmp_path: Path,
) -> None:
    box = Letterbox(tmp_path / "letters", Ids(SimulatedClock(START)))
    days = [
        rides(np.random.default_rng(d), 2, rows=60, rain=1.5 * (d % 2), start=LIVE + 2 * d * DAY)
        for d in range(8)
    ]
    rows = pl.concat(days)
    box.label(box.answer(rows), rows["truth"].to_list(), LIVE + 20 * DAY)
    box.close()
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    ends = []
    for patience in (0.05, 0.3, 0.7, 100.0):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE, env=environment
        )
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"ready\n"
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
        ends.append(child.returncode)
    assert ends[-1] == 0
    db = Database.open(f"sqlite:///{tmp_path}/tidemill.db")
    try:
        clock = SimulatedClock(START)
        journal = Journal(db, clock, Ids(clock))
        monitor = Monitor(db, journal, clock, tmp_path / "letters", lambda _m, _v: None)
        windows = monitor.windows("taxis")
        raised = [f.read(FindingRaised).finding for f in journal.read(types=(FindingRaised.type,))]
        judged = [f.read(WindowJudged) for f in journal.read(types=(WindowJudged.type,))]
    finally:
        db.close()
    assert len(windows) >= 8
    assert Counter(j.since for j in judged) == Counter(w.since for w in windows)
    said = Counter((f.since, f.kind) for f in raised if not f.about)
    assert said == Counter((w.since, kind) for w in windows for kind in w.found)
    assert any(w.found for w in windows)
    assert [f.about for f in raised if f.about] == ["predictions"]
