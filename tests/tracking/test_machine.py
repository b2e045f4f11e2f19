"""A state machine: whatever is done in whatever order, the room agrees with plain dictionaries."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.tracking.errors import NotActive, ParamChanged
from tidemill.tracking.records import Metric, Param, RunStatus, Tag
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True
KEYS = st.sampled_from(["a", "b"])
METRICS = st.lists(
    st.builds(
        Metric,
        KEYS,
        st.sampled_from([-1.0, 0.0, 2.5, math.inf, math.nan]),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=3,
)
PARAMS = st.lists(st.builds(Param, KEYS, st.sampled_from(["1", "2"])), max_size=2)
TAGS = st.lists(st.builds(Tag, KEYS, st.sampled_from(["1", "2"])), max_size=2)


class _Known:
    """What the model knows of a run."""

    def __init__(self) -> None:
        self.points: dict[str, set[tuple[int, int, float, bool]]] = {}
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.status = "RUNNING"
        self.deleted = False
        self.files: dict[str, bytes] = {}


class TrackingMachine(RuleBasedStateMachine):
    """Runs are started, logged to, ended, deleted and restored, and the home is opened anew."""

    runs = Bundle("runs")

    def __init__(self, database: str, blobs: LocalBlobs) -> None:
        super().__init__()
        self.database = database
        self.blobs = blobs
        self.clock = SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))
        self.ids = Ids(self.clock, random.Random(0))
        self.known: dict[str, _Known] = {}
        self._open()

    def _open(self) -> None:
        self.db = Database.open(self.database)
        journal = Journal(self.db, self.clock, self.ids)
        self.tracking = Tracking(self.db, self.blobs, journal, self.clock, self.ids)

    def teardown(self) -> None:
        self.db.close()

    @rule(target=runs, seconds=st.integers(0, 3))
    def start(self, seconds: int) -> str:
        self.clock.sleep(seconds)
        run = self.tracking.start_run(self.tracking.experiment("e").id, actor="user:me")
        self.known[run.id] = _Known()
        return run.id

    @rule(run=runs, metrics=METRICS, params=PARAMS, tags=TAGS)
    def log(self, run: str, metrics: list[Metric], params: list[Param], tags: list[Tag]) -> None:
        known = self.known[run]
        wanted = dict(known.params)
        changes = any(wanted.setdefault(p.key, p.value) != p.value for p in params)
        try:
            self.tracking.log(run, metrics=metrics, params=params, tags=tags)
        except NotActive:
            assert known.deleted
            return
        except ParamChanged:
            assert changes
            return
        assert not known.deleted
        assert not changes
        known.params = wanted
        known.tags |= {t.key: t.value for t in tags}
        for m in metrics:
            nan = math.isnan(m.value)
            point = (m.step, m.timestamp, 0.0 if nan else m.value, nan)
            known.points.setdefault(m.key, set()).add(point)

    @rule(run=runs, path=st.sampled_from(["x", "y/z"]), content=st.binary(max_size=4))
    def log_artifact(self, run: str, path: str, content: bytes) -> None:
        known = self.known[run]
        try:
            self.tracking.log_artifact(run, path, content)
        except NotActive:
            assert known.deleted
            return
        known.files[path] = content

    @rule(run=runs, status=st.sampled_from(["FINISHED", "FAILED", "RUNNING"]))
    def update(self, run: str, status: RunStatus) -> None:
        try:
            self.tracking.update_run(run, status=status, actor="user:me")
        except NotActive:
            assert self.known[run].deleted
            return
        self.known[run].status = status

    @rule(run=runs, deleted=st.booleans())
    def delete_or_restore(self, run: str, deleted: bool) -> None:
        verb = self.tracking.delete_run if deleted else self.tracking.restore_run
        verb(run, actor="user:me")
        self.known[run].deleted = deleted

    @rule()
    def open_anew(self) -> None:
        self.db.close()
        self._open()

    @invariant()
    def agrees(self) -> None:
        for run_id, known in self.known.items():
            run = self.tracking.get(run_id)
            assert (run.params, run.tags, run.status) == (known.params, known.tags, known.status)
            assert (run.ended is None) == (run.status == "RUNNING")
            assert run.metrics.keys() == known.points.keys()
            for key, points in known.points.items():
                history = self.tracking.history(run_id, key)
                assert len(history) == len(points)
                best = max(point[:3] for point in points)
                (newest,) = (m for m in self.tracking.newest([run_id])[run_id] if m.key == key)
                assert (newest.step, newest.timestamp) == best[:2]
                assert math.isnan(newest.value) or newest.value == best[2]
            for path, content in known.files.items():
                with self.tracking.open_artifact(run_id, path) as file:
                    assert file.read() == content
        active = {r.id for r in self.tracking.runs()}
        assert active == {r for r, known in self.known.items() if not known.deleted}
        assert {r.id for r in self.tracking.search().items} == active


def test_whatever_is_done(fresh: Callable[[], str], blobs: LocalBlobs) -> None:
    run_state_machine_as_test(
        lambda: TrackingMachine(fresh(), blobs),
        settings=settings(max_examples=10, stateful_step_count=15),
    )
