"""Edges, and questions over them."""

from __future__ import annotations

import random

from sqlalchemy import Connection

from tidemill.core.clock import SimulatedClock
from tidemill.core.references import Ref
from tidemill.lineage.records import Edge
from tidemill.lineage.service import ASKED_AT_ONCE, Lineage
from tidemill.storage.db.engine import Database

DATA = Ref("dataset", "flights", "3f9a")
RUN = Ref("run", "0192")
MODEL = Ref("model", "delay", "7")
ENDPOINT = Ref("endpoint", "delay")


def pairs(edges: list[Edge]) -> list[tuple[str, str]]:
    return [(e.source, e.target) for e in edges]


def chain(lineage: Lineage) -> None:
    lineage.record(DATA, RUN, "trained")
    lineage.record(RUN, MODEL, "produced")
    lineage.record(MODEL, ENDPOINT, "serves")


def test_walks_up_and_down_nearest_first(lineage: Lineage) -> None:
    chain(lineage)
    up = [("model:delay@7", "endpoint:delay"), ("run:0192", "model:delay@7")]
    assert pairs(lineage.upstream(ENDPOINT)) == [*up, ("dataset:flights@3f9a", "run:0192")]
    assert pairs(lineage.upstream(ENDPOINT, depth=2)) == up
    assert pairs(lineage.downstream(DATA, depth=1)) == [("dataset:flights@3f9a", "run:0192")]
    assert len(lineage.downstream(DATA)) == 3
    assert lineage.upstream(DATA) == []
    assert lineage.upstream(ENDPOINT, depth=0) == []


def test_an_edge_is_recorded_once_and_keeps_its_first_time(
    lineage: Lineage, clock: SimulatedClock
) -> None:
    lineage.record(DATA, RUN, "trained")
    first = lineage.downstream(DATA)
    clock.sleep(60)
    lineage.record(DATA, RUN, "trained")
    assert lineage.downstream(DATA) == first


def test_a_circle_ends(lineage: Lineage) -> None:
    chain(lineage)
    lineage.record(ENDPOINT, DATA, "labelled")
    assert len(lineage.upstream(ENDPOINT)) == 4


def test_wide_graphs_are_asked_for_in_parts(lineage: Lineage, db: Database) -> None:
    runs = [Ref("run", f"{n:04}") for n in range(ASKED_AT_ONCE + 7)]

    def work(connection: Connection) -> None:
        for run in runs:
            lineage.link(connection, DATA, run, "trained")
            lineage.link(connection, run, MODEL, "produced")

    db.write(work)
    assert len(lineage.downstream(DATA)) == 2 * len(runs)


def test_every_edge_down_from_a_leads_up_to_a(lineage: Lineage, db: Database) -> None:
    rng = random.Random(7)
    nodes = [Ref("run", str(n)) for n in range(8)]

    def work(connection: Connection) -> None:
        for _ in range(14):
            source, target = rng.sample(nodes, 2)
            lineage.link(connection, source, target, "led")

    db.write(work)
    for start in nodes:
        for end in nodes:
            below = {e.target for e in lineage.downstream(start)}
            above = {e.source for e in lineage.upstream(end)}
            assert (str(end) in below) == (str(start) in above)
