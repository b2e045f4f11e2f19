"""Questions over the edges: where did this come from, and what came of it?"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Column, Connection, insert, select

from tidemill.core.clock import Clock
from tidemill.core.references import Ref
from tidemill.lineage.records import Edge
from tidemill.lineage.store import edges
from tidemill.storage.db.engine import Database

ASKED_AT_ONCE = 500


class Lineage:
    """The graph of what was made from what.

    Args:
        db: The database.
        clock: Dates the edges.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def link(self, connection: Connection, source: Ref, target: Ref, relation: str) -> None:
        """Record, inside a room's own write, that `target` came from `source`; twice is as once."""
        values = {"source": str(source), "target": str(target), "relation": relation}
        known = connection.execute(select(edges.c.time).filter_by(**values)).first()
        if known is None:
            connection.execute(insert(edges), values | {"time": self._clock.now()})

    def record(self, source: Ref, target: Ref, relation: str) -> None:
        """Record an edge in a write of its own."""
        self._db.write(lambda c: self.link(c, source, target, relation))

    def upstream(self, ref: Ref, depth: int | None = None) -> list[Edge]:
        """Return the edges that lead to `ref`, nearest first.

        Args:
            ref: Where to begin.
            depth: How many steps to go at the most; all where it is left out.
        """
        return self._walk(ref, depth, "upstream")

    def downstream(self, ref: Ref, depth: int | None = None) -> list[Edge]:
        """Return the edges that lead away from `ref`, nearest first."""
        return self._walk(ref, depth, "downstream")

    def _walk(
        self, ref: Ref, depth: int | None, direction: Literal["upstream", "downstream"]
    ) -> list[Edge]:
        here, there = (
            (edges.c.target, "source") if direction == "upstream" else (edges.c.source, "target")
        )
        found: list[Edge] = []
        seen = {str(ref)}
        front = [str(ref)]
        with self._db.read() as connection:
            while front and depth != 0:
                step = _edges_at(connection, here, front)
                found += step
                beyond = dict.fromkeys(getattr(edge, there) for edge in step)
                front = [name for name in beyond if name not in seen]
                seen.update(front)
                depth = None if depth is None else depth - 1
        return found


def _edges_at(connection: Connection, here: Column[str], names: list[str]) -> list[Edge]:
    """Return the edges at any of these names, oldest first, asking for a bounded number at once."""
    found = []
    for first in range(0, len(names), ASKED_AT_ONCE):
        query = select(edges).where(here.in_(names[first : first + ASKED_AT_ONCE]))
        found += [Edge(**row._mapping) for row in connection.execute(query)]
    return sorted(found, key=lambda edge: (edge.time, edge.source, edge.target, edge.relation))
