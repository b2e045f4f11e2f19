"""Health: sampled from the real kernel and real workers' counts, kept in rings, said once."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from tidemill.core.clock import SimulatedClock, SystemClock
from tidemill.core.policy import HealthPolicy
from tidemill.journal.service import Journal
from tidemill.monitoring.episodes import Episodes
from tidemill.monitoring.events import FindingEnded, FindingRaised
from tidemill.monitoring.health import processes, rings
from tidemill.monitoring.health.limits import judge
from tidemill.monitoring.health.records import Counts, Gauge, Histogram, Stretch
from tidemill.monitoring.health.sampling import Sampler
from tidemill.monitoring.health.service import HealthWatch
from tidemill.storage.db.engine import Database

MIB = float(1 << 20)
BOUNDS = (0.01, 0.1, 1.0)


class Scripted:
    """A sampler whose figures the test sets."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        self.counts: dict[str, float] = {}
        self.durations: dict[str, Histogram] = {}

    def sample(self, since: int, seconds: int) -> Stretch:
        return Stretch(
            since=since,
            seconds=seconds,
            gauges={name: Gauge.of(value) for name, value in self.gauges.items()},
            counts=dict(self.counts),
            durations=dict(self.durations),
        )


class Machine:
    """A watch over a machine whose figures the test sets."""

    def __init__(self, db: Database, journal: Journal, clock: SimulatedClock) -> None:
        self.db, self.journal, self.clock = db, journal, clock
        self.policy = HealthPolicy(lasting=60.0)
        self.sampler = Scripted()
        self.begin()

    def begin(self) -> None:
        """Begin anew, as after a restart."""
        episodes = Episodes(self.db, self.journal)
        self.watch = HealthWatch(
            self.db, self.clock, episodes, lambda: self.policy, lambda _: ("taxi", 3)
        )

    def run(self, seconds: int) -> list[str]:
        """Let time pass, with a sample every ten seconds; return what was said."""
        said = []
        for _ in range(seconds // 10):
            found = self.watch.take(self.sampler)  # type: ignore[arg-type]
            said += [f.message for f in found]
            self.clock.sleep(10)
        return said

    def facts(self) -> list[str]:
        return [f.type for f in self.journal.read(types=(FindingRaised.type, FindingEnded.type))]


@pytest.fixture
def machine(db: Database, journal: Journal, clock: SimulatedClock) -> Machine:
    return Machine(db, journal, clock)


def test_a_limit_that_is_passed_long_enough_is_said_once_and_ends_by_itself(
    machine: Machine,
) -> None:
    machine.sampler.gauges = {"machine/cpu": 0.99}
    assert machine.run(40) == []
    assert machine.run(30) == ["The processors were in use by at least 99% for 1 minute."]
    machine.begin()
    assert machine.run(80) == [], "a restart repeats nothing"
    assert machine.watch.tell().troubles
    machine.sampler.gauges = {"machine/cpu": 0.5}
    machine.run(10)
    assert machine.facts() == ["finding.raised", "finding.ended"]
    assert machine.watch.tell().troubles == ()


def test_a_short_burst_is_no_trouble(machine: Machine) -> None:
    for busy in (0.99, 0.3, 0.99, 0.2):
        machine.sampler.gauges = {"machine/cpu": busy, "machine/memory": busy}
        assert machine.run(40) == []


def test_endpoints_are_judged_by_rates_over_the_whole_time(machine: Machine) -> None:
    machine.sampler.counts = {
        "endpoint taxis/requests": 30.0,
        "endpoint taxis/errors": 3.0,
        "endpoint taxis/refused": 10.0,
        "endpoint taxis/refused for rain range": 7.0,
        "endpoint taxis/refused for area set": 3.0,
        "endpoint calm/requests": 30.0,
        "endpoint calm/errors": 0.0,
    }
    machine.sampler.durations = {"endpoint taxis/queue": Histogram(BOUNDS, (10.0, 0.0, 10.0, 0.0))}
    machine.policy = HealthPolicy(lasting=60.0, max_latency=0.5, max_queue=0.5)
    said = machine.run(60)
    assert "10.0% of 150 requests to taxis failed in 1 minute." in said
    assert any("`rain` (range, 35), `area` (set, 15)" in s for s in said)
    assert any("waited 0.982 s or longer for a place in a batch" in s for s in said)
    assert len(said) == 3
    raised = [f.read(FindingRaised).finding for f in machine.journal.read()]
    assert {(f.kind, f.about, f.endpoint, f.model, f.version) for f in raised} == {
        ("health", "errors", "taxis", "taxi", 3),
        ("quality", "refused", "taxis", "taxi", 3),
        ("health", "queue", "taxis", "taxi", 3),
    }


def test_few_requests_say_nothing(machine: Machine) -> None:
    machine.sampler.counts = {"endpoint taxis/requests": 0.3, "endpoint taxis/errors": 0.3}
    assert machine.run(100) == []
    assert judge([], HealthPolicy()).judged == frozenset()


def test_workers_that_outgrow_their_limit_again_and_again_are_said_with_what_to_type(
    machine: Machine,
) -> None:
    machine.sampler.gauges = {"workers/limit": 500.0 * MIB, "workers/needed": 90.0 * MIB}
    machine.sampler.counts = {"workers/outgrown": 0.0}
    assert machine.run(120) == []
    machine.sampler.counts = {"workers/outgrown": 1.0}
    assert machine.run(10) == [], "once is what the limit is for"
    machine.sampler.counts = {"workers/outgrown": 0.0}
    machine.clock.sleep(1800)
    assert machine.run(60) == []
    machine.sampler.counts = {"workers/outgrown": 1.0}
    (said,) = machine.run(10)
    assert "more than the 500 MB of worker_memory and were replaced 2 times within an hour" in said
    assert "`tidemill up --worker-memory 800`" in said
    machine.sampler.counts = {"workers/outgrown": 0.0}
    machine.clock.sleep(1500)
    assert machine.run(60) == []
    assert machine.watch.tell().troubles == (said,)
    machine.clock.sleep(2000)
    machine.run(60)
    assert machine.watch.tell().troubles == ()
    assert machine.facts() == ["finding.raised", "finding.ended"]


def test_a_worker_that_needs_more_than_it_may_take_is_said_until_the_limit_is_gone(
    machine: Machine,
) -> None:
    machine.sampler.gauges = {"workers/limit": 128.0 * MIB, "workers/needed": 310.0 * MIB}
    (said,) = machine.run(120)
    assert said.startswith("A worker needs 310 MB for what it serves, more than the 128 MB")
    assert "`tidemill up --worker-memory 700`" in said
    machine.sampler.gauges = {"machine/cpu": 0.1}
    machine.run(120)
    assert machine.watch.tell().troubles == ()


def test_a_model_whose_processes_end_again_and_again_is_said(machine: Machine) -> None:
    machine.sampler.counts = {"endpoint taxis/restarts": 1.0}
    (said,) = machine.run(60)
    assert said.startswith("Processes of the model behind taxis ended, hung or took too much")
    machine.sampler.counts = {"endpoint taxis/restarts": 0.0}
    machine.run(60)
    assert machine.watch.tell().troubles == ()


def test_weeks_are_kept_in_constant_space(machine: Machine) -> None:
    machine.sampler.gauges = {"machine/cpu": 0.25}
    small = (rings.Ring(10, 6), rings.Ring(60, 4), rings.Ring(600, 3))

    def work(connection: Connection) -> None:
        for at in range(0, 7200, 10):
            rings.keep(connection, machine.sampler.sample(at, 10), small)

    machine.db.write(work)
    with machine.db.read() as connection:
        many = connection.scalar(select(func.count()).select_from(rings.health))
        coarse = rings.read(connection, small[2], 0, 10**6)
        fine = rings.read(connection, small[0], 0, 10**6)
    assert many == 6 + 4 + 3
    assert [s.since for s in coarse] == [5400, 6000, 6600]
    assert all(s.gauges["machine/cpu"] == Gauge(60, 15.0, 0.25, 0.25) for s in coarse)
    assert [s.since for s in fine] == list(range(7140, 7200, 10))


def test_any_reach_is_told_from_the_finest_ring_that_has_it(machine: Machine) -> None:
    machine.sampler.gauges = {"machine/cpu": 0.25, "control plane/memory": 1e6}
    machine.sampler.counts = {"endpoint taxis/requests": 20.0}
    machine.sampler.durations = {"endpoint taxis/latency": Histogram(BOUNDS, (99.0, 1.0, 0.0, 0.0))}
    begin = int(machine.clock.now().timestamp())

    def work(connection: Connection) -> None:
        for at in range(begin, begin + 7200, 10):
            rings.keep(connection, machine.sampler.sample(at, 10))

    machine.db.write(work)
    machine.clock.sleep(7200)
    now = machine.clock.now()
    for since, seconds in (
        (None, 10),
        (now - timedelta(hours=2), 60),
        (now - timedelta(days=3), 600),
    ):
        told = machine.watch.tell(since)
        series = {(s.subject, s.figure): s for s in told.series}
        assert told.seconds % seconds == 0
        assert series["machine", "cpu"].latest == 0.25
        assert series["machine", "cpu"].unit == "share"
        assert series["control plane", "memory"].unit == "bytes"
        assert series["endpoint taxis", "requests"].latest == pytest.approx(2.0)
        assert series["endpoint taxis", "p50"].latest == pytest.approx(0.00505, rel=0.01)
        assert len(series["machine", "cpu"].points) <= 401
    assert machine.watch.tell(now + timedelta(days=1)).series == ()
    assert machine.watch.tell(now - timedelta(days=4000)).series != ()


counts = st.lists(st.integers(0, 50), min_size=4, max_size=4).map(lambda v: tuple(map(float, v)))


@given(counts, counts, counts)
def test_histograms_add_up_in_any_order(
    a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]
) -> None:
    one, two, three = (Histogram(BOUNDS, v) for v in (a, b, c))
    assert (one + two) + three == one + (two + three)
    assert one + two == two + one
    value = (one + two + three).quantile(0.5)
    assert value is None or 0 <= value <= 1.0


def test_a_real_sample_knows_the_machine_and_what_was_started(tmp_path: Path) -> None:
    script = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    command = [sys.executable, "-c", script, "-m", "tidemill.serving.worker", "--number", "3"]
    child = subprocess.Popen(command)
    try:
        counted = [Counts(counts={"a/requests": 5.0}), Counts(counts={"a/requests": 8.0})]
        sampler = Sampler(
            SystemClock(), owner=os.getpid(), folder=tmp_path, counters=(lambda: counted.pop(0),)
        )
        first = sampler.sample(0, 10)
        assert "machine/cpu" not in first.gauges
        assert first.counts == {}
        before = processes.process(child.pid)
        assert before is not None
        SystemClock().sleep(0.5)
        second = sampler.sample(10, 10)
    finally:
        child.kill()
        child.wait()
    gauges = {name: gauge.mean for name, gauge in second.gauges.items()}
    assert 0 <= gauges["machine/cpu"] <= 1
    assert 0 < gauges["machine/memory"] < 1
    assert gauges["worker 3/cpu"] > 0
    assert gauges["worker 3/memory"] > 1e6
    assert gauges["control plane/processes"] >= 1
    assert gauges["disk/free"] > 0
    assert second.counts == {"a/requests": 3.0}
    assert processes.process(child.pid) is None


def test_counts_that_begin_anew_are_no_fall(tmp_path: Path) -> None:
    told = [
        Counts(
            counts={"a/requests": 50.0}, durations={"a/latency": Histogram(BOUNDS, (5, 0, 0, 0))}
        ),
        Counts(
            counts={"a/requests": 7.0}, durations={"a/latency": Histogram(BOUNDS, (2, 1, 0, 0))}
        ),
    ]
    sampler = Sampler(
        SystemClock(), owner=os.getpid(), folder=tmp_path, counters=(lambda: told.pop(0),)
    )
    sampler.sample(0, 10)
    second = sampler.sample(10, 10)
    assert second.counts == {"a/requests": 7.0}
    assert second.durations["a/latency"].counts == (2, 1, 0, 0)
