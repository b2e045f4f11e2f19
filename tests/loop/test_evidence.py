"""A rollout's evidence is that of all its rows, whatever came when, was mended, or is forgotten."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tidemill.core.clock import micros
from tidemill.core.policy import RolloutPolicy
from tidemill.loop.evidence import Gathering
from tidemill.models.records import Signature
from tidemill.monitoring import accounts, arms, store
from tidemill.monitoring.arms import Arms
from tidemill.monitoring.kept import LabelEntry
from tidemill.predictions.identity import ids_of, request_number
from tidemill.predictions.units import requests_of, units_of
from tidemill.serving.evidence import Counts, Division, Evidence, StepCounts, Units
from tidemill.serving.health import EDGES_MS
from tidemill.serving.records import Rollout, Target
from tidemill.serving.rollout import judge
from tidemill.storage.db.engine import Database

ON_BOTH_DATABASES = True
MONDAY = datetime(2013, 3, 4, tzinfo=UTC)
SIGNATURE = Signature(features=(), task="binary", classes=(False, True), positive=True)
POLICY = RolloutPolicy(steps=(5, 25, 100), max_shift=0.1, min_requests=5, tolerance=0.5)
CUTS = tuple(i / 10 for i in range(1, 10))
ENCODER = msgspec.msgpack.Encoder()
NUMBERS = itertools.count()


class Killed(Exception):
    """What ends a process."""


class Street:
    """An endpoint with a rollout, and all rows that it ever had."""

    def __init__(self, db: Database) -> None:
        number = next(NUMBERS)
        self.db, self.endpoint, self.rng = db, f"taxis-{number}", random.Random(number)
        old, new = (Target(model="taxi", version=v, bundle="b") for v in (1, 2))
        self.rollout = Rollout(
            id=f"r{number}",
            endpoint=self.endpoint,
            candidate=new,
            champion=old,
            policy=POLICY,
            step=0,
            status="running",
            started=MONDAY,
            step_started=MONDAY,
            steps_started=(MONDAY,),
            reason="passed its gate",
        )
        self.now = MONDAY
        self.rows: dict[str, dict[str, Any]] = {}
        self.restart()

    def restart(self) -> None:
        arms = Arms(self.db, lambda *_: SIGNATURE, lambda *_: None)
        self.gathering = Gathering(arms)

    def requests(self, many: int) -> None:
        """Have requests answered, some before the rollout and some by a shadow, and taken in."""
        entries = []
        for _ in range(many):
            self.now += timedelta(seconds=self.rng.choice((0, 1, 60)))
            at = micros(self.now) - self.rng.choice((0, 0, 0, 90_000_000, 7_200_000_000))
            key = self.rng.choice((None, None, "ann", "bob", "cem"))
            version, role = self.rng.choice(((1, "champion"), (2, "canary"), (2, "shadow")))
            number = request_number(self.rng, key)
            failed, latency = self.rng.random() < 0.1, self.rng.choice((90, 700, 9_000_000))
            for name in ids_of(at, version, number, self.rng.choice((1, 1, 3))).split(","):
                score = self.rng.random()
                entries.append(
                    {
                        "endpoint": self.endpoint,
                        "id": name,
                        "time": at,
                        "key": self.rng.choice((None, f"row-{self.rng.randrange(20)}")),
                        "version": version,
                        "role": role,
                        "status": "error" if failed else "ok",
                        "latency_us": latency,
                        "weight": 1.0,
                        "answer": ENCODER.encode([score > 0.5, score, {}]),
                    }
                )
        self.take_in(entries, [])

    def labels(self, many: int) -> None:
        """Have labels taken in: first ones, mended ones, and some that find no prediction."""
        names: list[tuple[str, str]] = [("key", f"row-{self.rng.randrange(20)}")]
        names += [("id", name) for name in self.rng.sample(sorted(self.rows), len(self.rows))]
        self.take_in(
            [],
            [
                LabelEntry(
                    by,
                    name,
                    ENCODER.encode(self.rng.random() < 0.5),
                    micros(self.now) + self.rng.randrange(-50, 50),
                )
                for by, name in names[:many]
            ],
        )

    def take_in(self, entries: list[dict[str, Any]], labels: list[LabelEntry]) -> None:
        self.db.write(lambda c: store.take_in(c, self.endpoint, entries, labels))
        mine = select(store.rows).where(store.rows.c.endpoint == self.endpoint)
        with self.db.read() as connection:
            for row in connection.execute(mine).mappings():
                self.rows[row["id"]] = dict(row)

    def forget(self, minutes: int) -> None:
        before = micros(self.now - timedelta(minutes=minutes))
        self.db.write(lambda c: store.forget(c, self.endpoint, before))

    def advance(self, minutes: int) -> None:
        """Begin a step, which may be dated before what was seen already."""
        begun = self.rollout.steps_started
        moment = max(self.now - timedelta(minutes=minutes), begun[-1] + timedelta(seconds=1))
        if len(begun) < len(POLICY.steps):
            self.rollout = msgspec.structs.replace(
                self.rollout, step=len(begun), steps_started=(*begun, moment), step_started=moment
            )

    def die_looking(self, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
        """Look, and be killed after so many writes."""
        left = iter(range(writes))

        def killed_before(write: Callable[..., None]) -> Callable[..., None]:
            def writing(*args: Any) -> None:
                if next(left, None) is None:
                    raise Killed
                write(*args)

            return writing

        with monkeypatch.context() as patch:
            patch.setattr(arms, "_AT_ONCE", 20)
            for name in ("enter", "settle"):
                patch.setattr(accounts, name, killed_before(getattr(accounts, name)))
            try:
                self.gathering.evidence(self.rollout)
            except Killed:
                self.restart()

    def look(self) -> None:
        """Compare the evidence, and the verdict, with those of all rows."""
        found = self.gathering.evidence(self.rollout)
        whole = self.counted_anew()
        assert found == whole
        now = self.now + timedelta(hours=2)
        mine = judge(found, self.rollout, now)
        assert mine == judge(whole, self.rollout, now)
        theirs = judge(self.by_arrays(), self.rollout, now)
        assert (mine.action, mine.code) == (theirs.action, theirs.code)
        assert mine.numbers == pytest.approx(theirs.numbers, rel=1e-9, abs=1e-12)

    def counted_anew(self) -> Evidence:
        """Count all rows that there ever were at once, as those of another endpoint."""
        endpoint, name = f"whole-{next(NUMBERS)}", f"whole-{next(NUMBERS)}"
        entries = [row | {"endpoint": endpoint, "touched": None} for row in self.rows.values()]
        self.db.write(lambda c: store.take_in(c, endpoint, entries, []))
        rollout = msgspec.structs.replace(self.rollout, id=name, endpoint=endpoint)
        made = Gathering(Arms(self.db, lambda *_: SIGNATURE, lambda *_: None))
        return made.evidence(rollout)

    def by_arrays(self) -> Evidence:
        """Return the evidence as one would reckon it with all rows at hand."""
        sides = [self._side(version) for version in (2, 1)]
        mine, theirs = sides
        steps = zip(POLICY.steps, mine[0], theirs[0], strict=False)
        return Evidence(
            steps=tuple(StepCounts(percent=p, candidate=a, champion=b) for p, a, b in steps),
            losses=mine[1],
            champion_losses=theirs[1],
            divisions=tuple(
                Division(name=f"scores above {cut:.3g}", candidate=a, champion=b)
                for cut, a, b in zip(CUTS, mine[2], theirs[2], strict=True)
            ),
        )

    def _side(self, version: int) -> tuple[list[Counts], Units | None, list[Units]]:
        chosen = [
            row
            for row in self.rows.values()
            if row["version"] == version
            and row["role"] != "shadow"
            and row["time"] >= micros(MONDAY)
        ]
        ids = pl.Series([row["id"] for row in chosen], dtype=pl.String)
        units, requests = units_of(ids).to_list(), requests_of(ids).to_list()
        losses: dict[str, list[float]] = {}
        answers: dict[str, list[float]] = {}
        for row, unit in zip(chosen, units, strict=True):
            if row["status"] == "ok":
                _, score, _ = msgspec.msgpack.decode(row["answer"])
                answers.setdefault(unit, []).append(score)
                if row["label"] is not None:
                    true = msgspec.msgpack.decode(row["label"])
                    losses.setdefault(unit, []).append(-math.log(score if true else 1 - score))
        asked = dict(zip(requests, chosen, strict=True)).values()
        return (
            [
                _counts([row for row in asked if a <= row["time"] < b])
                for a, b in itertools.pairwise([*map(micros, self.rollout.steps_started), 2**62])
            ],
            _units(losses) if losses else None,
            [_units({u: [s > c for s in v] for u, v in answers.items()}) for c in CUTS],
        )


def _counts(asked: list[dict[str, Any]]) -> Counts:
    latencies = [0] * (len(EDGES_MS) + 1)
    for row in asked:
        latencies[sum(row["latency_us"] / 1000 > edge for edge in EDGES_MS)] += 1
    errors = sum(row["status"] != "ok" for row in asked)
    return Counts(requests=len(asked), errors=errors, latencies=tuple(latencies))


def _units(values: dict[str, list[Any]]) -> Units:
    totals = [float(sum(v)) for v in values.values()]
    return Units(np.array(totals), np.array([float(len(v)) for v in values.values()]))


happenings = st.one_of(
    st.tuples(st.just("requests"), st.integers(1, 60)),
    st.tuples(st.just("labels"), st.integers(1, 80)),
    st.tuples(st.just("look")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("forget"), st.integers(20, 60)),
    st.tuples(st.just("advance"), st.integers(0, 20)),
    st.tuples(st.just("die"), st.integers(0, 4)),
)


@settings(max_examples=20, suppress_health_check=[*HealthCheck])
@given(what=st.lists(happenings, max_size=14))
def test_evidence_is_that_of_all_rows_whatever_happened(
    db: Database, monkeypatch: pytest.MonkeyPatch, what: list[tuple[Any, ...]]
) -> None:
    street = Street(db)
    street.look()
    for name, *options in what:
        if name == "die":
            street.die_looking(monkeypatch, *options)
        else:
            getattr(street, name)(*options)
    street.look()


def test_a_long_story_is_told_as_it_is_from_all_rows(db: Database) -> None:
    street = Street(db)
    street.look()
    for _ in range(6):
        street.requests(60)
        street.labels(40)
        street.look()
        street.forget(10)
        street.labels(80)
        street.restart()
        street.advance(1)
    street.look()
    kept = func.count().filter(store.rows.c.endpoint == street.endpoint)
    with db.read() as connection:
        assert connection.scalar(select(kept).select_from(store.rows)) < len(street.rows)
    assert street.gathering.evidence(street.rollout).candidate.requests > 30


def test_a_look_reads_only_what_has_changed(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    street = Street(db)
    street.requests(60)
    street.look()
    read: list[int] = []
    answers = arms.read_answers

    def noted(*args: Any, **options: Any) -> pl.DataFrame:
        found = answers(*args, **options)
        read.append(found.height)
        return found

    street.gathering.evidence(street.rollout)
    monkeypatch.setattr(arms, "read_answers", noted)
    street.gathering.evidence(street.rollout)
    assert read == []
    street.requests(1)
    street.restart()
    street.gathering.evidence(street.rollout)
    assert sum(read) <= 3


def test_what_was_kept_of_a_rollout_goes_with_it(db: Database) -> None:
    street, other = Street(db), Street(db)
    for each in (street, other):
        each.gathering.evidence(each.rollout)
        each.requests(60)
        each.gathering.evidence(each.rollout)
    street.gathering.close_others([other.rollout])
    with db.read() as connection:
        names = connection.scalars(select(accounts.accounts.c.name)).all()
        numbers = set(connection.scalars(select(accounts.counted.c.account)))
        known = set(connection.scalars(select(accounts.accounts.c.number)))
        touched = accounts.seen_by(connection, street.endpoint)
    assert sorted(names) == [f"{other.rollout.id}/candidate", f"{other.rollout.id}/champion"]
    assert numbers == known
    assert touched is None
